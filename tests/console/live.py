"""A server with its console, on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mastra import Mastra
from mastra.console import mount
from mastra.server import ServerConfig, create_app
from mastra.server.app import server_of
from mastra.server.runner import GracefulServer, uvicorn_config

__all__ = ["console"]


@asynccontextmanager
async def console(
    mastra: Mastra, config: ServerConfig | None = None, path: str = "/"
) -> AsyncIterator[str]:
    """Serve on a free port of loopback; give the console's address."""
    app = create_app(mastra, config)
    mount(app, mastra, path=path)
    server = server_of(app)
    with socket.create_server(("127.0.0.1", 0)) as listener:
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
