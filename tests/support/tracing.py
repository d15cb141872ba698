"""The spans that applications have kept."""

from __future__ import annotations

from mastra import Mastra
from mastra.observability.records import SpanRecord
from mastra.storage.observability import ObservabilityStore

__all__ = ["kept_spans", "kept_traces"]


async def _store(*applications: Mastra) -> ObservabilityStore:
    for mastra in applications:
        assert mastra.observability is not None
        await mastra.observability.flush()
    return applications[-1].storage.observability


async def kept_traces(*applications: Mastra) -> list[SpanRecord]:
    """Return the first span of each trace, the latest first, of applications with one storage."""
    store = await _store(*applications)
    return (await store.list_traces(limit=1000)).roots


async def kept_spans(*applications: Mastra) -> list[SpanRecord]:
    """Return the spans of all traces, in the order in which they began."""
    roots = await kept_traces(*applications)
    store = await _store(*applications)
    return await store.get_spans([root.trace_id for root in roots])
