"""Traces, as Studio reads them, for as long as they are kept."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Final, TypeVar, cast

from fastapi import APIRouter, Body, Query
from starlette.requests import Request

from mastra.errors import SerializationError
from mastra.jsonable import Json, load_json
from mastra.observability.records import ENTITIES, SpanRecord, kinds_of_entity, plain_text
from mastra.observability.trace_query import TraceQueryError, check_size, matches, times_of
from mastra.observability.wire import span_to_wire
from mastra.server.context import Server, ServerDep
from mastra.server.errors import Refusal
from mastra.server.handling import add
from mastra.server.observed import kept_in, trace_of
from mastra.server.paging import Page, PerPage, paged
from mastra.server.payloads import TraceFieldsBody, TraceOrder, TraceQueryBody, TraceValuesBody
from mastra.storage.observability import ObservabilityStore, SpanColumn, SpanFilter, TracePage

__all__ = ["add_observability_routes"]

T = TypeVar("T")

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


_COLUMNS: Final[dict[str, SpanColumn]] = {
    "traceId": "trace_id",
    "name": "name",
    "entityId": "entity_id",
    "entityName": "entity_name",
    "resourceId": "resource_id",
    "runId": "run_id",
    "threadId": "thread_id",
}
"""What is stored as it is shown, by its name on the wire."""
_STATUSES: Final = {"error": True, "success": False}
_FILTERS: Final = (
    *_COLUMNS,
    *("spanId", "spanType", "entityType", "serviceName", "environment", "status"),
)
"""What lists of traces are filtered by, each the name of a query parameter."""


def _filter(wanted: dict[str, str], owner: str | None) -> SpanFilter | None:
    """Return what finds spans with these values; `None` where no span has them."""
    if {"serviceName", "environment"} & wanted.keys():
        return None  # no span is told of those
    known = {_COLUMNS.get(name): plain_text(value) for name, value in wanted.items()}
    if owner is not None and known.setdefault("resource_id", owner) != owner:
        return None
    kinds = kinds_of_entity(wanted.get("entityType"), wanted.get("spanType"))
    status = wanted.get("status")
    if not kinds or (status is not None and status not in _STATUSES):
        return None
    known.pop(None, None)
    return SpanFilter(
        **cast("dict[str, Any]", known),
        span_id=wanted.get("spanId"),
        kinds=None if len(kinds) == len(ENTITIES) else kinds,
        is_failed=None if status is None else _STATUSES[status],
    )


async def _trace(server: Server, request: Request, trace_id: str) -> list[SpanRecord]:
    spans = await trace_of(server, request, trace_id)
    if not spans:
        raise Refusal(404, f"Trace with ID '{trace_id}' not found")
    return spans


def _asked(question: Callable[..., T], *arguments: Any) -> T:
    try:
        return question(*arguments)
    except TraceQueryError as error:
        raise Refusal(400, str(error)) from error


def _json_of(text: str) -> Any:
    try:
        return load_json(text)
    except (SerializationError, ValueError) as error:
        raise Refusal(400, "A range of times is JSON: an object with start and end.") from error


def _order(field: str, direction: str) -> dict[str, Any]:
    if field not in {"startedAt", "endedAt"} or direction.upper() not in {"ASC", "DESC"}:
        raise Refusal(400, "Traces are ordered by startedAt or endedAt, ASC or DESC.")
    order_by = "started_ms" if field == "startedAt" else "ended_ms"
    return {"order_by": order_by, "is_ascending": direction.upper() == "ASC"}


async def _listed(server: Server, request: Request, page: int, per_page: int) -> TracePage:
    """Return the traces that the query of a request asks for."""
    query = request.query_params
    order = _order(query.get("field", "startedAt"), query.get("direction", "DESC"))
    times: dict[str, float | None] = {}
    for name in ("startedAt", "endedAt"):
        if query.get(name):
            ends = _asked(times_of, _json_of(query[name]))
            side = name.removesuffix("At")
            times |= zip((f"{side}_from", f"{side}_before"), ends, strict=True)
    wanted = {name: query[name] for name in _FILTERS if query.get(name)}
    where = _filter(wanted, server.owner(request))
    store = await kept_in(server, "traces")
    if store is None or where is None:
        return TracePage([], 0)
    where = replace(where, **times)
    return await store.list_traces(where, offset=page * per_page, limit=per_page, **order)


def _pagination(found: TracePage, page: int, per_page: int) -> dict[str, Json]:
    return {
        "pagination": paged(found.total, page, per_page),
        "deltaCursor": str(found.total),
    }


async def list_traces(
    server: ServerDep, request: Request, page: Page = 0, per_page: PerPage = 10
) -> dict[str, Json]:
    """List traces by their first span, the latest first."""
    found = await _listed(server, request, page, per_page)
    rows = [span_to_wire(span, is_root=True) for span in found.roots]
    return {"spans": rows, **_pagination(found, page, per_page)}


async def list_traces_light(
    server: ServerDep, request: Request, page: Page = 0, per_page: PerPage = 10
) -> dict[str, Json]:
    """List traces by their first span, without attributes and content."""
    found = await _listed(server, request, page, per_page)
    rows = [
        {**span_to_wire(span, is_short=True, is_root=True), **_facts(span)} for span in found.roots
    ]
    return {"spans": rows, **_pagination(found, page, per_page)}


def _facts(span: SpanRecord) -> dict[str, Json]:
    wire = span_to_wire(span)
    preview = None if span.input is None else str(span.input)[:200]
    names = ("status", "metadata", "threadId", "resourceId")
    return {**{name: wire[name] for name in names}, "inputPreview": preview}


async def get_trace(server: ServerDep, request: Request, trace_id: str) -> dict[str, Json]:
    """Return the spans of a trace."""
    spans = await _trace(server, request, trace_id)
    return {"traceId": trace_id, "spans": list(_shown(spans, is_short=False))}


async def get_trace_light(server: ServerDep, request: Request, trace_id: str) -> dict[str, Json]:
    """Return the spans of a trace, without attributes and content."""
    spans = await _trace(server, request, trace_id)
    return {"traceId": trace_id, "spans": list(_shown(spans, is_short=True))}


async def get_span(
    server: ServerDep, request: Request, trace_id: str, span_id: str
) -> dict[str, Json]:
    """Return one span of a trace, whole."""
    spans = await _trace(server, request, trace_id)
    for span, wire in zip(spans, _shown(spans, is_short=False), strict=True):
        if span.span_id == span_id:
            return {"span": wire}
    raise Refusal(404, f"Span with ID '{span_id}' not found in trace '{trace_id}'")


def _shown(spans: list[SpanRecord], *, is_short: bool) -> Iterable[Json]:
    known = {span.span_id for span in spans}
    for span in spans:
        yield span_to_wire(span, is_short=is_short, is_root=span.parent_id not in known)


async def query_traces(
    server: ServerDep,
    request: Request,
    body: Annotated[TraceQueryBody, Body(default_factory=TraceQueryBody)],
) -> dict[str, Json]:
    """List traces as Studio's page of traces does."""
    limit, after = body.page.limit or 25, body.page.after or ""
    start = int(after) if after.isascii() and after.isdigit() and len(after) < 10 else 0
    found: list[SpanRecord] = []
    async for span in _queried(server, request, body):
        found.append(span)
        if len(found) > start + limit:
            break  # there are more
    more = len(found) > start + limit
    return {
        "traces": [_row(span) for span in found[start : start + limit]],
        "page": {"next": str(start + limit) if more else None},
    }


_AT_ONCE: Final = 50
"""How many traces are looked through at once."""


async def _queried(
    server: Server, request: Request, body: TraceQueryBody
) -> AsyncIterator[SpanRecord]:
    """Yield the traces that a query asks for, as far as somebody reads."""
    first = (body.order_by or [TraceOrder()])[0]
    order = _order(first.field, first.direction)
    begun, over = _asked(times_of, body.time_range)
    where = SpanFilter(resource_id=server.owner(request), started_from=begun, started_before=over)
    if body.where is not None:
        _asked(check_size, body.where)
        _asked(matches, body.where, {})  # told of also where there is no trace
    store = await kept_in(server, "traces")
    offset = 0
    while store is not None:
        page = await store.list_traces(where, offset=offset, limit=_AT_ONCE, **order)
        for span in page.roots if body.where is None else await _matching(store, page, body.where):
            yield span
        offset += _AT_ONCE
        if offset >= page.total:
            return


async def _matching(
    store: ObservabilityStore, page: TracePage, where: dict[str, Any]
) -> list[SpanRecord]:
    spans: dict[str, list[dict[str, Any]]] = {}
    for span in await store.get_spans([root.trace_id for root in page.roots]):
        spans.setdefault(span.trace_id, []).append(_searched(span))
    found: list[SpanRecord] = []
    for root in page.roots:
        trace = {**_searched(root), "spans": spans.get(root.trace_id, [])}
        if _asked(matches, where, trace):
            found.append(root)
        await asyncio.sleep(0)  # others have something to do as well
    return found


def _searched(span: SpanRecord) -> dict[str, Any]:
    """Return what a predicate may ask of a span."""
    return {
        **span_to_wire(span, is_root=True),
        "durationMs": span.ended_ms - span.started_ms,
        "model": span.model,
        "provider": span.provider,
    }


def _row(span: SpanRecord) -> dict[str, Json]:
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
    column = _COUNTED.get(body.path)
    if column is None:
        return {"values": [], "valuesTruncated": False}  # times and numbers are not suggested
    # Several kinds are one entity, and what is stored of these is not what is shown.
    shown_as = _SHOWN.get(body.path)
    counts = await _counted(
        server,
        request,
        column,
        of_roots=body.predicate_scope == "trace",
        search="" if shown_as else plain_text(body.search or ""),
        limit=1000 if shown_as else body.limit + 1,
    )
    if shown_as is not None:
        shown: Counter[str] = Counter()
        for value, count in counts:
            if (body.search or "").lower() in (text := shown_as[value]).lower():
                shown[text] += count
        counts = shown.most_common()
    return {
        "values": [{"value": value, "count": count} for value, count in counts[: body.limit]],
        "valuesTruncated": len(counts) > body.limit,
    }


_COUNTED: Final[dict[str, SpanColumn]] = {
    **_COLUMNS,
    "metadata.runId": "run_id",
    "spanType": "kind",
    "entityType": "kind",
    "model": "model",
    "provider": "provider",
    "status": "is_failed",
}
_SHOWN: Final[dict[str, Mapping[Any, str]]] = {
    "entityType": ENTITIES,
    "status": {failed: name for name, failed in _STATUSES.items()},
}


async def _counted(
    server: Server, request: Request, column: SpanColumn, **options: Any
) -> list[tuple[Any, int]]:
    store = await kept_in(server, "traces")
    if store is None:
        return []
    owner = server.owner(request)
    return await store.count_values(column, resource_id=owner, **options)


MOST_NAMES: Final = 1000


async def entity_names(
    server: ServerDep,
    request: Request,
    entity_type: Annotated[str | None, Query(alias="entityType", max_length=60)] = None,
) -> dict[str, Json]:
    """List the names of what was traced."""
    kinds = kinds_of_entity(entity_type)
    found = await _counted(server, request, "entity_name", kinds=kinds, limit=MOST_NAMES)
    return {"names": sorted(name for name, _ in found)}


async def entity_types(server: ServerDep, request: Request) -> dict[str, Json]:
    """List the kinds of what was traced."""
    found = await _counted(server, request, "kind", limit=MOST_NAMES)
    return {"entityTypes": sorted({ENTITIES[kind] for kind, _ in found})}


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
    add(router, "GET", f"{base}/discovery/entity-types", entity_types)
    for path, name in (
        ("environments", "environments"),
        ("service-names", "serviceNames"),
        ("tags", "tags"),
    ):
        add(router, "GET", f"{base}/discovery/{path}", _discovery(name))
