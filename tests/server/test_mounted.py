"""ASGI applications of one's own: at their address and below it, whatever addresses they know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from mastra import Mastra
from mastra.server import ApiRoute, BearerAuth, ServerConfig, create_app

pytestmark = pytest.mark.anyio


async def shown(request: Request) -> JSONResponse:
    await request.body()
    return JSONResponse([request.scope["path"], request.scope["root_path"], request.path_params])


async def raw(scope: Any, receive: Any, send: Any) -> None:
    await JSONResponse([scope["path"], scope["root_path"]])(scope, receive, send)


def relative() -> FastAPI:
    """Return an application that knows what stands behind the place where it is mounted."""
    made = FastAPI(openapi_url=None)
    for path in ("/", "/items/{item}"):
        made.router.routes.append(Route(path, shown, methods=["GET", "POST"]))
    return made


def absolute() -> FastAPI:
    """Return one that knows its whole addresses."""
    made = FastAPI(openapi_url=None)
    for path in ("/whole", "/whole/{item}"):
        made.router.routes.append(Route(path, shown))
    return made


def client(**config: Any) -> httpx.AsyncClient:
    app = create_app(Mastra(), ServerConfig(**config))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")


async def test_an_application_is_asked_which_addresses_it_knows(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("a page")
    routes = [
        ApiRoute("/sub", handler=relative()),
        ApiRoute("/whole", handler=absolute()),
        ApiRoute("/raw", handler=raw),
        ApiRoute("/zipped", handler=GZipMiddleware(relative())),
        ApiRoute("/of/{name}", handler=relative()),
        ApiRoute("/files", handler=StaticFiles(directory=tmp_path)),
    ]
    async with client(api_routes=routes) as http:
        for prefix in ("", "/api"):
            for path, told in {
                "/sub": [f"{prefix}/sub/", f"{prefix}/sub", {}],
                "/sub/": [f"{prefix}/sub/", f"{prefix}/sub", {}],
                "/sub/items/7": [f"{prefix}/sub/items/7", f"{prefix}/sub", {"item": "7"}],
                "/of/ada/items/7": [
                    f"{prefix}/of/ada/items/7",
                    f"{prefix}/of/ada",
                    {"name": "ada", "item": "7"},
                ],
                "/raw": [f"{prefix}/raw", ""],
                "/raw/x/y": [f"{prefix}/raw/x/y", f"{prefix}/raw"],
                "/zipped": [f"{prefix}/zipped/", f"{prefix}/zipped", {}],
                "/zipped/items/7": [f"{prefix}/zipped/items/7", f"{prefix}/zipped", {"item": "7"}],
            }.items():
                assert (await http.get(prefix + path)).json() == told, prefix + path
            assert (await http.get(prefix + "/files/page.txt")).text == "a page"
            assert (await http.get(prefix + "/files/other.txt")).status_code == 404
        assert (await http.get("/whole")).json() == ["/whole", "", {}]
        assert (await http.get("/whole/7")).json() == ["/whole/7", "", {"item": "7"}]


async def test_what_is_below_an_application_hides_no_address_of_the_api() -> None:
    routes = [
        ApiRoute(path, handler=raw) for path in ("/api", "/agents", "/api/agents", "/", "/docs")
    ]
    async with client(api_routes=routes) as http:
        assert (await http.get("/api/workflows")).json() == {}
        assert (await http.get("/agents/x")).json() == ["/agents/x", "/agents"]
        assert (await http.get("/api/agents/x")).json() == {"error": "Agent with id x not found"}
        assert (await http.get("/api/openapi.json")).json()["openapi"] == "3.1.0"
        assert (await http.get("/nothing")).status_code == 404


async def test_what_is_below_an_application_is_guarded_like_it() -> None:
    routes = [
        ApiRoute("/sub", handler=relative(), body_size_limit=3),
        ApiRoute("/open", handler=relative(), requires_auth=False),
    ]
    async with client(api_routes=routes, auth=BearerAuth(["key"])) as http:
        assert (await http.get("/sub/items/7")).status_code == 401
        assert (await http.get("/open/items/7")).status_code == 200
        key = {"authorization": "Bearer key"}
        assert (await http.get("/sub/items/7", headers=key)).status_code == 200
        large = await http.post("/sub/items/7", headers=key, content=b"four")
        assert large.status_code == 413


async def test_a_mounted_server_mounts_on() -> None:
    outer = FastAPI()
    outer.mount(
        "/ai",
        create_app(Mastra(server=ServerConfig(api_routes=[ApiRoute("/sub", handler=relative())]))),
    )
    transport = httpx.ASGITransport(outer)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        assert (await http.get("/ai/sub/items/7")).json() == [
            "/ai/sub/items/7",
            "/ai/sub",
            {"item": "7"},
        ]
