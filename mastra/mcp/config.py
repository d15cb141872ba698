"""Where an MCP server is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mastra.errors import ConfigError

__all__ = ["MCPServerConfig", "ServerInput", "config_of"]


@dataclass(frozen=True)
class MCPServerConfig:
    """Where an MCP server is: a command to start, or an address.

    Args:
        command: A program that speaks MCP on its standard input and output.
        url: The address of a server that speaks MCP over streamable HTTP.
    """

    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] | None = None
    cwd: str | None = None
    url: str | None = None
    headers: Mapping[str, str] | None = None
    auth: Any = None
    """An `httpx2.Auth` for an address, such as the SDK's `OAuthClientProvider`; one of `httpx` will do."""
    server: Any = None
    """A server in this process: the SDK's own, or an `MCPServer` of this package."""
    roots: Sequence[str | Path] = ()
    """Folders that the server may be told of, as paths or `file://` addresses."""
    mode: str = "auto"
    """How to agree on a protocol: `auto` asks for the newest; `legacy` says `initialize` at once, for
    an old server that leaves the question unanswered; or a version, such as `2026-07-28`."""
    log_level: str | None = None
    """From which level on the server is asked for its log messages, such as `info`; they go to
    the logger `mastra`. Default: whatever the server sends by itself."""


ServerInput = MCPServerConfig | Mapping[str, Any] | str
"""A configuration, a dict of its fields, or an address."""


def config_of(name: str, value: ServerInput) -> MCPServerConfig:
    """Return what somebody wrote as a configuration.

    Raises:
        ConfigError: It does not say where the server is.
    """
    if isinstance(value, str):
        value = MCPServerConfig(url=value)
    elif isinstance(value, Mapping):
        value = _from_fields(name, value)
    places = [value.command, value.url, value.server]
    if sum(place is not None for place in places) != 1:
        raise ConfigError(f"MCP server {name!r} needs a command or a url, and one of them only.")
    if value.url is None and (value.auth is not None or value.headers):
        raise ConfigError(f"MCP server {name!r} has headers or auth, which only a url can have.")
    return value


def _from_fields(name: str, value: Mapping[str, Any]) -> MCPServerConfig:
    known = dict(value)
    unknown = sorted(set(known) - set(MCPServerConfig.__dataclass_fields__))
    if unknown:
        raise ConfigError(
            f"MCP server {name!r} has no setting {unknown[0]!r}. There are: "
            f"{', '.join(MCPServerConfig.__dataclass_fields__)}."
        )
    if "args" in known:
        known["args"] = tuple(cast("Sequence[str]", known["args"]))
    return MCPServerConfig(**known)
