"""An application that has stopped starts once more, in the same event loop, and answers as before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from mastra import Agent, Mastra, ServerConfig, create_workflow, step
from mastra.mcp import MCPServer
from mastra.server import create_app
from mastra.testing import ScriptedModel

pytestmark = pytest.mark.anyio

HELLO: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "c", "version": "1"},
    },
}
ACCEPT = {"accept": "application/json, text/event-stream"}


@step
async def double(n: int) -> int:
    return n * 2


@asynccontextmanager
async def lived(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api") as client,
    ):
        yield client


async def test_runs_agents_and_mcp_sessions() -> None:
    workflow = create_workflow(id="w", input_schema=int, output_schema=int).then(double).commit()
    agent = Agent(id="a", description="Helps", model=ScriptedModel("one", "two"))
    servers = {"m": MCPServer("m")}
    app = create_app(Mastra(agents={"a": agent}, workflows={"w": workflow}, mcp_servers=servers))
    for said in ("one", "two"):
        async with lived(app) as client:
            run = await client.post("/workflows/w/start-async", json={"inputData": 4})
            assert run.json()["result"] == 8
            told = await client.post("/agents/a/generate", json={"messages": "hi"})
            assert told.json()["text"] == said
            opened = await client.post("/mcp/m/mcp", json=HELLO, headers=ACCEPT)
            assert (opened.status_code, '"name":"m"' in opened.text) == (200, True)


async def test_programs_are_told_of_tasks() -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        heard.put_nowait("told")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    hook = await asyncio.start_server(hear, "127.0.0.1", 0)
    place = f"http://127.0.0.1:{hook.sockets[0].getsockname()[1]}"
    agent = Agent(id="a", description="Helps", model=ScriptedModel("one", "two"))
    app = create_app(Mastra(agents={"a": agent}), ServerConfig(push_origins=[place]))
    async with hook:
        for text in ("one", "two"):
            said = {"messageId": text, "role": "ROLE_USER", "parts": [{"text": "hi"}]}
            wanted = {"taskPushNotificationConfig": {"url": place}}
            params = {"message": said, "configuration": wanted}
            call = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": params}
            async with lived(app) as client:
                done = (await client.post("/a2a/a", json=call)).json()["result"]["task"]
                assert done["artifacts"][0]["parts"] == [{"text": text}]
                await asyncio.wait_for(heard.get(), 10)
            while not heard.empty():
                heard.get_nowait()
