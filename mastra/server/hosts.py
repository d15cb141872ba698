"""Which names a server answers to, and which pages may make it act.

A server without `auth` trusts whoever reaches it, and every page in a browser of this machine
reaches it. Two things tell a page from a program of this machine: the name it came by (a page can
have its own name resolved to 127.0.0.1, but cannot give it another) and the origin it says it is.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Message, Scope, Send

from mastra.server.config import CorsConfig, ServerConfig, is_loopback

__all__ = ["UNFRAMED", "HostRule", "OriginRule", "is_same_origin", "local_cors", "unframed"]

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?")
_STUDIO_PORTS: Final = (3000, 4111, 4200)
"""Where Studio and the console are unless they are told: Studio's own default, a Mastra server's,
and the one that our pages name."""
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_ADDED: Final = frozenset({"", "basic", "digest", "negotiate", "ntlm"})
"""Schemes of authorisation that a browser adds by itself."""


UNFRAMED: Final = {
    "content-security-policy": "frame-ancestors 'self'",
    "x-frame-options": "SAMEORIGIN",
}
"""Headers of a page with buttons: no page of another origin shows it in a frame, where whoever looks
at that one would press them unknowingly."""


def unframed(send: Send) -> Send:
    """Return what sends answers with those headers."""
    added = [(name.encode(), value.encode()) for name, value in UNFRAMED.items()]

    def send_on(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        return send(message)

    return send_on


def is_same_origin(scope: Scope) -> bool:
    """Return whether a request comes from no page, or from one of the host that it is for."""
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def _parted(host: str) -> tuple[str, str] | None:
    """Return a host's name, in small letters and without brackets, and its port."""
    found = _HOST.fullmatch(host)
    if found is None:
        return None
    name, port = found.groups()
    return name.strip("[]").lower().removesuffix("."), port or ""


class HostRule:
    """Says which `Host` headers are answered.

    Args:
        config: Without `auth` and `allowed_hosts`: this machine's own names. Hosts that are listed
            are answered beside those, and with `auth` no others once there is a list.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._is_open = config.auth is not None and not config.allowed_hosts
        self._listed = [item.lower().removesuffix(".") for item in config.allowed_hosts]
        own = config.host.strip("[]").lower()
        self._own = None if own in {"", "0.0.0.0", "::"} else own  # noqa: S104 - refused here

    def allows(self, scope: Scope) -> bool:
        """Return whether a connection came by a name that is answered."""
        if self._is_open:
            return True
        given = Headers(scope=scope).getlist("host")
        if len(given) > 1:
            return False
        at: tuple[str, int | None] | None = scope.get("server")
        parted = _parted(given[0]) if given else (at[0].lower(), "") if at else None
        if parted is None:
            return False
        name, port = parted
        return (
            is_loopback(name)
            or name == self._own
            or _is_place(name, at)
            or self._is_listed(name, port)
        )

    def _is_listed(self, name: str, port: str) -> bool:
        for item in self._listed:
            if item == "*":
                return True
            wanted, _, wanted_port = item.rpartition(":") if _has_port(item) else (item, "", "")
            if wanted_port and wanted_port != port:
                continue
            wanted = wanted.strip("[]")
            if name == wanted or (wanted.startswith("*.") and name.endswith(wanted[1:])):
                return True
        return False


def _has_port(item: str) -> bool:
    return (item.startswith("[") and "]:" in item) or item.count(":") == 1


def _is_place(name: str, at: tuple[str, int | None] | None) -> bool:
    """Return whether a host is the very address that the connection was made to.

    A web server gives an address there, which nobody can have resolved to another; a test client
    gives the name that it calls, and of those the ones without a dot are no names of the Internet.
    """
    return at is not None and name == at[0].lower() and (_is_address(name) or "." not in name)


def _is_address(name: str) -> bool:
    return ":" in name or name.replace(".", "").isdigit()


class OriginRule:
    """Says which pages may make the server act, or read a socket of it.

    Args:
        config: Pages of the server itself and those that `cors` names may. With `auth` so may a
            page that shows its token in the header `Authorization`, which no browser adds by itself.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._is_open = config.auth is not None
        self._cors = cors_of(config)

    def allows(self, scope: Scope) -> bool:
        """Return whether a request comes from a page that may make it, or from no page.

        Of a server with `auth` it is allowed whatever no caller has to be known for.
        """
        if self._is_open or (scope["type"] == "http" and scope["method"] in _SAFE):
            return True
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site", "none") in {"none", "same-origin"}
        if _authority(origin) == headers.get("host", "").lower():
            return True
        if self._cors is None:
            return False
        return is_exact(self._cors.origins, origin) or _takes_all(self._cors.origins)

    def allows_caller(self, scope: Scope) -> bool:
        """Return whether a caller, who is known, means a request.

        A browser adds cookies, passwords and certificates to what a page of anybody's sends. A
        form's post asks no leave before that, nor does a script's that looks like one.
        """
        if not self._is_open or (scope["type"] == "http" and scope["method"] in _SAFE):
            return True
        headers = Headers(scope=scope)
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        # The browser's own word holds also where a proxy has put another name into `Host`.
        if site in {"none", "same-origin"} or (origin is None and site is None):
            return True
        if site is None and _authority(origin or "") == headers.get("host", "").lower():
            return True
        if origin is not None and self._cors is not None and is_exact(self._cors.origins, origin):
            return True
        return headers.get("authorization", "").partition(" ")[0].lower() not in _ADDED


def _authority(origin: str) -> str | None:
    scheme, separator, rest = origin.lower().partition("://")
    return rest if separator and scheme in {"http", "https"} else None


def is_exact(origins: object, origin: str) -> bool:
    """Return whether an origin is one of those that a configuration names."""
    if callable(origins):
        return bool(origins(origin))
    return isinstance(origins, Iterable) and origin in origins


def _takes_all(origins: object) -> bool:
    return isinstance(origins, Iterable) and "*" in origins


def cors_of(config: ServerConfig) -> CorsConfig | None:
    """Return which pages may read answers; `None` where only the server's own may."""
    if config.cors is False:
        return None
    return local_cors(config.port) if config.cors is None else config.cors


def local_cors(port: int) -> CorsConfig:
    """Return the rule for this machine's own console and Studio.

    Args:
        port: The server's own, where its console is.
    """
    ports = {*_STUDIO_PORTS, port}

    def is_own(origin: str) -> bool:
        try:
            parts = urlsplit(origin)
            found = parts.port
        except ValueError:
            return False
        return (
            parts.scheme in {"http", "https"}
            and is_loopback(parts.hostname or "")
            and found in ports
            and not parts.path
        )

    return CorsConfig(origins=is_own, credentials=True)
