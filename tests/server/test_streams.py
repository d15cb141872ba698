"""Streams over real sockets: framing, reconnecting, slow readers, stopping."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra, SQLStorage, create_step, create_workflow
from mastra.server import ServerConfig, create_app
from mastra.server.streaming import OPENED, EventStreamResponse, _Ticks
from mastra.testing import FunctionModel
from tests.server.live import running
from tests.server.wire_app import Value, build

pytestmark = pytest.mark.anyio
EVENTS = {"accept": "text/event-stream"}


def sse(text: str) -> list[tuple[int | None, Any]]:
    found: list[tuple[int | None, Any]] = []
    for frame in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in frame.splitlines() if ": " in line)
        if "data" in lines and lines["data"] != "[DONE]":
            seq = int(lines["id"]) if "id" in lines else None
            found.append((seq, json.loads(lines["data"])))
    return found


def gated() -> tuple[Any, asyncio.Event]:
    """Return a workflow of two steps, the second of which waits for the event."""
    gate = asyncio.Event()

    async def first(ctx: Any) -> Value:
        await ctx.writer.write("one")
        return ctx.input_data

    async def second(ctx: Any) -> Value:
        await gate.wait()
        return ctx.input_data

    def step(name: str, function: Any) -> Any:
        return create_step(id=name, input_schema=Value, output_schema=Value, execute=function)

    flow = create_workflow(id="gated", input_schema=Value, output_schema=Value)
    return flow.then(step("first", first)).then(step("second", second)).commit(), gate


async def test_a_reader_that_was_cut_off_goes_on_by_the_last_event_id() -> None:
    flow, gate = gated()
    async with (
        running(Mastra(workflows={"flow": flow})) as (url, _),
        httpx.AsyncClient(base_url=url) as client,
    ):
        base = "/api/workflows/flow"
        text = ""
        async with client.stream(
            "POST", f"{base}/stream?runId=r", json={"inputData": {"value": 1}}, headers=EVENTS
        ) as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            async for part in answer.aiter_text():
                text += part
                if '"second"' in text:
                    break
        seen = sse(text)
        gate.set()
        rest = await client.post(
            f"{base}/observe?runId=r", headers={**EVENTS, "last-event-id": str(seen[1][0])}
        )
        assert rest.text.endswith("data: [DONE]\n\n")
        later = sse(rest.text)
        assert [seq for seq, _ in later] == list(range(2, 7))
        assert later[: len(seen) - 2] == seen[2:]
        assert later[-1][1]["type"] == "workflow-finish"


@pytest.mark.parametrize("last", ["-1", "1.0", "nan", "seven", "٣", "9" * 40, "1, 2", ["1", "2"]])
async def test_a_last_event_id_that_is_no_events_is_refused(last: str | list[str]) -> None:
    """All events would come once more, to a reader that has some of them."""
    transport = httpx.ASGITransport(create_app(build()))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        base = "/api/workflows/kitchenWorkflow"
        begun = await client.post(f"{base}/create-run?runId=r")
        assert begun.status_code == 200
        given = last if isinstance(last, list) else [last]
        headers = [(b"last-event-id", text.encode()) for text in given]
        answer = await client.post(f"{base}/observe?runId=r", headers=headers)
        assert answer.status_code == 400
        assert "Last-Event-ID" in answer.json()["error"]
        none = await client.post(f"{base}/observe?runId=r", headers={"last-event-id": ""})
        assert none.status_code == 200


@pytest.mark.parametrize("headers", [{}, EVENTS], ids=["records", "events"])
@pytest.mark.parametrize("offset", [0, 10**9])
async def test_a_run_that_nobody_has_begun_has_no_events(
    offset: int, headers: dict[str, str]
) -> None:
    transport = httpx.ASGITransport(create_app(build()))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        base = "/api/workflows/kitchenWorkflow"
        await client.post(f"{base}/create-run?runId=k")
        async with asyncio.timeout(20):
            answer = await client.post(f"{base}/observe?runId=k&offset={offset}", headers=headers)
        assert (answer.status_code, sse(answer.text) if headers else answer.text) == (
            200,
            [] if headers else "",
        )


@pytest.mark.parametrize("verb", ["start", "start-async", "stream"])
async def test_a_start_that_is_refused_leaves_no_run(verb: str) -> None:
    app = build()
    transport = httpx.ASGITransport(create_app(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        base, body = "/api/workflows/kitchenWorkflow", {"inputData": {"value": "x"}}
        refused = await client.post(f"{base}/{verb}?runId=k", json=body)
        assert refused.status_code == 400
        assert (await client.get(f"{base}/runs")).json()["total"] == 0
        # One that was there before stays, for better input.
        await client.post(f"{base}/create-run?runId=k")
        assert (await client.post(f"{base}/{verb}?runId=k", json=body)).status_code == 400
        assert (await client.get(f"{base}/runs/k")).json()["status"] == "pending"


async def test_records_are_ended_by_the_record_separator() -> None:
    async with running(build()) as (url, _), httpx.AsyncClient(base_url=url) as client:
        answer = await client.post(
            "/api/workflows/kitchenWorkflow/stream?runId=k", json={"inputData": {"value": 1}}
        )
        assert answer.headers["content-type"] == "text/plain"
        assert answer.content.endswith(b"\x1e")
        events = [json.loads(part) for part in answer.text.split("\x1e")[:-1]]
        assert events[-1]["payload"]["workflowStatus"] == "success"
        again = await client.post("/api/workflows/kitchenWorkflow/stream?runId=k", json={})
        assert again.status_code == 409


async def test_a_run_goes_on_when_its_reader_goes() -> None:
    flow, gate = gated()
    mastra = Mastra(workflows={"flow": flow})
    async with running(mastra) as (url, _), httpx.AsyncClient(base_url=url) as client:
        path = "/api/workflows/flow/stream?runId=r"
        async with client.stream("POST", path, json={"inputData": {"value": 1}}) as answer:
            async for _ in answer.aiter_raw():
                break
        gate.set()
        run = await mastra.get_workflow("flow").create_run("r")
        assert (await run.result()).status == "success"


async def test_the_model_stops_when_the_reader_of_an_agent_goes() -> None:
    closed = asyncio.Event()

    async def endless(_: Any) -> Any:
        try:
            while True:
                yield "word "
                await asyncio.sleep(0.001)
        finally:
            closed.set()

    agent = Agent(id="talker", model=FunctionModel(endless))
    async with (
        running(Mastra(agents={"talker": agent})) as (url, _),
        httpx.AsyncClient(base_url=url) as client,
    ):
        path = "/api/agents/talker/stream"
        async with client.stream("POST", path, json={"messages": "hi"}) as answer:
            async for _ in answer.aiter_raw():
                break
        await asyncio.wait_for(closed.wait(), 5)


async def test_a_silent_stream_says_that_it_is_alive() -> None:
    flow, gate = gated()
    config = ServerConfig(keep_alive=0.02)
    async with (
        running(Mastra(workflows={"flow": flow}), config) as (url, _),
        httpx.AsyncClient(base_url=url) as client,
    ):
        path, body = "/api/workflows/flow/stream?runId=r", {"inputData": {"value": 1}}
        text = ""
        async with client.stream("POST", path, json=body, headers=EVENTS) as answer:
            async for part in answer.aiter_text():
                text += part
                if text.count(": keep-alive\n\n") > 2:
                    gate.set()
        assert text.endswith("data: [DONE]\n\n")


async def test_stopping_lets_a_step_end_and_the_next_process_goes_on(tmp_path: Path) -> None:
    url_of_store = f"sqlite:///{tmp_path / 'runs.db'}"
    began, ran = asyncio.Event(), []

    async def slow(ctx: Any) -> Value:
        ran.append("slow")
        began.set()
        await asyncio.sleep(0.2)
        return ctx.input_data

    async def last(ctx: Any) -> Value:
        ran.append("last")
        await asyncio.sleep(0 if ran.count("slow") == len(ran) - 1 else 30)
        return ctx.input_data

    def make() -> Mastra:
        def step(name: str, function: Any) -> Any:
            return create_step(id=name, input_schema=Value, output_schema=Value, execute=function)

        flow = create_workflow(id="flow", input_schema=Value, output_schema=Value)
        made = flow.then(step("slow", slow)).then(step("last", last)).commit()
        return Mastra(workflows={"flow": made}, storage=SQLStorage(url_of_store))

    async with running(make()) as (url, server), httpx.AsyncClient(base_url=url) as client:
        body = {"inputData": {"value": 1}}
        await client.post("/api/workflows/flow/start?runId=r", json=body)
        await began.wait()
        server.handle_exit(15, None)
    assert ran == ["slow"]
    second = make()
    async with running(second):
        run = await second.get_workflow("flow").create_run("r")
        assert (await run.result()).status == "success"
    assert ran == ["slow", "last"]


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
async def test_a_stream_that_is_not_to_close_goes_on_when_the_run_is_resumed(accept: str) -> None:
    path = "/api/workflows/approvalWorkflow"
    body = {"inputData": {"value": 1}, "closeOnSuspend": False}
    text, is_resumed = "", False
    async with (
        running(build()) as (url, _),
        httpx.AsyncClient(base_url=url) as client,
        client.stream(
            "POST", f"{path}/stream?runId=r", json=body, headers={"accept": accept}
        ) as answer,
    ):
        async for part in answer.aiter_text():
            text += part
            if "workflow-finish" in text and not is_resumed:
                is_resumed = True
                data = {"step": "approve", "resumeData": {"add": 5}}
                (await client.post(f"{path}/resume?runId=r", json=data)).raise_for_status()
    frames = text.replace("data: ", "\x1e").split("\x1e")
    told = [json.loads(frame.split("\n")[0]) for frame in frames if frame.startswith("{")]
    ends = [event["payload"]["workflowStatus"] for event in told if "finish" in event["type"]]
    assert ends == ["suspended", "success"]
    assert [event["type"] for event in told].count("workflow-step-suspended") == 1
    assert told[-1]["payload"]["finalWorkflowResult"] == {"value": 8}


async def test_studio_gets_a_payload_with_every_chunk() -> None:
    async with (
        running(build()) as (url, _),
        httpx.AsyncClient(base_url=url) as client,
    ):
        for kind, is_there in (("studio", True), ("js", False)):
            answer = await client.post(
                f"/api/workflows/kitchenWorkflow/stream?runId={kind}",
                json={"inputData": {"value": 1}},
                headers={"x-mastra-client-type": kind},
            )
            told = [json.loads(part) for part in answer.text.split("\x1e") if part]
            (own,) = [event for event in told if event["type"] == "data-note"]
            assert ("payload" in own) is is_there


# -- a stream as it is sent --------------------------------------------------------------------


async def never() -> Any:
    await asyncio.Event().wait()


async def test_a_reader_that_takes_nothing_gets_no_comment_upon_the_other() -> None:
    """A slow socket holds what is sent; one comment waits, however long that takes."""
    begun, may_take, done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    sent: list[bytes] = []
    tried: list[bytes] = []

    async def content() -> AsyncGenerator[bytes]:
        yield OPENED
        yield b"first"
        begun.set()
        await done.wait()
        yield b"last"

    async def send(message: Any) -> None:
        tried.append(message.get("body", b""))
        if tried[-1] == b": keep-alive\n\n":
            await may_take.wait()
        sent.append(message.get("body", b""))

    response = EventStreamResponse(content(), {}, keep_alive=0.005)
    sending = asyncio.ensure_future(response({"type": "http"}, never, send))
    await begun.wait()
    while len(tried) < 3:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.02)
    assert tried == [b"", b"first", b": keep-alive\n\n"]
    assert sent == [b"", b"first"]
    may_take.set()
    done.set()
    await sending
    assert sent[-2:] == [b"last", b""]


async def test_a_stream_that_has_just_said_something_says_nothing_in_between() -> None:
    sent: list[bytes] = []

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    # As where something was sent since it was last looked.
    ticks = _Ticks(send, 60)
    ticks._look()
    await asyncio.sleep(0)
    ticks.end()
    assert sent == []


async def test_a_socket_that_times_out_is_no_reader_that_hung_up() -> None:
    closed = asyncio.Event()

    async def content() -> AsyncGenerator[bytes]:
        try:
            yield OPENED
            yield b"first"
        finally:
            closed.set()

    async def send(message: Any) -> None:
        if message.get("body") == b"first":
            raise TimeoutError("the socket")

    with pytest.raises(TimeoutError, match="the socket"):
        await EventStreamResponse(content(), {}, keep_alive=1)({"type": "http"}, never, send)
    assert closed.is_set()


async def test_a_stream_that_nobody_sends_is_closed_all_the_same() -> None:
    closed = asyncio.Event()

    async def content() -> AsyncGenerator[bytes]:
        try:
            yield OPENED
        finally:
            closed.set()

    response = EventStreamResponse(content(), {}, keep_alive=1)
    del response
    gc.collect()
    await asyncio.wait_for(closed.wait(), 20)


async def test_a_stream_that_does_not_begin_with_its_opening_is_refused() -> None:
    async def content() -> AsyncGenerator[bytes]:
        yield b"first"

    with pytest.raises(RuntimeError, match="must begin with OPENED"):
        EventStreamResponse(content(), {}, keep_alive=1)


async def test_a_run_that_is_not_over_is_restarted_and_one_that_is_stays() -> None:
    flow, gate = gated()
    transport = httpx.ASGITransport(create_app(Mastra(workflows={"flow": flow})))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api") as client:
        one = "/workflows/flow"
        await client.post(f"{one}/create-run?runId=r")
        # Nobody has begun it, so there is nothing to go on with.
        for verb in ("restart", "restart-async"):
            refused = await client.post(f"{one}/{verb}?runId=r")
            assert refused.status_code == 409, refused.text
        gate.set()
        body = {"inputData": {"value": 1}}
        ended = (await client.post(f"{one}/start-async?runId=r", json=body)).json()
        assert ended["status"] == "success"
        assert (await client.post(f"{one}/restart?runId=r")).status_code == 200
        again = (await client.post(f"{one}/restart-async?runId=r")).json()
        assert again["result"] == ended["result"]
