"""How long the event loop stands still while a server is asked the first time, and later.

    python -m tests.support.first_requests a2a|card|mcp|resources

Prints the longest pause of the first request, the longest of twenty more, and how long the first
took, in seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import httpx

from mastra import Agent, Mastra, tool
from mastra.mcp import MCPServer
from mastra.server import create_app
from mastra.testing import FunctionModel
from tests.mcp.everything import RESOURCES

_HEADERS = {"accept": "application/json, text/event-stream"}


@tool
async def hello() -> str:
    """Say hello."""
    return "hello"


def build() -> Mastra:
    agent = Agent(id="helper", description="Helps", model=FunctionModel(lambda _: "hello"))
    server = MCPServer("w", tools={"hello": hello}, resources=RESOURCES)
    return Mastra(agents={"helper": agent}, mcp_servers={"w": server})


async def ask(http: httpx.AsyncClient, kind: str) -> None:
    part = {"role": "ROLE_USER", "messageId": "m", "parts": [{"text": "hi"}]}
    params: dict[str, Any] = {"message": part}
    match kind:
        case "card":
            answer = await http.get("/api/a2a/helper/.well-known/agent-card.json")
        case "a2a":
            call = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": params}
            answer = await http.post("/api/a2a/helper", json=call)
        case "resources":
            answer = await http.get("/api/mcp/w/resources")
        case _:
            info = {"name": "c", "version": "1"}
            params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": info}
            call = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
            answer = await http.post("/api/mcp/w/mcp", json=call, headers=_HEADERS)
    assert answer.status_code == 200, answer.text


class Watch:
    """Looks at the clock as often as the event loop lets it."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.perf_counter()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            self.longest = max(self.longest, now - self._last)
            self._last = now

    def taken(self) -> float:
        longest, self.longest = self.longest, 0.0
        return longest


async def main(kind: str) -> None:
    mastra = build()
    transport = httpx.ASGITransport(create_app(mastra))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        for _ in range(3):
            assert (await http.get("/api/agents")).status_code == 200
        watch = Watch()
        watching = asyncio.ensure_future(watch.run())
        await asyncio.sleep(0)
        watch.taken()
        begun = time.perf_counter()
        await ask(http, kind)
        took = time.perf_counter() - begun
        await asyncio.sleep(0)
        first = watch.taken()
        for _ in range(20):
            await ask(http, kind)
            await asyncio.sleep(0)
        sys.stdout.write(json.dumps({"first": first, "later": watch.taken(), "took": took}))
        watching.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
