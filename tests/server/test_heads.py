"""HEAD: what GET says of itself, without what it gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from mastra import Agent, Mastra, ServerConfig
from mastra.server import ApiRoute, BearerAuth, openai_route, router
from mastra.testing import ScriptedModel
from tests.server.live import running

pytestmark = pytest.mark.anyio


async def greet() -> AsyncIterator[str]:
    yield "hello"


def build(**config: object) -> Mastra:
    routes = [ApiRoute(path="/greet", handler=greet), *openai_route()]
    server = ServerConfig(api_routes=routes, **config)  # pyright: ignore[reportArgumentType]
    agent = Agent(id="guide", model=ScriptedModel("Left."), durable=True)
    return Mastra(agents=[agent], server=server)


@pytest.mark.parametrize(
    "path", ["/", "/health", "/docs", "/api/agents", "/api/openapi.json", "/v1/models", "/greet"]
)
async def test_what_answers_get_answers_head(path: str) -> None:
    async with running(build()) as (url, _), httpx.AsyncClient(base_url=url) as client:
        got, head = await client.get(path), await client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-type", "content-length"):
            assert head.headers.get(name) == got.headers.get(name)
        assert (await client.head("/api/agents/nobody")).status_code == 404
        assert (await client.head("/api/agents/guide/generate")).status_code == 405


async def test_a_stream_is_not_followed_for_its_head() -> None:
    mastra = build()
    async with running(mastra) as (url, _), httpx.AsyncClient(base_url=url) as client:
        stream = mastra.get_agent("guide").stream("Where to?")
        await stream.text()
        path = f"/api/agents/guide/observe?runId={stream.run_id}"
        async with asyncio.timeout(10):
            head = await client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == "text/event-stream"
        assert (await client.get("/health")).status_code == 200


async def test_head_passes_the_same_gate() -> None:
    app = FastAPI()
    app.include_router(router(build(auth=BearerAuth(["key"]))), prefix="/api")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        assert (await client.head("/api/agents")).status_code == 401
        head = await client.head("/api/agents", headers={"authorization": "Bearer key"})
        assert (head.status_code, head.content) == (200, b"")
