"""An answer stops with the client who waits for it, and what tools did by then is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import pytest
from starlette.requests import Request

from mastra import Agent, Mastra, tool
from mastra.ag_ui import ag_ui_route
from mastra.ai_sdk import chat_route
from mastra.memory import Memory
from mastra.server import ServerConfig, create_app, openai_route
from mastra.testing import FunctionModel, ToolCall
from tests.server.live import running

pytestmark = pytest.mark.anyio


@tool
async def book(to: str) -> str:
    """Book."""
    return f"booked {to}"


class Slow:
    """A model that calls a tool and is then silent until it is left."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        self.release = asyncio.Event()
        self.model = FunctionModel(self._answer)

    async def _answer(self, request: Any) -> Any:
        if request.messages[-1].role != "tool":
            return ToolCall("book", {"to": "shop"})
        self.asked.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.left.set()
            raise
        return "Booked."


async def ask(address: str, route: str, body: Any) -> asyncio.StreamWriter:
    """Send a request over a connection of its own, which the test can close."""
    host, port = address.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    data = json.dumps(body).encode()
    head = (
        f"POST /api/agents/a/{route} HTTP/1.1\r\nhost: {host}:{port}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    writer.write(head.encode() + data)
    await writer.drain()
    return writer


@pytest.mark.parametrize("route", ["generate", "stream"])
async def test_an_answer_stops_with_its_client(route: str) -> None:
    slow = Slow()
    agent = Agent(id="a", model=slow.model, tools={"book": book}, memory=Memory())
    mastra = Mastra(agents={"a": agent})
    memory: Any = {"thread": "t", "resource": "u"}
    async with running(mastra) as (address, _):
        writer = await ask(address, route, {"messages": "Book.", "memory": memory})
        await asyncio.wait_for(slow.asked.wait(), 20)
        writer.close()
        await asyncio.wait_for(slow.left.wait(), 20)
    kept = (await Memory().bound_to(mastra).list_messages(thread_id="t")).messages
    assert [message.role for message in kept] == ["user", "assistant"]


async def test_a_durable_answer_goes_on_without_its_client() -> None:
    slow = Slow()
    agent = Agent(id="a", model=slow.model, tools={"book": book}, durable=True)
    mastra = Mastra(agents={"a": agent})
    async with running(mastra) as (address, _):
        writer = await ask(address, "generate", {"messages": "Book.", "runId": "r"})
        await asyncio.wait_for(slow.asked.wait(), 20)
        writer.close()
        await writer.wait_closed()
        slow.release.set()
        run = await mastra.get_agent("a").durable_runs.workflow.create_run("r")
        result: Any = await run.result()
        assert (result.status, result.unwrap()["text"]) == ("success", "Booked.")
        assert not slow.left.is_set()


SAID = {"id": "u", "role": "user", "content": "hello"}
STREAMS: dict[str, dict[str, Any]] = {
    "/api/agents/a/stream": {"messages": [SAID]},
    "/chat/a": {"id": "t", "messages": [SAID]},
    "/ag-ui/a": {"threadId": "t", "runId": "r", "messages": [SAID]},
    "/v1/chat/completions": {
        "model": "a",
        "stream": True,
        "messages": [{"role": "user", "content": "hello"}],
    },
    "/v1/responses": {"model": "a", "stream": True, "input": "hello"},
}


@pytest.mark.parametrize("is_passed", [False, True], ids=["alone", "behind a middleware"])
@pytest.mark.parametrize("door", STREAMS)
async def test_a_client_who_is_gone_before_the_first_byte_stops_the_answer(
    door: str, is_passed: bool
) -> None:
    left = asyncio.Event()

    async def answer(_: Any) -> AsyncGenerator[str]:
        try:
            yield "Well"
            await asyncio.Event().wait()
        finally:
            left.set()

    async def passing(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    # A page of AG-UI is opened before its model is asked, so here something goes on by itself.
    agent = Agent(id="a", model=FunctionModel(answer), durable=door == "/ag-ui/a")
    routes = [*chat_route(), ag_ui_route(), *openai_route()]
    config = ServerConfig(api_routes=routes, middleware=[passing] if is_passed else [])
    mastra = Mastra(agents={"a": agent}, server=config)
    app = create_app(mastra)
    body = [{"type": "http.request", "body": json.dumps(STREAMS[door]).encode()}]
    headers = [(b"content-type", b"application/json"), (b"host", b"localhost")]
    scope = {"type": "http", "method": "POST", "path": door, "raw_path": door.encode()}
    scope |= {"query_string": b"", "headers": headers, "http_version": "1.1", "scheme": "http"}
    scope |= {"server": ("localhost", 80), "client": ("127.0.0.1", 1), "root_path": ""}

    async def receive() -> Any:
        if body:
            return body.pop()
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        raise OSError("The client is gone.")

    async with mastra:
        with suppress(OSError):
            await app(scope, receive, send)
        await asyncio.wait_for(left.wait(), 20)
