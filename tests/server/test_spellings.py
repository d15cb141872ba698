"""Every spelling of a route's address: none reaches it without its gate, and none costs much."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from itertools import count
from urllib.parse import quote, unquote

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Scope

from mastra import Mastra
from mastra.server import create_app
from tests.server.test_ownership_matrix import BOB, World, application

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]


@pytest.fixture
async def world() -> AsyncIterator[tuple[World, ASGIApp]]:
    mastra = application()
    app = create_app(mastra)
    transport = httpx.ASGITransport(app)
    async with mastra, httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
        made = World(mastra, app, http)
        await made.prepare()
        yield made, app


def spelt(path: str) -> Iterator[str]:
    """Give other spellings of a path, as they are sent."""
    last = path.rpartition("/")
    yield from (f"{path}/", f"{path}//", path.replace("/", "//"), f"/{path}")
    yield from (path.replace("/api/", f"/api/{dots}", 1) for dots in ("./", "x/../", "x/%2e%2e/"))
    yield from (f"/health/..{path}", f"/health/%2e%2e{path}", f"/docs/..;{path}")
    yield from (
        f"/{path[1:].replace('/', '%2F')}",
        f"{last[0]}%2f{last[2]}",
        f"{last[0]}%5c{last[2]}",
    )
    yield from (f"{path};a=b", path.replace("/api/", "/api;a/", 1), path.upper(), f"/%61{path[2:]}")
    yield from ("".join(c if c == "/" else f"%{ord(c):02x}" for c in path), f"{path}%3Fa=b")
    yield from (f"{path}{end}" for end in ("%00", "%0a", "%0d%0a", "%20", "%23", ".json", "%ff"))
    yield from (f"{path}%ed%a0%80", path.replace("/", "%c0%af"), quote(path.replace("a", "\uff41")))
    yield from (quote(path.replace("/", "\uf8fe")), path.replace("/", "\\"), f"{path}{'a' * 5000}")


async def call(
    app: ASGIApp, method: str, raw: str, root: str = "", /, **headers: str
) -> tuple[int, bytes]:
    """Ask as a web server does that takes a request line as it is, below a proxy's `root`."""
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(raw),
        "raw_path": raw.encode(),
        "root_path": root,
        "query_string": b"",
        "headers": [(b"host", b"testserver"), (b"content-type", b"application/json")]
        + [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("10.0.0.9", 1),
        "server": ("testserver", 80),
        "state": {},
    }
    sent: list[Message] = []
    gone = asyncio.Event()
    body = [{"type": "http.request", "body": b"{}", "more_body": False}]

    async def receive() -> Message:
        if body:
            return body.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) > 1:
            gone.set()

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(one.get("body", b"") for one in sent[1:])


async def test_no_spelling_passes_the_gate(world: tuple[World, ASGIApp]) -> None:
    known, app = world
    turn, tried = count(), 0
    for route in sorted(known.routes):
        method = route.partition(" ")[0].replace("ALL", "POST")
        path = known.path(route)
        forms = list(spelt(path))
        # Each third: another one of every route, so that each form has many turns.
        for raw in [path, *forms[next(turn) % 3 :: 3]]:
            for headers in ({}, {"authorization": "Bearer wrong"}):
                status, _ = await call(app, method, raw, **headers)
                assert status in {307, 400, 401, 404, 405}, (method, raw[:200], status)
                tried += 1
            status, body = await call(app, method, raw, **BOB)
            assert status < 500, (method, raw[:200], status, body)
            assert method != "GET" or b"alice" not in body.replace(raw.encode(), b""), raw
    assert tried > 3000


@pytest.mark.parametrize(
    ("before", "root", "is_mounted"),
    [
        ("/proxy", "/proxy", False),
        ("/sub", "", True),
        ("/%73ub", "", True),
        ("", "/", False),
        pytest.param("", "/proxy", False, marks=pytest.mark.every_engine),
        pytest.param("/proxy/", "/proxy/", False, marks=pytest.mark.every_engine),
        pytest.param("", "/api", False, marks=pytest.mark.every_engine),
        pytest.param("/proxy/sub", "/proxy", True, marks=pytest.mark.every_engine),
        pytest.param("/sub/", "", True, marks=pytest.mark.every_engine),
    ],
)
async def test_below_a_prefix_the_gate_is_the_same(
    world: tuple[World, ASGIApp], before: str, root: str, is_mounted: bool
) -> None:
    known, app = world
    asked = Starlette(routes=[Mount("/sub", app=app)]) if is_mounted else app
    for route in sorted(known.routes):
        method = route.partition(" ")[0].replace("ALL", "POST")
        for path in (known.path(route), known.path(route).replace("/", "%2F", 2)):
            status, _ = await call(asked, method, before + path, root)
            assert status in {307, 401, 404, 405}, (method, path, status)
            if method == "GET":
                status, body = await call(asked, method, before + path, root, **BOB)
                shown = body.replace(path.encode(), b"")
                assert status >= 300 or b"alice" not in shown, (path, status, body)


async def test_an_address_ends_where_it_ends() -> None:
    app = create_app(Mastra())
    assert (await call(app, "GET", "/api/agents"))[0] == 200
    for raw in ("/api/agents%0a", "/api/agents%0A", "/api/agents%0a%0a", "/api%0a/agents", "/%0a"):
        assert (await call(app, "GET", raw))[0] == 404, raw


async def test_a_long_address_costs_what_its_length_does() -> None:
    app = create_app(Mastra())

    async def took(raw: str) -> float:
        begun = time.process_time()
        assert (await call(app, "GET", raw))[0] == 404
        return time.process_time() - begun

    await took("/x")
    short = min([await took("/x%2fy") for _ in range(5)])
    # Looked at once, not once for each of some hundred routes.
    for part in ("%2F", "%2fa%e9", "a"):
        assert min([await took("/x" + part * 2000) for _ in range(3)]) < 20 * short, part
