"""Evaluations: every store keeps them alike."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from statistics import quantiles
from typing import Any

import pytest

from mastra.errors import IdTakenError, SerializationError
from mastra.storage import InMemoryStorage
from mastra.storage.evals import (
    PAGE,
    EvalFilter,
    EvalGuard,
    EvalRecord,
    EvalStore,
    FieldCondition,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def evals(storage: Any) -> AsyncIterator[EvalStore]:
    yield storage.evals
    await storage.aclose()


def score(name: str, **fields: Any) -> EvalRecord:
    return EvalRecord("score", name, {"score": 0.5, "text": "ü"}, **fields)


async def ids(evals: EvalStore, kind: Any, **where: Any) -> list[str]:
    return [one.id for one in (await evals.list(kind, EvalFilter(**where))).records]


async def test_what_is_stored_is_read_back(evals: EvalStore) -> None:
    record = score(
        "s1",
        parent_id="scorer",
        subject="AGENT/a",
        run_id="r",
        trace_id="t",
        resource_id="ada",
        version=3,
        valid_to=4,
        created_at=5,
        updated_at=6,
    )
    assert await evals.save([record])
    assert await evals.get("score", "s1") == record
    assert await evals.get("dataset", "s1") is None
    stored = await evals.get("score", "s1")
    assert stored is not None
    stored.data["score"] = 1  # what is read is the reader's own
    assert await evals.get("score", "s1") == record


async def test_storing_nothing_does_nothing(evals: EvalStore) -> None:
    assert await evals.save([])
    assert await ids(evals, "score") == []


async def test_in_memory_the_oldest_scores_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mastra.storage.evals.MAX_SCORES", 3)
    evals = InMemoryStorage().evals
    await evals.save([EvalRecord("dataset", f"d{n}", {}) for n in range(5)])
    for name in "abcad":
        await evals.save([score(name)])
    assert sorted(await ids(evals, "score")) == ["b", "c", "d"]
    assert len(await ids(evals, "dataset")) == 5


async def test_a_record_takes_the_place_of_an_older_one(evals: EvalStore) -> None:
    await evals.save([score("a"), score("b")])
    await evals.save([EvalRecord("score", "a", {"score": 1}, run_id="r")])
    page = await evals.list("score", is_ascending=True)
    assert [(one.id, one.data["score"]) for one in page.records] == [("a", 1), ("b", 0.5)]
    assert await ids(evals, "score", run_id="r") == ["a"]


async def test_records_are_listed_the_newest_first_and_in_pages(evals: EvalStore) -> None:
    await evals.save([score(str(at), parent_id="p", run_id=str(at % 2)) for at in range(7)])
    await evals.save([EvalRecord("feedback", "f", parent_id="p")])
    page = await evals.list("score", EvalFilter(parent_id="p"), offset=2, limit=3)
    assert ([one.id for one in page.records], page.total) == (["4", "3", "2"], 7)
    rest = await evals.list("score", EvalFilter(parent_id="p"), offset=5)
    assert ([one.id for one in rest.records], rest.total) == (["1", "0"], 7)
    assert await ids(evals, "score", parent_id="p", run_id="1") == ["5", "3", "1"]
    assert await ids(evals, "score", trace_id="x") == []


async def test_items_are_there_at_some_versions(evals: EvalStore) -> None:
    def item(name: str, begins: int, ends: int | None = None) -> EvalRecord:
        return EvalRecord(
            "dataset_item", name, parent_id="d", version=begins, valid_to=ends, subject=name
        )

    await evals.save([item("a", 1, 3), item("b", 2), item("c", 3)])
    found = {at: await ids(evals, "dataset_item", parent_id="d", at_version=at) for at in range(5)}
    assert found == {0: [], 1: ["a"], 2: ["b", "a"], 3: ["c", "b"], 4: ["c", "b"]}


async def test_a_guard_lets_one_of_two_through(evals: EvalStore) -> None:
    await evals.save([EvalRecord("dataset", "d", version=1, updated_at=7)])

    async def change(name: str) -> bool:
        changed = EvalRecord("dataset", "d", {"by": name}, version=2)
        guard = EvalGuard("dataset", "d", 7)
        return await evals.save([changed, score(name)], guard=guard)

    results = await asyncio.gather(*(change(str(at)) for at in range(5)))
    assert sum(results) == 1
    winner = str(results.index(True))
    assert await ids(evals, "score") == [winner]
    stored = await evals.get("dataset", "d")
    assert stored is not None
    assert (stored.version, stored.data) == (2, {"by": winner})
    assert not await evals.save([score("x")], guard=EvalGuard("dataset", "none", 0))


async def test_records_of_a_time_are_found(evals: EvalStore) -> None:
    await evals.save([score(str(at), parent_id="p", created_at=at) for at in (10, 20, 30, 40)])
    assert await ids(evals, "score", from_ms=20) == ["40", "30", "20"]
    assert await ids(evals, "score", before_ms=20) == ["10"]
    assert await ids(evals, "score", parent_id="p", from_ms=20, before_ms=40) == ["30", "20"]
    assert await ids(evals, "score", parent_id="q", from_ms=0) == []
    page = await evals.list("score", EvalFilter(from_ms=15), limit=1)
    assert (page.total, [one.id for one in page.records]) == (3, ["40"])


async def test_statuses_are_counted(evals: EvalStore) -> None:
    def result(name: str, parent: str, data: dict[str, Any]) -> EvalRecord:
        return EvalRecord("experiment_result", name, data, parent_id=parent, resource_id=parent)

    await evals.save(
        [
            result("1", "a", {"status": "reviewed", "output": {"status": "complete"}}),
            result("2", "a", {"status": "reviewed"}),
            result("3", "a", {"output": "status"}),
            result("4", "b", {"status": None}),
            result("5", "b", {"status": "größe"}),
        ]
    )
    assert await evals.count_statuses("experiment_result") == {
        ("a", "reviewed"): 2,
        ("a", None): 1,
        ("b", None): 1,
        ("b", "größe"): 1,
    }
    of_a = await evals.count_statuses("experiment_result", EvalFilter(resource_id="a"))
    assert of_a == {("a", "reviewed"): 2, ("a", None): 1}
    assert await evals.count_statuses("score") == {}


def where_it_says(value: str, *paths: str) -> EvalFilter:
    """Return a filter by a text in the data; a path is names with dots between them."""
    return EvalFilter(
        fields=(FieldCondition(tuple(tuple(path.split(".")) for path in paths), (value,)),)
    )


async def test_records_are_found_by_what_stands_in_their_data(evals: EvalStore) -> None:
    said: dict[str, dict[str, Any]] = {
        "a": {"entity": {"name": "Größe", "id": "x"}, "entityId": "x"},
        "b": {"entity": {"name": ""}, "entityId": "Größe"},
        "c": {"entityId": "y", "entity": ["Größe"]},
        "d": {"entityId": 7, "entity": "Größe\0"},
        "e": {"entityId": None, "text": "nul \0"},
    }
    await evals.save([EvalRecord("score", name, data) for name, data in said.items()])

    async def found(where: EvalFilter) -> list[str]:
        page = await evals.list("score", where, is_ascending=True)
        assert page.total == len(page.records)
        return [one.id for one in page.records]

    assert await found(where_it_says("Größe", "entity.name", "entityId")) == ["a", "b"]
    assert await found(where_it_says("Größe", "entity.name")) == ["a"]
    assert await found(where_it_says("y", "entityId")) == ["c"]
    assert await found(where_it_says("7", "entityId")) == []
    assert await found(where_it_says("", "entity.name")) == []
    either = FieldCondition((("entityId",),), ("x", "y", "z"))
    assert await found(EvalFilter(fields=(either,))) == ["a", "c"]
    both = FieldCondition((("entity", "id"),), ("x",))
    assert await found(EvalFilter(fields=(either, both))) == ["a"]
    assert await found(EvalFilter(fields=(FieldCondition((("entityId",),), ()),))) == []


async def test_all_records_are_gone_through_in_pages(evals: EvalStore) -> None:
    await evals.save([score(str(at), parent_id="p") for at in range(2 * PAGE)])
    await evals.save([score("other"), score("last", parent_id="p")])
    where = EvalFilter(parent_id="p")
    pages = [[one.id for one in page] async for page in evals.pages("score", where)]
    assert [len(page) for page in pages] == [PAGE, PAGE, 1]
    assert [name for page in pages for name in page] == [*map(str, range(2 * PAGE)), "last"]
    assert [page async for page in evals.pages("feedback")] == []


@pytest.mark.parametrize("count", [1, 2, 5, 100])
async def test_percentiles_of_a_number_over_time(evals: EvalStore, count: int) -> None:
    shares = [0.0, 0.1, 0.5, 0.95, 1.0]
    numbers = {begin: [random.random() for _ in range(count)] for begin in (0, 1_000)}
    await evals.save(
        [
            EvalRecord("score", f"{begin}/{at}", {"score": number}, created_at=begin + at + 1)
            for begin, all_of_it in numbers.items()
            for at, number in enumerate(all_of_it)
        ]
    )
    for at, odd in enumerate(({"score": "0.5"}, {"score": True}, {"score": None}, {})):
        await evals.save([EvalRecord("score", f"odd{at}", odd, created_at=2_001)])
    found = await evals.percentiles("score", ("score",), shares=shares, interval_ms=1_000)
    assert [begin for begin, _ in found] == [0, 1_000]
    for begin, values in found:
        # What the standard library has needs two values, and takes every share alike.
        cuts = quantiles(numbers[begin] * 1, n=20, method="inclusive") if count > 1 else []
        least, most = min(numbers[begin]), max(numbers[begin])
        assert values[0] == least
        assert values[-1] == most
        expected = [cuts[1], cuts[9], cuts[18]] if cuts else [least] * 3
        assert values[1:-1] == pytest.approx(expected)
    of_none = EvalFilter(from_ms=5_000)
    assert (
        await evals.percentiles("score", ("score",), of_none, shares=shares, interval_ms=1_000)
        == []
    )


async def test_records_are_deleted(evals: EvalStore) -> None:
    old = [score(f"old{at}", parent_id="p", created_at=10) for at in range(3)]
    await evals.save([*old, *(score(str(at), parent_id="q", subject="s") for at in range(600))])
    assert await evals.delete("score", ids=["0", "1", "none"]) == 2
    assert await evals.delete("score", ids=[]) == 0
    assert await evals.delete("score", before_ms=11) == 3
    assert await evals.delete("feedback", parent_id="q") == 0
    assert await evals.delete("score", ids=[str(at) for at in range(2, 598)]) == 596
    assert await evals.delete("score", parent_id="q", subject="s") == 2
    assert await ids(evals, "score") == []


async def test_what_one_store_does_not_take_none_takes(evals: EvalStore) -> None:
    for record in (score("a\0"), score("b", run_id="\ud800"), score("c", version=2**63)):
        with pytest.raises(SerializationError, match="cannot be stored"):
            await evals.save([score("ok"), record])
    with pytest.raises(SerializationError, match="Score 'd'"):
        await evals.save([EvalRecord("score", "d", {"value": object()})])  # type: ignore[dict-item]
    assert await ids(evals, "score") == []


async def test_a_record_stays_whose_it_is(evals: EvalStore) -> None:
    await evals.save([score("hers", resource_id="alice"), score("nobodys")])
    for name, owner in (("hers", "bob"), ("hers", None), ("nobodys", "bob")):
        with pytest.raises(IdTakenError, match=name):
            await evals.save([score("new", resource_id=owner), score(name, resource_id=owner)])
        assert await evals.get("score", "new") is None
    assert (await ids(evals, "score", resource_id="alice")) == ["hers"]
    assert await evals.save([score("hers", resource_id="alice", parent_id="s"), score("nobodys")])
    at = await evals.get("score", "hers")
    assert at is not None
    guard = EvalGuard("score", "hers", at.updated_at)
    with pytest.raises(IdTakenError):
        await evals.save([score("nobodys", resource_id="bob")], guard=guard)
