"""The Model Context Protocol: tools of other servers, and ours for other clients."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mastra.mcp.calls import Question
    from mastra.mcp.client import MCPClient
    from mastra.mcp.config import MCPServerConfig
    from mastra.mcp.resources import MCPPrompt
    from mastra.mcp.server import MCPServer

__all__ = [
    "MCPClient",
    "MCPPrompt",
    "MCPServer",
    "MCPServerConfig",
    "Question",
]

_HOMES = {
    "MCPClient": "mastra.mcp.client",
    "MCPPrompt": "mastra.mcp.resources",
    "MCPServer": "mastra.mcp.server",
    "MCPServerConfig": "mastra.mcp.config",
    "Question": "mastra.mcp.calls",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'mastra.mcp' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
