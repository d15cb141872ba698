"""Mastra's own client keeps datasets, runs experiments and reads scores of a real server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from mastra import Agent, Mastra, create_workflow
from mastra.evals import create_scorer
from mastra.observability import Observability
from mastra.server import ServerConfig, openai_route
from mastra.testing import FunctionModel
from tests.server.live import running
from tests.server.test_client_js import FOLDER, NODE
from tests.support.npm import install

pytestmark = [pytest.mark.anyio, pytest.mark.npm, pytest.mark.timeout(240)]

SAID: dict[str, Any] = {
    "scorers": [["length", ["echo"], [], True], ["flow-scorer", [], ["flow"], False]],
    "scorer": {"id": "length", "name": "Length", "description": "How long it is.", "type": "agent"},
    "no-scorer": None,
    "by-run": [["length", 5, "echo", True]],
    "by-scorer": {"total": 1, "page": 0, "perPage": 5, "hasMore": False},
    "by-entity": 1,
    "saved": [0.5, "run-x", "TEST"],
    "dataset": ["Words", 0, {"a": 1}],
    "item": ["first", "one", "ONE", 1],
    "batch": 2,
    "changed": "1",
    "history": [[3, None], [1, 3]],
    "at-version": "ONE",
    "got": "1",
    "items": {"total": 3, "page": 0, "perPage": 2, "hasMore": True},
    "found": ["three"],
    "versions": [3, 2, 1],
    "updated": "Words!",
    "datasets": ["Words!"],
    "read": ["bad"],
    "begun": [3, "string"],
    "ended": [3, 0, "echo", "First", ["length"]],
    "results": [["one", "ONE", None], ["three", "THREE", None], ["two", "TWO", None]],
    "scored": [3, 3, 5],
    "reviewed": ["reviewed", ["bad"], "hm"],
    "review-summary": [[3, 1]],
    "external": "external-1",
    "final": ["completed", 1, 2],
    "rerun": [1, "ONE", [["length", 3]]],
    "compared": [{"output": "mine", "scores": {"length": 1}}],
    "experiments": ["Elsewhere", "First"],
    "of-dataset": 2,
    "renamed": "Away",
    "feedback": [["f1", 4, "good", "needs-review"]],
    "looked": "reviewed",
    "feedback-together": [4, [4], [["rating", 1]], [4]],
    "feedback-left": 0,
    "signals": [["sig", 1]],
    "scores-together": [1, [1], [["signal", 1]], [1]],
    "traced": ["success", 1],
    "by-span": ["length", "length"],  # one from when the agent ran
    "written": [{"input": "five", "groundTruth": 5}],
    "failures": [["first"]],
    "deleted": 2,
    "none": 0,
    "orphan": [["First", None]],
    "gone": 0,
    "404": 404,
}


def write(request: Any) -> str:
    """Answer as the model that writes items and looks at failures."""
    if "Failures: " in request.messages[-1].text:
        cluster = {"label": "x", "description": "y", "item_ids": ["first"]}
        return json.dumps({"clusters": [cluster], "proposed_tags": []})
    return json.dumps({"items": [{"input": "five", "ground_truth": "5"}]})


def application() -> Mastra:
    length = create_scorer(
        id="length", name="Length", description="How long it is.", type="agent"
    ).generate_score(lambda ctx: len(ctx.run.output[-1]["content"]["content"]))
    of_flow = create_scorer(id="flow-scorer", description="").generate_score(lambda ctx: 1)
    flow = create_workflow(
        id="flow", input_schema=dict[str, Any], output_schema=dict[str, Any], scorers={"x": of_flow}
    )
    flow.map(lambda ctx: ctx.input_data).commit()
    agent = Agent(
        id="echo",
        model=FunctionModel(lambda request: request.messages[-1].text.upper()),
        scorers={"length": {"scorer": length}},
    )
    return Mastra(
        agents=[agent, Agent(id="writer", model=FunctionModel(write))],
        workflows=[flow],
        scorers=[length],
        observability=Observability(capture_content=True),
    )


async def test_the_official_client_evaluates(monkeypatch: pytest.MonkeyPatch) -> None:
    await install(FOLDER)
    config = ServerConfig(api_routes=openai_route(), allowed_models=["openai/writer"])
    async with running(application(), config) as (url, _):
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        process = await asyncio.create_subprocess_exec(
            NODE,
            FOLDER / "evals.mjs",
            url,
            cwd=FOLDER,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
    said: dict[str, Any] = {}
    for line in output.decode().splitlines():
        fact = json.loads(line)
        said[fact["name"]] = fact.get("value")
    assert process.returncode == 0, (list(said)[-1:], errors.decode()[-3000:])
    assert said == SAID
