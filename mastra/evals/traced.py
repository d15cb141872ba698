"""What scorers see of a trace that was kept: a span, or the answer of the agent that it is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, cast

from mastra.clock import iso_from_ms
from mastra.errors import InputValidationError
from mastra.evals.messages import message_text
from mastra.evals.numbers import js_json
from mastra.observability.records import SpanRecord
from mastra.observability.spans import SpanKind
from mastra.services import Scorable

__all__ = ["scorable_of"]

_ENTITIES: Final[dict[SpanKind, Literal["AGENT", "WORKFLOW", "STEP", "TOOL"]]] = {
    "agent_run": "AGENT",
    "model_generation": "AGENT",
    "tool_call": "TOOL",
    "workflow_run": "WORKFLOW",
    "workflow_step": "STEP",
}


_UNANSWERED: Final = frozenset({"aborted", "suspended", "tripwire"})
"""How a run of an agent ends that gives no answer: what it had said by then is none."""


def scorable_of(spans: Sequence[SpanRecord], span: SpanRecord, *, is_of_agent: bool) -> Scorable:
    """Return what is scored of a span.

    Args:
        spans: Those of its trace.
        span: The span.
        is_of_agent: Whether the scorer takes an agent's answer: then, of any span, that of the
            outermost agent of the trace, as in the original.

    Raises:
        InputValidationError: The trace has no agent, or holds no content or no answer.
    """
    if is_of_agent and span.kind != "agent_run":
        agents = [one for one in spans if one.kind == "agent_run"]
        if not agents:
            raise InputValidationError(f"Trace {span.trace_id} has no answer of an agent.")
        span = min(agents, key=lambda one: one.started_ms)
    if span.input is None and span.output is None:
        raise InputValidationError(
            f"Span {span.span_id} of trace {span.trace_id} holds no content to score: set "
            "Observability(capture_content=True)."
        )
    given, output = span.input, span.output
    if span.kind == "agent_run":
        _check_answered(span)
        given, output = _heard(spans, span), _said(spans, span)
    return Scorable(
        _ENTITIES[span.kind],
        {"id": span.entity_id, "name": span.entity_name},
        span.run_id or "",
        given,
        output,
        resource_id=span.resource_id,
        thread_id=span.thread_id,
        trace={"traceId": span.trace_id, "spanId": span.span_id},
    )


def _check_answered(agent: SpanRecord) -> None:
    status = agent.attributes.get("mastra.run.status")
    if status in _UNANSWERED:
        raise InputValidationError(
            f"Span {agent.span_id} of trace {agent.trace_id} has no answer to score: the agent's run "
            f"ended as {status!r}."
        )


def _of(spans: Sequence[SpanRecord], agent: SpanRecord, kind: SpanKind) -> list[SpanRecord]:
    return [one for one in spans if one.kind == kind and one.parent_id == agent.span_id]


def _heard(spans: Sequence[SpanRecord], agent: SpanRecord) -> dict[str, Any]:
    told = cast("list[Mapping[str, Any]]", agent.input or [])
    calls = _of(spans, agent, "model_generation")
    asked = cast("list[Mapping[str, Any]]", (calls[0].input if calls else None) or told)
    system = [
        {"role": "system", "content": message_text(message)}
        for message in asked
        if message.get("role") == "system"
    ]
    heard = [_message(message["role"], message_text(message), agent.started_ms) for message in told]
    return {
        "inputMessages": [message for message in heard if message["role"] != "system"],
        "rememberedMessages": [],
        "systemMessages": system,
        "taggedSystemMessages": {},
    }


def _said(spans: Sequence[SpanRecord], agent: SpanRecord) -> list[dict[str, Any]]:
    found = cast("Mapping[str, Any]", agent.output or {})
    text = found.get("text")
    invocations: list[dict[str, Any]] = [
        {
            "state": "call" if call.is_failed else "result",
            "toolCallId": str(call.attributes.get("gen_ai.tool.call.id") or call.span_id),
            "toolName": call.entity_name,
            "args": call.input or {},
            "result": call.output,
        }
        for call in _of(spans, agent, "tool_call")
    ]
    said = str(text) if text is not None else js_json(found.get("object"))
    message = _message("assistant", said, agent.ended_ms)
    message["content"]["parts"] = [
        *({"type": "tool-invocation", "toolInvocation": one} for one in invocations),
        *message["content"]["parts"],
    ]
    message["content"]["toolInvocations"] = invocations
    return [message]


def _message(role: str, text: str, at_ms: float) -> dict[str, Any]:
    parts = [{"type": "text", "text": text}] if text else []
    content = {"format": 2, "parts": parts, "content": text}
    return {"id": "", "role": role, "createdAt": iso_from_ms(at_ms), "content": content}
