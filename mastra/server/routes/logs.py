"""Log records, as Studio and clients read them, for as long as they are kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Query
from starlette.requests import Request

from mastra.clock import iso_from_ms
from mastra.jsonable import Json
from mastra.observability.logs import CALLERS_MESSAGE
from mastra.observability.records import ENTITIES, LogRecord, kinds_of_entity, plain_text
from mastra.server.context import Server, ServerDep
from mastra.server.handling import add
from mastra.server.observed import has_kept, kept_in
from mastra.server.paging import Page, PerPage
from mastra.server.payloads import LogLevel, LogQuery
from mastra.server.routes.metrics import asked_times, time_of
from mastra.storage.observability import LogFilter, LogPage

__all__ = ["add_log_routes"]

TRANSPORT = "storage"
"""Where records are read from, by the name that clients ask for."""

_UNUSED = (
    "entityVersionId",
    "parentEntityVersionId",
    "parentEntityType",
    "parentEntityId",
    "parentEntityName",
    "rootEntityVersionId",
    "rootEntityType",
    "rootEntityId",
    "rootEntityName",
    "userId",
    "organizationId",
    "sessionId",
    "requestId",
    "environment",
    "executionSource",
    "serviceName",
    "experimentId",
    "tags",
    "scope",
)
_FILTERS: Final = {
    "runId": "run_id",
    "threadId": "thread_id",
    "resourceId": "resource_id",
    "traceId": "trace_id",
    "spanId": "span_id",
    "entityName": "entity_name",
}


async def _found(
    server: Server, request: Request, where: LogFilter, page: int, per_page: int, **order: Any
) -> tuple[list[LogRecord], dict[str, Json]]:
    """Return some of the caller's log records, and where they stand among all of them."""
    store, owner = await kept_in(server, "logs"), server.owner(request)
    found = LogPage([], 0)
    if store is not None and where.resource_id in (None, owner or where.resource_id):
        where = replace(where, resource_id=owner or where.resource_id)
        found = await store.list_logs(where, offset=page * per_page, limit=per_page, **order)
    shown = [_shown(one, is_callers=owner is not None) for one in found.records]
    return shown, {"total": found.total, "hasMore": (page + 1) * per_page < found.total}


def _shown(record: LogRecord, *, is_callers: bool) -> LogRecord:
    """Return a record as it is shown.

    What was raised, and where in the code, is for whoever runs the server.
    """
    data = dict(record.data)
    message = data.pop(CALLERS_MESSAGE, None)
    if not is_callers:
        return replace(record, data=data)
    for name in ("exception", "place"):
        data.pop(name, None)
    return replace(
        record, data=data, message=message if isinstance(message, str) else record.message
    )


def _to_wire(record: LogRecord) -> dict[str, Json]:
    wire: dict[str, Json] = dict.fromkeys(_UNUSED)
    return wire | {
        "logId": record.id,
        "timestamp": iso_from_ms(record.time_ms),
        "level": record.level,
        "message": record.message,
        "data": {"logger": record.logger, **record.data},
        "traceId": record.trace_id,
        "spanId": record.span_id,
        "entityType": None if record.kind is None else ENTITIES[record.kind],
        "entityId": record.entity_id,
        "entityName": record.entity_name,
        "resourceId": record.resource_id,
        "runId": record.run_id,
        "threadId": record.thread_id,
        "metadata": None,
    }


async def list_logs(
    server: ServerDep,
    request: Request,
    page: Page = 0,
    per_page: PerPage = 10,
    level: Annotated[list[LogLevel] | None, Query()] = None,
    direction: Annotated[str, Query(pattern="^(ASC|DESC)$")] = "DESC",
) -> dict[str, Json]:
    """List log records, the latest first."""
    start, end = asked_times(request)
    query = request.query_params
    asked = {
        column: plain_text(query[name]) for name, column in _FILTERS.items() if query.get(name)
    }
    entity = query.get("entityType")
    where = LogFilter(
        **cast("dict[str, Any]", asked),
        levels=None if level is None else tuple(level),
        kinds=kinds_of_entity(entity) if entity else None,
        from_ms=start,
        before_ms=end,
    )
    is_ascending = direction == "ASC"
    found, place = await _found(server, request, where, page, per_page, is_ascending=is_ascending)
    return {
        "pagination": {"page": page, "perPage": per_page, **place},
        "logs": [_to_wire(record) for record in found],
        "deltaCursor": str(place["total"]),
    }


async def list_transports(server: ServerDep) -> dict[str, Json]:
    """List where records can be read from."""
    return {"transports": [TRANSPORT] if has_kept(server, "logs") else []}


async def list_transport_logs(
    server: ServerDep, request: Request, asked: Annotated[LogQuery, Query()]
) -> dict[str, Json]:
    """List log records as a logger's transport does, the latest first."""
    return await _transported(server, request, asked)


async def list_run_logs(
    server: ServerDep, request: Request, run_id: str, asked: Annotated[LogQuery, Query()]
) -> dict[str, Json]:
    """List the log records of a run, the latest first."""
    return await _transported(server, request, asked, run_id)


async def _transported(
    server: Server, request: Request, asked: LogQuery, run_id: str | None = None
) -> dict[str, Json]:
    start = None if asked.from_date is None else time_of(asked.from_date, "fromDate")
    end = None if asked.to_date is None else time_of(asked.to_date, "toDate")
    page, per_page = asked.page, asked.per_page
    where = LogFilter(
        levels=None if asked.log_level is None else (asked.log_level,),
        run_id=None if run_id is None else plain_text(run_id),
        from_ms=start,
        before_ms=end,
    )
    if asked.transport_id not in {None, TRANSPORT}:
        where = replace(where, levels=())
    found, place = await _found(server, request, where, page - 1, per_page)
    logs: list[Json] = [
        {
            "level": "error" if record.level == "fatal" else record.level,
            "msg": record.message,
            "time": iso_from_ms(record.time_ms),
            "context": dict(record.data),
            **record.process,
            "name": record.logger,
            **({} if record.run_id is None else {"runId": record.run_id}),
        }
        for record in found
    ]
    return {"logs": logs, "page": page, "perPage": per_page, **place}


def add_log_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    add(router, "GET", "/observability/logs", list_logs)
    add(router, "GET", "/logs/transports", list_transports)
    add(router, "GET", "/logs", list_transport_logs)
    add(router, "GET", "/logs/{run_id}", list_run_logs)
