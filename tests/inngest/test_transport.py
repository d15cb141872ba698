"""Calls to a server over the connections of the event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from mastra.inngest.wire.transport import LoopTransport, NotReached
from tests.support.inngest_env import free_ports


@asynccontextmanager
async def serving() -> AsyncGenerator[LoopTransport]:
    """Serve what tells how long a body is, and a line that does not fit into a buffer."""

    async def measure(request: web.Request) -> web.Response:
        return web.json_response({"bytes": len(await request.read()), **request.query})

    async def long_lines(_: web.Request) -> web.Response:
        return web.Response(text=f": \n\ndata: {'x' * 1_000_000}\n\ndata: é\n")

    app = web.Application(client_max_size=1 << 24)
    app.add_routes([web.post("/measure", measure), web.get("/lines", long_lines)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield LoopTransport(site.name)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("size", [0, 1, 4_000_000])
async def test_bodies_of_any_size_arrive_without_a_warning(size: int) -> None:
    async with serving() as transport:
        query = {"topic": "a b&c"}
        answer = await transport.send("POST", "/measure", headers={}, query=query, body=b"x" * size)
        assert (answer.status, answer.json()) == (200, {"bytes": size, "topic": "a b&c"})


async def test_lines_of_any_length_are_read() -> None:
    async with serving() as transport:
        stream = await transport.open("/lines", headers={}, query={"token": "t"})
        found = [line async for line in stream.lines()]
        await stream.aclose()
    assert found == [": ", "", f"data: {'x' * 1_000_000}", "", "data: é"]


async def test_a_server_that_is_not_there_is_not_reached() -> None:
    transport = LoopTransport(f"http://127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(NotReached):
        await transport.send("POST", "/measure", headers={}, body=b"")
    with pytest.raises(NotReached):
        await transport.open("/lines", headers={}, query={})
