"""Where a server sends a caller on to: a path of its own, never an address out of a header."""

from __future__ import annotations

from collections.abc import Awaitable
from urllib.parse import urlsplit, urlunsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["RelativeRedirects"]


class RelativeRedirects:
    """Makes a redirect to the host that the request named one to a path.

    Routers and static pages put the `Host` header, which any caller can write, into the address of
    a missing slash; a cache in between would then send others there.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        # No coroutine of its own: all but the first message of a stream only pass through.
        def send_on(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start" and 300 <= message["status"] < 400:
                _relate(MutableHeaders(scope=message), Headers(scope=scope).get("host", ""))
            return send(message)

        await self._app(scope, receive, send_on)


def _relate(headers: MutableHeaders, host: str) -> None:
    target = headers.get("location")
    if target is None:
        return
    try:
        parts = urlsplit(target)
    except ValueError:
        return
    if parts.netloc.lower() == host.lower():
        # Two slashes at the beginning would name a host again.
        path = "/" + parts.path.lstrip("/")
        headers["location"] = urlunsplit(("", "", path, parts.query, parts.fragment))
