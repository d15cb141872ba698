"""`create_app(mastra)` and `router(mastra)`: wiring only."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute

from mastra.errors import ConfigError
from mastra.given import shown
from mastra.observability.config import collecting_logs
from mastra.registry import Mastra
from mastra.server.config import ServerConfig
from mastra.server.context import Server
from mastra.server.cors import CorsMiddleware
from mastra.server.custom import add_api_routes, guarded_app
from mastra.server.draining import drain
from mastra.server.errors import answer_to, not_found_page
from mastra.server.gate import Gate
from mastra.server.handling import WireResponse, bound, bound_route, unexpected
from mastra.server.openapi import add_documentation, root_of
from mastra.server.redirects import RelativeRedirects
from mastra.server.routes.a2a import add_a2a_routes
from mastra.server.routes.agents import add_agent_routes
from mastra.server.routes.datasets import add_dataset_routes
from mastra.server.routes.experiments import add_experiment_routes, runner_of
from mastra.server.routes.feedback import add_feedback_routes
from mastra.server.routes.logs import add_log_routes
from mastra.server.routes.mcp import MCP_DOORS, add_mcp_routes, mcp_doors
from mastra.server.routes.memory import add_memory_routes
from mastra.server.routes.metrics import add_metric_routes
from mastra.server.routes.observability import add_observability_routes
from mastra.server.routes.ratings import add_rating_routes
from mastra.server.routes.results import add_result_routes
from mastra.server.routes.runs import add_run_routes
from mastra.server.routes.schedules import add_schedule_routes
from mastra.server.routes.scores import add_score_routes
from mastra.server.routes.suggestions import add_suggestion_routes
from mastra.server.routes.system import add_system_routes
from mastra.server.routes.tools import add_tool_routes
from mastra.server.routes.workflows import add_workflow_routes

__all__ = ["SERVER_STATE", "create_app", "router", "server_of"]

SERVER_STATE = "mastra_server"
"""Under which name an application's state holds its `Server`."""

_WELCOME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Mastra</title></head>
<body><h1>Mastra for Python</h1>
<p>The REST API is under <code>{prefix}</code>{docs}.</p></body></html>
"""


def server_of(app: FastAPI) -> Server:
    """Return the server behind an application that `create_app` made."""
    return getattr(app.state, SERVER_STATE)


def _config_of(mastra: Mastra, config: ServerConfig | None) -> ServerConfig:
    if not isinstance(mastra, Mastra):
        raise ConfigError(f"A server is made of a Mastra(agents=[…], …), not of {shown(mastra)}.")
    return config or mastra.server or ServerConfig()


def create_app(mastra: Mastra, config: ServerConfig | None = None) -> FastAPI:
    """Return an application that serves the REST API.

    It opens the storage when it starts, goes on with the runs that were cut off, and closes what
    the `Mastra` object owns when it stops.

    Args:
        mastra: What to serve.
        config: How; left out, what `Mastra(server=...)` says.

    Raises:
        ConfigError: Part of the configuration cannot be used.
    """
    settings = _config_of(mastra, config)
    server, routes = _build(mastra, settings, settings.api_prefix)
    app = FastAPI(
        title="Mastra API",
        version="1.0.0",
        description="Agents, workflows and tools of this application.",
        lifespan=_lifespan(server),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        middleware=_middleware(settings),
        exception_handlers={404: _no_route, 405: _no_route, Exception: _last_resort(server)},
    )
    setattr(app.state, SERVER_STATE, server)
    app.add_api_route("/health", _health, methods=["GET", "HEAD"], include_in_schema=False)
    own = APIRouter(route_class=bound_route(server))
    own.add_api_route("/", _welcome(settings), include_in_schema=False)
    app.include_router(own)
    below = add_api_routes(app, server)
    # Not as a router that is included: FastAPI would take every signature apart once more.
    app.router.routes.extend(routes)
    if settings.openapi:
        add_documentation(app, server)
    app.router.routes.extend(below)
    return app


def router(mastra: Mastra, config: ServerConfig | None = None) -> APIRouter:
    """Return the routes, without a prefix, to include in an application of your own.

    Give the prefix where it is included: `app.include_router(router(mastra), prefix="/api")`. Who
    may call, the size of bodies, time-outs and errors are those of the configuration; CORS and
    other middleware are the application's.
    """
    server, routes = _build(mastra, _config_of(mastra, config))
    return APIRouter(routes=routes, lifespan=_lifespan(server))


def _build(
    mastra: Mastra, config: ServerConfig, prefix: str = ""
) -> tuple[Server, list[BaseRoute]]:
    server = Server(mastra, config, Gate(config))
    made = _routes(prefix)
    server.facts["routes"] = [
        (method, route.path.removeprefix(prefix))
        for route in made
        for method in sorted(route.methods or ())
    ] + list(MCP_DOORS)
    doors = [guarded_app(server, route, prefix) for route in mcp_doors(server)]
    return server, [*(bound(route, server) for route in made), *doors]


@functools.cache
def _routes(prefix: str) -> tuple[APIRoute, ...]:
    """Return what FastAPI makes of every route; that takes long and is the same for each server."""
    api = APIRouter(prefix=prefix, default_response_class=WireResponse)
    for add_routes in (
        add_agent_routes,
        add_workflow_routes,
        add_run_routes,
        add_tool_routes,
        add_memory_routes,
        add_observability_routes,
        add_metric_routes,
        add_log_routes,
        add_score_routes,
        add_rating_routes,
        add_suggestion_routes,
        add_dataset_routes,
        add_experiment_routes,
        add_result_routes,
        add_feedback_routes,
        add_mcp_routes,
        add_a2a_routes,
        add_schedule_routes,
        add_system_routes,
    ):
        add_routes(api)
    return tuple(route for route in api.routes if isinstance(route, APIRoute))


def _lifespan(server: Server) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def life(_: Any) -> AsyncGenerator[None]:
        mastra, config = server.mastra, server.config
        warning = config.open_warning
        if warning is not None:
            server.logger.warning(warning)
        server.draining, server.drained = asyncio.Event(), None
        await mastra.open(restart_runs=config.restart_runs)
        try:
            if config.restart_runs:
                await _go_on(server)
            with collecting_logs(mastra.observability, mastra.logger):
                yield
        finally:
            await drain(server)
            await runner_of(server).aclose()
            await mastra.aclose()

    return life


async def _go_on(server: Server) -> None:
    """Go on with what was cut off when the process before ended."""
    mastra = server.mastra
    restarted = await mastra.restart_all_active_workflow_runs()
    for workflow_id, run_ids in restarted.items():
        server.logger.info("%d runs of %r go on", len(run_ids), workflow_id)
    recovered = await mastra.recover_all_durable_agents()
    for agent_id, run_ids in recovered.items():
        server.logger.info("%d runs of agent %r go on", len(run_ids), agent_id)
    experiments = await runner_of(server).go_on()
    if experiments:
        server.logger.info("%d experiments go on", len(experiments))


def _middleware(config: ServerConfig) -> list[Middleware]:
    stack: list[Middleware] = [Middleware(RelativeRedirects)]
    if config.cors is not False:
        stack.append(Middleware(CorsMiddleware, config=config))
    for item in config.middleware:
        if isinstance(item, Middleware):
            stack.append(item)
        else:
            stack.append(Middleware(BaseHTTPMiddleware, dispatch=item))
    return stack


async def _health() -> dict[str, bool]:
    return {"success": True}


def _welcome(config: ServerConfig) -> Callable[[Request], Any]:
    async def welcome(request: Request) -> Response:
        root = escape(root_of(request))
        docs = f', described at <a href="{root}/docs">{root}/docs</a>' if config.openapi else ""
        page = _WELCOME.format(prefix=f"{root}{config.api_prefix}" or "/", docs=docs)
        return HTMLResponse(page, headers={"content-type": "text/html"})

    return welcome


async def _no_route(request: Request, error: Exception) -> Response:
    # Inside a route of one's own an HTTPException is an answer; outside, there is no route.
    answer = None if request.scope.get("endpoint") is None else answer_to(error)
    return answer or not_found_page()


def _last_resort(server: Server) -> Callable[[Request, Any], Coroutine[Any, Any, Response]]:
    """Return what answers for what no route did: ASGI applications, and middleware."""

    async def answer(request: Request, error: Exception) -> Response:
        return answer_to(error) or await unexpected(server, request, error)

    return answer
