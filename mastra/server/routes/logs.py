"""Log records, as Studio and clients read them: from the memory of this process."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query
from starlette.requests import Request

from mastra.clock import iso_from_ms
from mastra.jsonable import Json
from mastra.observability.records import LogRecord, LogStore
from mastra.observability.store import span_to_wire
from mastra.server.context import Server, ServerDep, load_strict
from mastra.server.errors import Refusal
from mastra.server.handling import add
from mastra.server.payloads import LogLevel, LogQuery
from mastra.server.routes.metrics import time_of

__all__ = ["add_log_routes"]

TRANSPORT = "memory"
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
_FILTERS = ("runId", "threadId", "resourceId", "traceId", "spanId", "entityType", "entityName")


def _records(server: Server, request: Request) -> Iterator[LogRecord]:
    found: Any = getattr(server.mastra.observability, "logs", None)
    if not isinstance(found, LogStore):
        return
    owner = server.owner(request)
    for record in found:
        if owner is None:
            yield record
        elif record.ids.get("resourceId") == owner:
            # Where in the code something happened is for whoever runs the server.
            shown = {key: value for key, value in record.data.items() if key != "exception"}
            yield replace(record, data=shown)


def _to_wire(record: LogRecord) -> dict[str, Json]:
    span = None if record.span is None else span_to_wire(record.span)
    wire: dict[str, Json] = dict.fromkeys(_UNUSED)
    return wire | {
        "logId": str(record.number),
        "timestamp": iso_from_ms(record.time_ms),
        "level": record.level,
        "message": record.message,
        "data": {"logger": record.logger, **record.data},
        "traceId": None if span is None else span["traceId"],
        "spanId": None if span is None else span["spanId"],
        "entityType": None if span is None else span["entityType"],
        "entityId": None if span is None else span["entityId"],
        "entityName": None if span is None else span["entityName"],
        "resourceId": record.ids.get("resourceId"),
        "runId": record.ids.get("runId"),
        "threadId": record.ids.get("threadId"),
        "metadata": None,
    }


def _between(request: Request) -> tuple[float | None, float | None]:
    text = request.query_params.get("timestamp")
    if text is None:
        return None, None
    try:
        given = load_strict(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise Refusal(400, "timestamp must be a JSON object with start and end")
    known = cast("dict[str, Any]", given)
    ends = (known.get("start"), known.get("end"))
    start, end = (None if value is None else time_of(value, "timestamp") for value in ends)
    return start, end


def _is_within(record: LogRecord, start: float | None, end: float | None) -> bool:
    return (start is None or record.time_ms >= start) and (end is None or record.time_ms < end)


def _page(found: list[Any], page: int, per_page: int) -> tuple[list[Any], bool]:
    start = page * per_page
    return found[start : start + per_page], start + per_page < len(found)


async def list_logs(
    server: ServerDep,
    request: Request,
    page: Annotated[int, Query(ge=0, le=10**6)] = 0,
    per_page: Annotated[int, Query(alias="perPage", ge=1, le=1000)] = 10,
    level: Annotated[list[LogLevel] | None, Query()] = None,
    direction: Annotated[str, Query(pattern="^(ASC|DESC)$")] = "DESC",
) -> dict[str, Json]:
    """List log records, the latest first."""
    start, end = _between(request)
    asked = {name: value for name in _FILTERS if (value := request.query_params.get(name))}
    found = [
        wire
        for record in _records(server, request)
        if (level is None or record.level in level)
        and _is_within(record, start, end)
        and _has(wire := _to_wire(record), asked)
    ]
    if direction == "ASC":
        found.reverse()
    shown, has_more = _page(found, page, per_page)
    pagination = {"total": len(found), "page": page, "perPage": per_page, "hasMore": has_more}
    count: Any = getattr(getattr(server.mastra.observability, "logs", None), "count", 0)
    return {"pagination": pagination, "logs": shown, "deltaCursor": str(count)}


def _has(wire: dict[str, Json], asked: dict[str, str]) -> bool:
    return all(wire[name] == value for name, value in asked.items())


async def list_transports(server: ServerDep) -> dict[str, Json]:
    """List where records can be read from."""
    has_logs = getattr(server.mastra.observability, "logs", None) is not None
    return {"transports": [TRANSPORT] if has_logs else []}


async def list_transport_logs(
    server: ServerDep, request: Request, asked: Annotated[LogQuery, Query()]
) -> dict[str, Json]:
    """List log records as a logger's transport does, the latest first."""
    return _transported(server, request, asked)


async def list_run_logs(
    server: ServerDep, request: Request, run_id: str, asked: Annotated[LogQuery, Query()]
) -> dict[str, Json]:
    """List the log records of a run, the latest first."""
    return _transported(server, request, asked, run_id)


def _transported(
    server: Server, request: Request, asked: LogQuery, run_id: str | None = None
) -> dict[str, Json]:
    start = None if asked.from_date is None else time_of(asked.from_date, "fromDate")
    end = None if asked.to_date is None else time_of(asked.to_date, "toDate")
    is_known = asked.transport_id in {None, TRANSPORT}
    found = [
        record
        for record in (_records(server, request) if is_known else ())
        if (asked.log_level is None or record.level == asked.log_level)
        and (run_id is None or record.ids.get("runId") == run_id)
        and _is_within(record, start, end)
    ]
    page, per_page = asked.page, asked.per_page
    shown, has_more = _page(found, page - 1, per_page)
    logs: list[Json] = [
        {
            "level": "error" if record.level == "fatal" else record.level,
            "msg": record.message,
            "time": iso_from_ms(record.time_ms),
            "context": dict(record.data),
            "pid": os.getpid(),
            "hostname": socket.gethostname(),
            "name": record.logger,
            **({"runId": record.ids["runId"]} if record.ids.get("runId") else {}),
        }
        for record in shown
    ]
    return {
        "logs": logs,
        "total": len(found),
        "page": page,
        "perPage": per_page,
        "hasMore": has_more,
    }


def add_log_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    add(router, "GET", "/observability/logs", list_logs)
    add(router, "GET", "/logs/transports", list_transports)
    add(router, "GET", "/logs", list_transport_logs)
    add(router, "GET", "/logs/{run_id}", list_run_logs)
