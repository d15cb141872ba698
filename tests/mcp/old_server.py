"""A server as they were before 2026, over HTTP at a port: it tells a session of changes."""

from __future__ import annotations

import socket
import sys
from typing import Any

import uvicorn
from mcp import types
from mcp.server.lowlevel import Server


async def list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
    change = types.Tool(name="change", description="Change.", input_schema={"type": "object"})
    return types.ListToolsResult(tools=[change])


async def call_tool(context: Any, _params: Any) -> types.CallToolResult:
    await context.session.send_resource_updated("note://today")
    return types.CallToolResult(content=[types.TextContent(type="text", text="changed")])


async def subscribe(_context: Any, _params: Any) -> types.EmptyResult:
    return types.EmptyResult()


server: Any = Server(
    "old", on_list_tools=list_tools, on_call_tool=call_tool, on_subscribe_resource=subscribe
)


if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(server.streamable_http_app(), log_level="warning")
    uvicorn.Server(config).run(sockets=[listening])
