"""Mastra's own client, from npm, drives the server: a development dependency, fetched when asked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from mastra import Agent, Mastra, tool
from mastra.memory import Memory
from mastra.testing import ScriptedModel, ToolCall
from tests.server.live import running
from tests.server.wire_app import build
from tests.support.npm import install, node_of

FOLDER = Path(__file__).parent / "js"
NODE = node_of(FOLDER)

pytestmark = [pytest.mark.anyio, pytest.mark.npm, pytest.mark.timeout(240)]

REMEMBERED: dict[str, Any] = {
    "thread": ["thread-1", "ada", "A trip", {"colour": "red"}],
    "threads": [1, ["thread-1"]],
    "thread-get": "A trip",
    "thread-update": "A walk",
    "messages": ["user", "assistant"],
    "saved": ["message-1"],
    "messages-by-id": 3,
    "messages-paged": 1,
    "messages-asked-for": ["assistant"],
    "threads-asked-for": [1, 0],
    "messages-delete": [True, 2],
    "search": True,
    "thread-clone": ["Another walk", "thread-1", "to try", [["assistant", True]]],
    "clone-messages": ["assistant"],
    "memory-status": True,
    "memory-config": "number",
    "threads-left": 0,
    "thread-gone": 404,
}
WATCHED: dict[str, Any] = {
    "approval": "tool-call-approval",
    "suspended-runs": [True],
    "suspended-later": 0,
    "approved": "tok0 tok1 tok2 ",
    "traces": 5,
    "trace": True,
    "failed": "failed",
    "logs": ["error"],
}


async def driven(mastra: Mastra, script: str) -> list[str]:
    """Return what a script prints that drives an application's server."""
    await install(FOLDER)
    async with running(mastra) as (url, _):
        process = await asyncio.create_subprocess_exec(
            NODE,
            FOLDER / script,
            url,
            cwd=FOLDER,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()[-3000:]
    return output.decode().splitlines()


async def test_the_official_client_observes_a_run() -> None:
    model = ScriptedModel(["I look. ", ToolCall("look", {"city": "Rome"})], "To Rome.")
    agent = Agent(id="walker", model=model, tools={"look": look}, durable=True)
    (line,) = await driven(Mastra(agents={"walker": agent}), "observe.mjs")
    said = json.loads(line)
    assert said["told"][-1]["type"] == "finish"
    assert said["all"] == said["told"]
    assert said["rest"] == said["told"][3:]
    assert said["gone"] == 404


@tool
async def look(city: str) -> str:
    """Look at a city."""
    return f"sunny in {city}"


async def test_the_official_client_drives_the_server() -> None:
    said: dict[str, Any] = {}
    for line in await driven(build(memory=Memory()), "drive.mjs"):
        fact = json.loads(line)
        said[fact["name"]] = fact.get("value")
    text = "tok0 tok1 tok2 "
    planned = ["workflow-start", "workflow-step-start", "workflow-step-result"]
    planned += ["workflow-step-start", "workflow-step-result", "workflow-finish"]
    weather = {"temperature": 18, "condition": "fine in Oslo"}
    assert said["agents"] == ["planningAgent", "mailAgent"]
    assert said["details"] == "planningAgent"
    assert said["generate"] == said["text"] == text
    assert said["stream"][0] == "start"
    assert said["stream"][-1] == "finish"
    assert {"tool-call", "tool-result"} <= set(said["tool-stream"])
    assert said["object"] == {"a": "tok"}
    assert said["agent-tool"] == said["tool"] == weather
    assert said["tools"] == ["weatherTool", "send-mail"]
    assert "kitchenWorkflow" in said["workflows"]
    assert said["graph"] == ["step", "conditional"]
    assert said["start-async"] == said["run"] == "success"
    assert said["runs"] == 1
    assert said["events"] == said["observed"] == planned
    assert said["observed-tail"] == ["workflow-finish"]
    assert said["suspended"] == ["suspended", [["approve"]]]
    assert said["resumed"] == ["success", {"value": 8}]
    assert said["resume-stream"] == {"value": 8}
    assert said["cancel"] == {"message": "Workflow run cancelled"}
    assert said["canceled"] == "canceled"
    assert said["unknown"] == 404
    assert {name: said.get(name) for name in REMEMBERED} == REMEMBERED
    assert {name: said.get(name) for name in WATCHED} == WATCHED
