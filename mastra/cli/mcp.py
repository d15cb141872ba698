"""`mastra mcp`: the project as a program that speaks MCP on its standard input and output."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated

import typer

from mastra.cli.load import load_app
from mastra.cli.terminal import AppOption, in_loop
from mastra.errors import ConfigError
from mastra.registry import Mastra

if TYPE_CHECKING:
    from mastra.mcp.server import MCPServer

__all__ = ["mcp"]


def mcp(
    server: Annotated[
        str | None, typer.Argument(help="Which of the project's MCP servers; the only one.")
    ] = None,
    app: AppOption = None,
) -> None:
    """Speak MCP on standard input and output, for a client that starts programs.

    A project without `mcp_servers` offers all its agents, tools and workflows.
    """
    in_loop(_speak, app, server)


async def _speak(app: str | None, key: str | None) -> None:
    # What a module prints while it is imported is no message of the protocol.
    with redirect_stdout(sys.stderr):
        mastra = load_app(app)
    async with mastra:
        await _chosen(mastra, key).run_stdio()


def _chosen(mastra: Mastra, key: str | None) -> MCPServer:
    from mastra.mcp.server import MCPServer  # noqa: PLC0415 - the other commands begin without it

    known = mastra.mcp_servers
    if key is None and not known:
        return MCPServer("mastra", mastra=mastra)
    if key is None and len(known) == 1:
        (key,) = known
    if key is None or key not in known:
        raise ConfigError(
            f"Say which MCP server: mastra mcp SERVER. There are: {', '.join(known) or 'none'}."
        )
    return known[key]
