"""The traces and logs that a server answers from: those in the application's storage."""

from __future__ import annotations

from typing import Literal

from starlette.requests import Request

from mastra.observability.records import SpanRecord, plain_text
from mastra.server.context import Server
from mastra.storage.observability import ObservabilityStore

__all__ = ["has_kept", "kept_in", "trace_of"]


def has_kept(server: Server, what: Literal["traces", "logs"]) -> bool:
    """Return whether traces or logs are kept."""
    observability = server.mastra.observability
    return observability is not None and getattr(observability, what)


async def kept_in(server: Server, what: Literal["traces", "logs"]) -> ObservabilityStore | None:
    """Return what keeps traces or logs, all that this process has so far among them; or `None`."""
    observability = server.mastra.observability
    if observability is None or not has_kept(server, what):
        return None
    await observability.flush()
    return server.mastra.storage.observability


async def trace_of(server: Server, request: Request, trace_id: str) -> list[SpanRecord]:
    """Return the spans of a trace in the order in which they began; none of one that is not there.

    Raises:
        Refusal: It is another caller's.
    """
    store = await kept_in(server, "traces")
    spans = [] if store is None else await store.get_spans([plain_text(trace_id)])
    if spans:
        server.check_owner(request, spans[0].resource_id, "trace")
    return spans
