"""Spans of agents, model calls and tools, by OpenTelemetry's names for generative AI.

Called only where somebody traces: a run without a span costs nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from mastra.agents.chunks import plain
from mastra.agents.records.requested_call import RequestedCall
from mastra.agents.results import LLMStepResult
from mastra.agents.run.agent_run import AgentRun
from mastra.models.base import ModelRequest
from mastra.models.chunks import Usage
from mastra.models.message_wire import message_to_wire
from mastra.models.prices import cost_usd_by_side
from mastra.observability.current import tracer_of
from mastra.observability.spans import Span
from mastra.tools.tool import Tool

__all__ = [
    "close_agent_span",
    "close_model_span",
    "open_agent_span",
    "open_model_span",
    "traced_tool",
]

T = TypeVar("T")


def open_agent_span(run: AgentRun) -> None:
    """Begin the span of an agent's run, if anybody traces."""
    tracer = tracer_of(run.services)
    if tracer is None:
        return
    spec = run.spec
    span = tracer.start(
        "agent_run",
        f"agent run: '{spec.id}'",
        attributes={
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.id": spec.id,
            "gen_ai.agent.name": spec.name,
            "gen_ai.agent.description": spec.description or None,
            "gen_ai.conversation.id": run.thread_id,
            "mastra.run.id": run.run_id,
        },
        entity=(spec.id, spec.name),
    )
    span.facts = {
        "runId": run.run_id,
        "threadId": run.thread_id,
        "resourceId": run.resource_id,
    }
    run.span = span


def close_agent_span(run: AgentRun) -> None:
    """End the span of an agent's run."""
    span = run.span
    if span is None:
        return
    span.set("mastra.run.status", run.status)
    if run.status != "parked":  # the last operation of a durable run tells of all of them
        _set_usage(span, run.transcript.usage)
    if run.finish_reason is not None:
        span.set("gen_ai.response.finish_reasons", [run.finish_reason])
    if run.error is not None:
        span.fail(run.error)
    if span.tracer.captures_content:
        given = run.transcript.messages[: run.transcript.input_count]
        span.input = [message_to_wire(message) for message in given]
        span.output = (
            {"text": run.transcript.text} if run.object is None else {"object": plain(run.object)}
        )
    span.end()


def open_model_span(run: AgentRun, name: str, request: ModelRequest) -> Span:
    """Begin the span of one model call."""
    parent = run.span
    assert parent is not None  # noqa: S101 - called only where somebody traces
    provider, _, model = name.partition("/")
    settings = request.settings
    span = parent.tracer.start(
        "model_generation",
        f"llm: '{name}'",
        parent=parent,
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model or name,
            "gen_ai.request.temperature": settings.temperature,
            "gen_ai.request.max_tokens": settings.max_output_tokens,
            "gen_ai.request.top_p": settings.top_p,
            "gen_ai.agent.id": run.spec.id,
        },
        entity=(run.spec.id, model or name),
    )
    span.facts = parent.facts
    if parent.tracer.captures_content:
        span.input = [message_to_wire(message) for message in request.messages]
    return span


def close_model_span(span: Span, result: LLMStepResult) -> None:
    """End the span of a model call with what came of it."""
    usage = result.usage
    span.set("gen_ai.response.model", result.response.get("modelId"))
    span.set("gen_ai.response.id", result.response.get("id"))
    span.set("gen_ai.response.finish_reasons", [result.finish_reason])
    _set_usage(span, usage)
    answered_by = result.response.get("modelId")
    span.cost_usd = functools.partial(cost_usd_by_side, result.model, usage, answered_by)
    if span.tracer.captures_content:
        calls = [plain(call.payload) for call in result.tool_calls]
        span.output = {"text": result.text, "toolCalls": calls}
    span.end()


def _set_usage(span: Span, usage: Usage) -> None:
    span.set("gen_ai.usage.input_tokens", usage.input_tokens)
    span.set("gen_ai.usage.output_tokens", usage.output_tokens)
    span.set("gen_ai.usage.cache_read.input_tokens", usage.cached_input_tokens)
    span.set("gen_ai.usage.cache_creation.input_tokens", usage.cache_creation_input_tokens)
    span.set("gen_ai.usage.reasoning.output_tokens", usage.reasoning_tokens)


async def traced_tool(
    run: AgentRun, call: RequestedCall, tool: Tool[Any, Any], body: Callable[[], Awaitable[T]]
) -> T:
    """Run a tool inside a span of its own."""
    parent = run.span
    assert parent is not None  # noqa: S101 - called only where somebody traces
    span = parent.tracer.start(
        "tool_call",
        f"tool: '{call.name}'",
        parent=parent,
        attributes={
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": call.name,
            "gen_ai.tool.call.id": call.id,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.description": tool.description,
        },
        entity=(tool.id, call.name),
    )
    span.facts = parent.facts
    captures = parent.tracer.captures_content
    if captures:
        span.input = plain(call.args)
    with span.active():
        outcome = await body()
    if captures:
        span.output = plain(getattr(outcome, "result", None))
    span.end()
    return outcome
