"""What a page sees of a workflow's run."""

from __future__ import annotations

import asyncio
import runpy
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from mastra import Agent, Mastra, StepContext, create_workflow
from mastra.ai_sdk import to_ui_message_stream
from mastra.server import create_app
from mastra.testing import ScriptedModel
from tests.ai_sdk.app import Deeds, build, step
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


# -- what steps write ------------------------------------------------------------------------------


class Total(BaseModel):
    total: int


async def shown_of(execute: Any, *, agent: Agent | None = None, **options: Any) -> list[Any]:
    """Return the chunks of a run of one step."""
    data = dict[str, Any]
    made: Any = create_workflow(id="w", input_schema=data, output_schema=data)
    flow = made.then(step("one", execute)).commit()
    agents = {} if agent is None else {"a": agent}
    async with Mastra(workflows={"w": flow}, agents=agents):
        run = await flow.create_run()
        stream = to_ui_message_stream(run.stream(input_data={}), **options)
        return [chunk async for chunk in stream]


async def pipe(ctx: StepContext[Any]) -> dict[str, Any]:
    async with ctx.mastra.get_agent("a").stream("q", structured_output=Total) as stream:
        await stream.pipe_to(ctx.writer)
    return {}


async def test_what_a_step_writes_is_data() -> None:
    async def write(ctx: StepContext[Any]) -> dict[str, Any]:
        await ctx.writer.write("a word")
        await ctx.writer.write({"type": "text-delta", "n": 1})
        await ctx.writer.write({"type": "data-own", "id": "x", "data": {"n": 2}})
        return {}

    chunks = await shown_of(write)
    message = put_together({}, chunks)
    data = [part for part in message["parts"] if "workflow" not in part["type"]]
    assert data == [
        *(
            {"type": "data-step-output", "data": {"stepId": "one", "output": output}}
            for output in ("a word", {"type": "text-delta", "n": 1})
        ),
        {"type": "data-own", "id": "x", "data": {"n": 2}},
    ]


async def test_an_agents_structured_output_in_a_step_is_a_part() -> None:
    chunks = await shown_of(pipe, agent=Agent(id="a", model=ScriptedModel('{"total": 3}')))
    [part] = [c for c in chunks if c["type"] == "data-structured-output"]
    assert part["data"] == {"object": {"total": 3}}
    assert chunks[-1]["finishReason"] == "stop"


async def test_start_and_finish_of_a_run_may_be_left_out() -> None:
    async def nothing(ctx: StepContext[Any]) -> dict[str, Any]:
        return {}

    def at(chunk: dict[str, Any]) -> dict[str, Any]:
        return {"at": chunk["type"]}

    kinds = [c["type"] for c in await shown_of(nothing, send_start=False, send_finish=False)]
    assert set(kinds) == {"data-workflow", "data-workflow-step"}
    chunks = await shown_of(nothing, message_metadata=at)
    assert [chunks[0]["messageMetadata"]["at"], chunks[-1]["messageMetadata"]["at"]] == [
        "start",
        "finish",
    ]


async def test_a_step_to_resume_has_a_name(http: httpx.AsyncClient, chat: str) -> None:
    body = {"id": chat, "inputData": {"city": "Oslo"}}
    await http.post("/workflow/trip", json=body)
    answer = {"id": chat, "resumeData": {"sure": True}}
    assert (await http.post("/workflow/trip", json={**answer, "step": []})).status_code == 400
    chunks = chunks_of(await http.post("/workflow/trip", json={**answer, "step": ["confirm"]}))
    assert chunks[-1]["finishReason"] == "stop"
