"""Tools, resources and prompts of MCP servers, for agents.

Connections are opened on first use, one a server and event loop, and again when a server that died
is asked for something. `aclose`, or the end of an `async with`, ends them and the programs started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from mastra.errors import ConfigError, MastraError, ToolError
from mastra.mcp.config import MCPServerConfig, ServerInput, config_of
from mastra.mcp.connection import Connection
from mastra.mcp.failures import fate_of, of_each, request_failed
from mastra.mcp.pages import Pages
from mastra.mcp.requests import Elicitation, ServerRequests
from mastra.mcp.resources import MCPPrompts, MCPResources
from mastra.mcp.sieve import Sieve
from mastra.mcp.tool_runs import ToolRuns
from mastra.models.resolve import ModelInput
from mastra.tools.named import add_tools
from mastra.tools.tool import Tool, create_tool
from mastra.tools.tool_context import ToolContext

if TYPE_CHECKING:
    import mcp

__all__ = ["MCPClient", "MCPServerConfig"]

T = TypeVar("T")
_TRIES: Final = 3
_TOOLS: Final = "the list of its tools"


class MCPClient:
    """Connections to MCP servers, opened on first use.

    Args:
        servers: By name: an `MCPServerConfig`, a dict of its fields, or an address.
        timeout_s: How long a call may take, and the opening of a connection.
        reconnect_s: How long to go on trying, at growing intervals, to reach a server that went
            away. One that was never reached is tried once.
        elicitation: What answers the questions of servers. Default: the run that a tool call
            belongs to is suspended with the question. A function of the `Question`, plain or
            async, answers at once; `False` tells servers that nobody can be asked.
        answer_s: How long a call is held for an answer, where the server keeps the call open.
        sampling: A model that servers may ask. Default: they may not.
    """

    def __init__(
        self,
        servers: Mapping[str, ServerInput],
        *,
        timeout_s: float = 60.0,
        reconnect_s: float = 5.0,
        elicitation: Elicitation = True,
        answer_s: float = 600.0,
        sampling: ModelInput | None = None,
    ) -> None:
        self._configs = {name: config_of(name, value) for name, value in servers.items()}
        self._sieves = {name: Sieve(name) for name in self._configs}
        self._timeout_s = timeout_s
        self._reconnect_s = reconnect_s
        self._requests = ServerRequests(self._configs, elicitation, sampling)
        self._runs = ToolRuns(self._ask, self._requests, timeout_s=timeout_s, answer_s=answer_s)
        self.resources = MCPResources(tuple(self._configs), self._ask)
        """Lists, reads and watches the resources of the servers."""
        self.prompts = MCPPrompts(tuple(self._configs), self._ask)
        """Lists the prompts of the servers, and fills them in."""
        self._read_s = max(timeout_s, answer_s)
        self._closings = 0
        self._homes: dict[asyncio.AbstractEventLoop, dict[str, Connection]] = {}
        self._retired: dict[asyncio.AbstractEventLoop, list[Connection]] = {}

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
        return _together(await self.list_toolsets())

    async def list_tools_with_errors(
        self,
    ) -> tuple[dict[str, Tool[Any, Any]], dict[str, ToolError]]:
        """Return the tools of all servers that can be asked, and what is wrong with the others.

        The log has that too.

        Raises:
            ConfigError: Tools of two servers come to one name.
        """
        toolsets, errors = await self.list_toolsets_with_errors()
        return _together(toolsets), errors

    async def list_toolsets(self) -> dict[str, dict[str, Tool[Any, Any]]]:
        """Return the tools by server, for an agent's `toolsets`.

        Raises:
            ToolError: A server cannot be reached.
        """
        return {name: await self._tools_of(name) for name in self._configs}

    async def list_toolsets_with_errors(
        self,
    ) -> tuple[dict[str, dict[str, Tool[Any, Any]]], dict[str, ToolError]]:
        """Return the tools by server, of those that can be asked, and what is wrong with the others."""
        return await of_each(self._configs, self._tools_of)

    async def _tools_of(self, server: str) -> dict[str, Tool[Any, Any]]:
        tools: dict[str, Tool[Any, Any]] = {}

        async def read(connection: Connection) -> None:
            tools.clear()
            pages = Pages(server, _TOOLS)
            cursor: str | None = None
            while True:
                page = await connection.client.list_tools(cursor=cursor)
                for item in page.tools:
                    if item.name in tools:
                        # A call by that name is one call, whichever of them was meant.
                        self._sieves[server].tell(
                            f"two tools named {item.name!r}; the first counts"
                        )
                    else:
                        try:
                            tools[item.name] = self._tool(server, item)
                        except ConfigError as error:
                            told = f"a tool {item.name!r} that cannot be used and is left out"
                            self._sieves[server].tell(f"{told}: {error.message}")
                cursor = pages.after(page)
                if cursor is None:
                    return

        await self._ask(server, _TOOLS, read)
        return tools

    def _tool(self, server: str, item: mcp.Tool) -> Tool[Any, Any]:
        name = item.name

        async def call(given: dict[str, Any], ctx: ToolContext) -> Any:
            return await self._runs.run(server, name, given, ctx)

        annotations = item.annotations
        mcp = None
        if annotations is not None:
            mcp = {"annotations": annotations.model_dump(exclude_none=True, by_alias=True)}
        about = item.description or item.title or name
        schema = item.input_schema
        return create_tool(name, about, schema, execute=call, title=item.title, mcp=mcp)

    async def _ask(
        self,
        server: str,
        what: str,
        request: Callable[[Connection], Awaitable[T]],
        *,
        may_repeat: bool = True,
    ) -> T:
        """Ask a server something, over a connection that works.

        Args:
            server: The name it was given.
            what: What is asked, for errors.
            request: Asks it.
            may_repeat: Whether it may be asked again where the server perhaps acted already.

        Raises:
            ToolError: The server cannot be reached, went away, or refused.
        """
        closings = self._closings
        for attempt in range(_TRIES):
            connection = await self._connected(server)
            try:
                return await request(connection)
            except MastraError:
                raise
            except Exception as error:  # the SDK's own, of many kinds
                fate = fate_of(error)
                if fate == "refused" or (fate == "lost" and not connection.fails_by_request):
                    connection.retire()
                is_safe = fate == "refused" or (fate == "lost" and may_repeat)
                if not is_safe or attempt == _TRIES - 1 or closings != self._closings:
                    tries = attempt + 1
                    raise request_failed(server, what, error, fate, tries=tries) from error
        raise AssertionError("the last try returned or raised")  # pragma: no cover

    async def _connected(self, server: str) -> Connection:
        config = self._configs.get(server)
        if config is None:
            names = ", ".join(self._configs) or "none"
            raise ToolError(f"There is no MCP server {server!r}. Known: {names}.")
        home = self._home()
        found = home.get(server)
        if found is None or found.is_dead:
            patience_s = 0.0
            if found is not None:
                patience_s = self._reconnect_s
                self._let_end(found)
            found = home[server] = Connection(
                server,
                config,
                self._requests.callbacks,
                open_s=self._timeout_s,
                read_s=self._read_s,
                patience_s=patience_s,
                sieve=self._sieves[server],
            )
        try:
            await found.opened()
        except Exception:
            if home.get(server) is found:
                del home[server]
            raise
        return found

    def _home(self) -> dict[str, Connection]:
        """Return the connections of the running event loop: none works in another."""
        here = asyncio.get_running_loop()
        found = self._homes.get(here)
        if found is None:
            for loop in [loop for loop in self._homes if loop.is_closed()]:
                # Its end ended the tasks that held them.
                del self._homes[loop]
                self._retired.pop(loop, None)
            found = self._homes[here] = {}
        return found

    def _let_end(self, connection: Connection) -> None:
        """Remember a connection that is replaced until nothing is left of it."""
        here = asyncio.get_running_loop()
        left = [known for known in self._retired.get(here, ()) if not known.is_over]
        self._retired[here] = left if connection.is_over else [*left, connection]

    async def aclose(self) -> None:
        """Close every connection and end the programs that were started."""
        self._closings += 1
        self._runs.let_go()
        homes, self._homes = self._homes, {}
        retired, self._retired = self._retired, {}
        for loop in {**homes, **retired}:
            connections = [*homes.get(loop, {}).values(), *retired.get(loop, ())]
            if loop is asyncio.get_running_loop():
                await _close(connections)
            elif loop.is_running():
                elsewhere = asyncio.run_coroutine_threadsafe(_close(connections), loop)
                await asyncio.wrap_future(elsewhere)


def _together(toolsets: Mapping[str, Mapping[str, Tool[Any, Any]]]) -> dict[str, Tool[Any, Any]]:
    found: dict[str, Tool[Any, Any]] = {}
    for server, tools in toolsets.items():
        named = {f"{server}_{name}": tool for name, tool in tools.items()}
        add_tools(found, named, f"server {server!r}", of="MCP servers")
    return found


async def _close(connections: list[Connection]) -> None:
    await asyncio.gather(*(connection.aclose() for connection in connections))
