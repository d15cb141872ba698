"""Tools: list, look at, run."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request

from mastra.errors import MastraError, NotFoundError, ToolError
from mastra.jsonable import Json
from mastra.server.context import Server, ServerDep, ToolId
from mastra.server.errors import Refusal, status_of
from mastra.server.handling import add
from mastra.server.payloads import ToolBody
from mastra.server.schemas import tool_wire
from mastra.tools.tool import Tool
from mastra.tools.tool_context import ToolContext

__all__ = ["add_tool_routes", "run_tool"]


def _tool(server: Server, tool_id: str) -> Tool[Any, Any]:
    try:
        return server.mastra.get_tool_by_id(tool_id)
    except NotFoundError:
        raise Refusal(404, "Tool not found") from None


async def list_tools(server: ServerDep) -> dict[str, Json]:
    """List the tools."""
    return {key: tool_wire(tool) for key, tool in server.mastra.list_tools().items()}


async def get_tool(server: ServerDep, tool_id: ToolId) -> dict[str, Json]:
    """Return a tool with its schemas."""
    return tool_wire(_tool(server, tool_id))


async def run_tool(server: Server, request: Request, tool: Tool[Any, Any], body: ToolBody) -> Json:
    """Run a tool by itself and return what it gives.

    As in the original, input that does not meet the tool's schema is answered with status 200 and
    `{"error": true, …}`, which is what a model would be told.

    Raises:
        Refusal: The tool raised, or cannot be run here.
    """
    context = ToolContext(
        mastra=server.mastra,
        request_context=server.request_context(request, body.request_context),
    )
    if tool.call is None:
        raise Refusal(400, f"Tool {tool.id!r} has no function: its client runs it.")
    try:
        return tool.dump(await tool.execute(body.data, context))
    except Exception as error:
        status = status_of(error)
        # A tool says something with a `ToolError`; what is wrong with the call is said as well.
        if isinstance(error, ToolError) or (isinstance(error, MastraError) and status < 500):
            raise
        server.logger.exception("Tool %r failed", tool.id)
        raise Refusal(status, f"Tool {tool.id!r} failed: {type(error).__name__}") from error


async def execute_tool(
    server: ServerDep, request: Request, tool_id: ToolId, body: ToolBody
) -> Json:
    """Run a tool by itself."""
    return await run_tool(server, request, _tool(server, tool_id), body)


def add_tool_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    add(router, "GET", "/tools", list_tools)
    add(router, "GET", "/tools/{toolId}", get_tool)
    add(router, "POST", "/tools/{toolId}/execute", execute_tool)
