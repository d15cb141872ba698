"""An agent as a tool of another."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, cast

from pydantic import Field

from mastra.agents.calls.outcomes import APPROVAL_SCHEMA
from mastra.agents.chunks import AgentChunk, TextPayload, TripwirePayload
from mastra.agents.delegation_hooks import (
    HOOK_ERRORS,
    DelegationComplete,
    DelegationDecision,
    DelegationOptions,
    DelegationStart,
    DelegationVerdict,
    HookErrors,
)
from mastra.errors import ResumeValidationError, ToolError, TripwireError
from mastra.ids import new_id
from mastra.models.messages import (
    Message,
    MessageInput,
    ReasoningPart,
    ToolCallPart,
    ToolResultPart,
)
from mastra.request_context import RESOURCE_ID, THREAD_ID, RequestContext
from mastra.services import AgentHandle, AgentStreamHandle, Services
from mastra.tools.tool import Tool, create_tool
from mastra.tools.tool_context import AgentCall, ToolContext
from mastra.tools.tool_step import still_waiting
from mastra.wire import WireModel

__all__ = [
    "Asking",
    "DelegationInput",
    "SubAgent",
    "agent_tool",
    "resumed",
    "what_it_waits_for",
    "without_tools",
]


_OWN_KEYS: Final = frozenset((THREAD_ID, RESOURCE_ID, HOOK_ERRORS))
"""Values of the request that belong to the conversation of the agent that asks."""


class SubAgent(AgentHandle, Protocol):
    """An agent, as another one sees it."""

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

    def resume_stream(self, resume_data: Any, *, run_id: str, **options: Any) -> AgentStreamHandle:
        """Go on with a run that waits."""
        ...


class DelegationInput(WireModel):
    """What one agent may tell another."""

    prompt: str = Field(description="What to ask the agent")
    thread_id: str | None = Field(None, description="The thread of the conversation")
    resource_id: str | None = Field(None, description="Whose conversation it is")
    instructions: str | None = Field(None, description="Instructions beside its own")
    max_steps: int | None = Field(None, description="The most steps it may take")


@dataclass(frozen=True, slots=True)
class Asking:
    """The agent that asks others, in one of its runs."""

    agent_id: str
    """Its id."""
    agent_name: str
    """Its name."""
    options: DelegationOptions
    """How it asks."""
    memory: Any
    """Its memory, for those who have none."""
    state: dict[str, Any]
    """The run's own: `feedback` and `is_bailed` are read when the step ends."""


def agent_tool(key: str, agent: SubAgent, asking: Asking) -> Tool[Any, Any]:
    """Return the tool `agent-<key>`, which asks an agent and streams what it streams."""

    async def ask(asked: DelegationInput, ctx: ToolContext) -> dict[str, Any]:
        return await _Delegation(key, agent, asking, asked, ctx).run()

    shows_all = asking.options.get("include_sub_agent_tool_results_in_model_context", False)
    return create_tool(
        f"agent-{key}",
        agent.description or f"Agent: {agent.name}",
        DelegationInput,
        execute=ask,
        to_model_output=None if shows_all else lambda result: result["text"],
    )


class _Delegation:
    """One agent asks another, once."""

    def __init__(
        self, key: str, agent: SubAgent, asking: Asking, asked: DelegationInput, ctx: ToolContext
    ) -> None:
        self._asking = asking
        self._asked = asked
        self._ctx = ctx
        self._call = ctx.agent or AgentCall(asking.agent_id, new_id())
        own = (
            agent if agent.mastra is not None or ctx.mastra is None else agent.bound_to(ctx.mastra)
        )
        inherit = getattr(own, "inheriting", None)
        self._agent: SubAgent = own if inherit is None else inherit(asking.memory)
        self._messages = without_tools(self._call.messages)
        self._iteration = max(1, sum(item.role == "assistant" for item in self._messages))
        given: Any = ctx.suspend_data
        waits = cast("Mapping[str, Any]", given if isinstance(given, Mapping) else {})
        thread_id, resource_id = asked.thread_id, asked.resource_id
        # Never the conversation of the agent that asks, whatever the model says.
        self.thread_id: str = waits.get("subAgentThreadId") or (
            f"{thread_id}-{new_id()}" if thread_id else new_id()
        )
        self.resource_id: str = waits.get("subAgentResourceId") or (
            f"{resource_id or asking.agent_id}-{key}"
        )
        kept = {name: value for name, value in ctx.request_context.items() if name not in _OWN_KEYS}
        self._request_context = RequestContext(kept)
        strategy = asking.options.get("hook_error_strategy", "warn")
        facts = {"primitiveId": agent.id, "toolCallId": self._call.tool_call_id}
        facts["runId"] = self._call.run_id or ""
        self._hooks = HookErrors(strategy, ctx.request_context, facts)
        self._prompt = asked.prompt

    async def run(self) -> dict[str, Any]:
        """Ask, and return what the tool gives."""
        decision: DelegationDecision = {}
        if self._ctx.resume_data is None:
            hook = self._asking.options.get("on_delegation_start")
            decision = (
                await self._hooks.call(
                    "on_delegation_start", hook, self._start(), DelegationDecision
                )
                or {}
            )
        if decision.get("proceed") is False:
            return await self._rejected(decision.get("rejection_reason"))
        self._prompt = decision.get("modified_prompt", self._prompt)
        began = time.perf_counter()
        messages: list[Message] = []
        try:
            result = await self._answer(decision, messages)
        except Exception as error:
            await self._completed({"text": ""}, began, messages, error)
            raise
        return await self._completed(result, began, messages, None)

    def _start(self) -> DelegationStart:
        call, asked = self._call, self._asked
        return DelegationStart(
            self._agent.id,
            "agent",
            self._prompt,
            {
                "thread_id": asked.thread_id,
                "resource_id": asked.resource_id,
                "instructions": asked.instructions,
                "max_steps": asked.max_steps,
            },
            self._iteration,
            call.run_id or "",
            call.thread_id,
            call.resource_id,
            self._asking.agent_id,
            self._asking.agent_name,
            call.tool_call_id,
            self._messages,
            self._request_context,
        )

    async def _rejected(self, reason: str | None) -> dict[str, Any]:
        said = reason or "Delegation rejected by on_delegation_start hook"
        text = f"[Delegation Rejected] {said}"
        run_id = self._call.run_id or ""
        await self._ctx.writer.write(AgentChunk("text-delta", run_id, TextPayload(new_id(), text)))
        return {
            "text": text,
            "subAgentThreadId": self.thread_id,
            "subAgentResourceId": self.resource_id,
        }

    async def _answer(
        self, decision: DelegationDecision, messages: list[Message]
    ) -> dict[str, Any]:
        ctx = self._ctx
        options: dict[str, Any] = {
            "request_context": self._request_context,
            "abort_signal": ctx.abort_signal,
        }
        own = await self._own_defaults()
        if self._call.thread_id and self._call.resource_id and "memory" not in own:
            memory: dict[str, Any] = {"thread": self.thread_id, "resource": self.resource_id}
            spec: Any = getattr(self._agent, "spec", None)
            if spec is None or spec.memory is not None:
                memory["options"] = {"last_messages": False, "generate_title": False}
            options["memory"] = memory
        stream = resumed(self._agent, ctx, options)
        if stream is None:
            # Beside its own instructions, which say what it is for.
            options["system"] = decision.get("modified_instructions", self._asked.instructions)
            options["max_steps"] = decision.get("modified_max_steps", self._steps(own))
            options["context"] = await self._shown()
            stream = self._agent.stream(self._prompt, **options)
        try:
            async with stream:
                async for chunk in stream:
                    if chunk.type.startswith("data-"):
                        await ctx.writer.custom({"type": chunk.type, **chunk.payload})
                    else:
                        await ctx.writer.write(chunk)
                result = await stream.result()
        except ResumeValidationError as error:
            return await ctx.suspend(still_waiting(ctx, error))
        messages += result.messages
        refusal: TripwirePayload | None = getattr(result, "tripwire", None)
        if refusal is not None:
            # Else whoever asked would take it for an answer that says nothing.
            raise TripwireError(
                f"Agent {self._agent.id!r} refused: {refusal.reason}",
                details={"metadata": refusal.metadata, "processorId": refusal.processor_id},
            )
        if result.finish_reason == "suspended":
            place = {
                "subAgentThreadId": self.thread_id,
                "subAgentResourceId": self.resource_id,
            }
            return await ctx.suspend({**what_it_waits_for(result), **place})
        return {
            "text": result.text,
            "subAgentThreadId": self.thread_id,
            "subAgentResourceId": self.resource_id,
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

    async def _own_defaults(self) -> Mapping[str, Any]:
        read = getattr(self._agent, "get_default_options", None)
        return {} if read is None else await read(self._request_context)

    def _steps(self, own: Mapping[str, Any]) -> int | None:
        """Return how many steps the model allows, no more than the agent allows itself."""
        asked, limit = self._asked.max_steps, own.get("max_steps")
        return asked if asked is None or limit is None else min(asked, limit)

    async def _shown(self) -> MessageInput:
        hook = self._asking.options.get("message_filter")
        shown = await self._hooks.call("message_filter", hook, self._start())
        return self._messages if shown is None else shown

    async def _completed(
        self,
        result: dict[str, Any],
        began: float,
        messages: Sequence[Message],
        error: Exception | None,
    ) -> dict[str, Any]:
        hook = self._asking.options.get("on_delegation_complete")
        if hook is None:
            return result
        call, asking = self._call, self._asking
        context = DelegationComplete(
            self._agent.id,
            "agent",
            self._prompt,
            result,
            time.perf_counter() - began,
            error is None,
            error,
            self._iteration,
            call.run_id or "",
            call.tool_call_id,
            asking.agent_id,
            asking.agent_name,
            messages,
        )
        verdict: DelegationVerdict = (
            await self._hooks.call(
                "on_delegation_complete",
                hook,
                context,
                DelegationVerdict,
                may_throw=error is None,
            )
            or {}
        )
        if context.is_bailed or verdict.get("bail"):
            asking.state["is_bailed"] = True
        if verdict.get("feedback"):
            asking.state.setdefault("feedback", []).append(verdict.get("feedback"))
        text = verdict.get("result_text")
        if text is None:
            return result
        if error is not None:
            raise ToolError(text) from error
        return {**result, "text": text}


def without_tools(messages: Sequence[Message]) -> list[Message]:
    """Return a conversation as an agent with other tools may see it: what was said."""
    found: list[Message] = []
    for message in messages:
        parts = [
            part
            for part in message.parts
            if not isinstance(part, (ToolCallPart, ToolResultPart, ReasoningPart))
        ]
        if parts and message.role != "tool":
            found.append(replace(message, content=tuple(parts)))
    return found


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
    kept = {key: options[key] for key in ("abort_signal", "memory") if key in options}
    # The run is the step's or the tool's own, whoever goes on with that; it keeps its resource.
    context = RequestContext.of(options.get("request_context"))
    kept["request_context"] = {key: value for key, value in context.items() if key != RESOURCE_ID}
    waits = cast("Mapping[str, Any]", ctx.suspend_data)
    asked: Any = waits.get("suspendPayload")
    if waits.get("resumeSchema") == APPROVAL_SCHEMA and isinstance(asked, Mapping):
        # Several calls of its step may wait; the answer is to the one that was shown.
        kept["tool_call_id"] = cast("Mapping[str, Any]", asked).get("toolCallId")
    return agent.resume_stream(ctx.resume_data, run_id=waits["runId"], **kept)
