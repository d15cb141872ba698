"""What a server may be told, what it does with it when it starts and stops, and what it answers to failures."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from mastra import Agent, Mastra, ServerConfig, SQLStorage, create_workflow, step
from mastra.errors import ConfigError, StorageError
from mastra.server import ApiRoute, BearerAuth, Caller, CorsConfig, JWTAuth, create_app, router
from mastra.server.app import server_of
from mastra.server.draining import begin_draining, drain
from mastra.server.runner import GracefulServer, uvicorn_config
from mastra.storage.in_process import InMemoryStorage
from mastra.testing import FunctionModel

pytestmark = pytest.mark.anyio


@step
async def keep(n: int) -> int:
    return n


def application(**options: Any) -> Mastra:
    flow = create_workflow(id="flow", input_schema=int, output_schema=int).then(keep).commit()
    agent = Agent(id="a", model=FunctionModel(lambda _: "ok"))
    return Mastra(agents={"a": agent}, workflows={"flow": flow}, **options)


@asynccontextmanager
async def served(mastra: Mastra, **config: Any) -> AsyncGenerator[httpx.AsyncClient]:
    app = create_app(mastra, ServerConfig(**config))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as opened:
        yield opened


# -- what cannot be ----------------------------------------------------------------------------


async def test_a_route_of_ones_own_does_not_stand_where_the_api_is() -> None:
    async def page() -> str:
        return "a page"

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("asgi")(scope, receive, send)

    routes = [
        ApiRoute(path="/agents", handler=page),
        ApiRoute(path="/workflows/{name}", method="GET", handler=asgi),
        ApiRoute(path="/agents/mine", method="GET", handler=page),
        ApiRoute(path="/api/tools", method="GET", handler=page),
    ]
    async with served(Mastra(), api_routes=routes) as client:
        told = {
            path: (await client.get(path)).text
            for path in ("/agents", "/api/agents", "/api/agents/mine", "/api/tools")
        }
        assert told == {
            "/agents": '"a page"',
            "/api/agents": "{}",
            "/api/agents/mine": '"a page"',
            "/api/tools": '"a page"',
        }
        assert (await client.get("/workflows/x")).text == "asgi"
        assert (await client.get("/api/workflows/x")).status_code == 404
        assert (await client.post("/api/agents")).text == '"a page"'


async def test_a_route_takes_path_method_and_handler_by_position() -> None:
    async def page() -> str:
        return "a page"

    routes = [ApiRoute("/any", handler=page), ApiRoute("/one", "GET", page)]
    made = ApiRoute("/made", "POST", create_handler=lambda mastra: page)
    async with served(application(), api_routes=[*routes, made]) as client:
        for method, path in (("PUT", "/any"), ("GET", "/one"), ("POST", "/made")):
            for prefix in ("", "/api"):
                answer = await client.request(method, prefix + path)
                assert (answer.status_code, answer.json()) == (200, "a page"), path
        assert (await client.post("/one")).status_code == 405


def test_origins_are_taken_as_browsers_write_them() -> None:
    own = ["null", "*", "http://localhost:3000", "http://[::1]:8080", "capacitor://localhost"]
    assert CorsConfig(origins=own).origins == own


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: ApiRoute(path="x", handler=keep), "must begin with '/'"),
    (lambda: ApiRoute(path="/x"), "either handler or create_handler"),
    (lambda: ApiRoute(keep, "/x"), "ApiRoute: path is an object of .*. It takes text"),
    (lambda: ApiRoute("/x", "FETCH", keep), "method is 'FETCH'. It takes one of GET, POST"),
    (lambda: ApiRoute("/x", keep), "either handler or create_handler"),
    (lambda: ApiRoute("/x", handler={"a": 1}), "It takes a FastAPI endpoint or an ASGI"),
    (lambda: ApiRoute(path="/x", handler=keep, create_handler=str), "not both"),
    (lambda: ServerConfig(api_prefix="api"), "api_prefix must begin"),
    (lambda: ServerConfig(api_prefix="/api/"), "api_prefix must begin"),
    (lambda: ServerConfig(allowed_hosts=["https://a.example"]), "without a scheme"),
    (lambda: ServerConfig(push_origins=["https://a.example/path"]), "without a path"),
    (lambda: CorsConfig(credentials=True), "exact origins"),
    (lambda: ServerConfig(middleware=[GZipMiddleware]), "the class GZipMiddleware. It takes"),
    (lambda: ServerConfig(middleware=[lambda request: request]), "the request and call_next"),
    (lambda: ServerConfig(on_error=lambda error: None), "the error and the request"),
    (lambda: ApiRoute(path="/x", create_handler=lambda: keep), "a function of the Mastra"),
    (lambda: create_app(Mastra(), ServerConfig(auth=lambda: True)), "a function of the request"),
    (lambda: create_app(Mastra(), ServerConfig(auth=BearerAuth)), "the class BearerAuth"),
    (lambda: CorsConfig(origins=["localhost:3000"]), "no browser calls itself"),
    (lambda: CorsConfig(origins=["http://localhost:3000/"]), "no browser calls itself"),
    (lambda: CorsConfig(origins=["https://*.example.com"]), "give a function"),
    (lambda: create_app(cast("Any", None)), "made of a Mastra"),
    (lambda: router(cast("Any", Mastra)), "made of a Mastra"),
    (lambda: BearerAuth([]), "tokens that are not empty"),
    (lambda: BearerAuth("secret"), "tokens that are not empty"),
    (lambda: BearerAuth({"": "ann"}), "tokens that are not empty"),
    (lambda: BearerAuth({"t": ""}), "not empty, or None"),
    (lambda: JWTAuth(""), "needs a key"),
    (lambda: JWTAuth("k", algorithms=()), "algorithms that sign"),
    (lambda: JWTAuth("k", algorithms=("HS256", "None")), "algorithms that sign"),
]


def test_what_cannot_be_meant_is_refused() -> None:
    for make, says in WRONG:
        with pytest.raises(ConfigError, match=says):
            make()


# -- who calls ---------------------------------------------------------------------------------


async def test_a_web_token_has_to_be_shown() -> None:
    async with served(application(), auth=JWTAuth("k" * 32)) as client:
        for headers in ({}, {"authorization": "Basic x"}, {"authorization": "Bearer"}):
            answer = await client.get("/api/agents", headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (401, "Authentication required")


async def test_an_auth_function_says_who_calls_in_forms_that_are_known() -> None:
    seen: list[Any] = []

    def who(request: Request) -> Any:
        name = request.headers["x-who"]
        forms: dict[str, Any] = {
            "claims": {"resourceId": "ann", "role": "admin"},
            "caller": Caller("bob", {"role": "clerk"}),
            "odd": 5,
        }
        return forms[name]

    def instructions(context: Any) -> str:
        seen.append(dict(context.request_context.items()))
        return ""

    agent = Agent(id="a", model=FunctionModel(lambda _: "ok"), instructions=instructions)
    async with served(Mastra(agents={"a": agent}), auth=who) as client:
        for name in ("claims", "caller"):
            assert (await client.get("/api/agents/a", headers={"x-who": name})).status_code == 200
        odd = await client.get("/api/agents/a", headers={"x-who": "odd"})
        assert (odd.status_code, "An auth function returns" in odd.json()["error"]) == (500, True)
    claims, caller = seen
    assert claims["mastra__resourceId"] == "ann"
    assert claims["user"]["role"] == "admin"
    assert (caller["mastra__resourceId"], caller["user"]) == ("bob", {"role": "clerk"})


# -- pages of other origins --------------------------------------------------------------------

APP = "https://app.example.com"


def preflight(origin: str) -> dict[str, str]:
    return {"origin": origin, "access-control-request-method": "POST"}


async def test_preflights_are_answered_for_the_pages_that_may_call() -> None:
    config = CorsConfig(
        origins=[APP], allow_headers=["x-trace"], expose_headers=[], credentials=True, max_age=60
    )
    async with served(application(), cors=config) as client:
        answer = await client.options("/api/agents", headers=preflight(APP))
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["access-control-max-age"] == "60"
        assert answer.headers["access-control-allow-headers"].endswith(",x-trace")
        assert answer.headers["vary"] == "Origin, Access-Control-Request-Headers"
        other = await client.options("/api/agents", headers=preflight("https://evil.example"))
        assert "access-control-allow-origin" not in other.headers
        assert "access-control-allow-headers" not in other.headers
        assert other.headers["vary"] == "Origin"
        got = await client.get("/api/agents", headers={"origin": APP})
        assert "access-control-expose-headers" not in got.headers
    everybody = CorsConfig()
    async with served(application(), cors=everybody, auth=BearerAuth(["x"])) as client:
        answer = await client.options("/api/agents", headers=preflight("https://any.example"))
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["vary"] == "Access-Control-Request-Headers"
    by_function = CorsConfig(origins=lambda origin: origin.endswith(".example.com"))
    async with served(application(), cors=by_function, auth=BearerAuth(["x"])) as client:
        answer = await client.options("/api/agents", headers=preflight(APP))
        assert answer.headers["access-control-allow-origin"] == APP


# -- what fails beneath ------------------------------------------------------------------------


class Failing(InMemoryStorage):
    """A storage whose database is away."""

    def fail(self, error: Exception) -> None:
        async def raising(*_: Any, **__: Any) -> Any:
            raise error

        self.workflows.list_runs = raising


async def test_a_storage_that_fails_says_nothing_of_itself() -> None:
    storage = Failing()
    async with served(application(storage=storage)) as client:
        storage.fail(StorageError("sqlite:///secret.db is locked"))
        answer = await client.get("/api/workflows/flow/runs")
        assert answer.status_code == 503
        assert answer.json() == {"error": "The storage cannot be used at the moment."}
        assert answer.headers["x-mastra-error-code"] == StorageError.code


@pytest.mark.parametrize("place", ["route", "application", "middleware"])
async def test_an_unexpected_error_is_reported_from_wherever_it_comes(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[tuple[str, str]] = []

    async def report(error: Exception, request: Request) -> None:
        seen.append((str(error), request.url.path))

    def fail(name: str) -> None:
        if name == place:
            raise RuntimeError("password=hunter2")

    async def route() -> str:
        fail("route")
        return "ok"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        fail("application")
        await PlainTextResponse("ok")(scope, receive, send)

    async def looking(request: Request, call_next: Any) -> Any:
        fail("middleware")
        return await call_next(request)

    routes = [
        ApiRoute(path="/route", method="GET", handler=route),
        ApiRoute(path="/application", handler=app),
    ]
    config = ServerConfig(api_routes=routes, middleware=[looking], on_error=report)
    transport = httpx.ASGITransport(create_app(Mastra(), config), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        path = "/application" if place == "application" else "/route"
        answer = await client.get(path)
        assert (answer.status_code, answer.json()) == (500, {"error": "Internal server error"})
    assert seen == [("password=hunter2", path)]
    assert f"GET {path} failed" in caplog.text


@pytest.mark.parametrize("is_told", [False, True])
async def test_a_report_that_fails_changes_no_answer(
    is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def report(error: Exception, request: Request) -> None:
        raise ValueError(f"nobody hears of {error} at {request.url.path}")

    async def broken() -> str:
        raise RuntimeError("password=hunter2")

    routes = [ApiRoute(path="/broken", method="GET", handler=broken)]
    async with served(Mastra(), api_routes=routes, on_error=report if is_told else None) as client:
        answer = await client.get("/broken")
        assert (answer.status_code, answer.json()) == (500, {"error": "Internal server error"})
    assert "GET /broken failed" in caplog.text
    assert ("on_error raised" in caplog.text) is is_told


@step(suspend_schema=str, resume_schema=int)
async def ask(n: int, ctx: Any) -> int:
    return n if ctx.resume_data is not None else await ctx.suspend("?")


async def test_what_is_stored_and_cannot_be_read_is_no_storage_that_is_away(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    flow = create_workflow(id="flow", input_schema=int, output_schema=int).then(ask).commit()
    mastra = Mastra(workflows={"flow": flow}, storage=SQLStorage(f"sqlite:///{file}"))
    async with mastra, served(mastra) as client:
        path = "/api/workflows/flow"
        await client.post(f"{path}/start-async?runId=r", json={"inputData": 1})
        with sqlite3.connect(file) as database:
            database.execute("update mastra_workflow_runs set data = '{'")
        database.close()
        answer = await client.post(f"{path}/resume-async?runId=r", json={"resumeData": 1})
        assert answer.status_code == 500
        assert "under this id cannot be read" in answer.json()["error"]
        assert answer.headers["x-mastra-error-code"] == "ROW_UNREADABLE"


# -- starting and stopping ---------------------------------------------------------------------


async def test_runs_of_another_process_are_left_alone_where_that_is_said() -> None:
    storage = InMemoryStorage()
    for restart_runs, goes_on in ((False, False), (True, True)):
        mastra = application(storage=storage)
        restarted: list[str] = []

        async def noting(seen: list[str] = restarted) -> dict[str, list[str]]:
            seen.append("asked")
            return {}

        mastra.restart_all_active_workflow_runs = noting
        app = create_app(mastra, ServerConfig(restart_runs=restart_runs))
        async with app.router.lifespan_context(app):
            assert bool(restarted) is goes_on


async def test_a_server_that_stops_takes_no_more_and_says_what_is_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    @step
    async def work(n: int) -> int:
        begun.set()
        await may_end.wait()
        return n

    flow = create_workflow(id="flow", input_schema=int, output_schema=int).then(work).commit()
    app = create_app(Mastra(workflows={"flow": flow}), ServerConfig(drain_timeout=0.01))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api") as client:
        async with app.router.lifespan_context(app):
            started = await client.post("/workflows/flow/start?runId=r", json={"inputData": 1})
            assert started.status_code == 200
            await begun.wait()
            begin_draining(server_of(app))
            await drain(server_of(app))
            refused = await client.get("/workflows")
            assert (refused.status_code, "shutting down" in refused.text) == (503, True)
    assert caplog.text.count("1 runs did not reach the end of a step within 0.01 s") == 1
    may_end.set()


def test_a_server_runs_with_the_protocol_that_is_asked_for() -> None:
    app = create_app(application())
    config = server_of(app).config
    assert uvicorn_config(app, config, http="h11").http == "h11"
    timed: Any = uvicorn_config(app, config).http
    assert timed.timeout_s == config.receive_timeout


async def test_a_server_told_to_stop_twice_drains_once() -> None:
    app = create_app(application())
    server = server_of(app)
    drained: list[Any] = []

    async def closing(patience_s: float) -> None:
        drained.append(patience_s)

    listener = socket.create_server(("127.0.0.1", 0))
    options: dict[str, Any] = {"lifespan": "off", "ws": "none"}
    runner = GracefulServer(uvicorn_config(app, server.config, **options), server)
    # Told before it has begun, there is nothing to drain.
    runner.handle_exit(2, None)
    assert runner.should_exit
    runner.should_exit = False
    server.closers.add(closing)
    serving = asyncio.ensure_future(runner._serve([listener]))
    while not runner.started:
        await asyncio.sleep(0.01)
    runner.handle_exit(15, None)
    runner.handle_exit(15, None)
    await serving
    listener.close()
    assert server.draining.is_set()
    assert drained == [server.config.drain_timeout]


def test_a_server_that_cannot_begin_ends() -> None:
    """What ends the loop before the server has begun is no task of a user's."""
    app = create_app(application())
    server = server_of(app)

    class Ending(GracefulServer):
        async def startup(self, sockets: Any = None) -> None:
            raise SystemExit(3)

    runner = Ending(uvicorn_config(app, server.config, lifespan="off"), server)
    with pytest.raises(SystemExit) as ended:
        runner.run()
    assert ended.value.code == 3


async def test_a_client_that_hangs_up_while_an_application_reads_is_nobodys_error() -> None:
    async def reading(scope: Any, receive: Any, send: Any) -> None:
        await Request(scope, receive).body()
        raise AssertionError(send)

    app = create_app(Mastra(), ServerConfig(api_routes=[ApiRoute(path="/up", handler=reading)]))
    sent: list[Any] = []
    pieces = [
        {"type": "http.request", "body": b"x", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return pieces.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/up",
        "raw_path": b"/up",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "scheme": "http",
        "root_path": "",
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
    }
    await app(scope, receive, send)
    assert sent == []
