"""A server without `auth`: which names it answers to, and which pages may make it act."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from mastra import Mastra, tool
from mastra.errors import ConfigError
from mastra.server import ApiRoute, BearerAuth, CorsConfig, ServerConfig, create_app, router
from mastra.server.config import is_loopback
from tests.support.lanes import first_ones

pytestmark = pytest.mark.anyio
RUN = "/api/tools/note/execute"


def serve(config: ServerConfig | None = None, *, mounted: bool = False) -> tuple[Any, list[str]]:
    ran: list[str] = []

    @tool
    async def note(text: str) -> str:
        """Note."""
        ran.append(text)
        return "noted"

    mastra = Mastra(tools={"note": note})
    if not mounted:
        return create_app(mastra, config), ran
    app = FastAPI()
    app.include_router(router(mastra, config), prefix="/api")
    return app, ran


def connect(app: Any, address: str = "http://127.0.0.1:4111") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=address)


async def call(app: Any, address: str = "http://127.0.0.1:4111", **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with connect(app, address) as caller:
        return (await caller.post(RUN, headers=named, json={"data": {"text": "x"}})).status_code


OWN = ["127.0.0.1", "127.0.0.1:4111", "localhost:80", "LOCALHOST", "localhost.", "[::1]:4111"]
OTHERS = [
    "evil.example",
    "evil.example:4111",
    "localhost.evil.example",
    "127.0.0.1.nip.io",
    "localhost@evil.example",
    "evil.example#localhost",
    "evil.example:4111@127.0.0.1",
    "127.0.0.1:4111.evil.example",
    "0.0.0.0:4111",
    "192.168.1.5:4111",
    "2130706433",
    "[::]:4111",
    "[fe80::1]",
    "[::1].evil.example",
    "other-machine",
    "",
]


@pytest.mark.parametrize("mounted", [False, True])
@pytest.mark.parametrize("host", OWN)
async def test_names_of_this_machine_are_answered(host: str, mounted: bool) -> None:
    assert await call(serve(mounted=mounted)[0], host=host) == 200


@pytest.mark.parametrize("mounted", first_ones(1, [False, True]))
@pytest.mark.parametrize("host", OTHERS)
async def test_no_other_name_is_answered(host: str, mounted: bool) -> None:
    app, ran = serve(mounted=mounted)
    assert await call(app, host=host) == 403
    assert ran == []


async def test_every_page_of_the_server_looks_at_the_name() -> None:
    async def hello() -> str:
        return "secret"

    config = ServerConfig(
        api_routes=[ApiRoute(path="/hello", method="GET", handler=hello, requires_auth=False)]
    )
    app, _ = serve(config)
    async with connect(app) as caller:
        for path in ("/", "/docs", "/api/openapi.json", "/api/tools", "/hello"):
            answer = await caller.get(path, headers={"host": "evil.example"})
            assert answer.status_code == 403, path
            assert "allowed_hosts" in answer.json()["error"]
        # It tells nothing but that it is there, and is asked by whoever watches a container.
        assert (await caller.get("/health", headers={"host": "10.0.0.7:4111"})).status_code == 200


async def test_headers_of_proxies_change_nothing() -> None:
    app, ran = serve()
    assert await call(app, host="evil.example", x_forwarded_host="localhost") == 403
    assert await call(app, host="evil.example", forwarded="host=localhost") == 403
    assert ran == []
    assert await call(app, x_forwarded_host="evil.example") == 200


async def test_two_host_headers_are_refused() -> None:
    app, ran = serve()
    async with connect(app) as caller:
        headers = [("host", "127.0.0.1"), ("host", "evil.example")]
        answer = await caller.post(RUN, headers=headers, json={"data": {"text": "x"}})
    assert (answer.status_code, ran) == (403, [])


@pytest.mark.parametrize(
    ("listed", "host", "status"),
    [
        (["app.example.com"], "app.example.com", 200),
        (["app.example.com"], "APP.example.com:8443", 200),
        (["app.example.com"], "evil.example", 403),
        (["app.example.com"], "sub.app.example.com", 403),
        (["app.example.com"], "localhost:4111", 200),
        (["app.example.com:8443"], "app.example.com:8443", 200),
        (["app.example.com:8443"], "app.example.com:80", 403),
        (["*.example.com"], "a.b.example.com", 200),
        (["*.example.com"], "notexample.com", 403),
        (["[2001:db8::1]"], "[2001:db8::1]:4111", 200),
        (["2001:db8::1"], "[2001:db8::1]:4111", 200),
        (["*"], "evil.example", 200),
    ],
)
async def test_further_names_are_a_setting(listed: list[str], host: str, status: int) -> None:
    assert await call(serve(ServerConfig(allowed_hosts=listed))[0], host=host) == status


async def test_with_auth_names_are_looked_at_where_they_are_listed() -> None:
    key = {"authorization": "Bearer secret"}
    app, _ = serve(ServerConfig(auth=BearerAuth(["secret"])))
    assert await call(app, host="app.example.com", **key) == 200
    config = ServerConfig(auth=BearerAuth(["secret"]), allowed_hosts=["app.example.com"])
    app, _ = serve(config)
    assert await call(app, host="app.example.com", **key) == 200
    assert await call(app, host="evil.example", **key) == 403


async def test_the_address_that_a_server_listens_on_is_its_own() -> None:
    app, _ = serve(ServerConfig(host="10.0.0.5"))
    assert await call(app, host="10.0.0.5:4111") == 200
    assert await call(app, host="10.0.0.6:4111") == 403
    # Listening on all addresses: the one that a connection was made to.
    app, _ = serve(ServerConfig(host="0.0.0.0"))
    assert await call(app, "http://192.168.1.5:4111") == 200
    assert await call(app, "http://192.168.1.5:4111", host="evil.example") == 403
    # A name with a dot may be anybody's, even where the web server says that it is its own.
    assert await call(app, "http://evil.example:4111") == 403


@pytest.mark.parametrize("listed", ["app.example.com", ["https://app.example.com"]])
async def test_a_list_of_names_is_one(listed: Any) -> None:
    with pytest.raises(ConfigError, match="allowed_hosts"):
        ServerConfig(allowed_hosts=listed)


PAGES = [
    "https://evil.example",
    "http://localhost:5173",
    "http://127.0.0.1:8080",
    "http://localhost.evil.example:4111",
    "http://localhost:4111@evil.example",
    "null",
    "",
    "file://",
    "chrome-extension://abc",
]


@pytest.mark.every_engine
@pytest.mark.parametrize("mounted", [False, True])
@pytest.mark.parametrize("origin", PAGES)
async def test_a_page_of_another_origin_cannot_make_the_server_act(
    origin: str, mounted: bool
) -> None:
    app, ran = serve(mounted=mounted)
    async with connect(app) as caller:
        for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded", ""):
            headers = {"origin": origin, **({"content-type": kind} if kind else {})}
            answer = await caller.post(RUN, headers=headers, content='{"data": {"text": "x"}}')
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers
        read = await caller.get("/api/tools", headers={"origin": origin})
        assert "access-control-allow-origin" not in read.headers
    assert ran == []


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_browser_that_says_no_origin_still_says_where_it_comes_from(site: str) -> None:
    app, ran = serve()
    assert await call(app, sec_fetch_site=site) == 403
    assert await call(app, sec_fetch_site="same-origin") == 200
    assert ran == ["x"]


async def test_a_preflight_of_another_origin_is_given_nothing() -> None:
    app, _ = serve()
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    async with connect(app) as caller:
        answer = await caller.options(RUN, headers=headers)
    assert [name for name in answer.headers if name.startswith("access-control")] == []


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]"])
@pytest.mark.parametrize("port", [3000, 4111, 4200, 4321])
async def test_the_console_and_studio_of_this_machine_may_call(name: str, port: int) -> None:
    app, ran = serve(ServerConfig(port=4321))
    origin = f"http://{name}:{port}"
    async with connect(app) as caller:
        answer = await caller.post(RUN, headers={"origin": origin}, json={"data": {"text": "x"}})
    assert (answer.status_code, ran) == (200, ["x"])
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-allow-credentials"] == "true"


async def test_a_page_of_the_server_itself_may_call_wherever_it_listens() -> None:
    app, _ = serve()
    address = "http://127.0.0.1:59321"
    assert await call(app, address, origin=address) == 200
    assert await call(app, address, origin="http://127.0.0.1:59322") == 403


async def test_further_pages_are_a_setting() -> None:
    cors = CorsConfig(origins=["https://app.example.com"])
    for mounted in (False, True):
        app, _ = serve(ServerConfig(cors=cors), mounted=mounted)
        assert await call(app, origin="https://app.example.com") == 200
        assert await call(app, origin="http://localhost:4200") == 403
    assert await call(serve(ServerConfig(cors=False))[0], origin="http://localhost:4200") == 403
    everybody = ServerConfig(cors=CorsConfig(origins=["*"]))
    assert await call(serve(everybody)[0], origin="https://evil.example") == 200


async def test_a_redirect_never_follows_the_host_header() -> None:
    app, _ = serve(ServerConfig(auth=BearerAuth(["secret"])))
    async with connect(app) as caller:
        headers = {"host": "evil.example"}
        answer = await caller.get("/api/tools/?page=1", headers=headers)
        assert answer.status_code == 307
        assert answer.headers["location"] == "/api/tools?page=1"
        twice = await caller.get("//evil.example/..//api/tools/", headers=headers)
        assert "evil.example" not in twice.headers.get("location", "")


@pytest.mark.parametrize("host", ["localhost", "127.8.9.1", "::1", "[::1]", "::ffff:127.0.0.1"])
async def test_addresses_of_this_machine(host: str) -> None:
    assert is_loopback(host)
    assert not is_loopback(f"{host}.example")
