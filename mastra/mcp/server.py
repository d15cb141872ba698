"""A Mastra's agents, tools and workflows as an MCP server."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import BaseModel, Field

from mastra.agents.agent import Agent
from mastra.clock import iso_from_ms, now_ms
from mastra.errors import ConfigError, NotFoundError, ToolApprovalError
from mastra.extras import needs
from mastra.input_lines import standard_input
from mastra.logs import get_logger
from mastra.mcp.news import News, PromptNews, ResourceNews
from mastra.mcp.offers import Completer, MCPServerPrompts, MCPServerResources
from mastra.names import python_options
from mastra.registry import Mastra
from mastra.tools.from_workflow import workflow_tool
from mastra.tools.named import add_tools, named_tools
from mastra.tools.tool import Tool, ToolInput, create_tool
from mastra.tools.tool_context import ToolContext
from mastra.workflows.workflow import Workflow

if TYPE_CHECKING:
    from mastra.mcp.protocol import InitializedServer

__all__ = ["REQUEST_CONTEXT", "MCPServer"]

REQUEST_CONTEXT: Final = "mastra_request_context"
"""Where the scope of an HTTP request has its values, which tools find in their request context."""


_KEY_LENGTH: Final = 32


class _Question(BaseModel):
    message: str = Field(description="What to ask the agent")


@python_options
class MCPServer:
    """Offers tools over MCP: tools as they are, agents as `ask_<key>`, workflows as `run_<key>`.

    Args:
        name: What the server is called.
        version: Its version.
        title: A name for people.
        description: What it is for.
        mastra: Everything that this application has registered is offered.
        agents: Agents by key, beside or in place of an application's.
        workflows: Committed workflows by key.
        tools: Tools by name.
        resources: Resources, as an `MCPServerResources` or a dict of its fields.
        prompts: Prompts, as an `MCPServerPrompts` or a dict of its fields.
        complete: Suggests values for the arguments of prompts and templates:
            `(name or template, argument, typed so far)`, plain or async.
        instructions: What clients may tell their model about the server.
        release_date: When this version came out, as ISO 8601. Default: when the object was made.
        state_keys: Secrets of 32 characters or more that seal what a client of the 2026 protocol
            carries while its person answers; the first seals, all open. The processes of one service
            need the same. Default: one of this process.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "0.1.0",
        title: str | None = None,
        description: str | None = None,
        mastra: Mastra | None = None,
        agents: Mapping[str, Agent] | None = None,
        workflows: Mapping[str, Workflow[Any, Any, Any]] | None = None,
        tools: Mapping[str, ToolInput] | Sequence[ToolInput] | None = None,
        resources: MCPServerResources | Mapping[str, Any] | None = None,
        prompts: MCPServerPrompts | Mapping[str, Any] | None = None,
        complete: Completer | None = None,
        instructions: str | None = None,
        release_date: str | None = None,
        state_keys: Sequence[str] | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.title = title
        self.description = description
        self.instructions = instructions
        self.release_date = release_date or iso_from_ms(now_ms())
        self.mastra = mastra
        """Whose application it is; that of the server it is registered with, where none was given."""
        self.offered_resources = _offer(MCPServerResources, resources)
        self.offered_prompts = _offer(MCPServerPrompts, prompts)
        self.complete = complete
        self.state_keys = list(state_keys) if state_keys else [secrets.token_hex(32)]
        if any(len(key) < _KEY_LENGTH for key in self.state_keys):
            raise ConfigError(
                f"state_keys of MCP server {name!r} need {_KEY_LENGTH} characters each."
            )
        self.news = News()
        """Who wants to know of changes."""
        self.resources = ResourceNews(self.news)
        """Tells clients of changed resources."""
        self.prompts = PromptNews(self.news)
        """Tells clients of changed prompts."""
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

    def registered_with(self, mastra: Mastra) -> None:
        """Take an application's storage and agents, where none was given."""
        if self.mastra is None:
            self.mastra = mastra

    def list_tools(self) -> dict[str, Tool[Any, Any]]:
        """Return what is offered, by name."""
        return dict(self._tools)

    def tool(self, name: str) -> Tool[Any, Any]:
        """Return a tool by name.

        Raises:
            NotFoundError: There is none of that name.
        """
        found = self._tools.get(name)
        if found is None:
            raise NotFoundError(f"MCP server {self.name!r} has no tool {name!r}.")
        return found

    async def execute_tool(self, name: str, args: Any, ctx: ToolContext | None = None) -> Any:
        """Run a tool as a client would that can be asked nothing.

        Raises:
            NotFoundError: There is none of that name.
            ToolApprovalError: A person must agree first, which nobody can be asked for here.
        """
        tool = self.tool(name)
        context = ctx or ToolContext(mastra=self.mastra)
        return tool.dump(await tool.execute(args, context))

    def build(self) -> InitializedServer:
        """Return the SDK's server, for a transport of your own."""
        with needs("mcp", "MCP"):
            from mastra.mcp.protocol import build  # noqa: PLC0415 - an optional package
        return build(self)

    def asgi_app(self, *, path: str = "/mcp") -> Any:
        """Return an ASGI application that speaks streamable HTTP at a path.

        Its lifespan has to run: mount it in an application that runs it, or serve it by itself.
        """
        return self.build().streamable_http_app(streamable_http_path=path)

    async def run_stdio(self) -> None:
        """Speak MCP on standard input and output until they close, or whoever waits here leaves.

        Raises:
            ConfigError: There is no standard input.
        """
        server = self.build()
        from mcp.server.stdio import stdio_server  # noqa: PLC0415 - an optional package

        with standard_input() as lines:
            # The SDK waits for its own read of standard input, which may never come back.
            given: Any = lines
            try:
                async with stdio_server(stdin=given) as (read, write):
                    await server.run(read, write, server.create_initialization_options())
            except* BrokenPipeError:
                get_logger().info("The MCP client of %r reads no more.", self.name)


def _offer(kind: Any, given: Any) -> Any:
    if given is None or isinstance(given, kind):
        return given
    return kind(**cast("Mapping[str, Any]", given))


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
