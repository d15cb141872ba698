"""Tools of MCP servers, for agents.

Each server is held open by a task of its own, since the SDK wants a connection left by the task
that entered it; `aclose`, or the end of an `async with`, ends those tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from mastra.errors import ConfigError, MissingDependencyError, ToolError
from mastra.tools.named import add_tools
from mastra.tools.tool import Tool, create_tool
from mastra.tools.tool_context import ToolContext

if TYPE_CHECKING:
    import mcp

__all__ = ["MCPClient", "MCPServerConfig"]


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
    server: Any = None
    """A server in this process: the SDK's own, or an `MCPServer` of this package."""


class MCPClient:
    """Connections to MCP servers, opened on first use.

    Args:
        servers: By name: an `MCPServerConfig`, a dict of its fields, or an address.
        timeout_s: How long a call may take.
    """

    def __init__(
        self,
        servers: Mapping[str, MCPServerConfig | Mapping[str, Any] | str],
        *,
        timeout_s: float = 60.0,
    ) -> None:
        self._configs = {name: _config(name, value) for name, value in servers.items()}
        self._timeout_s = timeout_s
        self._connections: dict[str, _Connection] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def list_tools(self) -> dict[str, Tool[Any, Any]]:
        """Return the tools of all servers, each named `<server>_<tool>`.

        Raises:
            ToolError: A server cannot be reached.
            ConfigError: Tools of two servers come to one name.
        """
        found: dict[str, Tool[Any, Any]] = {}
        for server, tools in (await self.list_toolsets()).items():
            named = {f"{server}_{name}": tool for name, tool in tools.items()}
            add_tools(found, named, f"server {server!r}", of="MCP servers")
        return found

    async def list_toolsets(self) -> dict[str, dict[str, Tool[Any, Any]]]:
        """Return the tools by server, for an agent's `toolsets`."""
        return {name: await self._tools_of(name) for name in self._configs}

    async def _tools_of(self, server: str) -> dict[str, Tool[Any, Any]]:
        connection = await self._connected(server)
        tools: dict[str, Tool[Any, Any]] = {}
        cursor: str | None = None
        while True:
            page = await connection.client.list_tools(cursor=cursor)
            for item in page.tools:
                add_tools(tools, {item.name: self._tool(server, item)}, "its list", of=server)
            cursor = page.next_cursor
            if cursor is None:
                return tools

    def _tool(self, server: str, item: mcp.Tool) -> Tool[Any, Any]:
        name = item.name

        async def call(given: dict[str, Any], ctx: ToolContext) -> Any:
            connection = await self._connected(server)

            async def report(progress: float, total: float | None, message: str | None) -> None:
                await ctx.writer.write({"progress": progress, "total": total, "message": message})

            result = await connection.client.call_tool(
                name,
                given,
                read_timeout_seconds=self._timeout_s,
                progress_callback=report,
            )
            return _result(server, name, result)

        annotations = item.annotations
        return create_tool(
            name,
            item.description or item.title or name,
            item.input_schema,
            execute=call,
            title=item.title,
            mcp=None
            if annotations is None
            else {"annotations": annotations.model_dump(exclude_none=True, by_alias=True)},
        )

    async def _connected(self, server: str) -> _Connection:
        found = self._connections.get(server)
        if found is None:
            found = self._connections[server] = _Connection(server, self._configs[server])
        try:
            await found.opened()
        except BaseException:
            self._connections.pop(server, None)
            raise
        return found

    async def aclose(self) -> None:
        """Close every connection and end the programs that were started."""
        connections, self._connections = self._connections, {}
        for connection in connections.values():
            await connection.aclose()


class _Connection:
    """One server, held open by a task."""

    def __init__(self, name: str, config: MCPServerConfig) -> None:
        self._name = name
        self._config = config
        loop = asyncio.get_running_loop()
        self._open: asyncio.Future[Any] = loop.create_future()
        self._stop = asyncio.Event()
        # Not a task group's: it lives as long as the connection, across many calls.
        self._task = loop.create_task(self._hold())

    async def opened(self) -> None:
        """Return once the connection is open.

        Raises:
            ToolError: It cannot be opened.
        """
        await asyncio.shield(self._open)

    @property
    def client(self) -> mcp.Client:
        """The SDK's client."""
        return self._open.result()

    async def _hold(self) -> None:
        try:
            async with _client(self._config) as client:
                self._open.set_result(client)
                await self._stop.wait()
        except Exception as error:  # noqa: BLE001 - told to whoever waits for the connection
            if not self._open.done():
                self._open.set_exception(
                    ToolError(f"MCP server {self._name!r} cannot be reached: {_first(error)}")
                )
        finally:
            if not self._open.done():
                self._open.cancel()

    async def aclose(self) -> None:
        """Close the connection."""
        self._stop.set()
        await asyncio.wait([self._task])


def _first(error: BaseException) -> BaseException:
    """Return what is inside a group of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return error  # pyright: ignore[reportUnknownVariableType]


def _client(config: MCPServerConfig) -> Any:
    try:
        import mcp  # noqa: PLC0415 - an optional package
    except ImportError as error:
        raise MissingDependencyError(
            "MCP needs the package 'mcp': pip install 'mastra-py[mcp]'."
        ) from error
    if config.server is not None:
        build = getattr(config.server, "build", None)
        return mcp.Client(config.server if build is None else build())
    if config.command is not None:
        return mcp.Client(
            mcp.StdioServerParameters(
                command=config.command,
                args=list(config.args),
                env=None if config.env is None else dict(config.env),
                cwd=config.cwd,
            )
        )
    url = config.url or ""
    if not config.headers:
        return mcp.Client(url)
    from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415
    from mcp.shared._httpx_utils import create_mcp_http_client  # noqa: PLC0415

    http = create_mcp_http_client(headers=dict(config.headers))
    return mcp.Client(streamable_http_client(url, http_client=http))


def _config(name: str, value: MCPServerConfig | Mapping[str, Any] | str) -> MCPServerConfig:
    if isinstance(value, str):
        return MCPServerConfig(url=value)
    if isinstance(value, Mapping):
        known = dict(value)
        if "args" in known:
            known["args"] = tuple(known["args"])
        value = MCPServerConfig(**known)
    if value.command is None and value.url is None and value.server is None:
        raise ConfigError(f"MCP server {name!r} needs a command or a url.")
    return value


def _result(server: str, name: str, result: Any) -> Any:
    """Return what a call gave: its structured content, or else its text."""
    texts = [item.text for item in result.content if item.type == "text"]
    if result.is_error:
        raise ToolError(
            "\n".join(texts) or f"Tool {name!r} of MCP server {server!r} failed.",
            details={"server": server, "tool": name},
        )
    if result.structured_content is not None:
        structured: Any = result.structured_content
        # A value that is no object is wrapped by servers, under this one name.
        return structured["result"] if set(structured) == {"result"} else structured
    if len(texts) == len(result.content):
        return "\n".join(texts)
    return [
        item.model_dump(mode="json", by_alias=True, exclude_none=True) for item in result.content
    ]
