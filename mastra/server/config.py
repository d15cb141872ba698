"""What a server may be told. Plain data: writing one loads no web framework."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from ipaddress import ip_address
from typing import Any, Final, Literal, Protocol, TypeAlias

from mastra.errors import ConfigError
from mastra.given import (
    COUNT,
    COUNT_FROM_1,
    FLAG,
    FUNCTION,
    LIST,
    SECONDS,
    TEXT,
    TEXTS,
    Form,
    called_with,
    check_given,
    either,
    having,
    one_of,
)
from mastra.names import python_names, python_options

__all__ = ["ApiRoute", "Auth", "CorsConfig", "Method", "Mountable", "ServerConfig", "is_loopback"]

Method: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "ALL"]

Auth: TypeAlias = Any
"""A `BearerAuth` or `JWTAuth`, an async function of the request, or FastAPI dependencies."""


class Mountable(Protocol):
    """What may stand among a server's routes: an `ApiRoute`, or what `inngest_route` returns."""

    @property
    def path(self) -> str:
        """Where it is."""
        ...

    @property
    def method(self) -> Method:
        """Which HTTP method; of an ASGI application, all of them."""
        ...

    @property
    def requires_auth(self) -> bool:
        """Whether the server's `auth` guards it."""
        ...

    @property
    def body_size_limit(self) -> int | None:
        """The largest body, in bytes; `None` for the server's."""
        ...

    @property
    def guards_itself(self) -> bool:
        """Whether its ASGI application looks at hosts, origins and sizes of bodies by itself."""
        ...

    def resolve(self, mastra: Any) -> Any:
        """Return the handler."""
        ...


_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "ALL")
_OF_ROUTE: Final = {
    "method": Form(
        f"one of {', '.join(_METHODS)}",
        lambda value: isinstance(value, str) and value.upper() in _METHODS,
    ),
    "handler": Form("a FastAPI endpoint or an ASGI application", callable),
    "create_handler": called_with("a function of the Mastra that gives a handler", 1),
}


@python_names
@python_options
@dataclass(frozen=True, slots=True)
class ApiRoute:
    """A route of your own beside Mastra's.

    Give `handler`, or `create_handler`, a function of the `Mastra` object that returns one. A
    handler is a FastAPI endpoint (a function) or an ASGI application.
    """

    path: str
    """Where it is, from the server's root and also under the API's prefix, unless that is the API's."""
    method: Method = "ALL"
    """Which HTTP method; of an ASGI application, all of them."""
    handler: Any = None
    """A FastAPI endpoint, or an ASGI application."""
    create_handler: Callable[[Any], Any] | None = None
    """Makes the handler, given the `Mastra` object."""
    _: KW_ONLY
    requires_auth: bool = True
    """Whether the server's `auth` guards it."""
    body_size_limit: int | None = None
    """The largest request body, in bytes; left out, the server's."""
    guards_itself: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        check_given("ApiRoute", {"path": self.path}, {"path": TEXT}, needed=["path"])
        if not self.path.startswith("/"):
            raise ConfigError(f"Path {self.path!r} of an API route must begin with '/'.")
        if (self.handler is None) == (self.create_handler is None):
            raise ConfigError(
                f"API route {self.path!r} needs either handler or create_handler, not both."
            )
        given = {name: getattr(self, name) for name in _OF_ROUTE}
        check_given(f"API route {self.path!r}", given, _OF_ROUTE)

    def resolve(self, mastra: Any) -> Any:
        """Return the handler."""
        return self.handler if self.create_handler is None else self.create_handler(mastra)


@python_names
@python_options
@dataclass(frozen=True, slots=True, kw_only=True)
class CorsConfig:
    """Which pages of other origins may call the server.

    With credentials a browser wants the exact origin back, so `"*"` cannot have them.
    """

    origins: Sequence[str] | Callable[[str], bool] = ("*",)
    """Origins such as `https://app.example.com`, `"*"` for all, or a function of the origin."""
    credentials: bool = False
    """Whether cookies and authorisation may be sent along."""
    allow_headers: Sequence[str] = ()
    """Request headers beside the usual."""
    expose_headers: Sequence[str] = ("Content-Length", "X-Requested-With")
    """Answer headers that a page may read."""
    max_age: int = 3600
    """For how many seconds a browser may remember the answer."""

    def __post_init__(self) -> None:
        check_given("CorsConfig", {name: getattr(self, name) for name in _OF_CORS}, _OF_CORS)
        if self.credentials and not callable(self.origins) and "*" in self.origins:
            raise ConfigError(
                "CORS with credentials needs exact origins: list them in CorsConfig(origins=[...])."
            )
        for origin in () if callable(self.origins) else self.origins:
            if origin not in {"*", "null"} and not _ORIGIN.fullmatch(origin):
                raise ConfigError(
                    f"CorsConfig: no browser calls itself {origin!r}. An origin is written as "
                    "'https://app.example.com' or 'http://localhost:3000', in small letters and "
                    "without a path; for patterns give a function of the origin."
                )


_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#*A-Z@]+")
_OF_CORS: Final = {
    "origins": either(TEXTS, FUNCTION),
    "credentials": FLAG,
    "allow_headers": TEXTS,
    "expose_headers": TEXTS,
    "max_age": COUNT,
}

_FORMS: Final = {
    "host": Form(
        "a name or an address to listen on, such as 127.0.0.1",
        lambda value: isinstance(value, str) and value.strip() != "",
    ),
    "port": Form("a port, from 0 to 65535", lambda value: COUNT.holds(value) and value < 65536),
    "api_prefix": TEXT,
    "cors": either(one_of(False), having("a CorsConfig", "origins")),
    "middleware": LIST,
    "api_routes": LIST,
    "allowed_models": TEXTS,
    "allowed_provider_options": TEXTS,
    "push_origins": TEXTS,
    "allowed_hosts": TEXTS,
    "caller_instructions": one_of("add", "replace", "refuse"),
    "body_size_limit": COUNT_FROM_1,
    "receive_timeout": SECONDS,
    "timeout": SECONDS,
    "keep_alive": SECONDS,
    "chat_retention": SECONDS,
    "drain_timeout": SECONDS,
    "restart_runs": FLAG,
    "openapi": FLAG,
    "on_error": called_with("a function of the error and the request", 2),
}
_OF_LISTS: Final = {
    "middleware": either(
        called_with("functions of the request and call_next", 2),
        having("starlette's Middleware(Class, …)", "cls"),
    )
}


@python_names
@python_options
@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """How the server of a `Mastra` object behaves. Durations are in seconds."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 4111
    """Port to listen on."""
    api_prefix: str = "/api"
    """What Mastra's routes begin with."""
    cors: CorsConfig | Literal[False] | None = None
    """Which pages of other origins may call. Left out: this machine's own console and Studio, with
    credentials; where there is `auth`, all others too, without. `False`: no CORS."""
    allowed_hosts: Sequence[str] = ()
    """By which names the server may be called, beside this machine's own: `app.example.com`, also
    with a port, `*.example.com`, or `*` for any. Left out: by any where there is `auth`, and by no
    others where there is none, so that no web page can pass for this machine (DNS rebinding)."""
    middleware: Sequence[Any] = ()
    """Functions `async (request, call_next) -> response`, or Starlette's `Middleware` objects, the
    first outermost. One may set `request.state.request_context`, whose values go before those of
    the client."""
    api_routes: Sequence[Mountable | Sequence[Mountable]] = ()
    """Routes of your own: `ApiRoute`s, and what `inngest_route` and `chat_route` return."""
    auth: Auth = None
    """Who may call: a `BearerAuth`, a `JWTAuth`, an async function of the request that gives a
    `Caller` or `None`, or a list of FastAPI dependencies."""
    allowed_models: Sequence[str] = ()
    """Models that a caller may choose by name: `model`, `structuredOutput.model` and the model that
    gives threads their titles."""
    allowed_provider_options: Sequence[str] = ()
    """Options of providers that a caller may set beside how hard to think, such as `user`. They
    become arguments of a provider's SDK as they are: name no address, key or header."""
    push_origins: Sequence[str] = ()
    """Where programs that speak A2A may have themselves told of their tasks: origins such as
    `https://hooks.example.com`, and `*` for any of the public network; one of a private network has
    to be named. The server posts to what a caller chooses among them. Left out: nowhere, and agents'
    cards say so."""
    caller_instructions: Literal["add", "replace", "refuse"] | None = None
    """What `instructions` and `system` of a body do: follow the agent's own, go in their place, or
    nothing (400). Left out: `replace` for the playground of a server of this machine alone that has
    no `auth`, else `add`."""
    body_size_limit: int = 4_718_592
    """The largest request body, in bytes."""
    receive_timeout: float | None = 20.0
    """How long a request's headers, and then its body, may take to arrive, beside a second for
    every 16 KiB of body that came; `None` for any time."""
    timeout: float | None = 180.0
    """How long an answer may take to begin. Streams may go on for as long as they like."""
    keep_alive: float = 15.0
    """How long an event stream may be silent before a comment is sent."""
    chat_retention: float | None = 2_592_000.0
    """For how long the server keeps what it notes beside runs: which answer a chat's latest was, how
    pages answered what waited, tasks of A2A that ended. Deleted while more is noted; `None`: never."""
    drain_timeout: float = 30.0
    """How long runs get, when the server stops, to end or to reach the end of a step."""
    restart_runs: bool = True
    """Whether runs of workflows and durable agents that were cut off go on when the server starts."""
    openapi: bool = True
    """Whether `/docs` and the OpenAPI description are served."""
    on_error: Callable[..., Any] | None = None
    """Called, sync or async, with an unexpected error and the request, for reporting."""

    def __post_init__(self) -> None:
        check_given("ServerConfig", {name: getattr(self, name) for name in _FORMS}, _FORMS)
        prefix = self.api_prefix
        if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
            raise ConfigError(
                f"api_prefix must begin with '/' and not end with it, not {prefix!r}."
            )
        for item in self.middleware:
            check_given("ServerConfig", {"middleware": item}, _OF_LISTS)
        if isinstance(self.allowed_hosts, str) or any("/" in item for item in self.allowed_hosts):
            raise ConfigError(
                "allowed_hosts takes a list of names such as 'app.example.com', without a scheme."
            )

        if isinstance(self.push_origins, str) or not all(map(_is_origin, self.push_origins)):
            raise ConfigError(
                "push_origins takes a list of origins such as 'https://hooks.example.com', without "
                "a path, or '*'."
            )

    @property
    def instructions_of_callers(self) -> str:
        """What becomes of instructions in a body."""
        if self.caller_instructions is not None:
            return self.caller_instructions
        return "replace" if self.auth is None and is_loopback(self.host) else "add"

    @property
    def open_warning(self) -> str | None:
        """What to warn of at start-up, where anybody could reach a server without a lock."""
        if self.auth is not None or is_loopback(self.host):
            return None
        return (
            f"The server listens on {self.host} and anybody who reaches it may run every agent, "
            "workflow and tool: set ServerConfig(auth=...), or listen on 127.0.0.1."
        )


def _is_origin(text: str) -> bool:
    scheme, separator, rest = text.partition("://")
    is_whole = bool(separator and rest) and not set("/?#@*") & set(rest)
    return text == "*" or (scheme in {"http", "https"} and is_whole)


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine alone."""
    if host in {"localhost", ""}:
        return host == "localhost"
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
