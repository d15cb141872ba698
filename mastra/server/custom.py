"""Routes of the application's own beside Mastra's."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mastra.server.bodies import BoundedBody
from mastra.server.config import Mountable
from mastra.server.context import Server
from mastra.server.handling import bound_route
from mastra.server.mounted import BELOW, Mounted, has_below

__all__ = ["add_api_routes", "guarded_app"]

_ALL = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def add_api_routes(app: FastAPI, server: Server) -> list[Route]:
    """Add the routes, from the root and under the API's prefix.

    Returns:
        What is below ASGI applications, to be added after all others.
    """
    prefix = server.config.api_prefix
    taken = {
        (one, _shape(path))
        for method, path in server.facts["routes"]
        for one in (_ALL if method == "ALL" else [method])
    }
    below: list[Route] = []
    for route in chain.from_iterable(map(_listed, server.config.api_routes)):
        handler = route.resolve(server.mastra)
        methods = _ALL if route.method == "ALL" else [route.method.upper()]
        below += _add(app, server, route, route.path, handler, methods)
        if not prefix or route.path.startswith(f"{prefix}/"):
            continue
        # An application's page at `/agents` must not stand where clients look for the agents.
        free = [one for one in methods if (one, _shape(route.path)) not in taken]
        if free == methods or (free and not _is_asgi(handler)):
            below += _add(app, server, route, prefix + route.path, handler, free)
    return below


def _shape(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


def _listed(routes: Mountable | Sequence[Mountable]) -> Sequence[Mountable]:
    return routes if isinstance(routes, Sequence) else [routes]


def _add(
    app: FastAPI, server: Server, route: Mountable, path: str, handler: Any, methods: list[str]
) -> list[Route]:
    if _is_asgi(handler):
        return _add_application(app, server, route, path, handler)
    guarded = bound_route(server, is_open=not route.requires_auth, limit=route.body_size_limit)
    own = APIRouter(route_class=guarded)
    own.add_api_route(path, handler, methods=methods, include_in_schema=len(methods) == 1)
    app.include_router(own)
    return []


def _add_application(
    app: FastAPI, server: Server, route: Mountable, path: str, handler: ASGIApp
) -> list[Route]:
    mounted = handler if route.guards_itself else Mounted(handler)
    app.router.routes.append(Route(path, endpoint=_GuardedApp(server, route, path, mounted)))
    if route.guards_itself or not has_below(path):
        return []
    return [Route(path + BELOW, endpoint=_GuardedApp(server, route, path + BELOW, mounted))]


def guarded_app(server: Server, route: Mountable, prefix: str) -> Route:
    """Return a route of the server's own that is an ASGI application."""
    path = prefix + route.path
    return Route(path, endpoint=_GuardedApp(server, route, path, route.resolve(server.mastra)))


def _is_asgi(handler: Any) -> bool:
    function = handler if inspect.isroutine(handler) else getattr(handler, "__call__", handler)  # noqa: B004
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return True
    return names[:3] == ["scope", "receive", "send"]


class _GuardedApp:
    """An ASGI application that only those may call whom the server lets in.

    It stands behind a route like any other, whose answer is what the application sends: it may
    take its time and hold connections.
    """

    def __init__(self, server: Server, route: Mountable, path: str, app: ASGIApp) -> None:
        self._app = app
        # Inngest's looks at where requests come from, and how large they are, by itself.
        if route.guards_itself and not route.requires_auth:
            return
        limit = route.body_size_limit or server.config.body_size_limit
        bounded = BoundedBody(app, limit, server.config.receive_timeout)

        async def answer() -> Response:
            return _Answer(bounded)

        route_class = bound_route(server, is_open=not route.requires_auth, reads_body=False)
        self._app = route_class(path, answer, methods=["GET"]).app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._app(scope, receive, send)


class _Answer(Response):
    """What an ASGI application sends."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await self._app(scope, receive, send)
