"""What every page has: who looks at it, and the frame around its content."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from nicegui import Client, ui
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp

from mastra.console.api import Api, Refused, at
from mastra.console.show import below, heading, nothing
from mastra.registry import Mastra

__all__ = ["CONSOLE_KEY", "NAV", "PREFIX", "Look", "Place", "console_page"]

CONSOLE_KEY: Final = "mastra.console"
"""Under which name a request says which console it is for."""
PREFIX: Final = "/_mastra_console"
"""What the pages' own addresses begin with, among all pages of the process."""
NAV: Final = {
    "": ("Home", "home"),
    "workflows": ("Workflows", "account_tree"),
    "inbox": ("Inbox", "inbox"),
    "agents": ("Agents", "chat"),
    "runs": ("Runs", "list"),
    "traces": ("Traces", "timeline"),
    "schedules": ("Schedules", "schedule"),
    "evals": ("Evals", "grading"),
}
_DARK_COOKIE: Final = "mastra_console_dark"
_STYLE: Final = (Path(__file__).parent / "style.html").read_text("utf-8")
_COLOURS: Final = {"primary": "#3f51b5", "warning": "#b26a00", "info": "#1668a8"}


@dataclass(frozen=True, slots=True)
class Place:
    """One console: of what, which application serves the API, at which prefix; its own path."""

    mastra: Mastra
    app: ASGIApp
    api_prefix: str
    root: str


@dataclass(slots=True)
class Look:
    """One page in one browser, for as long as it is open."""

    place: Place
    api: Api
    request: Request
    client: Client

    def url(self, *parts: str, **query: Any) -> str:
        """Return an address of the console, as NiceGUI and tables take it: below `below()`."""
        asked = {name: value for name, value in query.items() if value not in {None, ""}}
        return (at(*parts) if parts else "/") + (f"?{urlencode(asked)}" if asked else "")

    def keep(self, work: Callable[[], Awaitable[None]]) -> ui.timer:
        """Do something in the page once a browser shows it, until it is done or closed."""
        with self.client:
            return ui.timer(0, work, once=True)

    def fail(self, error: Exception) -> None:
        """Say what was refused, or that something went wrong."""
        text = str(error) if isinstance(error, Refused) else "That failed: the server's log has it."
        ui.notify(text, type="negative", multi_line=True, close_button=True)


Build = Callable[..., Awaitable[None]]


def console_page(path: str, title: str) -> Callable[[Build], Build]:
    """Register the function that fills a page; it takes a `Look`, then what the path names."""

    def register(build: Build) -> Build:
        async def show(request: Request, **given: Any) -> None:
            place = request.scope.get(CONSOLE_KEY)
            if place is None:  # by way of somebody else's pages in this process
                raise HTTPException(404)
            api = Api(place.app, place.api_prefix, request.scope)
            look = Look(place, api, request, ui.context.client)
            ui.on_exception(look.fail)
            _frame(look)
            if any(title == text for text, _ in NAV.values()):
                heading(title, 1)
            try:
                await build(look, **given)
            except Refused as refused:
                nothing(f"{refused.message} ({refused.status})", "block")

        asked = [*inspect.signature(show, eval_str=True).parameters.values()][:1]
        asked += [*inspect.signature(build, eval_str=True).parameters.values()][1:]
        show.__signature__ = inspect.Signature(asked)
        ui.page(PREFIX + path, title=f"{title} · Mastra", response_timeout=30.0)(show)
        return build

    return register


def _frame(look: Look) -> None:
    ui.add_head_html(_STYLE)
    ui.colors(**_COLOURS, positive="#1b7f3b", negative="#b3261e")
    dark = ui.dark_mode({"1": True, "0": False}.get(look.request.cookies.get(_DARK_COOKIE, "")))

    def turn() -> None:
        dark.value = not dark.value
        kept = f"{_DARK_COOKIE}={int(dark.value)};path=/;max-age=31536000;samesite=strict"
        ui.run_javascript(f"document.cookie = '{kept}'")

    with ui.header().classes("items-center no-wrap gap-1"):
        ui.link("To the content", "#content").classes("skip")
        ui.html(_links(look), sanitize=False).classes("grow min-w-0")
        button = ui.button(icon="contrast", on_click=turn)
        button.props('flat round dense color=white aria-label="Dark or light"')
        if "authorization" in look.request.headers:
            with ui.element("form").props(f'method=post action="{below() + look.url("sign-out")}"'):
                ui.button("Sign out").props("flat dense color=white type=submit no-caps")
    look.client.content.props("id=content tabindex=-1")


def _links(look: Look) -> str:
    # One element: each costs a page as much as a row of the database does.
    root = look.request.scope["root_path"] + PREFIX
    first = look.request.url.path.removeprefix(root).removeprefix("/").partition("/")[0]
    links: list[str] = []
    for name, (text, icon) in NAV.items():
        here = "aria-current=page" if name == first else ""
        target = escape(below() + look.url(*filter(None, [name])))
        told = f'title="{text} (g {text[0].lower()})" data-key={text[0].lower()} aria-label={text}'
        sign = f'<i class="material-icons" aria-hidden=true>{icon}</i>'
        links.append(f'<a href="{target}" {told} {here}>{sign}<span>{text}</span></a>')
    return f"<nav>{''.join(links)}</nav>"
