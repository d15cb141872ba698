"""Scores and feedback put together from many, each caller's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from mastra import InMemoryStorage, Mastra, ServerConfig
from mastra.clock import iso_from_ms, now_ms
from mastra.server import BearerAuth, create_app

pytestmark = pytest.mark.anyio

ALICE = {"authorization": "Bearer alice-token"}
BOB = {"authorization": "Bearer bob-token"}
SCORES = "/api/observability/scores"
FEEDBACK = "/api/observability/feedback"


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    auth = BearerAuth({"alice-token": "alice", "bob-token": "bob"})
    app = create_app(Mastra(storage=InMemoryStorage()), ServerConfig(auth=auth))
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


async def test_scores_by_what_they_are_of(http: httpx.AsyncClient) -> None:
    body = {"scorerId": "s", "aggregation": "avg", "groupBy": ["entityId"]}
    found = await asked(http, f"{SCORES}/breakdown", body)
    assert found["groups"] == [
        {"dimensions": {"entityId": "agent-0"}, "value": 0.5},
        {"dimensions": {"entityId": "agent-1"}, "value": 0.25},
    ]
