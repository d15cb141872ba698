"""Which pages of other origins a browser lets call the server."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mastra.server.config import ServerConfig
from mastra.server.hosts import is_exact, local_cors

__all__ = ["CorsMiddleware"]

_METHODS = "GET,POST,PUT,PATCH,DELETE,OPTIONS"
_HEADERS = (
    "Content-Type",
    "Authorization",
    "A2A-Version",
    "x-mastra-client-type",
    "x-mastra-dev-playground",
    "Last-Event-ID",
    "x-ai-sdk-version",
)


class CorsMiddleware:
    """Answers preflights and adds the headers that browsers look for.

    Args:
        app: What answers everything else.
        config: What the server was told. Where that says nothing: pages of this machine's own
            console and Studio with credentials, and where callers have to show who they are, all
            others without.
    """

    def __init__(self, app: ASGIApp, config: ServerConfig) -> None:
        self._app = app
        self._takes_all = not config.cors and config.auth is not None
        self._config = config.cors or local_cors(config.port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        allowed = self._headers_for(origin)
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _answer_preflight(send, self._preflight(allowed))
            return

        # No coroutine of its own: all but the first message of a stream only pass through.
        def send_with(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                made = MutableHeaders(scope=message)
                for name, value in allowed.items():
                    if name == "vary":
                        made.add_vary_header(value)
                    else:
                        made[name] = value
            return send(message)

        await self._app(scope, receive, send_with)

    def _headers_for(self, origin: str | None) -> dict[str, str]:
        config = self._config
        given: dict[str, str] = {}
        if origin is not None and is_exact(config.origins, origin):
            given["access-control-allow-origin"] = origin or "*"
            given["vary"] = "Origin"
            if config.credentials:
                given["access-control-allow-credentials"] = "true"
        elif self._takes_all or (not callable(config.origins) and "*" in config.origins):
            given["access-control-allow-origin"] = "*"
        else:
            return {"vary": "Origin"}
        if config.expose_headers:
            given["access-control-expose-headers"] = ",".join(config.expose_headers)
        return given

    def _preflight(self, allowed: dict[str, str]) -> dict[str, str]:
        if "access-control-allow-origin" not in allowed:
            return allowed
        vary = ["Access-Control-Request-Headers"]
        if "vary" in allowed:
            vary.insert(0, allowed["vary"])
        return {
            **allowed,
            "access-control-allow-headers": ",".join([*_HEADERS, *self._config.allow_headers]),
            "access-control-allow-methods": _METHODS,
            "access-control-max-age": str(self._config.max_age),
            "vary": ", ".join(vary),
        }


async def _answer_preflight(send: Send, headers: dict[str, str]) -> None:
    raw: list[Any] = [(name.encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"content-type", b"text/plain; charset=UTF-8"))
    await send({"type": "http.response.start", "status": 204, "headers": raw})
    await send({"type": "http.response.body", "body": b""})
