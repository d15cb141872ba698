"""A server with its console, on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from mastra import Mastra
from mastra.console import mount
from mastra.server import ServerConfig, create_app
from mastra.server.app import server_of
from mastra.server.runner import GracefulServer, uvicorn_config

__all__ = ["behind_a_proxy", "below_root_path", "console", "mounted"]


def mounted(app: FastAPI) -> tuple[ASGIApp, str]:
    """Put it below another application, as `uvicorn --root-path` has it, too."""

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": "/ops"}, receive, send)

    return outer, "/ops"


def below_root_path(app: FastAPI) -> tuple[ASGIApp, str]:
    """Strip the prefix, as a proxy does, of an application that was told of it."""
    app.root_path = "/ops"
    return _stripped(app), "/ops"


def behind_a_proxy(app: FastAPI) -> tuple[ASGIApp, str]:
    """Strip the prefix, and say so in the header that proxies have for that."""
    return _stripped(app, (b"x-forwarded-prefix", b"/ops")), "/ops"


def _stripped(app: FastAPI, *headers: tuple[bytes, bytes]) -> ASGIApp:
    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            assert scope["path"].startswith("/ops/"), scope["path"]
            told = [*scope["headers"], *headers]
            scope = {**scope, "path": scope["path"].removeprefix("/ops"), "headers": told}
        await app(scope, receive, send)

    return outer


@asynccontextmanager
async def console(
    mastra: Mastra,
    config: ServerConfig | None = None,
    path: str = "/",
    port: int = 0,
    also: Callable[[FastAPI], object] | None = None,
    around: Callable[[FastAPI], tuple[ASGIApp, str]] | None = None,
) -> AsyncIterator[str]:
    """Serve on a port of loopback, a free one unless it is named; give the console's address.

    `also` puts what else is served into the application; `around` gives what it stands behind, and
    the prefix that browsers see.
    """
    app = create_app(mastra, config)
    mount(app, mastra, path=path)
    if also is not None:
        also(app)
    server = server_of(app)
    with socket.create_server(("127.0.0.1", port)) as listener:
        outer, prefix = (app, "") if around is None else around(app)
        settings = uvicorn_config(outer, server.config, lifespan="on", ws="websockets-sansio")
        runner = GracefulServer(settings, server)
        task = asyncio.ensure_future(runner._serve([listener]))
        try:
            while not runner.started:
                await asyncio.sleep(0.01)
                if task.done():
                    await task
            yield f"http://127.0.0.1:{listener.getsockname()[1]}{prefix}{path.rstrip('/')}"
        finally:
            runner.should_exit = True
            await task
