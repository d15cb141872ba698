"""The latest traces, in memory: what Studio reads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from mastra.clock import iso_from_ms
from mastra.jsonable import Json
from mastra.observability.spans import Span

__all__ = ["TraceStore", "span_to_wire"]


class TraceStore:
    """Keeps the spans of the latest traces, up to bounds.

    Args:
        max_traces: How many traces; the oldest go first.
        max_spans: How many spans of one trace.
    """

    def __init__(self, *, max_traces: int = 500, max_spans: int = 2000) -> None:
        self._max_traces = max_traces
        self._max_spans = max_spans
        self._traces: OrderedDict[str, list[Span]] = OrderedDict()

    def add(self, span: Span) -> None:
        """Keep a span that has ended."""
        spans = self._traces.get(span.trace_id)
        if spans is None:
            spans = self._traces[span.trace_id] = []
            while len(self._traces) > self._max_traces:
                self._traces.popitem(last=False)
        if len(spans) < self._max_spans or span.parent_id is None:
            span.mirror = None
            spans.append(span)

    def __len__(self) -> int:
        return len(self._traces)

    def trace(self, trace_id: str) -> list[Span]:
        """Return the spans of a trace in the order in which they began."""
        return sorted(self._traces.get(trace_id, ()), key=lambda span: span.started_ms)

    def roots(self) -> list[Span]:
        """Return the first span of each trace, the latest trace first."""
        found = [root for spans in self._traces.values() if (root := root_of(spans)) is not None]
        return sorted(found, key=lambda span: span.started_ms, reverse=True)

    def spans(self) -> Iterable[Span]:
        """Return every span."""
        for spans in self._traces.values():
            yield from spans


def root_of(spans: list[Span]) -> Span | None:
    """Return the span that a trace is named for: the first whose parent is not among them."""
    ids = {span.span_id for span in spans}
    outer = [span for span in spans if span.parent_id not in ids]
    return min(outer, key=lambda span: span.started_ms) if outer else None


_UNUSED = (
    "experimentId",
    "entityVersionId",
    "parentEntityVersionId",
    "rootEntityVersionId",
    "userId",
    "organizationId",
    "sessionId",
    "requestId",
    "environment",
    "source",
    "tags",
    "scope",
    "links",
    "requestContext",
)
_ENTITIES = {
    "workflow_run": "workflow_run",
    "workflow_step": "workflow_step",
    "agent_run": "agent",
    "model_generation": "agent",
    "tool_call": "tool",
}
_SHORT = (
    "traceId",
    "spanId",
    "name",
    "spanType",
    "parentSpanId",
    "isEvent",
    "startedAt",
    "endedAt",
    "entityType",
    "entityId",
    "entityName",
    "error",
    "createdAt",
    "updatedAt",
)


def span_to_wire(span: Span, *, is_short: bool = False, is_root: bool = False) -> dict[str, Json]:
    """Return a span as Mastra's server sends it.

    Args:
        span: The span.
        is_short: Leave out what a list does not show.
        is_root: Whether its trace is shown from it on.
    """
    started = iso_from_ms(span.started_ms)
    ended = None if span.ended_ms is None else iso_from_ms(span.ended_ms)
    wire: dict[str, Json] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "spanType": span.kind,
        "parentSpanId": None if is_root else span.parent_id,
        "isEvent": False,
        "startedAt": started,
        "endedAt": ended,
        "entityType": _ENTITIES[span.kind],
        "entityId": span.entity_id,
        "entityName": span.entity_name,
        "error": span.error,
        "createdAt": started,
        "updatedAt": ended if is_short else None,
    }
    if is_short:
        return {name: wire[name] for name in _SHORT}
    wire |= dict.fromkeys(_UNUSED)
    wire |= {
        "resourceId": span.facts.get("resourceId"),
        "runId": span.facts.get("runId"),
        "threadId": span.facts.get("threadId"),
        "serviceName": span.facts.get("serviceName"),
        "attributes": span.attributes,
        "metadata": {"runId": span.facts["runId"]} if "runId" in span.facts else {},
        "input": span.input,
        "output": span.output,
        "status": "error" if span.error is not None else "success",
    }
    return wire
