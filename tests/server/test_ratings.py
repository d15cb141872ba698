"""Scores and feedback put together from many, each caller's own."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mastra import InMemoryStorage, Mastra, ServerConfig, SQLStorage
from mastra.clock import iso_from_ms, now_ms
from mastra.server import BearerAuth, create_app
from mastra.storage.evals import EvalRecord

pytestmark = pytest.mark.anyio
EVERY = pytest.mark.every_engine

ALICE = {"authorization": "Bearer alice-token"}
BOB = {"authorization": "Bearer bob-token"}
SCORES = "/api/observability/scores"
FEEDBACK = "/api/observability/feedback"


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=EVERY)])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    match request.param:
        case "memory":
            found: Any = InMemoryStorage()
        case "sqlite":
            found = SQLStorage(f"sqlite:///{tmp_path}/evals.db")
        case _:
            found = SQLStorage(request.getfixturevalue("postgres_url"))
    yield found
    await found.aclose()


@pytest.fixture
async def http(storage: Any) -> AsyncIterator[httpx.AsyncClient]:
    auth = BearerAuth({"alice-token": "alice", "bob-token": "bob"})
    app = create_app(Mastra(storage=storage), ServerConfig(auth=auth))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for headers, values in ((ALICE, (0.0, 0.25, 1.0)), (BOB, (0.5,))):
            for at, value in enumerate(values):
                entity = {"entityType": "agent", "entityId": f"agent-{at % 2}"}
                score = {"scorerId": "s", "score": value, **entity}
                made = await client.post(SCORES, headers=headers, json={"score": score})
                assert made.status_code == 200, made.text
                said = {"feedbackType": "rating", "feedbackSource": "user", "value": value}
                made = await client.post(FEEDBACK, headers=headers, json={"feedback": said})
                assert made.status_code == 200, made.text
        # What is no number is not counted.
        said = {"feedbackType": "rating", "value": "good"}
        await client.post(FEEDBACK, headers=ALICE, json={"feedback": said})
        yield client


async def asked(http: httpx.AsyncClient, path: str, body: Any, headers: Any = ALICE) -> Any:
    found = await http.post(path, headers=headers, json=body)
    assert found.status_code == 200, found.text
    return found.json()


@pytest.mark.parametrize(
    ("base", "which"),
    [(SCORES, {"scorerId": "s"}), (FEEDBACK, {"feedbackType": "rating"})],
    ids=["scores", "feedback"],
)
async def test_each_caller_counts_their_own(
    http: httpx.AsyncClient, base: str, which: dict[str, str]
) -> None:
    now = now_ms()
    period = {"start": iso_from_ms(now - 60_000), "end": iso_from_ms(now + 60_000)}
    for how, value in (("avg", 1.25 / 3), ("count", 3), ("max", 1), ("last", 1), ("sum", 1.25)):
        found = await asked(http, f"{base}/aggregate", {**which, "aggregation": how})
        assert found["value"] == pytest.approx(value)
    found = await asked(http, f"{base}/aggregate", {**which, "aggregation": "count"}, BOB)
    assert found == {"value": 1}
    many = {**which, "aggregation": "avg", "filters": {"timestamp": period}}
    compared = {**many, "comparePeriod": "previous_period"}
    found = await asked(http, f"{base}/aggregate", compared)
    assert (found["previousValue"], found["changePercent"]) == (None, None)
    found = await asked(http, f"{base}/timeseries", {**many, "interval": "1d"})
    assert [series["name"] for series in found["series"]] == [next(iter(which.values()))]
    asks = {**which, "percentiles": [0.0, 0.5, 1.0], "interval": "1d"}
    found = await asked(http, f"{base}/percentiles", asks)
    assert [series["percentile"] for series in found["series"]] == [0, 0.5, 1]
    none = {**which, "aggregation": "avg", "filters": {"runId": "another"}}
    assert await asked(http, f"{base}/aggregate", none) == {"value": None}
    for bad in ({"aggregation": "avg"}, {**which, "aggregation": "mean"}):
        refused = await http.post(f"{base}/aggregate", headers=ALICE, json=bad)
        assert refused.status_code == 400
    assert (await http.post(f"{base}/aggregate", json=many)).status_code == 401


@pytest.mark.parametrize("path", [SCORES, FEEDBACK])
async def test_those_of_a_time_are_listed_in_the_order_asked_for(
    http: httpx.AsyncClient, path: str
) -> None:
    async def listed(status: int = 200, **query: str) -> list[str]:
        found = await http.get(path, headers=ALICE, params=query)
        assert found.status_code == status, found.text
        return [one["timestamp"] for one in found.json().get(path.rpartition("/")[2], ())]

    every = await listed()
    assert await listed(direction="ASC") == every[::-1]
    assert await listed(timestamp=json.dumps({"start": every[-1], "end": every[0]})) == every
    hour = json.dumps({"start": iso_from_ms(now_ms() + 3_600_000)})
    past = json.dumps({"end": iso_from_ms(now_ms() - 3_600_000)})
    assert (await listed(timestamp=hour), await listed(timestamp=past)) == ([], [])
    for wrong in ({"timestamp": "now"}, {"timestamp": '{"start": "x"}'}, {"direction": "up"}):
        await listed(400, **wrong)
    assert await listed(entityName="nobody", scoreSource="live") == []


async def test_scores_by_what_they_are_of(http: httpx.AsyncClient) -> None:
    body = {"scorerId": "s", "aggregation": "avg", "groupBy": ["entityId"]}
    found = await asked(http, f"{SCORES}/breakdown", body)
    assert found["groups"] == [
        {"dimensions": {"entityId": "agent-0"}, "value": 0.5},
        {"dimensions": {"entityId": "agent-1"}, "value": 0.25},
    ]


SAID: list[dict[str, Any]] = [
    {"entityType": "agent", "entityName": "Planner", "runId": "r1", "scoreSource": "experiment"},
    {"entityType": "agent", "entityName": "Mail", "runId": "r1", "scoreSource": "live"},
    {"entityType": "workflow", "entityId": "Planner", "runId": "r2", "traceId": "t"},
]
FILTERS: list[dict[str, Any]] = [
    {},
    {"entityType": "agent"},
    {"entityType": "AGENT"},
    {"entityName": "Planner"},
    {"entityName": ["Planner", "Mail"]},
    {"entityName": []},
    {"scoreSource": "live"},
    {"scoreSource": ["live", "experiment"]},
    {"experimentId": "r1"},
    {"traceIds": ["t", "u"], "runId": "r2"},
    {"scorerName": "shown"},
    {"entityType": "agent", "runId": None},
    {"nothing has it": "x"},
    {"odd'name": "x"},
    {"feedbackUserId": "alice"},
    {"feedbackUserId": ""},
    {"feedbackId": "f1"},
    {"resourceId": "alice"},
]


@pytest.mark.parametrize(("base", "kind"), [(SCORES, "score"), (FEEDBACK, "feedback")])
async def test_percentiles_are_the_same_wherever_they_are_worked_out(
    http: httpx.AsyncClient, base: str, kind: str
) -> None:
    values = [at / 10 for at in range(len(SAID))]
    for at, (facts, value) in enumerate(zip(SAID, values, strict=True)):
        if kind == "score":
            said = {**facts, "scorerId": "p", "scorerName": "shown", "score": value}
        else:
            said = {**facts, "feedbackType": "p", "value": value, "feedbackId": f"f{at}"}
        made = await http.post(base, headers=ALICE, json={kind: said})
        assert made.status_code == 200, made.text
    which = {"scorerId": "p"} if kind == "score" else {"feedbackType": "p"}
    counts = 0
    for filters in FILTERS:
        asks = {**which, "percentiles": [0, 0.3, 1], "interval": "1d"}
        found = await asked(http, f"{base}/percentiles", {**asks, "filters": filters})
        # A number cannot be looked for in what is stored, so these are gone through one by one.
        number = "score" if kind == "score" else "value"
        by_hand = {**asks, "filters": {**filters, number: values}}
        assert found == await asked(http, f"{base}/percentiles", by_hand), filters
        counts += sum(len(series["points"]) for series in found["series"])
        many = {**which, "aggregation": "count", "filters": filters}
        counted = (await asked(http, f"{base}/aggregate", many))["value"]
        assert (counted is None) == (not found["series"][0]["points"])
    assert counts > len(FILTERS)


async def test_few_of_many_large_scores_are_in_memory_at_once(tmp_path: Path) -> None:
    storage = SQLStorage(f"sqlite:///{tmp_path}/evals.db")
    app = create_app(Mastra(storage=storage))
    large = "x" * 10_000
    for start in range(0, 3_000, 500):
        data: Any = {"scorerId": "s", "score": 0.5, "input": large, "source": "LIVE"}
        await storage.evals.save(
            [EvalRecord("score", str(at), data, parent_id="s") for at in range(start, start + 500)]
        )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost"
    ) as client:
        for how, more in {
            "percentiles": {"percentiles": [0.5], "interval": "1h"},
            "aggregate": {"aggregation": "avg"},
            "timeseries": {"aggregation": "avg", "interval": "1h"},
        }.items():
            tracemalloc.start()
            found = await client.post(f"{SCORES}/{how}", json={"scorerId": "s", **more})
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert found.status_code == 200, found.text
            assert most < 3_000 * len(large) / 2, how
    await storage.aclose()
