"""An ASGI application of one's own at an address, and below it.

An application may know the whole of its addresses, as an MCP server's does, or only what stands
behind the place where it is mounted, as a FastAPI application or a folder of files. It is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any, Final
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["BELOW", "Mounted", "has_below", "outer_path", "within"]

_BELOW: Final = "path_below"
BELOW: Final = f"/{{{_BELOW}:path}}"
"""What is added to an application's address for all that is below it."""


def has_below(path: str) -> bool:
    """Return whether an address has others below it: not the root's, which has them all."""
    return path != "/" and not path.endswith(("/", ":path}"))


def within(scope: Scope, place: str) -> str | None:
    """Return what of an address is below a place of an application; `None` where nothing is.

    Servers and mounts leave `root_path` at the beginning of the path; a proxy takes it off.
    """
    path = f"{scope['path']}/"
    for start in (scope.get("root_path", "") + place, place):
        if path.startswith(f"{start}/"):
            return path[len(start) : -1] or "/"
    return None


def outer_path(scope: Scope) -> str:
    """Return what stands before an application's addresses in a browser.

    That is its `root_path`, behind what a proxy says that it has taken off.
    """
    taken = Headers(scope=scope).get("x-forwarded-prefix", "").rstrip("/")
    # `//` would be another host.
    taken = quote(taken, safe="/:@!$&'()*+,;=%") if taken[1:2] not in ("", "/", "\\") else ""
    return taken + scope.get("root_path", "")


class Mounted:
    """Calls an application with the addresses that it knows."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._routes = _routes_of(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        parts: dict[str, Any] = dict(scope.get("path_params", {}))
        below: str | None = parts.pop(_BELOW, None)
        inner: MutableMapping[str, Any] = {**scope, "path_params": parts}
        if self._routes is None:
            if below is not None:
                _mount(inner, below)
        elif not any(route.matches(inner)[0] is not Match.NONE for route in self._routes):
            if below is None:
                inner["path"] += "/"
            _mount(inner, below or "")
        await self._app(inner, receive, send)


def _routes_of(app: Any) -> Iterable[BaseRoute] | None:
    """Return an application's routes, also from inside of middleware; `None` where it has none."""
    while not hasattr(app, "routes") and hasattr(app, "app"):
        app = app.app
    return getattr(app, "routes", None)


def _mount(scope: MutableMapping[str, Any], below: str) -> None:
    """Say that the application stands where an address begins, as Starlette does."""
    scope["app_root_path"] = scope.get("app_root_path", scope.get("root_path", ""))
    scope["root_path"] = scope["path"][: len(scope["path"]) - len(below) - 1]
