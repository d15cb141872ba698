"""Traces, as Studio reads them: from the memory of this process, for as long as they are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Query
from starlette.requests import Request

from mastra.errors import SerializationError
from mastra.jsonable import Json, load_json
from mastra.observability.spans import Span
from mastra.observability.store import TraceStore, root_of, span_to_wire
from mastra.observability.trace_query import TraceQueryError, is_within, matches
from mastra.server.context import Server, ServerDep
from mastra.server.errors import Refusal
from mastra.server.handling import add
from mastra.server.payloads import TraceFieldsBody, TraceOrder, TraceQueryBody, TraceValuesBody

__all__ = ["add_observability_routes"]

_OPERATORS = ["eq", "ne", "in", "notIn", "exists", "notExists"]
_ORDERED = [*_OPERATORS, "lt", "lte", "gt", "gte"]
_FIELDS: Final = {
    "trace": {
        **dict.fromkeys(("traceId", "threadId", "resourceId"), "string"),
        "startedAt": "timestamp",
        "endedAt": "timestamp",
        "durationMs": "number",
        **dict.fromkeys(("entityName", "entityType", "environment", "status"), "string"),
    },
    "spans": {
        **dict.fromkeys(("name", "spanType", "model", "provider"), "string"),
        "startedAt": "timestamp",
        "endedAt": "timestamp",
        "durationMs": "number",
        **dict.fromkeys(("status", "entityType", "entityId", "entityName"), "string"),
    },
}
"""What traces and their spans may be searched by, and of which kind it is."""
_SUGGESTED: Final = {"entityName", "entityType", "status", "name", "spanType", "model", "provider"}


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


_FILTERS: Final = (
    *("traceId", "spanId", "name", "spanType", "entityType", "entityId", "entityName"),
    *("resourceId", "runId", "threadId", "serviceName", "environment", "status"),
)
"""What lists of traces are filtered by, each the name of a query parameter."""


def _filtered(server: Server, request: Request) -> list[Span]:
    """Return the first spans of the traces that the query of a request asks for."""
    query = request.query_params
    wanted = {name: query[name] for name in _FILTERS if query.get(name)}
    ranges = {name: _json_of(query[name]) for name in ("startedAt", "endedAt") if query.get(name)}
    found: list[Span] = []
    for span in _roots(server, request):
        wire = span_to_wire(span, is_root=True)
        if any(wire[name] != value for name, value in wanted.items()):
            continue
        if all(_asked(is_within, wire[name], given) for name, given in ranges.items()):
            found.append(span)
    return _ordered(found, query.get("field", "startedAt"), query.get("direction", "DESC"))


def _asked(question: Callable[..., bool], *arguments: Any) -> bool:
    try:
        return question(*arguments)
    except TraceQueryError as error:
        raise Refusal(400, str(error)) from error


def _json_of(text: str) -> Any:
    try:
        return load_json(text)
    except (SerializationError, ValueError) as error:
        raise Refusal(400, "A range of times is JSON: an object with start and end.") from error


def _ordered(spans: list[Span], field: str, direction: str) -> list[Span]:
    if field not in {"startedAt", "endedAt"} or direction.upper() not in {"ASC", "DESC"}:
        raise Refusal(400, "Traces are ordered by startedAt or endedAt, ASC or DESC.")

    def moment(span: Span) -> float:
        return span.started_ms if field == "startedAt" else span.ended_ms or span.started_ms

    return sorted(spans, key=moment, reverse=direction.upper() == "DESC")


PageNumber = Annotated[int, Query(ge=0, le=10**6)]
PageSize = Annotated[int, Query(alias="perPage", ge=1, le=1000)]


async def list_traces(
    server: ServerDep, request: Request, page: PageNumber = 0, per_page: PageSize = 10
) -> dict[str, Json]:
    """List traces by their first span, the latest first."""
    found = _filtered(server, request)
    shown, pagination = _page(found, page, per_page)
    return {
        "pagination": pagination,
        "spans": [span_to_wire(span, is_root=True) for span in shown],
        "deltaCursor": str(len(found)),
    }


async def list_traces_light(
    server: ServerDep, request: Request, page: PageNumber = 0, per_page: PageSize = 10
) -> dict[str, Json]:
    """List traces by their first span, without attributes and content."""
    found = _filtered(server, request)
    shown, pagination = _page(found, page, per_page)
    rows = [{**span_to_wire(span, is_short=True, is_root=True), **_facts(span)} for span in shown]
    return {"pagination": pagination, "spans": rows, "deltaCursor": str(len(found))}


def _facts(span: Span) -> dict[str, Json]:
    wire = span_to_wire(span)
    preview = None if span.input is None else str(span.input)[:200]
    names = ("status", "metadata", "threadId", "resourceId")
    return {**{name: wire[name] for name in names}, "inputPreview": preview}


async def get_trace(server: ServerDep, request: Request, trace_id: str) -> dict[str, Json]:
    """Return the spans of a trace."""
    spans = _spans(server, request, trace_id)
    return {"traceId": trace_id, "spans": list(_shown(spans, is_short=False))}


async def get_trace_light(server: ServerDep, request: Request, trace_id: str) -> dict[str, Json]:
    """Return the spans of a trace, without attributes and content."""
    spans = _spans(server, request, trace_id)
    return {"traceId": trace_id, "spans": list(_shown(spans, is_short=True))}


async def get_span(
    server: ServerDep, request: Request, trace_id: str, span_id: str
) -> dict[str, Json]:
    """Return one span of a trace, whole."""
    spans = _spans(server, request, trace_id)
    for span, wire in zip(spans, _shown(spans, is_short=False), strict=True):
        if span.span_id == span_id:
            return {"span": wire}
    raise Refusal(404, f"Span with ID '{span_id}' not found in trace '{trace_id}'")


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
    found = _queried(server, request, body)
    limit, after = body.page.limit or 25, body.page.after or ""
    start = int(after) if after.isascii() and after.isdigit() and len(after) < 10 else 0
    shown = found[start : start + limit]
    more = start + limit < len(found)
    return {
        "traces": [_row(span) for span in shown],
        "page": {"next": str(start + limit) if more else None},
    }


def _queried(server: Server, request: Request, body: TraceQueryBody) -> list[Span]:
    found: list[Span] = []
    for span in _roots(server, request):
        row = _searched(span)
        if not _asked(is_within, row["startedAt"], body.time_range):
            continue
        if body.where is not None:
            spans = _store(server).trace(span.trace_id)
            trace = {**row, "spans": [_searched(each) for each in spans]}
            if not _asked(matches, body.where, trace):
                continue
        found.append(span)
    first = (body.order_by or [TraceOrder()])[0]
    return _ordered(found, first.field, first.direction)


def _searched(span: Span) -> dict[str, Any]:
    """Return what a predicate may ask of a span."""
    ended = span.started_ms if span.ended_ms is None else span.ended_ms
    return {
        **span_to_wire(span, is_root=True),
        "durationMs": ended - span.started_ms,
        "model": span.attributes.get("gen_ai.request.model"),
        "provider": span.attributes.get("gen_ai.provider.name"),
    }


def _row(span: Span) -> dict[str, Json]:
    wire = span_to_wire(span, is_root=True)
    names = ("traceId", "name", "entityId", "parentSpanId", "createdAt", "startedAt", "endedAt")
    more = ("entityName", "entityType", "environment")
    shown = {name: wire[name] for name in (*names, *more)}
    return {**shown, **_facts(span), "rootSpanId": span.span_id}


async def query_fields(
    body: Annotated[TraceFieldsBody, Body(default_factory=TraceFieldsBody)],
) -> dict[str, Json]:
    """List what traces may be searched by."""
    fields: list[Json] = [
        {
            "path": name,
            "valueKind": kind,
            "operators": list(_OPERATORS if kind == "string" else _ORDERED),
            "valueSuggestions": name in _SUGGESTED,
        }
        for name, kind in _FIELDS.get(body.predicate_scope, {}).items()
    ]
    observed: list[Json] = [
        {
            "path": "metadata.runId",
            "valueKind": "string",
            "operators": list(_OPERATORS),
            "valueSuggestions": True,
            "occurrences": 0,
        }
    ]
    if body.predicate_scope != "trace":
        observed = []
    return {"canonicalFields": fields, "observedFields": observed, "observedFieldsTruncated": False}


async def query_values(
    server: ServerDep, request: Request, body: TraceValuesBody
) -> dict[str, Json]:
    """List the values that a field has in the traces, the commonest first."""
    names = set(_FIELDS.get(body.predicate_scope, {}))
    if body.path not in names and body.path != "metadata.runId":
        raise Refusal(400, f"Traces cannot be searched by {body.path!r}.")
    counts: Counter[str] = Counter()
    for root in _roots(server, request):
        of_trace = body.predicate_scope == "trace"
        for span in [root] if of_trace else _store(server).trace(root.trace_id):
            row = _searched(span)
            name = body.path.removeprefix("metadata.")
            value = row["metadata"].get(name) if name != body.path else row.get(name)
            if isinstance(value, str) and (body.search or "").lower() in value.lower():
                counts[value] += 1
    shown = counts.most_common(body.limit)
    return {
        "values": [{"value": value, "count": count} for value, count in shown],
        "valuesTruncated": len(counts) > len(shown),
    }


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
    add(router, "POST", f"{base}/traces/query/values", query_values)
    add(router, "GET", f"{base}/traces/light", list_traces_light)
    add(router, "GET", f"{base}/traces/{{trace_id}}", get_trace)
    add(router, "GET", f"{base}/traces/{{trace_id}}/light", get_trace_light)
    add(router, "GET", f"{base}/traces/{{trace_id}}/spans/{{span_id}}", get_span)
    add(router, "GET", f"{base}/discovery/entity-names", entity_names)
    for path, name in (
        ("environments", "environments"),
        ("service-names", "serviceNames"),
        ("tags", "tags"),
    ):
        add(router, "GET", f"{base}/discovery/{path}", _discovery(name))
