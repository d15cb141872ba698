"""A server with its console, on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

from mastra import Mastra
from mastra.console import mount
from mastra.server import ServerConfig, create_app
from mastra.server.app import server_of
from mastra.server.runner import GracefulServer, uvicorn_config

__all__ = ["console"]


@asynccontextmanager
async def console(
    mastra: Mastra,
    config: ServerConfig | None = None,
    path: str = "/",
    port: int = 0,
    also: Callable[[FastAPI], object] | None = None,
) -> AsyncIterator[str]:
    """Serve on a port of loopback, a free one unless it is named; give the console's address.

    `also` puts what else is served into the application.
    """
    app = create_app(mastra, config)
    mount(app, mastra, path=path)
    if also is not None:
        also(app)
    server = server_of(app)
    with socket.create_server(("127.0.0.1", port)) as listener:
        settings = uvicorn_config(app, server.config, lifespan="on", ws="websockets-sansio")
        runner = GracefulServer(settings, server)
        task = asyncio.ensure_future(runner._serve([listener]))
        try:
            while not runner.started:
                await asyncio.sleep(0.01)
                if task.done():
                    await task
            yield f"http://127.0.0.1:{listener.getsockname()[1]}{path.rstrip('/')}"
        finally:
            runner.should_exit = True
            await task
