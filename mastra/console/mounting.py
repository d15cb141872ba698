"""Where the console is: its place among an application's routes, and who may come in.

Nobody may who may not call the API: each page, and each socket, asks it first. A browser sends no
token with an address that somebody types, so whoever needs one gives it to a form, and a cookie
that no script can read keeps it.
"""

from __future__ import annotations

import html
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import parse_qs, quote, unquote, urlsplit

from fastapi import FastAPI
from nicegui import core, ui
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from mastra.console import agents, evals, home, inbox, run, schedules, traces, workflows
from mastra.console.api import Api, Refused
from mastra.console.frame import CONSOLE_KEY, NAV, PREFIX, Place
from mastra.errors import ConfigError
from mastra.registry import Mastra
from mastra.server.config import ServerConfig
from mastra.server.hosts import is_same_origin, unframed
from mastra.server.mounted import outer_path, within

__all__ = ["claims", "mount"]

_PAGES: Final = (agents, evals, home, inbox, run, schedules, traces, workflows)  # registers them
_COOKIE: Final = "mastra_console"
_SHIPPED: Final = {"static", "libraries", "components", "esm", "resources", "dynamic_resources"}
"""Files of the kept library: the same for everybody, so nobody is asked who they are."""
_OWN: Final = frozenset({"sign-in", "sign-out", "_nicegui", "_nicegui_ws", *NAV})
_SIGN_IN: Final = (Path(__file__).parent / "sign_in.html").read_text("utf-8")
_LONGEST_TOKEN: Final = 16_384


def claims(path: str) -> bool:
    """Return whether an address is one of the console's, where that is at the root."""
    return path.removeprefix("/").partition("/")[0] in _OWN


def mount(app: FastAPI, mastra: Mastra, *, path: str = "/", api_prefix: str | None = None) -> None:
    """Put the console into an application that serves the API.

    Whoever may call the API may look, and sees what the API would tell them.

    Args:
        app: What `create_app(mastra)` gave, or an application of yours with `router(mastra)` in it.
        mastra: What is served.
        path: Where the console is.
        api_prefix: Where the API is; left out, where the configuration of `mastra` says.

    Raises:
        ConfigError: The path is none, or the API is at the same place.
        MissingDependencyError: NiceGUI is not installed.
    """
    if not path.startswith("/") or (path != "/" and path.endswith("/")):
        raise ConfigError(f"The console's path must begin with '/' and not end with it: {path!r}.")
    root = path.rstrip("/")
    prefix: str = (mastra.server or ServerConfig()).api_prefix if api_prefix is None else api_prefix
    if prefix == root:
        raise ConfigError(f"The API is at {path!r}: put the console at another path, /console say.")
    place = Place(mastra, app, prefix, root)
    if not core.app.config.has_run_config:
        # What it would be mounted on: here it stands behind our own route, and so do all pages of
        # the process, ours and those that the user has with NiceGUI.
        shown: dict[str, Any] = {"show_welcome_message": False, "dark": None}
        cast("Any", ui).run_with(FastAPI(), reconnect_timeout=5.0, **shown)
        logging.getLogger("nicegui").addFilter(_is_no_refusal)  # the reader is told of that
    app.router.routes.insert(0, _ConsoleRoute(place, core.app))
    around = app.router.lifespan_context

    @asynccontextmanager
    async def life(serving: Any) -> AsyncGenerator[Any]:
        # What serves the pages runs already where another console of this process is open.
        begin: Any = nullcontext if core.app.is_started else core.app.router.lifespan_context
        async with begin(core.app), around(serving) as state:
            yield state

    app.router.lifespan_context = life


def _is_no_refusal(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], Refused))


class _ConsoleRoute(BaseRoute):
    """Takes the console's own addresses, and leaves all others to the application."""

    def __init__(self, place: Place, pages: ASGIApp) -> None:
        self._place = place
        self._pages = pages

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        is_known = scope["type"] in {"http", "websocket"}
        inner = within(scope, self._place.root) if is_known else None
        return (Match.NONE if inner is None or not claims(inner) else Match.FULL), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        send = unframed(send)
        inner = within(scope, self._place.root) or "/"
        scope = {**scope, "headers": _with_token(scope), CONSOLE_KEY: self._place}
        first, _, rest = inner[1:].partition("/")
        is_shipped = first == "_nicegui" and bool(_SHIPPED & set(rest.split("/")[1:2]))
        if scope["type"] == "http" and first in {"sign-in", "sign-out"}:
            await (await self._sign(first, Request(scope, receive)))(scope, receive, send)
        elif not is_shipped and (
            refused := await self._refusal(scope, is_socket=first == "_nicegui_ws")
        ):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 4401})
            else:
                await self._refused(refused, scope, inner)(scope, receive, send)
        else:
            root = scope.get("root_path", "") + self._place.root
            path = root + ("" if first.startswith("_nicegui") else PREFIX) + inner
            await self._pages({**scope, "path": path, "root_path": root}, receive, send)

    async def _refusal(self, scope: Scope, *, is_socket: bool) -> Refused | None:
        """Return why whoever asks may not come in.

        A socket acts, so it is asked for as a request that acts is; and a browser lets pages of
        other places open one, with the cookies of this.
        """
        if is_socket and not is_same_origin(scope):
            return Refused(403, "Pages of this origin may not call this console.")
        api = Api(self._place.app, self._place.api_prefix, scope)
        try:
            if is_socket:
                await api.post("/observability/traces/query/fields")
            else:
                await api.get("/logs/transports")
        except Refused as refused:
            return refused
        return None

    def _refused(self, refused: Refused, scope: Scope, inner: str) -> Response:
        if refused.status != 401:
            return PlainTextResponse(refused.message, refused.status)
        query, root = scope["query_string"].decode("latin-1"), outer_path(scope) + self._place.root
        return self._form(f"{root}/", root + inner + (f"?{query}" if query else ""), "")

    def _form(self, home: str, address: str, message: str) -> Response:
        action = html.escape(f"{home}sign-in?next={quote(address)}")
        page = _SIGN_IN.replace("{action}", action).replace("{message}", html.escape(message))
        return HTMLResponse(page, 401, {"cache-control": "no-store"})

    async def _sign(self, what: str, request: Request) -> Response:
        home = f"{outer_path(request.scope)}{self._place.root}/"
        if request.method != "POST" or not is_same_origin(request.scope):
            return self._form(home, home, "")
        kept: dict[str, Any] = {"path": home, "httponly": True, "samesite": "strict"}
        kept["secure"] = request.url.scheme == "https"
        if what == "sign-out":
            gone = RedirectResponse(home, 303)
            gone.delete_cookie(_COOKIE, **kept)
            return gone
        wanted = request.query_params.get("next", home)
        parts = urlsplit(wanted)
        if parts.scheme or parts.netloc or "\\" in wanted or not wanted.startswith(home):
            wanted = home
        if int(request.headers.get("content-length", _LONGEST_TOKEN)) >= _LONGEST_TOKEN:
            return self._form(home, wanted, "That is too long for a token.")
        body = (await request.body()).decode(errors="replace")
        token = parse_qs(body).get("token", [""])[0].strip()
        headers = [pair for pair in request.scope["headers"] if pair[0] != b"authorization"]
        headers.append((b"authorization", f"Bearer {token}".encode()))
        refused = await self._refusal({**request.scope, "headers": headers}, is_socket=False)
        if refused is not None:
            return self._form(home, wanted, refused.message)
        answer = RedirectResponse(wanted, 303)
        answer.set_cookie(_COOKIE, quote(token, safe=""), **kept)
        return answer


def _with_token(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Return a request's headers, with the token that its cookie keeps where it shows none."""
    headers: list[tuple[bytes, bytes]] = list(scope["headers"])
    token = unquote(Request({**scope, "type": "http"}).cookies.get(_COOKIE, ""))
    if token and all(name != b"authorization" for name, _ in headers):
        headers.append((b"authorization", f"Bearer {token}".encode()))
    return headers
