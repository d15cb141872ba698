"""Pages of other origins, in the browser of somebody who is signed in: by cookie, or by password.

A browser adds those to what any page sends, and asks no leave before a form's post.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request

from mastra.server import ApiRoute, CorsConfig, ServerConfig, create_app, router
from tests.server.test_ownership_matrix import ALICE, ROWS, World, application

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

SHOWN = {"Bearer a": "alice", "Basic YTphbGljZQ==": "alice", "Bearer b": "bob"}
COOKIE = {"cookie": "session=alice"}
EVIL = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
KINDS = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None]


def known(request: Request) -> str | None:
    shown = request.headers.get("authorization", "")
    return SHOWN.get(shown) or request.cookies.get("session")


async def take(request: Request) -> dict[str, int]:
    return {"took": len(await request.body())}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    mastra = application()
    assert mastra.server is not None
    own = ApiRoute(path="/own", method="POST", handler=take)
    opened = ApiRoute(path="/hook", method="POST", handler=take, requires_auth=False)
    routes = [*mastra.server.api_routes, own, opened]
    app = create_app(mastra, replace(mastra.server, auth=known, api_routes=routes))
    transport = httpx.ASGITransport(app)
    async with mastra, httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
        made = World(mastra, app, http)
        await made.prepare()
        yield made


def asked(world: World) -> list[tuple[str, str, dict[str, Any]]]:
    """Return every route that may change something, and what it is sent."""
    found: list[tuple[str, str, dict[str, Any]]] = [("POST", "/own", {}), ("POST", "/api/own", {})]
    for route in sorted(world.routes):
        method = route.partition(" ")[0]
        rows = ROWS.get(route) or [("", {})]
        given = json.loads(json.dumps(rows[0][1]).replace("alice-trace", world.trace))
        if method != "GET":
            found.append(("POST" if method == "ALL" else method, world.path(route), given))
    assert len(found) > 60
    return found


async def test_no_route_acts_for_a_page_of_another_origin(world: World) -> None:
    before = await world.hers()
    for method, path, given in asked(world):
        body = json.dumps(given["json"]) if given.get("json") else ""
        # Each kind with and without a body: some routes read none.
        for kind, content in [*((kind, body) for kind in KINDS), ("text/plain", "{}"), (None, "")]:
            headers = {**COOKIE, **EVIL, **({} if kind is None else {"content-type": kind})}
            answer = await world.http.request(
                method, path, content=content, params=given.get("params"), headers=headers
            )
            assert answer.status_code == 403, (method, path, kind, answer.text)
            assert "CorsConfig" in answer.json()["error"]
    assert await world.hers() == before


async def test_no_route_takes_a_body_that_is_no_json_for_json(world: World) -> None:
    before = await world.hers()
    tried = 0
    for method, path, given in asked(world):
        if not given.get("json") and "/a2a/" not in path:
            continue
        for kind in KINDS:
            headers = {**ALICE, **({} if kind is None else {"content-type": kind})}
            answer = await world.http.request(
                method,
                path,
                content=json.dumps(given.get("json") or {}),
                params=given.get("params"),
                headers=headers,
            )
            # Pages' own routes are FastAPI's, which says it with 400.
            assert answer.status_code in {400, 415}, (method, path, kind, answer.text)
            assert "content-type: application/json" in answer.text
            tried += answer.status_code == 415
    assert tried > 100
    assert await world.hers() == before


CREATE = "/api/workflows/flow/create-run"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://testserver"}, 200),
        ({"origin": "http://testserver", "sec-fetch-site": "same-origin"}, 200),
        # A proxy that writes its own name into Host, and the browser's word.
        ({"origin": "https://app.example.com", "sec-fetch-site": "same-origin"}, 200),
        ({"origin": "null", "sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"origin": "http://localhost:4200", "sec-fetch-site": "cross-site"}, 200),
        (EVIL, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://testserver.evil.example"}, 403),
        ({"origin": "http://testserver:81"}, 403),
        ({"origin": "http://testserver@evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "*"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        # The same name by another scheme: somebody on the way may be speaking.
        ({"origin": "http://testserver", "sec-fetch-site": "cross-site"}, 403),
        ({**EVIL, "content-type": "application/json"}, 403),
        ({**EVIL, "x-forwarded-host": "evil.example"}, 403),
        # A form that is answered with GET's method in a header stays one.
        ({**EVIL, "x-http-method-override": "GET"}, 403),
    ],
)
async def test_which_pages_may_act_for_whoever_has_the_cookie(
    world: World, headers: dict[str, str], status: int
) -> None:
    answer = await world.http.post(CREATE, headers={**COOKIE, **headers})
    assert answer.status_code == status
    assert (await world.http.get("/api/agents", headers={**COOKIE, **headers})).is_success


async def test_a_page_that_shows_its_token_may_be_anybodys(world: World) -> None:
    shown = {**EVIL, "authorization": "Bearer a"}
    assert (await world.http.post(CREATE, headers=shown)).status_code == 200
    # A browser adds a password by itself, and who is nobody hears that first.
    password = {**EVIL, "authorization": "Basic YTphbGljZQ=="}
    assert (await world.http.post(CREATE, headers=password)).status_code == 403
    assert (await world.http.post(CREATE, headers=EVIL)).status_code == 401
    # What anybody may call is its own handler's matter: other sites' forms may be meant to.
    hook = await world.http.post("/hook", headers=EVIL, content="a=1")
    assert (hook.status_code, hook.json()) == (200, {"took": 3})
    own = await world.http.post(
        "/own", headers={**COOKIE, "content-type": "text/plain"}, content="x"
    )
    assert own.json() == {"took": 1}


async def test_pages_that_are_named_may_act_and_a_star_names_none() -> None:
    page = {**COOKIE, "origin": "https://app.example.com", "sec-fetch-site": "cross-site"}
    for origins, status in ((["https://app.example.com"], 200), (["*"], 403), (["null"], 403)):
        config = ServerConfig(auth=known, cors=CorsConfig(origins=origins))
        mastra = application()
        for app in (create_app(mastra, config), mounted(mastra, config)):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
                assert (await http.post(CREATE, headers=page)).status_code == status


def mounted(mastra: Any, config: ServerConfig) -> Any:
    app = FastAPI()
    app.include_router(router(mastra, config), prefix="/api")
    return app


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON ; charset=utf-8", "application/a2a+json"]
)
async def test_json_may_be_called_by_its_names(world: World, kind: str) -> None:
    answer = await world.http.post(
        "/api/agents/a/generate",
        content='{"messages": "hi"}',
        headers={**ALICE, "content-type": kind},
    )
    assert answer.status_code == 200, answer.text


async def test_two_tokens_are_none(world: World) -> None:
    headers = [("authorization", "Bearer a"), ("authorization", "Bearer b")]
    answer = await world.http.get("/api/agents", headers=headers)
    assert (answer.status_code, "one Authorization" in answer.text) == (400, True)
