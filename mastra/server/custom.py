"""Routes of the application's own beside Mastra's."""

from __future__ import annotations

import inspect
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mastra.server.config import Mountable
from mastra.server.context import SERVER_KEY, Server
from mastra.server.errors import answer_to, error_response
from mastra.server.handling import GuardedRoute, guarded

__all__ = ["add_api_routes"]

_ALL = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def add_api_routes(app: FastAPI, server: Server) -> None:
    """Add the routes, from the root and under the API's prefix."""
    prefix = server.config.api_prefix
    for route in server.config.api_routes:
        handler = route.resolve(server.mastra)
        paths = {route.path}
        if prefix and not route.path.startswith(f"{prefix}/"):
            paths.add(prefix + route.path)
        for path in sorted(paths, key=len):
            _add(app, server, route, path, handler)


def _add(app: FastAPI, server: Server, route: Mountable, path: str, handler: Any) -> None:
    if _is_asgi(handler):
        app.router.routes.append(Route(path, endpoint=_GuardedApp(server, route, handler)))
        return
    bound = type(
        "CustomRoute", (_CustomRoute,), {"server": server, "is_open": not route.requires_auth}
    )
    own = APIRouter(
        route_class=bound,
        dependencies=server.facts["dependencies"] if route.requires_auth else [],
    )
    methods = _ALL if route.method == "ALL" else [route.method]
    own.add_api_route(path, handler, methods=methods, include_in_schema=len(methods) == 1)
    app.include_router(own)


class _CustomRoute(GuardedRoute):
    is_open: bool = False

    def get_route_handler(self) -> Any:
        inner = super(GuardedRoute, self).get_route_handler()
        return guarded(inner, self.server, is_open=self.is_open)


def _is_asgi(handler: Any) -> bool:
    function = handler if inspect.isroutine(handler) else getattr(handler, "__call__", handler)  # noqa: B004
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return True
    return names[:3] == ["scope", "receive", "send"]


class _GuardedApp:
    """An ASGI application that only those may call whom the server lets in.

    Its bodies and its time are its own affair: it may take uploads and hold connections.
    """

    def __init__(self, server: Server, route: Mountable, app: ASGIApp) -> None:
        self._server = server
        self._route = route
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        scope[SERVER_KEY] = self._server
        if self._route.requires_auth:
            refusal = await self._refusal(Request(scope, receive))
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _refusal(self, request: Request) -> Response | None:
        authenticator = self._server.authenticator
        if authenticator is None:
            return None
        try:
            caller = await authenticator(request)
        except Exception as error:
            self._server.logger.exception("The auth function failed")
            return answer_to(error) or error_response(500, "Internal server error")
        if caller is None:
            headers = {"www-authenticate": "Bearer"}
            return error_response(401, "Authentication required", headers)
        request.state.caller = caller
        return None
