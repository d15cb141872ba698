"""Traces, as Studio reads them: from the memory of this process, for as long as they are kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from starlette.requests import Request

from mastra.jsonable import Json
from mastra.observability.spans import Span
from mastra.observability.store import TraceStore, root_of, span_to_wire
from mastra.server.context import Server, ServerDep
from mastra.server.errors import Refusal
from mastra.server.handling import add
from mastra.server.payloads import TraceQueryBody

__all__ = ["add_observability_routes"]

_NAMES = (
    "traceId",
    "threadId",
    "resourceId",
    "runId",
    "name",
    "entityName",
    "entityType",
    "status",
)
_OPERATORS = ["eq", "ne", "in", "notIn", "exists", "notExists"]


def _store(server: Server) -> TraceStore:
    found: Any = getattr(server.mastra.observability, "traces", None)
    return found if isinstance(found, TraceStore) else TraceStore(max_traces=1)


def _roots(server: Server, request: Request) -> list[Span]:
    owner = server.owner(request)
    roots = _store(server).roots()
    return [root for root in roots if owner is None or root.facts.get("resourceId") == owner]


def _spans(server: Server, request: Request, trace_id: str) -> list[Span]:
    spans = _store(server).trace(trace_id)
    if not spans:
        raise Refusal(404, f"Trace with ID '{trace_id}' not found")
    root = root_of(spans)
    server.check_owner(request, None if root is None else root.facts.get("resourceId"), "trace")
    return spans


def _page(found: list[Span], page: int, per_page: int) -> tuple[list[Span], dict[str, Json]]:
    start = page * per_page
    rest = found[start : start + per_page]
    more = start + per_page < len(found)
    return rest, {"total": len(found), "page": page, "perPage": per_page, "hasMore": more}


async def list_traces(
    server: ServerDep,
    request: Request,
    page: Annotated[int, Query(ge=0, le=10**6)] = 0,
    per_page: Annotated[int, Query(alias="perPage", ge=1, le=1000)] = 10,
) -> dict[str, Json]:
    """List traces by their first span, the latest first."""
    found = _roots(server, request)
    shown, pagination = _page(found, page, per_page)
    return {
        "pagination": pagination,
        "spans": [span_to_wire(span, is_root=True) for span in shown],
        "deltaCursor": str(len(found)),
    }


async def get_trace(server: ServerDep, request: Request, trace_id: str) -> dict[str, Json]:
    """Return the spans of a trace."""
    spans = _spans(server, request, trace_id)
    return {"traceId": trace_id, "spans": list(_shown(spans, is_short=False))}


async def get_trace_light(server: ServerDep, request: Request, trace_id: str) -> dict[str, Json]:
    """Return the spans of a trace, without attributes and content."""
    spans = _spans(server, request, trace_id)
    return {"traceId": trace_id, "spans": list(_shown(spans, is_short=True))}


def _shown(spans: list[Span], *, is_short: bool) -> Iterable[Json]:
    known = {span.span_id for span in spans}
    for span in spans:
        yield span_to_wire(span, is_short=is_short, is_root=span.parent_id not in known)


async def query_traces(
    server: ServerDep,
    request: Request,
    body: Annotated[TraceQueryBody, Body(default_factory=TraceQueryBody)],
) -> dict[str, Json]:
    """List traces as Studio's page of traces does."""
    found = _roots(server, request)
    limit, after = body.page.limit or 25, body.page.after or ""
    start = int(after) if after.isascii() and after.isdigit() and len(after) < 10 else 0
    shown = found[start : start + limit]
    more = start + limit < len(found)
    return {
        "traces": [_row(span) for span in shown],
        "page": {"next": str(start + limit) if more else None},
    }


def _row(span: Span) -> dict[str, Json]:
    wire = span_to_wire(span, is_root=True)
    names = (
        "traceId",
        "name",
        "entityId",
        "parentSpanId",
        "createdAt",
        "metadata",
        "threadId",
        "resourceId",
        "startedAt",
        "endedAt",
        "entityName",
        "entityType",
        "environment",
        "status",
    )
    preview = None if span.input is None else str(span.input)[:200]
    return {
        **{name: wire[name] for name in names},
        "rootSpanId": span.span_id,
        "inputPreview": preview,
    }


async def query_fields() -> dict[str, Json]:
    """List what traces may be searched by."""
    fields: list[Json] = [
        {"path": name, "valueKind": "string", "operators": _OPERATORS, "valueSuggestions": False}
        for name in _NAMES
    ]
    observed = [
        {
            "path": "metadata.runId",
            "valueKind": "string",
            "operators": _OPERATORS,
            "valueSuggestions": True,
            "occurrences": 0,
        }
    ]
    return {"canonicalFields": fields, "observedFields": observed, "observedFieldsTruncated": False}


async def entity_names(
    server: ServerDep,
    request: Request,
    entity_type: Annotated[str | None, Query(alias="entityType", max_length=60)] = None,
) -> dict[str, Json]:
    """List the names of what was traced."""
    store = _store(server)
    names = {
        span.entity_name
        for root in _roots(server, request)
        for span in store.trace(root.trace_id)
        if entity_type is None or span_to_wire(span)["entityType"] == entity_type
    }
    return {"names": sorted(names)}


async def list_scores(
    server: ServerDep, request: Request, trace_id: str, span_id: str
) -> dict[str, Json]:
    """List the scores of a span: there are none."""
    del span_id
    if _store(server).trace(trace_id):
        _spans(server, request, trace_id)
    pagination = {"total": 0, "page": 0, "perPage": 10, "hasMore": False}
    return {"scores": [], "pagination": pagination}


def _discovery(name: str) -> Any:
    async def nothing() -> dict[str, Json]:
        """Answer that there is none of it."""
        return {name: []}

    return nothing


def add_observability_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    base = "/observability"
    add(router, "GET", f"{base}/traces", list_traces)
    add(router, "POST", f"{base}/traces/query", query_traces)
    add(router, "POST", f"{base}/traces/query/fields", query_fields)
    add(router, "GET", f"{base}/traces/{{trace_id}}", get_trace)
    add(router, "GET", f"{base}/traces/{{trace_id}}/light", get_trace_light)
    add(router, "GET", f"{base}/traces/{{trace_id}}/{{span_id}}/scores", list_scores)
    add(router, "GET", f"{base}/discovery/entity-names", entity_names)
    for path, name in (
        ("environments", "environments"),
        ("service-names", "serviceNames"),
        ("tags", "tags"),
    ):
        add(router, "GET", f"{base}/discovery/{path}", _discovery(name))
