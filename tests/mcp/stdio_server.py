"""A program that offers one tool over MCP on its standard input and output."""

from __future__ import annotations

import anyio

from mastra.mcp.server import MCPServer
from mastra.tools.tool import tool


@tool
async def double(n: int) -> int:
    """Double a number."""
    return n * 2


if __name__ == "__main__":
    anyio.run(MCPServer("numbers", tools=[double]).run_stdio)
