"""A server on loopback for tests that need real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from mastra import Mastra
from mastra.server import ServerConfig, create_app
from mastra.server.app import server_of
from mastra.server.runner import GracefulServer, uvicorn_config


@asynccontextmanager
async def running(
    mastra: Mastra, config: ServerConfig | None = None, **options: Any
) -> AsyncIterator[tuple[str, uvicorn.Server]]:
    """Serve on a free port of loopback; give the address and the server."""
    app = create_app(mastra, config)
    server = server_of(app)
    listener = socket.create_server(("127.0.0.1", 0))
    settings = {"lifespan": "on", "ws": "none", **options}
    runner = GracefulServer(uvicorn_config(app, server.config, **settings), server)
    task = asyncio.ensure_future(runner._serve([listener]))
    try:
        while not runner.started:
            await asyncio.sleep(0.01)
            if task.done():
                await task
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", runner
    finally:
        runner.should_exit = True
        await task
        listener.close()
