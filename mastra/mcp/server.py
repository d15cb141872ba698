"""A Mastra's agents, tools and workflows as an MCP server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from mastra.agents.agent import Agent
from mastra.errors import (
    ConfigError,
    NotFoundError,
    RunStateError,
    ToolApprovalError,
    ToolError,
    ValidationError,
)
from mastra.extras import needs
from mastra.jsonable import dump_json
from mastra.logs import get_logger
from mastra.mcp.content import blocks_of
from mastra.registry import Mastra
from mastra.tools.execute import is_error_result
from mastra.tools.from_workflow import workflow_tool
from mastra.tools.named import add_tools, named_tools
from mastra.tools.tool import Tool, ToolInput, create_tool
from mastra.tools.tool_context import ToolContext
from mastra.workflows.workflow import Workflow

__all__ = ["MCPServer"]


_MEANT = (ToolError, ValidationError, NotFoundError, RunStateError)
"""Errors that say what a caller may know. A tool raises a `ToolError` to say so."""


class _Question(BaseModel):
    message: str = Field(description="What to ask the agent")


class MCPServer:
    """Offers tools over MCP: tools as they are, agents as `ask_<key>`, workflows as `run_<key>`.

    Args:
        name: What the server is called.
        version: Its version.
        mastra: Everything that this application has registered is offered.
        agents: Agents by key, beside or in place of an application's.
        workflows: Committed workflows by key.
        tools: Tools by name.
        instructions: What clients may tell their model about the server.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "0.1.0",
        mastra: Mastra | None = None,
        agents: Mapping[str, Agent] | None = None,
        workflows: Mapping[str, Workflow[Any, Any, Any]] | None = None,
        tools: Mapping[str, ToolInput] | Sequence[ToolInput] | None = None,
        instructions: str | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.instructions = instructions
        self._mastra = mastra
        registered: dict[str, Any] = {} if mastra is None else dict(mastra.list_tools())
        self._tools = named_tools(registered)
        add_tools(self._tools, named_tools(tools), "tools", of=f"MCP server {name!r}")
        own_agents = {**({} if mastra is None else mastra.list_agents()), **(agents or {})}
        for key, agent in own_agents.items():
            self._add(f"ask_{key}", _ask_tool(key, agent))
        own_workflows = {**({} if mastra is None else mastra.list_workflows()), **(workflows or {})}
        for key, workflow in own_workflows.items():
            self._add(f"run_{key}", workflow_tool(key, workflow))

    def _add(self, name: str, tool: Tool[Any, Any]) -> None:
        if name in self._tools:
            raise ConfigError(f"MCP server {self.name!r} has two tools named {name!r}.")
        self._tools[name] = tool

    def list_tools(self) -> dict[str, Tool[Any, Any]]:
        """Return what is offered, by name."""
        return dict(self._tools)

    async def execute_tool(self, name: str, args: Any, ctx: ToolContext | None = None) -> Any:
        """Run a tool as a client would.

        Raises:
            NotFoundError: There is none of that name.
            ToolApprovalError: A person must agree first, which nobody can be asked for here.
        """
        tool = self._tools.get(name)
        if tool is None:
            raise NotFoundError(f"MCP server {self.name!r} has no tool {name!r}.")
        context = ctx or ToolContext(mastra=self._mastra)
        return tool.dump(await tool.execute(args, context))

    def build(self) -> Any:
        """Return the SDK's server, for a transport of your own."""
        types, low = _sdk()

        async def listed(_context: Any, _params: Any) -> Any:
            return types.ListToolsResult(
                tools=[_described(types, name, tool) for name, tool in self._tools.items()]
            )

        async def called(_context: Any, params: Any) -> Any:
            try:
                result = await self.execute_tool(params.name, params.arguments or {})
            except Exception as error:  # noqa: BLE001 - the client is told that it failed
                return _answer(types, _told(params.name, error), is_error=True)
            if is_error_result(result):
                return _answer(types, result["message"], is_error=True)
            return _answer(types, result)

        return low.Server(
            self.name,
            version=self.version,
            instructions=self.instructions,
            on_list_tools=listed,
            on_call_tool=called,
        )

    def asgi_app(self, *, path: str = "/mcp") -> Any:
        """Return an ASGI application that speaks streamable HTTP at a path.

        Its lifespan has to run: mount it in an application that runs it, or serve it by itself.
        """
        return self.build().streamable_http_app(streamable_http_path=path)

    async def run_stdio(self) -> None:
        """Speak MCP on standard input and output until they close."""
        from mcp.server.stdio import stdio_server  # noqa: PLC0415 - an optional package

        server = self.build()
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())


def _sdk() -> tuple[Any, Any]:
    with needs("mcp", "MCP"):
        from mcp import types  # noqa: PLC0415 - an optional package
        from mcp.server import lowlevel  # noqa: PLC0415
    return types, lowlevel


def _described(types: Any, name: str, tool: Tool[Any, Any]) -> Any:
    facts: Mapping[str, Any] = tool.mcp or {}
    annotations = facts.get("annotations")
    return types.Tool(
        name=name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_json_schema,
        annotations=None if annotations is None else types.ToolAnnotations(**annotations),
    )


def _told(name: str, error: Exception) -> str:
    """Return what a client is told of a failure: what was meant for it, and nothing of the inside."""
    if isinstance(error, _MEANT):
        return error.message
    get_logger({"tool": name}).error("Tool %r failed over MCP", name, exc_info=error)
    return f"Tool {name!r} failed: {type(error).__name__}"


def _answer(types: Any, result: Any, *, is_error: bool = False) -> Any:
    blocks = None if is_error else blocks_of(result)
    if blocks is not None:
        return types.CallToolResult(content=blocks)
    text = result if isinstance(result, str) else dump_json(result).decode()
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text)],
        structured_content=result if isinstance(result, dict) and not is_error else None,
        is_error=is_error,
    )


def _ask_tool(key: str, agent: Agent) -> Tool[Any, Any]:
    if not agent.description:
        raise ConfigError(
            f"Agent {key!r} needs a description to be offered over MCP: clients choose by it."
        )

    async def ask(question: _Question, ctx: ToolContext) -> Any:
        own = agent
        if agent.mastra is None and ctx.mastra is not None:
            own = agent.bound_to(ctx.mastra)
        result = await own.generate(question.message, request_context=ctx.request_context)
        if result.finish_reason == "suspended":
            raise ToolApprovalError(
                f"Agent {key!r} waits for somebody's answer before it goes on (run "
                f"{result.run_id!r}). That cannot be given over MCP.",
                details={"runId": result.run_id},
            )
        return result.object if result.object is not None else result.text

    call: Callable[..., Any] = ask
    return create_tool(
        f"ask_{key}", f"Ask the agent {agent.name!r}: {agent.description}", _Question, execute=call
    )
