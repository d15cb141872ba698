"""Mastra's own client keeps schedules at a real server, which starts them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mastra import Agent, Mastra
from mastra.testing import FunctionModel
from tests.schedules.cases import flow
from tests.server.test_client_js import driven

pytestmark = [pytest.mark.anyio, pytest.mark.npm, pytest.mark.timeout(240)]

SAID: dict[str, Any] = {
    "declared": [["wf_flow", "flow", "0 0 1 1 *", "active", {"n": 1}]],
    "made": ["schedule_nightly", "Europe/Berlin", "active", "ada", {"a": 1}, True],
    "got": {"n": 7},
    "updated": "0 4 * * *",
    "paused": "paused",
    "paused-listed": ["schedule_nightly"],
    "resumed": "active",
    "run": ["schedule_nightly", "string", "number"],
    "fired": [[True, "published", "manual", "success"]],
    "result": [{"n": 7}, "ada"],
    "none-later": [],
    "ticked": [True, True, "number"],
    "asked": ["agent_morning", "echo", "News?", "News"],
    "answered": [["succeeded", "manual"]],
    "by-agent": ["agent_morning"],
    "by-name": ["agent_morning"],
    "refused": [400, 409, 404, 400, 400, 400, 400, 400, 400, 404],
    "deleted": "Schedule deleted",
    "gone": [404, 404],
}


async def test_the_official_client_keeps_schedules() -> None:
    workflow = flow([], schedule={"cron": "0 0 1 1 *", "input_data": {"n": 1}})
    agent = Agent(id="echo", model=FunctionModel(lambda request: request.messages[-1].text))
    lines = await driven(Mastra(agents=[agent], workflows=[workflow]), "schedules.mjs")
    said = {fact["name"]: fact.get("value") for fact in map(json.loads, lines)}
    assert said == SAID
