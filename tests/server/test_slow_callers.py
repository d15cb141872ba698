"""Callers that send slowly, too much, or not to the end, on real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from websockets.asyncio.client import connect

from mastra import Mastra
from mastra.server import ApiRoute, BearerAuth, ServerConfig
from mastra.server.arrivals import timed_protocol
from mastra.server.runner import uvicorn_config
from tests.server.live import running
from tests.server.wire_app import build

pytestmark = pytest.mark.anyio
HEAD = "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
START = "/api/workflows/incrementWorkflow/start-async"


async def reading(scope: Any, receive: Any, send: Any) -> None:
    body = await Request(scope, receive).body()
    await Response(f"{len(body)} bytes")(scope, receive, send)


async def swallowing(scope: Any, receive: Any, send: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    await Response("as if nothing had happened")(scope, receive, send)


@asynccontextmanager
async def connected(**settings: Any) -> AsyncIterator[Any]:
    routes = [
        ApiRoute(path="/reading", handler=reading),
        ApiRoute(path="/swallowing", handler=swallowing),
        ApiRoute(path="/uploads", handler=reading, body_size_limit=50_000),
    ]
    config = ServerConfig(body_size_limit=10_000, api_routes=routes, **settings)
    opened: list[asyncio.StreamWriter] = []
    async with running(build() if settings.pop("whole", True) else Mastra(), config) as (url, _):
        port = urlsplit(url).port

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            opened.append(writer)
            return reader, writer

        try:
            yield connect
        finally:
            for writer in opened:
                writer.close()


def head(method: str, path: str, *lines: str) -> bytes:
    rest = "".join(f"{line}\r\n" for line in lines)
    return (HEAD.format(method=method, path=path) + rest + "\r\n").encode()


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HT", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-"]
)
async def test_half_sent_headers_are_not_waited_for(sent: bytes) -> None:
    async with connected(receive_timeout=0.3) as connect, asyncio.timeout(10):
        reader, writer = await connect()
        writer.write(sent)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 408") is bool(sent)


async def test_a_byte_now_and_then_wins_no_time() -> None:
    async with connected(receive_timeout=0.5) as connect, asyncio.timeout(10):
        reader, writer = await connect()

        async def drip() -> None:
            for byte in b"GET /health HTTP/1.1\r\n" * 50:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.05)

        dripping = asyncio.ensure_future(drip())
        # A byte that comes after the answer resets the connection.
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        dripping.cancel()


@pytest.mark.parametrize("limit_s", [20.0, None])
@pytest.mark.parametrize("more", [b"x" * 8192, b"x\r\nX-Short: y" * 600])
async def test_headers_without_an_end_are_not_kept(more: bytes, limit_s: float | None) -> None:
    async with connected(receive_timeout=limit_s) as connect, asyncio.timeout(20):
        reader, writer = await connect()
        # On a connection that was used, too.
        writer.write(head("GET", "/health"))
        await reader.readuntil(b'{"success":true}')
        writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: ")
        answer = asyncio.ensure_future(reader.readline())
        sent = 0
        while not answer.done():
            assert sent < 10 * 64 * 1024
            writer.write(more)
            sent += len(more)
            await asyncio.wait({answer}, timeout=0.05)
        # h11 has a bound of its own, and another word for it.
        assert answer.result()[9:12] in {b"431", b"400"}


async def test_large_headers_and_a_body_of_what_was_refused_are_no_headers_without_an_end() -> None:
    async with connected(auth=BearerAuth(["secret"])) as connect, asyncio.timeout(20):
        reader, writer = await connect()
        writer.write(head("GET", "/health", "X-Long: " + "x" * 50_000))
        await reader.readuntil(b'{"success":true}')
        writer.write(head("POST", START, "Content-Length: 200000"))
        assert (await reader.readline()).startswith(b"HTTP/1.1 401")
        writer.write(b"x" * 200_000 + head("GET", "/health"))
        await reader.readuntil(b'{"success":true}')


async def test_a_caller_that_hangs_up_is_nobodys_error() -> None:
    told: list[BaseException] = []

    def tell(error: BaseException, _: Any) -> None:
        told.append(error)

    async with connected(on_error=tell) as connect, asyncio.timeout(20):
        for sent in (b"{", b"ZZ\r\n"):
            reader, writer = await connect()
            length = "Content-Length: 9" if sent == b"{" else "Transfer-Encoding: chunked"
            writer.write(head("POST", START, length) + sent)
            await writer.drain()
            await asyncio.sleep(0.05)  # until it is read
            writer.close()
            with suppress(ConnectionError):
                await reader.read()
        # The loop has been asked once more, so both have ended.
        reader, writer = await connect()
        writer.write(head("GET", "/health"))
        await reader.readuntil(b'{"success":true}')
    assert told == []


@pytest.mark.parametrize("path", [START, "/reading", "/swallowing"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_half_sent_bodies_are_not_waited_for(path: str, chunked: bool) -> None:
    async with connected(receive_timeout=0.3) as connect, asyncio.timeout(10):
        reader, writer = await connect()
        length = "Transfer-Encoding: chunked" if chunked else "Content-Length: 100"
        writer.write(head("POST", path, length) + (b"5\r\n{    \r\n" if chunked else b"{    "))
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 408"), answer
        assert b"did not arrive in time" in answer


@pytest.mark.parametrize("path", [START, "/reading", "/swallowing"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_are_bounded_on_every_route(path: str, chunked: bool) -> None:
    async with connected() as connect, asyncio.timeout(20):
        reader, writer = await connect()
        if chunked:
            writer.write(head("POST", path, "Transfer-Encoding: chunked"))
            for _ in range(11):
                writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
        else:
            writer.write(head("POST", path, "Content-Length: 999999999999"))
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")


async def test_a_route_may_take_larger_bodies() -> None:
    async with connected() as connect, asyncio.timeout(20):
        for size, status in ((40_000, b"200"), (60_000, b"413")):
            reader, writer = await connect()
            writer.write(head("POST", "/uploads", f"Content-Length: {size}", "Connection: close"))
            writer.write(b"x" * size)
            assert status in await reader.readline()


async def test_connections_that_are_used_stay_open() -> None:
    async with connected(receive_timeout=0.3) as connect, asyncio.timeout(20):
        reader, writer = await connect()
        for _ in range(4):
            writer.write(head("GET", "/health"))
            assert b"200" in await reader.readline()
            await reader.readuntil(b'{"success":true}')
            await asyncio.sleep(0.15)  # what is waited for is time itself


async def test_who_calls_is_asked_before_the_body_has_come() -> None:
    async with connected(auth=BearerAuth(["secret"])) as connect, asyncio.timeout(20):
        for path in (START, "/reading"):
            reader, writer = await connect()
            writer.write(head("POST", path, "Content-Length: 100"))
            assert (await reader.readline()).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("/api/tools", "127.0.0.1", b"200"),
        ("/api/tools", "evil.example", b"403"),
        ("http://evil.example/api/tools", "evil.example", b"403"),
        ("http://127.0.0.1/api/tools", "evil.example", b"403"),
    ],
)
async def test_the_name_on_a_real_connection(target: str, host: str, status: bytes) -> None:
    async with connected() as connect, asyncio.timeout(20):
        reader, writer = await connect()
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        line = await reader.readline()
        # A target with a name of its own is no path that h11 knows: it is not found either.
        assert status in line or (target.startswith("http") and b"404" in line)


async def test_a_connection_that_became_a_socket_is_waited_for_no_longer() -> None:
    """The time for headers runs out, and they had come."""
    timed: Any = timed_protocol(60)
    kept: list[Any] = []

    def protocol(**given: Any) -> Any:
        kept.append(timed(**given))
        return kept[-1]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await receive()
        await send({"type": "websocket.accept"})
        said = await receive()
        await send({"type": "websocket.send", "text": said["text"]})
        await send({"type": "websocket.close"})

    settings: dict[str, Any] = {"lifespan": "off", "ws": "websockets-sansio", "http": timed}
    config = uvicorn_config(app, ServerConfig(), **settings)
    config.load()
    config.http_protocol_class = cast("Any", protocol)
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.ensure_future(server.serve([listener]))
    try:
        async with connect(f"ws://127.0.0.1:{listener.getsockname()[1]}") as opened:
            (before,) = kept
            before._give_up()
            await opened.send("still here")
            assert await opened.recv() == "still here"
    finally:
        server.should_exit = True
        await serving
        listener.close()


CHUNKED = ("Transfer-Encoding: chunked",)


@pytest.mark.parametrize("trailer", ["Authorization: Bearer key", "Cookie: a=b\r\nX-User: ann"])
async def test_what_stands_behind_a_body_is_no_header(trailer: str) -> None:
    seen: list[set[str]] = []

    async def check(request: Request) -> bool:
        seen.append(set(request.headers))
        return request.headers.get("authorization") == "Bearer key"

    async with running(build(), ServerConfig(auth=check)) as (url, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        # In one piece, so that all of it is there before anything is asked.
        body = f"2\r\n{{}}\r\n0\r\n{trailer}\r\n\r\n".encode()
        writer.write(head("POST", "/api/memory/threads", *CHUNKED) + body)
        async with asyncio.timeout(10):
            assert (await reader.readline()).split()[1] == b"401"
        # The next request of the connection has its own.
        writer.write(head("GET", "/api/agents", "Authorization: Bearer key"))
        async with asyncio.timeout(10):
            await reader.readuntil(b"HTTP/1.1 200 ")
        writer.close()
    assert seen[0] == {"host", "content-type", "transfer-encoding"}
    assert seen[1] == {"host", "content-type", "authorization"}


UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")
KEY = ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")


@pytest.mark.parametrize(
    "sent",
    [
        head("POST", "/api/agents", *UPGRADE, *KEY, "Content-Length: 2") + b"{}",
        head("POST", "/api/agents", *UPGRADE),
        head("GET", "/api/agents", *UPGRADE, *KEY, "Content-Length: 2"),
        head("GET", "/api/agents", *UPGRADE),
        head("GET", f"/api/agents?{'a' * 9000}", *UPGRADE, *KEY),
        head("GET", "/api/agents", *UPGRADE, *KEY, f"X-Long: {'a' * 9000}"),
        head("GET", "/api/agents", *UPGRADE, *KEY, *(f"X-{i}: a" for i in range(200))),
        head("GET", "/api/agents", *UPGRADE, *KEY),
    ],
)
async def test_a_websocket_that_cannot_begin_is_answered(sent: bytes) -> None:
    config = ServerConfig(receive_timeout=None)
    async with running(Mastra(), config, ws="auto") as (url, _), asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        writer.write(sent)
        assert (await reader.readline()).split()[1] in {b"400", b"403", b"405"}
        await reader.read()
        writer.close()
