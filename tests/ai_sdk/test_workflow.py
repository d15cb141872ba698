"""What a page sees of a workflow's run."""

from __future__ import annotations

import asyncio
import runpy
from pathlib import Path
from typing import Any

import httpx
import pytest

from mastra.server import create_app
from mastra.testing import ScriptedModel
from tests.ai_sdk.app import Deeds, build
from tests.ai_sdk.wire import chunks_of, put_together
from tests.server.live import running

pytestmark = pytest.mark.anyio


def parts_of(message: dict[str, Any]) -> dict[str, Any]:
    return {part.get("id", part["type"]): part["data"] for part in message["parts"]}


async def test_steps_are_parts_that_update_in_place(http: httpx.AsyncClient, chat: str) -> None:
    body = {"id": chat, "inputData": {"city": "Oslo"}}
    chunks = chunks_of(await http.post("/workflow/trip", json=body))
    message = put_together({}, chunks)
    run_id = message["id"]
    parts = parts_of(message)
    assert parts.keys() == {run_id, f"{run_id}:look", f"{run_id}:confirm", "data-found"}
    assert parts[run_id]["status"] == "suspended"
    assert parts[f"{run_id}:look"]["step"]["output"] == {"city": "Oslo"}
    assert parts[f"{run_id}:confirm"]["step"]["suspendPayload"] == {"ask": "go on?"}
    running_first = [c["data"]["status"] for c in chunks if c.get("id") == run_id]
    assert running_first[0] == "running"
    assert chunks[-1]["finishReason"] == "other"

    again = put_together({}, chunks_of(await http.get(f"/workflow/trip/{chat}/stream")))
    assert again["id"] == run_id
    assert parts_of(again) == parts

    message["role"] = "assistant"
    answer = {"id": chat, "messages": [message], "resumeData": {"sure": True}, "step": "confirm"}
    answers = await asyncio.gather(*(http.post("/workflow/trip", json=answer) for _ in range(3)))
    assert sorted(one.status_code for one in answers) == [200, 409, 409]
    [won] = [one for one in answers if one.status_code == 200]
    chunks = chunks_of(won)
    put_together(message, chunks)
    assert message["id"] == run_id
    assert chunks[-1]["finishReason"] == "stop"
    parts = parts_of(message)
    assert parts[run_id]["status"] == "success"
    assert [step["status"] for step in parts[run_id]["steps"].values()] == ["success", "success"]
    assert parts[run_id]["steps"]["look"]["output"] == {"city": "Oslo"}
    assert parts[f"{run_id}:confirm"]["step"]["output"] == {"city": "Oslo", "sure": True}
    assert (await http.get(f"/workflow/trip/{chat}/stream")).status_code == 204


async def test_a_step_that_fails_says_why(http: httpx.AsyncClient, chat: str) -> None:
    body = {"id": chat, "inputData": {"city": "Oslo"}}
    chunks = chunks_of(await http.post("/workflow/failing", json=body))
    assert "the step is out of order" in chunks[-2]["errorText"]
    parts = parts_of(put_together({}, chunks))
    assert parts[f"{chunks[0]['messageId']}:fail"]["step"]["status"] == "failed"


async def test_what_is_wrong_with_the_call_is_a_status(http: httpx.AsyncClient) -> None:
    assert (await http.post("/workflow/nothing", json={"inputData": {}})).status_code == 404
    assert (await http.post("/workflow/trip", json={"inputData": "text"})).status_code == 400
    resumed: dict[str, Any] = {"runId": "nothing", "resumeData": {}}
    assert (await http.post("/workflow/trip", json=resumed)).status_code == 404
    assert (await http.get("/workflow/trip/nothing/stream")).status_code == 204
    stopped = await http.post("/workflow/trip/nothing/stop")
    assert (stopped.status_code, stopped.json()) == (200, {"stopped": False})


async def test_a_run_goes_on_without_its_reader_and_is_stopped_by_its_route() -> None:
    async with running(build(Deeds())) as (url, _), httpx.AsyncClient(base_url=url) as http:
        body = {"id": "a/b", "inputData": {"city": "Oslo"}}
        async with http.stream("POST", "/workflow/sleepy", json=body) as answer:
            async for text in answer.aiter_text():
                if "nap" in text:
                    break
        looking = asyncio.ensure_future(http.get("/workflow/sleepy/a%2Fb/stream"))
        await asyncio.sleep(0.05)
        stopped = await http.post("/workflow/sleepy/a%2Fb/stop")
        assert stopped.json() == {"stopped": True}
        chunks = chunks_of(await looking)
        assert [chunk["type"] for chunk in chunks[-2:]] == ["abort", "finish"]
        assert parts_of(put_together({}, chunks))[chunks[0]["messageId"]]["status"] == "canceled"


async def test_the_example_answers_its_page() -> None:
    server = Path(__file__).parents[2] / "examples" / "web" / "server.py"
    mastra = runpy.run_path(str(server))["build"](ScriptedModel("Rain, then ducks."))
    transport = httpx.ASGITransport(create_app(mastra))
    async with mastra, httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
        assert "<title>A plan for the day</title>" in (await http.get("/page")).text
        body = {"id": "c", "inputData": {"city": "Oslo"}}
        message = put_together({}, chunks_of(await http.post("/workflow/days", json=body)))
        answer = {"id": "c", "resumeData": {"agreed": True}, "step": "agree"}
        put_together(message, chunks_of(await http.post("/workflow/days", json=answer)))
    [text] = [part["text"] for part in message["parts"] if part["type"] == "text"]
    assert text == "Rain, then ducks."
