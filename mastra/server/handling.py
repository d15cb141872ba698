"""What happens around every route: who calls, how large the body is, how long it may take.

It is a class of route rather than middleware, so that `router(mastra)` behaves the same in an
application of somebody else's.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import re
from collections.abc import Callable, Coroutine, Mapping
from itertools import chain
from typing import Any, ClassVar, Final
from urllib.parse import quote, unquote

from fastapi.routing import APIRoute, APIRouter, request_response
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from mastra.failures import Guard, call_user
from mastra.jsonable import dump_wire
from mastra.server.bodies import arriving
from mastra.server.context import SERVER_KEY, Server, load_strict
from mastra.server.errors import READ_AS_NO_JSON, Refusal, answer_to, error_response
from mastra.server.heads import as_get, without_body

__all__ = ["GuardedRoute", "WireResponse", "add", "bound", "bound_route", "guarded", "unexpected"]

_ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
}
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})


class StrictRequest(Request):
    """A request whose body is bounded, and JSON of a sane depth."""

    limit: int = 0
    timeout: float | None = None

    async def body(self) -> bytes:
        """Return the body.

        Raises:
            Refusal: It is larger than the server takes, or too slow.
            ClientDisconnect: The caller is gone.
        """
        if not hasattr(self, "_body"):
            parts: list[bytes] = []
            async for message in arriving(self.scope, self.receive, self.limit, self.timeout):
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                parts.append(message.get("body", b""))
            self._body = b"".join(parts)
            self._stream_consumed = True
        return self._body

    async def json(self) -> Any:
        """Return the body as JSON.

        Raises:
            json.JSONDecodeError: It is none, or nested too deeply.
        """
        body = await self.body()
        try:
            return load_strict(body)
        except ValueError as error:
            coding = self.headers.get("content-encoding")
            why = f"it came with content-encoding: {coding}" if coding else str(error)
            raise json.JSONDecodeError(why, "", 0) from None


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def guarded(
    handler: Handler,
    server: Server,
    *,
    is_open: bool = False,
    reads_body: bool = True,
    takes_json: bool = False,
    limit: int | None = None,
) -> Handler:
    """Return a handler with everything that happens around one.

    Args:
        handler: Answers the request.
        server: The server it belongs to.
        is_open: Whether anybody may call it.
        reads_body: Whether it is given the body, or takes it as it comes.
        takes_json: Whether a body that does not say that it is JSON is refused.
        limit: How many bytes a body may have; left out, what the server takes.
    """
    config = server.config

    async def handle(request: Request) -> Response:
        request.scope[SERVER_KEY] = server
        checked = StrictRequest(request.scope, request.receive)
        checked.limit = limit or config.body_size_limit
        checked.timeout = config.receive_timeout
        deadline = asyncio.timeout(config.timeout)
        guard = Guard()
        try:
            async with deadline:
                await _let_in(server, checked, is_open=is_open)
                _check_address(checked)
                if reads_body and request.method not in _BODILESS:
                    body = await checked.body()
                    if takes_json and body:
                        _check_kind(checked)
                return await handler(checked)
        except BaseException as raised:  # noqa: BLE001 - every failure becomes an answer
            error = guard.contain(raised)
            if isinstance(error, TimeoutError) and deadline.expired():
                return error_response(504, "The server took too long to answer.")
            if isinstance(error, ClientDisconnect):
                # Before the end of its body, or with one that is no HTTP: nobody's fault here.
                return error_response(499, "The client has gone.")
            return answer_to(error) or await unexpected(server, request, error)

    return handle


def _check_kind(request: Request) -> None:
    """Refuse a body that does not say it is JSON: a form of anybody's page can send any other."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not re.fullmatch(r"application/.+\+json", kind):
        raise Refusal(415, READ_AS_NO_JSON)


async def _let_in(server: Server, request: Request, *, is_open: bool) -> None:
    if server.draining.is_set():
        raise Refusal(503, "The server is shutting down.")
    if is_open:
        server.gate.admit_place(request)
    else:
        await server.gate.admit(request)


def _check_address(request: Request) -> None:
    """Refuse texts in an address that no database keeps, whatever the route does with them."""
    texts = (*request.path_params.values(), *chain(*request.query_params.multi_items()))
    if any(isinstance(text, str) and not _is_plain(text) for text in texts):
        raise Refusal(400, "The address holds a character that no id or text may have.")


def _is_plain(text: str) -> bool:
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


async def unexpected(server: Server, request: Request, error: Exception) -> Response:
    """Return the answer to an error that nobody meant, once it is logged and reported."""
    server.logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    if server.config.on_error is not None:
        try:
            await call_user(server.config.on_error, error, request)
        except Exception:
            server.logger.exception("on_error raised")
    return error_response(500, "Internal server error")


_SLASH: Final = "\uf8fe"
"""Stands for a slash within a part of a path while a route is looked for: for private use, so it has
no meaning of its own."""


_ENCODED: Final = quote(_SLASH)
_HELD: Final = "mastra.held_path"


def _with_slashes_held(scope: Scope) -> Scope | None:
    """Return a connection whose path has encoded slashes within its parts; `None` without any.

    An id may have a slash. A client writes it as `%2F`, and the web server has it decoded.
    """
    # Every route asks, and a path may be long: it is worked out once a request.
    known: tuple[str, Scope | None] | None = scope.get(_HELD)
    if known is None or known[0] != scope["path"]:
        known = scope[_HELD] = scope["path"], _held(scope)
    return known[1]


def _held(scope: Scope) -> Scope | None:
    raw: bytes = scope.get("raw_path") or b""
    if b"%2f" not in raw and b"%2F" not in raw:
        return None
    text = raw.decode("ascii", "replace").replace("%2f", "%2F")
    held = unquote(text.replace("%2F", _ENCODED))
    # Something in between may have made another path of it.
    return {**scope, "path": held} if held.replace(_SLASH, "/") == scope["path"] else None


class GuardedRoute(APIRoute):
    """A route of a server."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether the route answers a request, and what its path says."""
        held = _with_slashes_held(scope) if scope["type"] == "http" else None
        asked = scope if held is None else held
        if asked.get("method") == "HEAD" and "GET" in (self.methods or ()):
            asked = as_get(asked)
        match, found = super().matches(asked)
        if match is Match.NONE:
            return match, found
        values: dict[str, Any] = found["path_params"]
        if held is not None:
            values = found["path_params"] = {
                name: value.replace(_SLASH, "/") if isinstance(value, str) else value
                for name, value in values.items()
            }
        # To a pattern's end a line's last break is nothing; it is another address all the same.
        if asked["path"].endswith("\n") and not any(
            isinstance(value, str) and value.endswith("\n") for value in values.values()
        ):
            return Match.NONE, {}
        return match, found

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; HEAD as GET."""
        if scope["method"] == "HEAD" and "GET" in (self.methods or ()):
            await without_body(super().handle)(as_get(scope), receive, send)
        else:
            await super().handle(scope, receive, send)

    server: ClassVar[Server]
    settings: ClassVar[Mapping[str, Any]] = {}
    """What `guarded` is told of it."""

    def get_route_handler(self) -> Handler:
        """Return the handler with everything that happens around one."""
        return guarded(super().get_route_handler(), self.server, **self.settings)


class WireResponse(Response):
    """JSON as Mastra writes it: strict, so NaN and the infinities are `null`."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode the content."""
        return dump_wire(content)


def add(router: APIRouter, method: str, path: str, endpoint: Callable[..., Any]) -> None:
    """Add a route whose endpoint returns JSON data, or a response of its own."""

    @functools.wraps(endpoint)
    async def call(**values: Any) -> Response:
        found = await endpoint(**values)
        return found if isinstance(found, Response) else WireResponse(found)

    call.__signature__ = inspect.signature(endpoint, eval_str=True)  # pyright: ignore[reportAttributeAccessIssue]
    name = f"{method.lower()}_{endpoint.__name__}_{path}".translate(_NAME)
    router.add_api_route(
        path,
        call,
        methods=[method],
        response_model=None,
        generate_unique_id_function=_named(name, router.prefix + path),
        responses=_RESPONSES,
        tags=[path.split("/")[1].capitalize()],
    )


def _named(name: str, path: str) -> Callable[[APIRoute], str]:
    """Return what names an operation: where a router is put elsewhere, by its place, too.

    An application may have several of them, and no two of its operations may have one name.
    """

    def name_of(route: APIRoute) -> str:
        place = route.path_format.removesuffix(path)
        return name if place in {"", _USUAL_PLACE} else f"{name}_at{place.translate(_NAME)}"

    return name_of


_USUAL_PLACE: Final = "/api"
_NAME = str.maketrans(dict.fromkeys("/{}-", "_"))
_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
    for status, text in {"4XX": "The request was refused", "5XX": "It failed"}.items()
}


def bound_route(server: Server, **settings: Any) -> type[GuardedRoute]:
    """Return the class of a server's own routes.

    Args:
        server: The server.
        settings: What `guarded` is told of them.
    """
    return type("BoundRoute", (GuardedRoute,), {"server": server, "settings": settings})


def bound(route: APIRoute, server: Server) -> GuardedRoute:
    """Return a server's own copy of a route; what was made of the endpoint's signature is shared."""
    kind = bound_route(server, takes_json=True)
    copied = kind.__new__(kind)
    vars(copied).update(vars(route))
    copied.app = request_response(copied.get_route_handler())
    return copied
