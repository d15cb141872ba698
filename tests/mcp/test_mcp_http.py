"""Servers behind HTTP: who asks has to say who he is, gateways answer in their place, sessions end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse

from mastra.errors import ToolError
from mastra.mcp import MCPClient, MCPServer
from mastra.tools.tool import tool
from tests.mcp.worlds import OLD_PROGRAM, HttpWorld


@tool
async def double(n: int) -> int:
    """Double a number."""
    return n * 2


class Guarded:
    """Our server behind something that looks at requests first."""

    def __init__(self) -> None:
        self.app = MCPServer("s", tools=[double]).asgi_app()
        self.token: str | None = None
        self.refusal: PlainTextResponse | None = None
        self.seen = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            self.seen += 1
            given = Request(scope).headers.get("authorization")
            if self.token is not None and given != f"Bearer {self.token}":
                await PlainTextResponse("who are you?", 401)(scope, receive, send)
                return
            if self.refusal is not None:
                await self.refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)


@asynccontextmanager
async def served(app: Any) -> AsyncGenerator[str]:
    running = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="on"))
    task = asyncio.ensure_future(running.serve())
    while not running.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}/mcp"
    finally:
        running.should_exit = True
        await task


class OnlyNewest:
    """Our server, as one that has forgotten how connections began until 2026."""

    def __init__(self) -> None:
        self.app = MCPServer("s", tools=[double]).asgi_app()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        said = await Request(scope, receive).json()
        if said["method"] == "initialize":
            error = {"code": -32601, "message": "Method not found"}
            answer = {"jsonrpc": "2.0", "id": said["id"], "error": error}
            await JSONResponse(answer)(scope, receive, send)
            return
        body = json.dumps(said).encode()

        left = [{"type": "http.request", "body": body}]

        async def again() -> Any:
            return left.pop() if left else await receive()

        headers = [pair for pair in scope["headers"] if pair[0] != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await self.app({**scope, "headers": headers}, again, send)


async def test_a_server_that_only_speaks_the_newest_protocol_is_understood() -> None:
    async with served(OnlyNewest()) as url:
        async with MCPClient({"s": url}) as client:
            tools = await client.list_tools()
            assert await tools["s_double"].execute({"n": 2}) == "4"
        async with MCPClient({"s": {"url": url, "mode": "legacy"}}) as client:
            with pytest.raises(ToolError, match="Method not found"):
                await client.list_tools()


class Renewing(httpx2.Auth):
    """Gets a new token when the server refuses the old one, as OAuth does."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens

    def auth_flow(
        self, request: httpx2.Request
    ) -> Generator[httpx2.Request, httpx2.Response, None]:
        request.headers["authorization"] = f"Bearer {self.tokens[0]}"
        response = yield request
        if response.status_code == 401 and len(self.tokens) > 1:
            self.tokens.pop(0)
            request.headers["authorization"] = f"Bearer {self.tokens[0]}"
            yield request


class OfHttpx(httpx.Auth):
    """The same of the package that most people have."""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["authorization"] = "Bearer one"
        yield request


async def test_a_token_that_expires_is_renewed_and_one_that_cannot_be_is_an_error() -> None:
    guarded = Guarded()
    guarded.token = "one"
    async with served(guarded) as url:
        auth = Renewing(["one", "two"])
        async with MCPClient({"s": {"url": url, "auth": auth}}) as client:
            tools = await client.list_tools()
            assert await tools["s_double"].execute({"n": 2}) == "4"
            guarded.token = "two"
            assert await tools["s_double"].execute({"n": 3}) == "6"
            guarded.token = "three"
            with pytest.raises(ToolError, match="HTTP 401 Unauthorized: who are you"):
                await tools["s_double"].execute({"n": 3})
        guarded.token = "one"
        async with MCPClient({"s": {"url": url, "auth": OfHttpx()}}) as client:
            assert list(await client.list_tools()) == ["s_double"]


async def test_what_a_gateway_says_is_passed_on_and_the_call_is_not_repeated() -> None:
    guarded = Guarded()
    async with served(guarded) as url, MCPClient({"s": url}) as client:
        tools = await client.list_tools()
        guarded.refusal, seen = PlainTextResponse("out of order", 503), guarded.seen
        with pytest.raises(ToolError, match="HTTP 503 Service Unavailable: out of order"):
            await tools["s_double"].execute({"n": 2})
        assert guarded.seen == seen + 1
        guarded.refusal = None
        assert await tools["s_double"].execute({"n": 2}) == "4"


async def test_changes_are_told_by_old_servers_too_and_after_they_restarted() -> None:
    async with HttpWorld(OLD_PROGRAM) as world:
        config = {"url": world.url, "mode": "legacy"}
        async with MCPClient({"old": config}, reconnect_s=20) as client:
            change = (await client.list_tools())["old_change"]
            async with asyncio.timeout(50):
                async with client.resources.watch("old", "note://today") as changes:
                    assert await change.execute({}) == "changed"
                    assert await anext(changes) == "note://today"
                    await world.kill()
                    await world.start()
                    assert await anext(changes) == "note://today"
                    assert await change.execute({}) == "changed"


async def read_all(changes: AsyncIterator[str]) -> list[str]:
    return [uri async for uri in changes]


async def test_watching_a_server_that_stays_away_ends_with_the_error() -> None:
    async with (
        HttpWorld() as world,
        MCPClient({"w": {"url": world.url, "mode": "newest"}}, reconnect_s=0.3) as client,
    ):
        async with asyncio.timeout(50):
            async with client.resources.watch("w", "note://today") as changes:
                await world.kill()
                with pytest.raises(ToolError, match="cannot be reached"):
                    await read_all(changes)
