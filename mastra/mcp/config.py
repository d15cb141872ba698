"""Where an MCP server is."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

from mastra.errors import ConfigError
from mastra.given import ADDRESS, check_given

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
    mode: Literal["auto", "legacy", "newest"] = "auto"
    """How to agree on a protocol. `auto` says `initialize`, which servers of all ages know and which
    lets them ask while a call goes on, and speaks the newest where a server knows nothing else.
    `newest` asks for it first: questions can then be answered in another process, but a server
    that asks in the old way cannot. `legacy` never does."""
    log_level: str | None = None
    """From which level on the server is asked for its log messages, such as `info`; they go to
    the logger `mastra`. Default: whatever the server sends by itself."""


_MODES: Final = ("auto", "legacy", "newest")

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
    elif not isinstance(value, MCPServerConfig):
        raise ConfigError(
            f"MCP server {name!r} is given as {type(value).__name__}. Give an address, a dict, or "
            "an MCPServerConfig; a server in this process is {'server': …}."
        )
    if value.mode not in _MODES:
        raise ConfigError(
            f"MCP server {name!r} has the mode {value.mode!r}. There are: {', '.join(_MODES)}."
        )
    places = [value.command, value.url, value.server]
    if sum(place is not None for place in places) != 1:
        raise ConfigError(f"MCP server {name!r} needs a command or a url, and one of them only.")
    check_given(f"MCP server {name!r}", {"url": value.url}, {"url": ADDRESS})
    if value.url is None and (value.auth is not None or value.headers):
        raise ConfigError(f"MCP server {name!r} has headers or auth, which only a url can have.")
    if value.command is not None and not value.args:
        _check_command(name, value.command, Path(value.cwd or "."))
    return value


def _check_command(name: str, command: str, folder: Path) -> None:
    program, *rest = command.split()
    if rest and shutil.which(command) is None and not (folder / command).exists():
        raise ConfigError(
            f"MCP server {name!r}: command names a program alone. Write "
            f"{{'command': {program!r}, 'args': {rest!r}}}."
        )


def _from_fields(name: str, value: Mapping[str, Any]) -> MCPServerConfig:
    known = dict(value)
    unknown = sorted(set(known) - set(MCPServerConfig.__dataclass_fields__))
    if name == "mcpServers" and not set(known) - set(unknown):
        raise ConfigError(
            "MCPClient takes the servers by name, without 'mcpServers' around them: "
            "MCPClient(settings['mcpServers'])."
        )
    if unknown:
        raise ConfigError(
            f"MCP server {name!r} has no setting {unknown[0]!r}. There are: "
            f"{', '.join(MCPServerConfig.__dataclass_fields__)}."
        )
    if "args" in known:
        known["args"] = tuple(cast("Sequence[str]", known["args"]))
    return MCPServerConfig(**known)
