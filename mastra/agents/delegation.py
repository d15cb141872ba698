"""An agent as a tool of another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import Field

from mastra.services import AgentStreamHandle, Services
from mastra.tools.tool import Tool, create_tool
from mastra.tools.tool_context import ToolContext
from mastra.wire import WireModel

__all__ = ["DelegationInput", "SubAgent", "agent_tool", "resumed", "what_it_waits_for"]


class SubAgent(Protocol):
    """An agent, as another one sees it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def description(self) -> str:
        """What it is for."""
        ...

    @property
    def mastra(self) -> Services | None:
        """The application it belongs to, if any."""
        ...

    def bound_to(self, services: Services) -> SubAgent:
        """Return the same agent as one of an application."""
        ...

    def stream(self, messages: Any, **options: Any) -> AgentStreamHandle:
        """Start an answer."""
        ...

    def resume_stream(self, resume_data: Any, *, run_id: str, **options: Any) -> AgentStreamHandle:
        """Go on with a run that waits."""
        ...


class DelegationInput(WireModel):
    """What one agent may tell another."""

    prompt: str = Field(description="What to ask the agent")
    thread_id: str | None = Field(None, description="The thread of the conversation")
    resource_id: str | None = Field(None, description="Whose conversation it is")
    instructions: str | None = Field(None, description="Instructions in place of its own")
    max_steps: int | None = Field(None, description="The most steps it may take")


def agent_tool(key: str, agent: SubAgent) -> Tool[Any, Any]:
    """Return the tool `agent-<key>`, which asks an agent and streams what it streams."""

    async def ask(asked: DelegationInput, ctx: ToolContext) -> dict[str, Any]:
        own = (
            agent if agent.mastra is not None or ctx.mastra is None else agent.bound_to(ctx.mastra)
        )
        options: dict[str, Any] = {
            "request_context": ctx.request_context,
            "abort_signal": ctx.abort_signal,
            "instructions": asked.instructions,
            "max_steps": asked.max_steps,
        }
        if asked.thread_id is not None:
            options["memory"] = {"thread": asked.thread_id, "resource": asked.resource_id}
        stream = resumed(own, ctx, options) or own.stream(asked.prompt, **options)
        async with stream:
            async for chunk in stream:
                await ctx.writer.write(chunk)
            result = await stream.result()
        if result.finish_reason == "suspended":
            return await ctx.suspend(what_it_waits_for(result))
        return {
            "text": result.text,
            "subAgentThreadId": asked.thread_id,
            "subAgentResourceId": asked.resource_id,
            "subAgentToolResults": [
                {
                    "toolCallId": item.payload.tool_call_id,
                    "toolName": item.payload.tool_name,
                    "args": item.payload.args,
                    "result": item.payload.result,
                }
                for item in result.tool_results
            ],
        }

    return create_tool(
        f"agent-{key}",
        agent.description or f"Agent: {agent.name}",
        DelegationInput,
        execute=ask,
        to_model_output=lambda result: result["text"],
    )


def what_it_waits_for(result: Any) -> dict[str, Any]:
    """Return what the tool or the step that asked suspends with."""
    return {
        "runId": result.run_id,
        "suspendPayload": result.suspend_payload,
        "resumeSchema": result.resume_schema,
    }


def resumed(agent: SubAgent, ctx: Any, options: Mapping[str, Any]) -> AgentStreamHandle | None:
    """Return the stream of an agent's run that goes on, where the tool or the step was suspended."""
    if ctx.resume_data is None or not isinstance(ctx.suspend_data, Mapping):
        return None
    kept = {
        key: value for key, value in options.items() if key in {"request_context", "abort_signal"}
    }
    return agent.resume_stream(ctx.resume_data, run_id=ctx.suspend_data["runId"], **kept)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
