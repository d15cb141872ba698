"""The same spans in OpenTelemetry. Its API is imported only where it is used."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from mastra.jsonable import Json
from mastra.observability.spans import Span, SpanRef

__all__ = ["OpenTelemetryMirror", "configured_provider", "emit_evaluation"]


def configured_provider() -> Any:
    """Return the tracer provider that the process has set up, or `None`.

    A provider comes from OpenTelemetry's SDK or from an agent of some vendor; either has imported
    the API. Where nobody has, nothing is imported here.
    """
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    provider: Any = getattr(api, "_TRACER_PROVIDER", None)
    return provider


def emit_evaluation(
    name: str, score: float, reason: str | None, trace: Mapping[str, Json] | None, run_id: str
) -> None:
    """Tell OpenTelemetry of a score, as the event `gen_ai.evaluation.result` of what was scored.

    Nothing is done where the process has set up no provider of logs, which events are.

    Args:
        name: The scorer's id.
        score: What it gave.
        reason: Why, if it said so.
        trace: `traceId` and `spanId` of what was scored, if it was traced.
        run_id: The run that was scored.
    """
    api = sys.modules.get("opentelemetry._logs._internal")
    if api is None or getattr(api, "_LOGGER_PROVIDER", None) is None:
        return
    from opentelemetry._logs import LogRecord, get_logger  # noqa: PLC0415 - only where it is used

    attributes: dict[str, Any] = {
        "gen_ai.evaluation.name": name,
        "gen_ai.evaluation.score.value": score,
        "gen_ai.response.id": run_id,
    }
    if reason is not None:
        attributes["gen_ai.evaluation.explanation"] = reason
    place: dict[str, Any] = {}
    if trace is not None:
        place = {
            "trace_id": int(str(trace["traceId"]), 16),
            "span_id": int(str(trace["spanId"]), 16),
        }
    get_logger("mastra").emit(
        LogRecord(event_name="gen_ai.evaluation.result", attributes=attributes, **place)
    )


class OpenTelemetryMirror:
    """Begins and ends OpenTelemetry's spans beside ours."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry import context, trace  # noqa: PLC0415 - only where it is used

        self._trace = trace
        self._context = context
        self._tracer = trace.get_tracer("mastra", tracer_provider=provider)

    def start(self, span: Span, parent: SpanRef | None) -> None:
        """Begin OpenTelemetry's span and take its ids over."""
        trace = self._trace
        if parent is None:
            above = None  # whatever is current, such as the web framework's span
        elif isinstance(parent, Span) and parent.mirror is not None:
            above = trace.set_span_in_context(parent.mirror)
        else:
            remote = trace.SpanContext(
                trace_id=int(parent.trace_id, 16),
                span_id=int(parent.span_id, 16),
                is_remote=True,
                trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
            )
            above = trace.set_span_in_context(trace.NonRecordingSpan(remote))
        is_call = span.kind == "model_generation"
        mirror = self._tracer.start_span(
            f"{_OPERATIONS[span.kind]} {span.entity_name}",
            context=above,
            kind=trace.SpanKind.CLIENT if is_call else trace.SpanKind.INTERNAL,
            attributes={**span.attributes, "mastra.span.type": span.kind},
        )
        found, outer = mirror.get_span_context(), trace.get_current_span(above).get_span_context()
        # Where it traces nothing, what it begins is the span above once more.
        if found.is_valid and found.span_id != outer.span_id:
            span.trace_id = f"{found.trace_id:032x}"
            span.span_id = f"{found.span_id:016x}"
            if parent is None:
                span.parent_id = f"{outer.span_id:016x}" if outer.is_valid else None
        span.mirror = mirror

    def end(self, span: Span) -> None:
        """End OpenTelemetry's span."""
        if span.error is not None:
            text = str(span.error.get("message") or "")
            span.mirror.set_status(self._trace.Status(self._trace.StatusCode.ERROR, text))
        span.mirror.end()

    def enter(self, span: Span) -> Any:
        """Make OpenTelemetry's span current."""
        return self._context.attach(self._trace.set_span_in_context(span.mirror))

    def leave(self, token: Any) -> None:
        """Undo `enter`."""
        self._context.detach(token)


_OPERATIONS = {
    "agent_run": "invoke_agent",
    "model_generation": "chat",
    "tool_call": "execute_tool",
    "workflow_run": "invoke_workflow",
    "workflow_step": "step",
}
