"""What a request has to pass before anything of it is read or looked up.

In this order: the server is not shutting down, the name it was called by is answered, the page it
comes from may make it, whoever calls is known, and it was them who meant it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from mastra.errors import ConfigError
from mastra.server.auth import Authenticator, authenticator_of
from mastra.server.config import ServerConfig
from mastra.server.errors import Refusal
from mastra.server.hosts import HostRule, OriginRule

__all__ = ["Gate"]

_app: ContextVar[Any] = ContextVar("mastra_serving", default=None)


class Gate:
    """Lets requests in, or refuses them.

    Raises:
        ConfigError: `auth` is nothing that can check.
    """

    def __init__(self, config: ServerConfig) -> None:
        authenticator, dependencies = authenticator_of(config.auth)
        self._authenticator: Authenticator | None = authenticator
        self._dependencies = _Dependencies(dependencies) if dependencies else None
        self._hosts = HostRule(config)
        self._origins = OriginRule(config)

    async def admit(self, request: Request) -> None:
        """Let a request in, and note at `request.state.caller` who makes it.

        Raises:
            Refusal: It is not let in.
            Exception: What the application's own check raises, which lets nobody in.
        """
        self.admit_place(request)
        # Whoever stands in between may have looked at the other one.
        if len(request.headers.getlist("authorization")) > 1:
            raise Refusal(400, "Send one Authorization header, not several.")
        if self._dependencies is not None:
            await self._dependencies.ask(request)
        elif self._authenticator is not None:
            caller = await self._authenticator(request)
            if caller is None:
                raise Refusal(401, "Authentication required")
            request.state.caller = caller
        if not self._origins.allows_caller(request.scope):
            raise Refusal(
                403,
                "Pages of this origin may not act for whoever is signed in: list it in "
                "ServerConfig(cors=CorsConfig(origins=[...])), or let the page show its token in "
                "the header Authorization.",
            )

    def admit_place(self, request: Request) -> None:
        """Look at where a request comes from alone, as of a route that anybody may call.

        Raises:
            Refusal: It comes by another name, or from another page, than the server answers.
        """
        if not self._hosts.allows(request.scope):
            raise Refusal(
                403,
                "This server does not answer to the name it was called by. Without auth it answers "
                "to this machine's own names alone: set ServerConfig(auth=...) or "
                "ServerConfig(allowed_hosts=[...]).",
            )
        if not self._origins.allows(request.scope):
            raise Refusal(
                403,
                "Pages of this origin may not call this server. Without auth only its own console "
                "and Studio may: set ServerConfig(auth=...) or "
                "ServerConfig(cors=CorsConfig(origins=[...])).",
            )

    def describe(self) -> tuple[dict[str, Any], list[Any], list[Any]]:
        """Return OpenAPI's security schemes, what each operation requires, and its parameters."""
        if self._authenticator is not None:
            return {"bearer": {"type": "http", "scheme": "bearer"}}, [{"bearer": []}], []
        return ({}, [], []) if self._dependencies is None else self._dependencies.describe()


class _Overrides:
    """Where tests put what stands in for a dependency: at the application that serves."""

    @property
    def dependency_overrides(self) -> dict[Any, Any]:
        return getattr(_app.get(), "dependency_overrides", {})


class _Dependencies:
    """FastAPI dependencies, asked before the body is read.

    A route reads its body before its dependencies are asked. So they belong to a route of their
    own, which has no body, and whose handler is called first.
    """

    def __init__(self, dependencies: Sequence[Any]) -> None:
        self._dependencies = dependencies
        self._handlers: dict[tuple[str, ...], Callable[..., Coroutine[Any, Any, Response]]] = {}
        if self._route(()).body_field is not None:
            raise ConfigError(
                "A dependency of ServerConfig(auth=[...]) takes the body. Callers are let in "
                "before their body is read: take a header, a cookie or the query."
            )

    def _route(self, names: tuple[str, ...]) -> APIRoute:
        async def passed() -> Response:
            return Response()

        return APIRoute(
            "/" + "/".join(f"{{{name}}}" for name in names),
            passed,
            dependencies=self._dependencies,
            dependency_overrides_provider=_Overrides(),
        )

    async def ask(self, request: Request) -> None:
        # A dependency may take a part of the path, and those differ from route to route.
        names = tuple(request.path_params)
        handler = self._handlers.get(names)
        if handler is None:
            handler = self._handlers[names] = self._route(names).get_route_handler()
        token = _app.set(request.scope.get("app"))
        try:
            await handler(request)
        except RequestValidationError as error:
            # What the caller should have shown is missing, or in no form that it could have.
            raise Refusal(401, "Authentication required") from error
        finally:
            _app.reset(token)

    def describe(self) -> tuple[dict[str, Any], list[Any], list[Any]]:
        made = get_openapi(title="", version="", routes=[self._route(())])
        operation = made["paths"]["/"]["get"]
        schemes = made.get("components", {}).get("securitySchemes", {})
        return schemes, operation.get("security", []), operation.get("parameters", [])
