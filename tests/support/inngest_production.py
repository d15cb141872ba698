"""An app that an Inngest server with keys calls, and a Redis for the server."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import fastapi
import httpx
import inngest
import uvicorn
from inngest._internal import net

from mastra import Mastra
from mastra.inngest import serve
from tests.support.ending import end, listening
from tests.support.inngest_env import DevServer, free_ports

__all__ = ["EVENT_KEY", "KEY", "close_client", "keyed_client", "keyed_server", "redis", "served"]

KEY = "ab" * 32
EVENT_KEY = "eventkey"


@contextmanager
def redis() -> Iterator[str]:
    """Start a Redis; yield its address."""
    port = free_ports(1)[0]
    folder = tempfile.mkdtemp(prefix="redis-")
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}"
    finally:
        end(process)


def keyed_server(app_port: int, *arguments: str) -> DevServer:
    """Return a server with keys, as in production; `start()` starts it."""
    server = DevServer(app_port)
    keys = ("--signing-key", KEY, "--event-key", EVENT_KEY, "--sqlite-dir", server.folder)
    server.use("start", "--retry-interval", "1", *keys, *arguments)
    return server


def keyed_client(server: DevServer, *, key: str = KEY) -> inngest.Inngest:
    """Return a client in production mode."""
    return inngest.Inngest(
        app_id="keyed",
        is_production=True,
        signing_key=f"signkey-prod-{key}",
        event_key=EVENT_KEY,
        api_base_url=server.url,
        event_api_base_url=server.url,
    )


async def close_client(client: inngest.Inngest) -> None:
    """Close the SDK's connections."""
    await client._http_client._http_client.aclose()
    client._http_client._http_client_sync.close()


@asynccontextmanager
async def served(
    mastra: Mastra,
    client: inngest.Inngest,
    port: int,
    *,
    keep: Callable[[httpx.Request], Awaitable[None]] | None = None,
) -> AsyncIterator[None]:
    """Serve an app on loopback, and have its server know it.

    Args:
        mastra: The app.
        client: Its client.
        port: Where.
        keep: Called with every call of a function.
    """
    app = fastapi.FastAPI()
    origin = f"http://127.0.0.1:{port}"
    serve(app, mastra, client, serve_origin=origin)

    @app.middleware("http")
    async def look(request: fastapi.Request, call_next: Any) -> Any:
        if keep is not None and request.method == "POST":
            content = await request.body()
            headers = {k: v for k, v in request.headers.items() if k.startswith("x-inngest")}
            await keep(httpx.Request("POST", str(request.url), headers=headers, content=content))
        return await call_next(request)

    config = uvicorn.Config(app, port=port, log_level="error", timeout_graceful_shutdown=1)
    try:
        async with listening(uvicorn.Server(config)):
            await synced(port)
            async with mastra:
                yield
    finally:
        await close_client(client)


async def synced(port: int) -> None:
    """Have the server know the app: the request that a deployment sends, signed."""
    headers = {"x-inngest-signature": str(net.sign_request(b"", KEY))}
    async with httpx.AsyncClient() as http:
        answer = await http.put(f"http://127.0.0.1:{port}/api/inngest", headers=headers)
    assert answer.status_code == 200, answer.text
