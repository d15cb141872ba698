"""Who may call, and whose things they see."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import jwt
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException

from mastra.errors import ConfigError
from mastra.memory import Memory
from mastra.server import (
    ApiRoute,
    BearerAuth,
    Caller,
    CorsConfig,
    JWTAuth,
    ServerConfig,
    create_app,
    router,
)
from mastra.server.app import server_of
from tests.server.wire_app import build

pytestmark = pytest.mark.anyio
KEY = "a key of at least thirty-two bytes, for the tests"
TOKENS = {"ada-token": "ada", "bob-token": "bob"}


@asynccontextmanager
async def client(
    config: ServerConfig | None = None, token: str | None = None, app: Any = None
) -> AsyncIterator[httpx.AsyncClient]:
    made = app or create_app(build(memory=Memory()), config)
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(made), base_url="http://testserver", headers=headers
    ) as opened:
        yield opened


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"asgi"})


async def hello() -> dict[str, str]:
    return {"hello": "there"}


async def test_every_route_but_health_refuses_an_anonymous_caller() -> None:
    config = ServerConfig(
        auth=BearerAuth(["secret"]),
        api_routes=[
            ApiRoute(path="/hello", method="GET", handler=hello),
            ApiRoute(path="/asgi", handler=echo),
        ],
    )
    app = create_app(build(), config)
    walked = [(method, f"/api{path}") for method, path in server_of(app).facts["routes"]]
    walked += [("GET", path) for path in ("/hello", "/api/hello", "/asgi", "/api/asgi")]
    walked.append(("GET", "/api/openapi.json"))
    assert len(walked) > 70
    async with client(app=app) as anonymous:
        for method, template in walked:
            path = template
            known = {
                "workflowId": "slowWorkflow",
                "agentId": "planningAgent",
                "toolId": "get-weather",
            }
            for name, value in known.items():
                path = path.replace(f"{{{name}}}", value)
            for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret"}):
                answer = await anonymous.request(
                    method, path, content=b"not json", headers=headers, params={"runId": "x"}
                )
                assert answer.status_code == 401, f"{method} {path}: {answer.text}"
                assert answer.json() == {"error": "Authentication required"}
        assert (await anonymous.get("/health")).status_code == 200
    async with client(app=app, token="secret") as known:
        assert (await known.get("/api/agents")).status_code == 200
        assert (await known.get("/api/asgi")).text == "asgi"
        assert (await known.get("/hello")).json() == {"hello": "there"}


async def test_a_caller_sees_and_touches_only_its_own_runs() -> None:
    app = create_app(build(), ServerConfig(auth=BearerAuth(TOKENS)))
    base = "/api/workflows/approvalWorkflow"
    async with client(app=app, token="ada-token") as ada, client(app=app, token="bob-token") as bob:
        started = await ada.post(f"{base}/start-async?runId=r", json={"inputData": {"value": 1}})
        assert started.json()["status"] == "suspended"
        assert (await ada.get(f"{base}/runs")).json()["total"] == 1
        assert (await bob.get(f"{base}/runs")).json()["total"] == 0
        assert (await bob.get("/api/workflows/run-counts")).json()["approvalWorkflow"] == {
            "running": 0,
            "suspended": 0,
        }
        body = {"step": "approve", "resumeData": {"add": 1}, "inputData": {"value": 1}}
        touches = [
            ("GET", "/runs/r"),
            ("DELETE", "/runs/r"),
            ("POST", "/runs/r/cancel"),
            *(
                ("POST", f"/{verb}?runId=r")
                for verb in [
                    "create-run",
                    "start",
                    "start-async",
                    "stream",
                    "resume",
                    "resume-async",
                    "resume-no-wait",
                    "resume-stream",
                    "observe",
                    "restart",
                    "restart-async",
                    "time-travel",
                    "time-travel-async",
                    "time-travel-stream",
                ]
            ),
        ]
        for method, path in touches:
            answer = await bob.request(method, base + path, json=body)
            assert answer.status_code == 403, f"{path}: {answer.text}"
        stolen = await bob.post(f"{base}/create-run", json={"resourceId": "ada"})
        assert stolen.status_code == 403
        assert (await ada.post(f"{base}/resume-async?runId=r", json=body)).json()[
            "status"
        ] == "success"


async def test_a_caller_sees_and_touches_only_its_own_threads() -> None:
    app = create_app(build(memory=Memory()), ServerConfig(auth=BearerAuth(TOKENS)))
    async with client(app=app, token="ada-token") as ada, client(app=app, token="bob-token") as bob:
        said = {"messages": "hi", "memory": {"thread": "t", "resource": "ada"}}
        assert (await ada.post("/api/agents/planningAgent/generate", json=said)).status_code == 200
        query = "?agentId=planningAgent"
        assert (await ada.get(f"/api/memory/threads/t/messages{query}")).json()["total"] == 2
        for method, path in (
            ("GET", "/api/memory/threads/t"),
            ("PATCH", "/api/memory/threads/t"),
            ("DELETE", "/api/memory/threads/t"),
            ("GET", "/api/memory/threads/t/messages"),
            ("GET", "/api/memory/threads/t/working-memory"),
        ):
            answer = await bob.request(method, path + query, json={"title": "mine"})
            assert answer.status_code == 403, path
        refused = await bob.post("/api/agents/planningAgent/generate", json=said)
        assert refused.status_code == 403
        said["memory"]["resource"] = "bob"
        assert (await bob.post("/api/agents/planningAgent/generate", json=said)).status_code == 403
        listed = await bob.get(f"/api/memory/threads{query}")
        assert listed.json()["threads"] == []


async def test_a_client_cannot_name_its_resource_through_the_request_context() -> None:
    app = create_app(build(), ServerConfig(auth=BearerAuth(TOKENS)))
    async with client(app=app, token="bob-token") as bob:
        body = {"inputData": {"value": 1}, "requestContext": {"mastra__resourceId": "ada"}}
        await bob.post("/api/workflows/approvalWorkflow/start-async?runId=b", json=body)
        run = await bob.get("/api/workflows/approvalWorkflow/runs/b")
        assert run.json()["resourceId"] == "bob"


@pytest.mark.parametrize(
    ("claims", "key", "status"),
    [
        ({"sub": "ada", "exp": 60}, KEY, 200),
        ({"sub": "ada", "exp": -60}, KEY, 401),
        ({"sub": "ada"}, KEY, 401),
        ({"sub": "", "exp": 60}, KEY, 401),
        ({"exp": 60}, KEY, 401),
        ({"sub": "ada", "exp": 60}, KEY[::-1], 401),
    ],
)
async def test_a_web_token_is_checked(claims: dict[str, Any], key: str, status: int) -> None:
    if "exp" in claims:
        claims = {**claims, "exp": int(time.time()) + claims["exp"]}
    token = jwt.encode(claims, key, algorithm="HS256")
    async with client(ServerConfig(auth=JWTAuth(KEY)), token) as caller:
        assert (await caller.get("/api/workflows")).status_code == status


async def test_an_unsigned_web_token_is_refused() -> None:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    token = f"{part({'alg': 'none'})}.{part({'sub': 'ada', 'exp': int(time.time()) + 60})}."
    async with client(ServerConfig(auth=JWTAuth(KEY)), token) as caller:
        assert (await caller.get("/api/workflows")).status_code == 401


async def test_auth_may_be_a_function_of_the_request() -> None:
    async def check(request: Any) -> Caller | None:
        return Caller("ada") if request.headers.get("x-key") == "1" else None

    async with client(ServerConfig(auth=check)) as caller:
        assert (await caller.get("/api/agents")).status_code == 401
        assert (await caller.get("/api/agents", headers={"x-key": "1"})).status_code == 200


@pytest.mark.parametrize("nobody", ["", {"resource_id": ""}, Caller("")])
async def test_an_empty_name_is_nobody(nobody: Any) -> None:
    async with client(ServerConfig(auth=lambda _: nobody)) as caller:
        assert (await caller.get("/api/agents")).status_code == 401
    for given in ("", Caller("")):
        with pytest.raises(ConfigError, match="not empty"):
            BearerAuth({"token": given})


async def test_auth_may_be_fastapi_dependencies() -> None:
    async def check(x_key: Annotated[str, Header()] = "") -> None:
        if x_key != "1":
            raise HTTPException(403, "no key")

    async with client(ServerConfig(auth=[Depends(check)])) as caller:
        refused = await caller.get("/api/agents")
        assert (refused.status_code, refused.json()) == (403, {"error": "no key"})
        assert (await caller.get("/api/agents", headers={"x-key": "1"})).status_code == 200


async def test_an_auth_function_that_raises_lets_nobody_in() -> None:
    async def check(request: Any) -> None:
        raise RuntimeError("the directory is down")

    async with client(ServerConfig(auth=check)) as caller:
        answer = await caller.get("/api/agents")
        assert (answer.status_code, answer.json()) == (500, {"error": "Internal server error"})


async def test_the_router_guards_itself_in_an_application_of_somebody_elses() -> None:
    app = FastAPI()
    app.include_router(router(build(), ServerConfig(auth=BearerAuth(["secret"]))), prefix="/mastra")
    async with client(app=app) as anonymous:
        assert (await anonymous.get("/mastra/agents")).status_code == 401
    async with client(app=app, token="secret") as known:
        assert "planningAgent" in (await known.get("/mastra/agents")).json()
        assert (await known.get("/mastra/workflows/nope")).json() == {"error": "Workflow not found"}


@pytest.mark.parametrize(
    ("host", "auth", "warns"),
    [
        ("127.0.0.1", None, False),
        ("::1", None, False),
        ("localhost", None, False),
        ("0.0.0.0", None, True),
        ("10.0.0.5", None, True),
        ("0.0.0.0", BearerAuth(["x"]), False),
    ],
)
async def test_an_open_server_says_so_once_when_it_starts(
    host: str, auth: Any, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(build(), ServerConfig(host=host, auth=auth))
    async with app.router.lifespan_context(app):
        pass
    warned = [
        record for record in caplog.records if "anybody who reaches it" in record.getMessage()
    ]
    assert len(warned) == int(warns)


async def test_cors_gives_credentials_to_exact_origins_alone() -> None:
    listed = CorsConfig(origins=["https://app.example.com"], credentials=True)
    async with client(ServerConfig(cors=listed)) as caller:
        known = await caller.get("/api/agents", headers={"origin": "https://app.example.com"})
        assert known.headers["access-control-allow-origin"] == "https://app.example.com"
        assert known.headers["access-control-allow-credentials"] == "true"
        other = await caller.get("/api/agents", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
    for auth in (None, BearerAuth(["secret"])):
        async with client(ServerConfig(auth=auth), token="secret") as caller:
            local = await caller.get("/api/agents", headers={"origin": "http://localhost:4200"})
            assert local.headers["access-control-allow-origin"] == "http://localhost:4200"
            assert local.headers["access-control-allow-credentials"] == "true"
            evil = {"origin": "https://localhost.evil.example"}
            other = await caller.get("/api/agents", headers=evil)
            # Who has to show a token is asked for one on every page.
            assert other.headers.get("access-control-allow-origin") == (auth and "*")
            assert "access-control-allow-credentials" not in other.headers
