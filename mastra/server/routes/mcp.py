"""MCP servers: list, look at, run their tools, read their resources, and speak the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from mastra.errors import NotFoundError
from mastra.extras import needs
from mastra.jsonable import Json
from mastra.mcp.server import REQUEST_CONTEXT, MCPServer
from mastra.server.config import ApiRoute
from mastra.server.context import Server, ServerDep, ToolId, caller_of
from mastra.server.errors import Refusal
from mastra.server.handling import add
from mastra.server.loading import loaded
from mastra.server.payloads import ResourceBody, ToolBody
from mastra.server.routes.tools import run_tool
from mastra.server.schemas import DRAFT_7, schema_text
from mastra.tools.tool import Tool
from mastra.tools.tool_context import ToolContext

if TYPE_CHECKING:
    from mastra.mcp.sessions import HttpSessions, SseSessions

__all__ = ["MCP_DOORS", "add_mcp_routes", "mcp_doors"]

ServerId = Annotated[str, Path(alias="serverId", description="The key of an MCP server.")]
_Count = Annotated[int | None, Query(ge=0, le=10_000)]
_LIST: Final = "/mcp/v0/servers"
_OFFERS: Final = "mastra.mcp.served_offers"


def _server(server: Server, key: str) -> MCPServer:
    found: MCPServer | None = server.mastra.mcp_servers.get(key)
    if found is None:
        raise Refusal(404, "MCP server not found")
    return found


def _tool(server: Server, key: str, name: str) -> Tool[Any, Any]:
    try:
        return _server(server, key).tool(name)
    except NotFoundError:
        raise Refusal(404, "Tool not found") from None


# -- what there is -----------------------------------------------------------------------------


def _facts(request: Request, key: str, found: MCPServer) -> dict[str, Json]:
    base = str(request.url).partition(_LIST)[0]
    facts: dict[str, Json] = {
        "id": key,
        "name": found.name,
        "version_detail": {
            "version": found.version,
            "release_date": found.release_date,
            "is_latest": True,
        },
        "remotes": [
            {"transport_type": "streamable", "url": f"{base}/mcp/{key}/mcp"},
            {"transport_type": "sse", "url": f"{base}/mcp/{key}/sse"},
        ],
    }
    return facts if found.description is None else {**facts, "description": found.description}


async def list_mcp_servers(
    server: ServerDep,
    request: Request,
    page: _Count = None,
    per_page: Annotated[int | None, Query(alias="perPage", ge=1, le=1000)] = None,
    offset: _Count = None,
    limit: Annotated[int | None, Query(ge=1, le=1000)] = None,
) -> dict[str, Json]:
    """List the MCP servers, each with the addresses that it is spoken to at."""
    servers: list[Json] = [
        _facts(request, key, found) for key, found in server.mastra.mcp_servers.items()
    ]
    size = per_page or limit
    start = (page or 0) * (size or 0) if page is not None else offset or 0
    shown = servers[start:] if size is None else servers[start : start + size]
    following: str | None = None
    if size is not None and start + size < len(servers):
        query = {"page": (start // size) + 1, "perPage": size}
        if page is None:
            query = {"offset": start + size, "limit": size}
        following = str(request.url.replace_query_params(**query))
    return {"servers": shown, "total_count": len(servers), "next": following}


async def get_mcp_server(
    server: ServerDep,
    request: Request,
    key: Annotated[str, Path(alias="id", description="The key of an MCP server.")],
    version: str | None = None,
) -> dict[str, Json]:
    """Return what is known of an MCP server."""
    found = _server(server, key)
    if version is not None and version != found.version:
        raise Refusal(404, "MCP server not found in that version")
    return _facts(request, key, found)


def _tool_facts(name: str, tool: Tool[Any, Any]) -> dict[str, Json]:
    kind = name.partition("_")[0]
    facts: dict[str, Json] = {
        "id": name,
        "name": name,
        "description": tool.description,
        "inputSchema": schema_text(tool.input_json_schema, DRAFT_7),
        "toolType": {"ask": "agent", "run": "workflow"}.get(kind, "tool"),
    }
    if tool.output_json_schema is not None:
        facts["outputSchema"] = schema_text(tool.output_json_schema, DRAFT_7)
    meta: Any = (tool.mcp or {}).get("_meta")
    return facts if meta is None else {**facts, "_meta": meta}


async def list_mcp_tools(server: ServerDep, server_id: ServerId) -> dict[str, Json]:
    """List the tools of an MCP server."""
    tools = _server(server, server_id).list_tools()
    return {"tools": [_tool_facts(name, tool) for name, tool in tools.items()]}


async def get_mcp_tool(server: ServerDep, server_id: ServerId, tool_id: ToolId) -> dict[str, Json]:
    """Return a tool of an MCP server with its schemas."""
    return _tool_facts(tool_id, _tool(server, server_id, tool_id))


async def execute_mcp_tool(
    server: ServerDep, request: Request, server_id: ServerId, tool_id: ToolId, body: ToolBody
) -> dict[str, Json]:
    """Run a tool of an MCP server by itself."""
    found = await run_tool(server, request, _tool(server, server_id, tool_id), body)
    return {"result": found}


async def list_mcp_resources(
    server: ServerDep, request: Request, server_id: ServerId
) -> dict[str, Json]:
    """List the resources of an MCP server."""
    found = _server(server, server_id)
    if found.offered_resources is None:
        return {"resources": []}
    await _load(_OFFERS)
    from mastra.mcp.served_offers import listed_resources  # noqa: PLC0415 - an optional package

    listed = await listed_resources(found.offered_resources, _context(server, request))
    return {"resources": [_plain(item) for item in listed]}


async def read_mcp_resource(
    server: ServerDep, request: Request, server_id: ServerId, body: ResourceBody
) -> dict[str, Json]:
    """Return what a resource of an MCP server holds."""
    found = _server(server, server_id)
    if found.offered_resources is None:
        raise Refusal(404, "Resource not found")
    await _load(_OFFERS)
    from mastra.mcp.served_offers import resource_contents  # noqa: PLC0415 - an optional package

    context = _context(server, request)
    contents = await resource_contents(found.offered_resources, body.uri, context)
    return {"contents": [_plain(item) for item in contents]}


async def _load(*modules: str) -> None:
    with needs("mcp", "MCP"):
        await loaded(*modules)


def _context(server: Server, request: Request) -> ToolContext:
    values = server.request_context(request)
    return ToolContext(mastra=server.mastra, request_context=values)


def _plain(item: Any) -> Any:
    return item.model_dump(mode="json", by_alias=True, exclude_none=True)


# -- the protocol ------------------------------------------------------------------------------


class _Doors:
    """What speaks the protocol for a server's MCP servers, each begun when it is first called."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._http: dict[str, HttpSessions] = {}
        self._sse: dict[str, SseSessions] = {}

    def http_of(self, key: str) -> HttpSessions:
        from mastra.mcp.sessions import HttpSessions  # noqa: PLC0415 - an optional package

        if key not in self._http:
            limit = self._server.config.body_size_limit
            made = self._http[key] = HttpSessions(_server(self._server, key), limit)
            self._server.closers.add(made.aclose)
        return self._http[key]

    def sse_of(self, key: str, path: str) -> SseSessions:
        from mastra.mcp.sessions import SseSessions  # noqa: PLC0415 - an optional package

        if key not in self._sse:
            messages = f"{path.rpartition('/')[0]}/messages"
            limit = self._server.config.body_size_limit
            self._sse[key] = SseSessions(_server(self._server, key), messages, limit)
        return self._sse[key]

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request that the server has let in."""
        request = Request(scope)
        key: str = request.path_params["serverId"]
        try:
            _server(self._server, key)
        except Refusal as refusal:
            await Response(refusal.message, refusal.status)(scope, receive, send)
            return
        await _load("mastra.mcp.sessions", "mastra.mcp.protocol")
        scope[REQUEST_CONTEXT] = self._server.request_context(request)
        self._name(scope, request)
        path = request.url.path
        root = scope.get("root_path", "")
        door = path.rpartition("/")[2]
        if door == "mcp":
            await self.http_of(key)(scope, receive, send)
            return
        sessions = self.sse_of(key, path.removeprefix(root))
        await (sessions.stream if door == "sse" else sessions.message)(scope, receive, send)

    def _name(self, scope: Any, request: Request) -> None:
        """Say whose a session is: another caller's requests do not reach it."""
        from mastra.mcp.sessions import caller_of_session  # noqa: PLC0415 - an optional package

        name = self._server.owner(request) or caller_of(request).token
        if name is not None:
            scope["user"] = caller_of_session(name)


MCP_DOORS: Final = (
    ("ALL", "/mcp/{serverId}/mcp"),
    ("GET", "/mcp/{serverId}/sse"),
    ("POST", "/mcp/{serverId}/messages"),
)
"""Where the protocol itself is spoken."""


def mcp_doors(server: Server) -> list[ApiRoute]:
    """Return what speaks the protocol, as routes of one ASGI application."""
    answer = _Doors(server).answer
    return [ApiRoute(path=path, handler=answer) for _, path in MCP_DOORS]


def add_mcp_routes(router: APIRouter) -> None:
    """Add the routes that tell of MCP servers to a router."""
    add(router, "GET", _LIST, list_mcp_servers)
    add(router, "GET", f"{_LIST}/{{id}}", get_mcp_server)
    add(router, "GET", "/mcp/{serverId}/tools", list_mcp_tools)
    add(router, "GET", "/mcp/{serverId}/tools/{toolId}", get_mcp_tool)
    add(router, "POST", "/mcp/{serverId}/tools/{toolId}/execute", execute_mcp_tool)
    add(router, "GET", "/mcp/{serverId}/resources", list_mcp_resources)
    add(router, "POST", "/mcp/{serverId}/resources/read", read_mcp_resource)
