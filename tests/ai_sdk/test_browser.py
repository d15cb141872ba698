"""The AI SDK's own `useChat`, unmodified, in a headless browser against a real server."""

from __future__ import annotations

import runpy
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fastapi import Response

from mastra.server import ApiRoute
from mastra.testing import ScriptedModel, Turn
from tests.ai_sdk.app import PIECES, Deeds, build
from tests.server.live import running
from tests.support.npm import bundle, drive, install

pytestmark = [pytest.mark.anyio, pytest.mark.npm, pytest.mark.timeout(300)]

FOLDER = Path(__file__).parent / "js"
PAGE = FOLDER / "dist" / "page.js"
EXAMPLE = Path(__file__).parents[2] / "examples" / "web"
HTML = '<!doctype html><div id="root"></div><script type="module" src="/page.js"></script>'
WHOLE = "".join(f"word{place} " for place in range(PIECES))


def chromium_or_skip() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("there is no Chromium")
    return found


async def page() -> Response:
    return Response(HTML, media_type="text/html")


async def script() -> Response:
    return Response(PAGE.read_bytes(), media_type="text/javascript")


ROUTES = [
    ApiRoute(path="/page", method="GET", handler=page),
    ApiRoute(path="/page.js", method="GET", handler=script),
]


def states(parts: list[dict[str, Any]]) -> dict[str, str]:
    return {part["toolCallId"]: part["state"] for part in parts if "toolCallId" in part}


def text(parts: list[dict[str, Any]]) -> str:
    return "".join(part["text"] for part in parts if part["type"] == "text")


async def test_a_page_of_the_ai_sdk_talks_to_agents() -> None:  # noqa: PLR0915 - one page
    chromium = chromium_or_skip()
    await install(FOLDER)
    await bundle(FOLDER, FOLDER)
    deeds = Deeds()
    async with running(build(deeds, api_routes=ROUTES)) as (url, _):
        said = await drive(FOLDER, "browser.mjs", url, chromium)

    assert "page-error" not in said
    grown = said["growing"]
    assert len(grown) > PIECES / 2
    assert all(one[1] <= other[1] for one, other in pairwise(grown))
    # The pieces are said apart from each other, and so they arrive.
    assert grown[-1][0] - grown[0][0] > 300

    [tool_states] = said["tool-states"].values()
    assert tool_states == ["input-streaming", "input-available", "output-available"]
    data = [part for part in said["tool-parts"] if part["type"].startswith("data-")]
    assert data == [{"type": "data-progress", "id": "p", "data": {"done": 2}}]
    assert {"type": "data-hint", "data": "soon", "transient": True} in said["heard"]
    assert said["metadata"]["usage"]["inputTokens"] == 20

    for agent in ("plain", "durable"):
        count, parts, seen = said[f"approved-{agent}"]
        assert count == 2
        assert states(parts) == dict.fromkeys(("call_1", "call_2", "call_3"), "output-available")
        assert "approval-requested" in seen["call_1"]
        assert "approval-responded" in seen["call_3"]
    assert deeds.paid == ["ann", "bob", "ann", "bob", "ann"]
    assert states(said["declined"]) == {"call_1": "output-available", "call_2": "output-denied"}
    assert "too dear" in text(said["declined"])

    assert said["client-tool"][0] == 2
    assert text(said["client-tool"][1]) == "The tools said: Oslo."
    before, after = said["after-stop"]
    assert 0 < before < len(WHOLE)
    assert after == "You said: hello"

    assert said["reloaded"] == [2, True, WHOLE]
    assert said["nothing-to-resume"] == ["ready", 2]
    assert said["stop-route"] == {"stopped": True}
    status, stopped = said["stopped-text"]
    assert status == "ready"
    assert 0 < len(stopped) < len(WHOLE)
    # Neither of the two that were stopped went on.
    assert deeds.pieces < 4 * PIECES

    message, parts = said["failed"]
    assert "the model is out of order" in message
    assert parts[-1] == {"type": "text", "text": "Half an ", "state": "done"}
    assert [one["role"] for one in said["regenerated"]] == ["user", "assistant"]


async def test_the_page_of_the_example_is_used_as_a_person_does() -> None:
    chromium = chromium_or_skip()
    await install(FOLDER)
    await bundle(EXAMPLE, FOLDER)
    build_server = runpy.run_path(str(EXAMPLE / "server.py"))["build"]
    words = "Feed the ducks at noon and then walk along the river to the old harbour."
    model = ScriptedModel(Turn(words, delay=0.25))
    async with running(build_server(model)) as (url, _):
        said = await drive(FOLDER, "example.mjs", url, chromium)
    assert "page-error" not in said
    steps, question = said["asked"]
    assert steps == [["look_outside", "success"], ["agree", "suspended"]]
    assert question.endswith("Plan the day?")
    steps, text, lengths = said["planned"]
    assert steps == [["look_outside", "success"], ["agree", "success"], ["plan", "success"]]
    assert text == words
    assert lengths > 3
    assert "Ducks." in model.requests[0].messages[-1].text
