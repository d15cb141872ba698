"""Traces and logs: every store keeps them alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from mastra.errors import ROW_UNREADABLE
from mastra.observability.records import LogRecord, SpanRecord
from mastra.storage import InMemoryStorage, observability
from mastra.storage.observability import LogFilter, ObservabilityStore, SpanFilter
from mastra.storage.sql import SQLStorage
from mastra.storage.sql import observability as sql_observability

pytestmark = pytest.mark.anyio


@pytest.fixture
async def kept(storage: Any) -> AsyncIterator[ObservabilityStore]:
    yield storage.observability
    await storage.aclose()


def span(trace_id: str, span_id: str, started_ms: float, **fields: Any) -> SpanRecord:
    given: dict[str, Any] = {"parent_id": None, "kind": "workflow_run", "name": "run"}
    given |= {"started_ms": started_ms, "ended_ms": started_ms + 1}
    return SpanRecord(trace_id, span_id, **(given | fields))


def log(name: str, time_ms: float, **fields: Any) -> LogRecord:
    return LogRecord(name, time_ms, fields.pop("level", "info"), "mastra", "said", **fields)


async def roots(kept: ObservabilityStore, where: SpanFilter | None = None, **asked: Any) -> Any:
    page = await kept.list_traces(where or SpanFilter(), **{"limit": 100, **asked})
    return [(one.trace_id, one.span_id) for one in page.roots]


async def test_what_is_stored_is_read_back(kept: ObservabilityStore) -> None:
    whole = SpanRecord(
        trace_id="t",
        span_id="s",
        parent_id="p",
        kind="model_generation",
        name="llm: 'm'",
        started_ms=1.25,
        ended_ms=2.5,
        entity_id="guide",
        entity_name="m",
        run_id="r",
        thread_id="th",
        resource_id="ada",
        is_failed=True,
        model="m",
        provider="openai",
        input_tokens=3,
        output_tokens=2**40,
        input_cost_usd=1.5e-6,
        output_cost_usd=0.0,
        attributes={"ü": [1, None]},
        input={"messages": []},
        output="text",
        error={"message": "no"},
    )
    said = LogRecord(
        id="l",
        time_ms=1.5,
        level="warn",
        logger="mastra",
        message="ü",
        run_id="r",
        thread_id="th",
        resource_id="ada",
        trace_id="t",
        span_id="s",
        kind="model_generation",
        entity_id="guide",
        entity_name="m",
        data={"attempt": 1},
        process={"pid": 1, "hostname": "h"},
    )
    await kept.save([whole], [said])
    await kept.save([], [])
    assert await kept.get_spans(["t", "none"]) == [whole]
    assert (await kept.list_traces(limit=9)).roots == [whole]
    assert (await kept.list_logs(limit=9)).records == [said]
    figures = replace(whole, attributes={}, input=None, output=None, error=None)
    assert [page async for page in kept.figures(SpanFilter(kinds=("model_generation",)))] == [
        [figures]
    ]


@pytest.mark.parametrize("at_once", [1, 3, 7, 100])
async def test_figures_come_some_at_a_time_each_once_in_the_order_of_their_ends(
    kept: ObservabilityStore, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    for module in (observability, sql_observability):
        monkeypatch.setattr(module, "FIGURES_AT_ONCE", at_once)
    made = [
        span(f"t{number % 4}", f"s{number:02}", 1, ended_ms=10.5 + number // 5, kind="tool_call")
        for number in range(21)  # five end at once
    ]
    await kept.save([*made, span("o", "other", 1, ended_ms=11, kind="agent_run")], [])
    wanted = sorted(made, key=lambda one: (one.ended_ms, one.trace_id, one.span_id))
    where = SpanFilter(kinds=("tool_call",), ended_from=11.0, ended_before=14.0)
    for asked, found in (
        (SpanFilter(kinds=("tool_call",)), wanted),
        (where, [one for one in wanted if 11 <= one.ended_ms < 14]),
        (SpanFilter(kinds=()), []),
    ):
        pages = [page async for page in kept.figures(asked)]
        assert [one.span_id for page in pages for one in page] == [one.span_id for one in found]
        assert all(0 < len(page) <= at_once for page in pages)


async def test_a_trace_is_known_by_the_span_that_began_first(kept: ObservabilityStore) -> None:
    await kept.save([span("t", "step", 11, parent_id="run", kind="workflow_step")], [])
    assert await roots(kept) == [("t", "step")]
    await kept.save([span("t", "run", 10, ended_ms=20), span("u", "other", 5)], [])
    await kept.save([span("t", "resumed", 30, parent_id="run")], [])
    assert await roots(kept) == [("t", "run"), ("u", "other")]
    assert await roots(kept, is_ascending=True) == [("u", "other"), ("t", "run")]
    assert [one.span_id for one in await kept.get_spans(["t"])] == ["run", "step", "resumed"]


async def test_traces_are_found_by_their_first_span(kept: ObservabilityStore) -> None:
    await kept.save(
        [
            span("a", "1", 10, resource_id="ada", run_id="r", entity_name="Flow"),
            span("a", "2", 11, parent_id="1", kind="tool_call", entity_name="weather"),
            span("b", "3", 20, kind="agent_run", is_failed=True, ended_ms=90),
            span("c", "4", 30, resource_id="bob", ended_ms=31),
        ],
        [],
    )
    found = {
        SpanFilter(resource_id="ada"): "a",
        SpanFilter(entity_name="weather"): "",
        SpanFilter(run_id="r", span_id="1"): "a",
        SpanFilter(kinds=("agent_run", "tool_call")): "b",
        SpanFilter(kinds=()): "",
        SpanFilter(is_failed=True): "b",
        SpanFilter(is_failed=False): "ca",
        SpanFilter(started_from=20): "cb",
        SpanFilter(started_before=20): "a",
        SpanFilter(ended_from=31, ended_before=32): "c",
    }
    for where, names in found.items():
        assert [trace for trace, _ in await roots(kept, where)] == list(names), where
    assert await roots(kept, order_by="ended_ms", offset=1, limit=1) == [("c", "4")]
    assert (await kept.list_traces(limit=1)).total == 3


async def test_values_are_counted(kept: ObservabilityStore) -> None:
    await kept.save(
        [
            span("a", "1", 10, resource_id="ada", entity_name="Flow_1"),
            span("a", "2", 11, parent_id="1", kind="tool_call", entity_name="weather"),
            span("b", "3", 20, entity_name="Flow_1", is_failed=True),
            span("b", "4", 21, parent_id="3", entity_name="FlowX1", model="m"),
        ],
        [],
    )
    assert await kept.count_values("entity_name", limit=9) == [
        ("Flow_1", 2),
        ("FlowX1", 1),
        ("weather", 1),
    ]
    assert await kept.count_values("entity_name", limit=1) == [("Flow_1", 2)]
    assert await kept.count_values("entity_name", search="w_1", limit=9) == [("Flow_1", 2)]
    assert await kept.count_values("entity_name", of_roots=True, limit=9) == [("Flow_1", 2)]
    owned = await kept.count_values("entity_name", resource_id="ada", limit=9)
    assert owned == [("Flow_1", 1), ("weather", 1)]
    of_tools = await kept.count_values("entity_name", kinds=["tool_call"], limit=9)
    assert of_tools == [("weather", 1)]
    assert await kept.count_values("model", limit=9) == [("m", 1)]
    assert await kept.count_values("is_failed", limit=9) == [(False, 3), (True, 1)]
    assert await kept.count_values("model", kinds=[], limit=9) == []


async def test_logs_are_found(kept: ObservabilityStore) -> None:
    await kept.save(
        [],
        [
            log("a", 10, run_id="r", resource_id="ada"),
            log("b", 20, level="error", kind="tool_call", entity_name="weather"),
            log("c", 30, level="warn", trace_id="t", span_id="s"),
        ],
    )
    found = {
        LogFilter(): "cba",
        LogFilter(levels=("error", "warn")): "cb",
        LogFilter(levels=()): "",
        LogFilter(kinds=("tool_call",)): "b",
        LogFilter(run_id="r", resource_id="ada"): "a",
        LogFilter(trace_id="t", span_id="s"): "c",
        LogFilter(entity_name="weather"): "b",
        LogFilter(from_ms=20, before_ms=30): "b",
    }
    for where, names in found.items():
        page = await kept.list_logs(where, limit=9)
        assert ("".join(one.id for one in page.records), page.total) == (names, len(names)), where
    page = await kept.list_logs(offset=1, limit=1, is_ascending=True)
    assert ([one.id for one in page.records], page.total) == (["b"], 3)


async def test_old_traces_go_whole_and_old_logs_go(kept: ObservabilityStore) -> None:
    await kept.save(
        [
            span("old", "1", 10),
            span("old", "2", 11, parent_id="1"),
            span("resumed", "3", 10),
            span("resumed", "4", 100, parent_id="3"),
        ],
        [log("a", 10), log("b", 100)],
    )
    assert await kept.delete_before(100) == 2
    assert await roots(kept) == [("resumed", "3")]
    assert await kept.get_spans(["old"]) == []
    assert len(await kept.get_spans(["resumed"])) == 2
    assert [one.id for one in (await kept.list_logs(limit=9)).records] == ["b"]
    assert await kept.delete_before(100) == 0


async def test_many_old_ones_go_in_several_transactions(kept: ObservabilityStore) -> None:
    names = [str(number) for number in range(501)]
    await kept.save(
        [span(f"t{name}", "s", 10) for name in names], [log(name, 10) for name in names]
    )
    assert await kept.delete_before(100) >= 1001  # a store in memory has forgotten one already
    assert (await kept.list_traces(limit=1)).total == 0
    assert (await kept.list_logs(limit=1)).total == 0


async def test_in_memory_a_long_trace_keeps_its_beginning_and_its_root(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mastra.storage.observability.MAX_SPANS_KEPT", 3)
    kept = InMemoryStorage().observability
    for name in "abcde":
        await kept.save([span("t", name, 1, parent_id="root")], [])
    await kept.save([span("t", "root", 0)], [])
    assert sorted(one.span_id for one in await kept.get_spans(["t"])) == ["a", "b", "c", "root"]


async def test_what_is_there_stays_where_it_is_stored_again(kept: ObservabilityStore) -> None:
    for name in ("first", "second"):
        await kept.save([span("t", "s", 10, name=name)], [])
    (found, *_) = await kept.get_spans(["t"])
    assert found.name == "first"


async def test_what_cannot_be_json_does_not_cost_the_span(kept: ObservabilityStore) -> None:
    await kept.save([span("t", "s", 10, input=object())], [log("l", 10, data={"x": object()})])
    (found,) = await kept.get_spans(["t"])
    assert "object" in str(found.error)
    (said,) = (await kept.list_logs(limit=9)).records
    assert "object" in str(said.data["error"])


async def test_a_damaged_row_is_one_entry_of_the_list(tmp_path: Any) -> None:
    import sqlite3

    async with SQLStorage(f"sqlite:///{tmp_path}/runs.db") as storage:
        kept = storage.observability
        await kept.save([span("t", "a", 10), span("t", "b", 11)], [log("l", 10)])
        connection = sqlite3.connect(tmp_path / "runs.db", isolation_level=None)
        connection.execute("UPDATE mastra_spans SET content = '{' WHERE span_id = 'a'")
        connection.execute("UPDATE mastra_logs SET content = '{'")
        connection.close()
        damaged, whole = await kept.get_spans(["t"])
        assert damaged.error is not None
        assert (damaged.error["code"], whole.error) == (ROW_UNREADABLE, None)
        (said,) = (await kept.list_logs(limit=9)).records
        assert said.data["code"] == ROW_UNREADABLE
