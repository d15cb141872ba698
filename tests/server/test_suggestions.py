"""What a model suggests for a dataset, and scores of traces that are there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra, tool
from mastra.evals import create_scorer
from mastra.observability import Observability
from mastra.server import ServerConfig, openai_route
from mastra.testing import FunctionModel, ToolCall
from tests.server.live import running

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

CITY = {"type": "object", "properties": {"city": {"type": "string"}}}


def write(request: Any) -> str:
    """Answer as a model does that writes items, or looks at failures."""
    asked = request.messages[-1].text
    if "Failures: " in asked:
        groups = {
            "clusters": [{"label": "no-tool", "description": "No tool.", "item_ids": ["a", "zz"]}],
            "proposed_tags": [
                {"item_id": "a", "tags": ["old", "no-tool"], "reason": asked},
                {"item_id": "zz", "tags": ["x"], "reason": "It is not there."},
            ],
        }
        return json.dumps(groups)
    items = [
        {"input": json.dumps({"city": "Rome"}), "ground_truth": "Rome is hot."},
        {"input": asked, "ground_truth": None},
        {"input": "one too many", "ground_truth": None},
    ]
    return json.dumps({"items": items})


@tool
async def look_up(word: str) -> str:
    """Look a word up."""
    return word.upper()


def speak(request: Any) -> Any:
    if request.messages[-1].role == "tool":
        return "It is A."
    return ToolCall("look_up", {"word": "a"})


def application(*, captures: bool = True) -> Mastra:
    scorers = [
        create_scorer(id="calls", description="", type="agent").generate_score(
            lambda ctx: len(ctx.run.output[0]["content"]["toolInvocations"])
        ),
        create_scorer(id="length", description="").generate_score(
            lambda ctx: len(json.dumps(ctx.run.output))
        ),
    ]
    return Mastra(
        agents=[
            Agent(id="writer", model=FunctionModel(write)),
            Agent(id="speaker", model=FunctionModel(speak), tools=[look_up]),
        ],
        scorers=scorers,
        observability=Observability(capture_content=captures),
    )


@pytest.fixture
async def http(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    config = ServerConfig(api_routes=openai_route(), allowed_models=["openai/writer"])
    async with running(application(), config) as (url, _):
        # The model is an agent of the same server, spoken to as OpenAI's.
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        async with httpx.AsyncClient(base_url=f"{url}/api", timeout=30) as client:
            yield client


async def test_a_model_writes_items(http: httpx.AsyncClient) -> None:
    made = await http.post("/datasets", json={"name": "Cities", "inputSchema": CITY})
    path = f"/datasets/{made.json()['id']}"
    asks = {
        "modelId": "openai/writer",
        "prompt": "strange cities",
        "count": 2,
        "agentContext": {"instructions": "You know cities.", "tools": ["map"]},
    }
    found = await http.post(f"{path}/generate-items", json=asks)
    first, second = found.json()["items"]
    assert first == {"input": {"city": "Rome"}, "groundTruth": "Rome is hot."}
    for told in ("Cities", '"city"', "strange cities", "You know cities.", '["map"]'):
        assert told in second["input"]
    assert (await http.get(f"{path}/items")).json()["items"] == []
    refused = await http.post(f"{path}/generate-items", json={**asks, "modelId": "openai/other"})
    assert refused.status_code == 400
    assert "modelId is not among the models" in refused.json()["error"]


async def test_a_model_says_why_items_failed(http: httpx.AsyncClient) -> None:
    item = {"id": "a", "input": "q", "error": "broke", "scores": {"s": 0}, "existingTags": ["old"]}
    asks = {"modelId": "openai/writer", "items": [item], "availableTags": ["known"]}
    found = (await http.post("/datasets/cluster-failures", json=asks)).json()
    assert [(one["label"], one["itemIds"]) for one in found["clusters"]] == [("no-tool", ["a"])]
    (proposed,) = found["proposedTags"]
    assert (proposed["itemId"], proposed["tags"]) == ("a", ["no-tool"])
    for told in ("broke", "known", '"s": 0'):
        assert told in proposed["reason"]


async def test_items_that_do_not_fit_are_refused(http: httpx.AsyncClient) -> None:
    made = await http.post("/datasets", json={"name": "Cities", "inputSchema": CITY})
    path = f"/datasets/{made.json()['id']}"
    refused = await http.post(f"{path}/items", json={"input": {"city": 1}, "externalId": "x"})
    assert refused.status_code == 400
    assert "item 'x', input.city: 1 is not of type 'string'" in refused.json()["error"]
    added = await http.post(f"{path}/items", json={"input": {"city": "Rome"}})
    assert added.is_success
    refused = await http.patch(path, json={"inputSchema": {"type": "number"}})
    assert refused.status_code == 400
    assert (await http.patch(path, json={"inputSchema": None})).is_success
    assert (await http.post(f"{path}/items", json={"input": 3})).is_success


@pytest.mark.parametrize("captures", [True, False])
async def test_traces_that_are_there_are_scored(captures: bool) -> None:
    mastra = application(captures=captures)
    async with running(mastra) as (url, _), httpx.AsyncClient(base_url=f"{url}/api") as http:
        await mastra.get_agent("speaker").generate("What is a?")
        (root,) = (await http.get("/observability/traces")).json()["spans"]
        trace = root["traceId"]
        spans = (await http.get(f"/observability/traces/{trace}")).json()["spans"]
        (called,) = [one["spanId"] for one in spans if one["spanType"] == "tool_call"]
        for scorer, target in [
            ("calls", {"traceId": trace}),
            ("calls", {"traceId": trace, "spanId": called}),
            ("length", {"traceId": trace, "spanId": called}),
        ]:
            asks = {"scorerName": scorer, "targets": [target]}
            begun = await http.post("/observability/traces/score", json=asks)
            assert begun.json() == {
                "status": "success",
                "message": "Scoring started for 1 trace",
                "traceCount": 1,
            }
        await mastra.live_scores.drain()
        scores = (await mastra.storage.evals.list("score")).records
        found = [(one.parent_id, one.subject, one.data["score"], one.trace_id) for one in scores]
        # A trace without content has nothing to be scored, and the log says so.
        assert sorted(map(str, found)) == sorted(
            map(
                str,
                [
                    ("calls", "AGENT/speaker", 1, trace),
                    ("calls", "AGENT/speaker", 1, trace),
                    ("length", "TOOL/look_up", 3, trace),
                ]
                if captures
                else [],
            )
        )
        for asks in (
            {"scorerName": "none", "targets": [{"traceId": trace}]},
            {"scorerName": "calls", "targets": [{"traceId": "none"}]},
            {"scorerName": "calls", "targets": [{"traceId": trace, "spanId": "none"}]},
        ):
            refused = await http.post("/observability/traces/score", json=asks)
            assert refused.status_code == 404
