"""The Model Context Protocol: tools of other servers, and ours for other clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mastra.extras import lazy_names

if TYPE_CHECKING:
    from mastra.mcp.calls import Question
    from mastra.mcp.client import MCPClient
    from mastra.mcp.config import MCPServerConfig
    from mastra.mcp.offers import MCPServerPrompts, MCPServerResources
    from mastra.mcp.resources import MCPPrompt
    from mastra.mcp.served_calls import MCPCall
    from mastra.mcp.server import MCPServer

__all__ = [
    "MCPCall",
    "MCPClient",
    "MCPPrompt",
    "MCPServer",
    "MCPServerConfig",
    "MCPServerPrompts",
    "MCPServerResources",
    "Question",
]

_HOMES = {
    "MCPCall": "mastra.mcp.served_calls",
    "MCPClient": "mastra.mcp.client",
    "MCPPrompt": "mastra.mcp.resources",
    "MCPServer": "mastra.mcp.server",
    "MCPServerConfig": "mastra.mcp.config",
    "MCPServerPrompts": "mastra.mcp.offers",
    "MCPServerResources": "mastra.mcp.offers",
    "Question": "mastra.mcp.calls",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES, extra="mcp")
