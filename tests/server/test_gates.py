"""No request gets anywhere without having passed the gate, whatever it is that checks callers."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Body, Depends, FastAPI, Header, HTTPException, Request
from fastapi.security import HTTPBearer
from starlette.routing import BaseRoute

from mastra.ag_ui import ag_ui_route
from mastra.ai_sdk import chat_route, workflow_route
from mastra.errors import ConfigError
from mastra.mcp import MCPServer
from mastra.memory import Memory
from mastra.server import (
    ApiRoute,
    BearerAuth,
    Caller,
    ServerConfig,
    create_app,
    openai_route,
    router,
)
from mastra.server.app import server_of
from tests.server.wire_app import build
from tests.support.lanes import first_ones

pytestmark = pytest.mark.anyio
KEY = {"authorization": "Bearer secret"}


async def check(request: Request) -> Caller | None:
    return Caller("ada") if request.headers.get("authorization") == "Bearer secret" else None


def check_now(request: Request) -> bool:
    return request.headers.get("authorization") == "Bearer secret"


class Directory:
    async def __call__(self, request: Request) -> str | None:
        return "ada" if check_now(request) else None


async def need_key(authorization: Annotated[str, Header()]) -> None:
    if authorization != "Bearer secret":
        raise HTTPException(403, "wrong key")


def need_key_now(authorization: Annotated[str, Header()] = "") -> None:
    if authorization != "Bearer secret":
        raise HTTPException(403, "wrong key")


async def need_key_while(authorization: Annotated[str, Header()] = "") -> AsyncIterator[None]:
    if authorization != "Bearer secret":
        raise HTTPException(403, "wrong key")
    yield


FORMS: dict[str, Any] = {
    "bearer": BearerAuth(["secret"]),
    "object": Directory(),
    "function": check,
    "sync function": check_now,
    "partial": functools.partial(check),
    "dependency": Depends(need_key),
    "dependencies": [Depends(need_key_now), Depends(need_key)],
    "generator": [Depends(need_key_while)],
}


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"asgi"})


async def hello() -> dict[str, str]:
    return {"hello": "there"}


def routes_of(auth: Any) -> ServerConfig:
    own: list[Any] = [
        ApiRoute(path="/hello", method="GET", handler=hello),
        ApiRoute(path="/any", handler=hello),
        ApiRoute(path="/asgi", handler=echo),
        ag_ui_route(),
        ag_ui_route("/ag-ui/workflows/{workflow_id}"),
        chat_route(),
        workflow_route(),
        openai_route(),
        ApiRoute(
            path="/mcp", create_handler=lambda m: MCPServer("all", tools=m.list_tools()).asgi_app()
        ),
        ApiRoute(path="/open", method="GET", handler=hello, requires_auth=False),
        ApiRoute(path="/open/asgi", handler=echo, requires_auth=False),
    ]
    return ServerConfig(auth=auth, api_routes=own)


OPEN = {"/health", "/open", "/open/asgi", "/api/open", "/api/open/asgi"} | {
    f"{prefix}/open/asgi/{{path_below:path}}" for prefix in ("", "/api")
}


def walk(routes: Iterable[BaseRoute], prefix: str = "") -> list[tuple[str, str]]:
    """Return every method and path that an application answers, also inside of what it mounts."""
    found: list[tuple[str, str]] = []
    for route in routes:
        inner: Any = getattr(route, "original_router", None) or getattr(route, "app", None)
        context: Any = getattr(route, "include_context", None)
        if getattr(inner, "routes", None) and not hasattr(route, "endpoint"):
            own = context.prefix if context is not None else getattr(route, "path", "")
            found += walk(inner.routes, prefix + own)
            continue
        path = prefix + getattr(route, "path", "")
        methods: set[str] = getattr(route, "methods", None) or {"GET", "POST", "PUT", "DELETE"}
        found += [(method, path) for method in sorted(methods - {"HEAD"})]
    return found


def filled(path: str) -> str:
    known = {"workflowId": "slowWorkflow", "agentId": "planningAgent", "toolId": "get-weather"}
    path = path.replace("{chat_id:path}", "chat").replace("{model:path}", "planningAgent")
    for name, value in known.items():
        path = path.replace(f"{{{name}}}", value)
    return path.replace("{", "").replace("}", "")


async def never_read() -> AsyncIterator[bytes]:
    raise AssertionError("the body was read before it was known who calls")
    yield b""


def connect(app: Any, **options: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://testserver", **options)


async def all_refused(app: FastAPI, walked: list[tuple[str, str]]) -> None:
    async with connect(app) as anonymous:
        for method, template in walked:
            for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret"}):
                answer = await anonymous.request(
                    method,
                    filled(template),
                    content=never_read(),
                    headers={"content-type": "application/json", **headers},
                    params={"runId": "x"},
                )
                if template in OPEN:
                    assert answer.status_code == 200, template
                else:
                    assert answer.status_code in {401, 403}, f"{method} {template}: {answer.text}"
                    assert set(answer.json()) == {"error"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("form", first_ones(1, FORMS))
async def test_nothing_that_is_mounted_is_open(form: str) -> None:
    app = create_app(build(memory=Memory()), routes_of(FORMS[form]))
    walked = walk(app.routes)
    known = {path for _, path in walked}
    assert {f"/api{path}" for _, path in server_of(app).facts["routes"]} <= known
    assert {"/", "/docs", "/swagger-ui", "/api/openapi.json", "/api/mcp", "/asgi", *OPEN} <= known
    assert {"/chat/{agent_id}", "/api/workflow/{workflow_id}/{chat_id:path}/stop"} <= known
    await all_refused(app, walked)
    async with connect(app, headers=KEY) as caller:
        for path in ("/", "/docs", "/api/openapi.json", "/api/agents", "/any", "/api/asgi"):
            assert (await caller.get(path)).status_code == 200, path


@pytest.mark.timeout(60)
@pytest.mark.parametrize("form", first_ones(1, FORMS))
async def test_nothing_is_open_in_an_application_of_somebody_elses(form: str) -> None:
    app = FastAPI(openapi_url=None)
    app.include_router(router(build(), ServerConfig(auth=FORMS[form])), prefix="/mastra")
    walked = walk(app.routes)
    assert len(walked) > 70
    await all_refused(app, walked)
    async with connect(app, headers=KEY) as caller:
        assert "planningAgent" in (await caller.get("/mastra/agents")).json()


async def test_a_dependency_is_asked_once_and_may_take_a_part_of_the_path() -> None:
    asked: list[str] = []

    def note(request: Request, toolId: str) -> None:  # noqa: N803
        asked.append(toolId)
        request.state.caller = Caller("ada")

    app = create_app(build(), ServerConfig(auth=[Depends(note)]))
    async with connect(app) as caller:
        assert (await caller.get("/api/tools/get-weather")).status_code == 200
        assert (await caller.post("/api/tools/get-weather/execute", json={})).status_code == 200
    assert asked == ["get-weather", "get-weather"]


async def test_a_dependency_may_be_overridden_by_tests() -> None:
    app = create_app(build(), ServerConfig(auth=[Depends(need_key)]))
    app.dependency_overrides[need_key] = lambda: None
    async with connect(app) as caller:
        assert (await caller.get("/api/agents")).status_code == 200


async def test_a_generator_dependency_ends_after_the_answer() -> None:
    order: list[str] = []

    async def around() -> AsyncIterator[None]:
        order.append("in")
        yield
        order.append("out")

    async def told(scope: Any, receive: Any, send: Any) -> None:
        order.append("answer")
        await echo(scope, receive, send)

    config = ServerConfig(auth=[Depends(around)], api_routes=[ApiRoute(path="/told", handler=told)])
    async with connect(create_app(build(), config)) as caller:
        assert (await caller.get("/told")).text == "asgi"
    assert order == ["in", "answer", "out"]


async def test_the_description_says_what_dependencies_look_at() -> None:
    bearer = HTTPBearer()
    app = create_app(build(), ServerConfig(auth=[Depends(bearer), Depends(need_key_now)]))
    async with connect(app, headers=KEY) as caller:
        made = (await caller.get("/api/openapi.json")).json()
    assert made["components"]["securitySchemes"] == {
        "HTTPBearer": {"type": "http", "scheme": "bearer"}
    }
    assert made["security"] == [{"HTTPBearer": []}]
    named = [item["name"] for item in made["paths"]["/api/agents"]["get"]["parameters"]]
    assert named == ["authorization"]


async def takes_body(given: Annotated[dict[str, Any], Body()]) -> None:
    del given


@pytest.mark.parametrize(
    ("auth", "says"),
    [
        ([], "one FastAPI dependency or more"),
        ([check], "each as Depends"),
        ([Depends(takes_body)], "takes the body"),
        ("secret", "ServerConfig"),
        (False, "ServerConfig"),
    ],
)
async def test_what_cannot_check_is_refused_when_the_server_is_made(auth: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        create_app(build(), ServerConfig(auth=auth))


@pytest.mark.parametrize("mount", [create_app, None])
async def test_a_check_that_raises_lets_nobody_in(mount: Callable[..., FastAPI] | None) -> None:
    def fall() -> None:
        raise RuntimeError("password=hunter2")

    config = ServerConfig(auth=[Depends(fall)], api_routes=[ApiRoute(path="/asgi", handler=echo)])
    app = FastAPI() if mount is None else mount(build(), config)
    if mount is None:
        app.include_router(router(build(), config), prefix="/api")
    paths = ["/api/agents", *(["/asgi"] if mount else [])]
    async with connect(app) as caller:
        for path in paths:
            answer = await caller.get(path)
            assert (answer.status_code, answer.json()) == (500, {"error": "Internal server error"})
