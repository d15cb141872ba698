"""The conformance suite's environments on Inngest: a server, and an app that it calls.

Every `Mastra` that an environment builds takes the place of the one before it in the app, as a
new process at the same address would.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import inngest
import uvicorn
from inngest._internal import net

from mastra import Mastra
from mastra.inngest.engine import InngestEngine
from mastra.inngest.mount import serving_app
from tests.support.ending import PATIENCE_S, end, listening
from tests.support.inngest_memory import MemoryTransport
from tests.support.inngest_server import FakeInngest

__all__ = [
    "DevServer",
    "Host",
    "ServedEngine",
    "client_of",
    "free_ports",
    "inngest_binary",
    "inngest_host",
]


def inngest_binary() -> str | None:
    """Return the path of an Inngest server that can be started here."""
    named = os.environ.get("INNGEST_BIN")
    return named if named and Path(named).exists() else shutil.which("inngest")


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class DevServer:
    """A real server, started for the tests."""

    def __init__(self, app_port: int, *, tick_ms: int = 20) -> None:
        self.app_port = app_port
        self.port, *others = free_ports(4)
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = tempfile.mkdtemp(prefix="inngest-")
        connect = ("gateway-port", "gateway-grpc-port", "executor-grpc-port")
        self._common = ["--host", "127.0.0.1", "--port", str(self.port), "--tick", str(tick_ms)]
        for name, port in zip(connect, others, strict=True):
            self._common += [f"--connect-{name}", str(port)]
        self.use("dev", "--no-discovery", "--no-poll", "--retry-interval", "1")
        self._process: subprocess.Popen[bytes] | None = None

    def use(self, *arguments: str) -> None:
        """Set which command of the server is run, and its options beside the ports."""
        self._arguments = [str(inngest_binary()), *arguments, *self._common]

    def start(self) -> None:
        """Start it and wait until it answers."""
        environ = {k: v for k, v in os.environ.items() if not k.startswith("INNGEST_")}
        with Path(self.folder, "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments, cwd=self.folder, stdout=log, stderr=log, env=environ
            )
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                if httpx.get(f"{self.url}/health", timeout=1).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)
        raise RuntimeError(Path(self.folder, "server.log").read_text()[-2000:])

    def kill(self, how: signal.Signals = signal.SIGKILL, *, within_s: float = PATIENCE_S) -> None:
        """Stop it."""
        if self._process is not None:
            process, self._process = self._process, None
            end(process, how, within_s=within_s)


class ServedEngine(InngestEngine):
    """An engine that has its app registered before it sends the first event."""

    def __init__(self, host: Host, **options: Any) -> None:
        super().__init__(host.client, **options)
        if host.transport is not None:
            self.api.transport = host.transport
        self._host = host

    async def launch(self, command: Any) -> Any:
        """Begin a leg."""
        await self._host.sync()
        return await super().launch(command)


@functools.cache
def client_of(url: str) -> inngest.Inngest:
    """Return the client of a server."""
    # Made once: each one prepares to talk TLS, which takes longer than many a test.
    return inngest.Inngest(
        app_id="conformance", is_production=False, api_base_url=url, event_api_base_url=url
    )


async def let_go(client: inngest.Inngest) -> None:
    """Close the connections of a client, which are those of the running event loop."""
    http = client._http_client
    await http._http_client.aclose()
    http._http_client = net.ThreadAwareAsyncHTTPClient(verify=False).initialize()


class Host:
    """An app at one address, whose content changes."""

    def __init__(self, url: str, fake: FakeInngest | None, options: dict[str, Any]) -> None:
        self.client = client_of(url)
        self.fake = fake
        self.transport: MemoryTransport | None = None
        self._http: net.ThreadAwareAsyncHTTPClient | None = None
        """The SDK's own, while it is called in memory."""
        self.port = 0
        self.requests = 0
        self._options = options
        self._app: Any = None
        self._workflows: dict[str, Any] = {}
        self._agents: dict[str, Any] = {}
        self._is_synced = False
        self._lock = asyncio.Lock()
        self._since_ms = time.time() * 1000

    def make_engine(self) -> ServedEngine:
        """Return an engine on this server."""
        return ServedEngine(self, **self._options)

    def serve(self, mastra: Mastra) -> None:
        """Make the workflows and agents of a `Mastra` those that are called."""
        self._workflows |= {w.id: w for w in mastra.list_workflows().values()}
        self._agents |= {a.id: a for a in mastra.list_agents().values()}
        if self._workflows or self._agents:
            self.call(serving_app(self, self.client))

    def call(self, app: Any) -> None:
        """Make an app the one that is called."""
        self._app = app
        self._is_synced = False

    def list_workflows(self) -> dict[str, Any]:
        """Return the latest of each workflow, as the app has them."""
        return self._workflows

    def list_agents(self) -> dict[str, Any]:
        """Return the latest of each agent, as the app has them."""
        return self._agents

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] == "POST":
            self.requests += 1
            if self.fake is None:
                receive, body = await _read(receive)
                if self._is_of_earlier_test(body):
                    await _refuse(send)
                    return
        await self._app(scope, receive, send)

    def _is_of_earlier_test(self, body: bytes) -> bool:
        """Whether a real server sends what an earlier test of this address has left there.

        Such as a leg that was cut off, which it asks for again. In production it would find the
        storage that it began with; here it would be a further run of a workflow of the same name.
        """
        called = json.loads(body or b"{}")
        began: Any = (called.get("event") or {}).get("ts") if isinstance(called, dict) else None
        return isinstance(began, int) and began < self._since_ms

    def connect_in_memory(self, fake: FakeInngest) -> None:
        """Have the SDK's client and the engine call the small server without a network."""
        self.transport = MemoryTransport(fake.asgi(), fake.url)
        http = net.ThreadAwareAsyncHTTPClient(transport=self.transport.asgi, trust_env=False)
        self._http = self.client._http_client._http_client
        self.client._http_client._http_client = http.initialize()

    async def aclose(self) -> None:
        """Close the SDK's connections."""
        if self._http is None:
            await let_go(self.client)
        else:  # none were made
            self.client._http_client._http_client = self._http

    async def sync(self) -> None:
        """Have the server know the functions."""
        async with self._lock:
            if self._is_synced:
                return
            if self.fake is not None:
                await self.fake.sync()
            else:
                async with httpx.AsyncClient(timeout=60) as http:
                    answer = await http.put(f"http://127.0.0.1:{self.port}/api/inngest")
                    assert answer.status_code == 200, answer.text
            self._is_synced = True


async def _read(receive: Any) -> tuple[Any, bytes]:
    """Return the body of a request, and what gives it once more."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    body = b"".join(message.get("body", b"") for message in messages)

    async def again() -> Any:
        return messages.pop(0) if messages else await receive()

    return again, body


async def _refuse(send: Any) -> None:
    headers = [(b"x-inngest-no-retry", b"true"), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"message": "an earlier test\'s"}'})


@asynccontextmanager
async def inngest_host(server: FakeInngest | DevServer, **options: Any) -> AsyncGenerator[Host]:
    """Open a host for a server: called in memory by the small one, over HTTP by the real one.

    Takes what `InngestEngine` does beside its client.
    """
    if isinstance(server, FakeInngest):
        host = Host(server.url, server, options)
        host.connect_in_memory(server)
        server.app = host
        try:
            yield host
        finally:
            await server.stop()
            await host.aclose()
        return
    host = Host(server.url, None, options)
    host.port = server.app_port
    config = uvicorn.Config(
        host,
        port=host.port,
        log_level="error",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    try:
        async with listening(uvicorn.Server(config)):
            yield host
    finally:
        await host.aclose()
