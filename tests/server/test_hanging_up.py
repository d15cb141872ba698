"""An answer stops with the client who waits for it, and what tools did by then is kept."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from mastra import Agent, Mastra, tool
from mastra.memory import Memory
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
