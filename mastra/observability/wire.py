"""Spans as Mastra's server sends them."""

from __future__ import annotations

from mastra.clock import iso_from_ms
from mastra.jsonable import Json
from mastra.observability.records import ENTITIES, SpanRecord

__all__ = ["span_to_wire"]


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


def span_to_wire(
    span: SpanRecord, *, is_short: bool = False, is_root: bool = False
) -> dict[str, Json]:
    """Return a span as Mastra's server sends it.

    Args:
        span: The span.
        is_short: Leave out what a list does not show.
        is_root: Whether its trace is shown from it on.
    """
    started = iso_from_ms(span.started_ms)
    ended = iso_from_ms(span.ended_ms)
    wire: dict[str, Json] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "spanType": span.kind,
        "parentSpanId": None if is_root else span.parent_id,
        "isEvent": False,
        "startedAt": started,
        "endedAt": ended,
        "entityType": ENTITIES[span.kind],
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
        "resourceId": span.resource_id,
        "runId": span.run_id,
        "threadId": span.thread_id,
        "serviceName": None,
        "attributes": span.attributes,
        "metadata": {} if span.run_id is None else {"runId": span.run_id},
        "input": span.input,
        "output": span.output,
        "status": "error" if span.is_failed else "success",
    }
    return wire
