"""Traces and logs in a SQL database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from sqlalchemy.types import Text

from mastra.errors import ROW_UNREADABLE
from mastra.jsonable import Json
from mastra.observability.records import LogRecord, SpanRecord
from mastra.observability.spans import SpanKind
from mastra.storage.damage import RowReader
from mastra.storage.observability import (
    FIGURES_AT_ONCE,
    MAX_SPANS,
    LogFilter,
    LogPage,
    SpanColumn,
    SpanFilter,
    TracePage,
)
from mastra.storage.sql import observability_statements as build
from mastra.storage.sql.database import Row, Values
from mastra.storage.sql.observability_statements import FIGURES, LOG_COLUMNS, Shape
from mastra.storage.sql.statements import in_chunks, padded
from mastra.storage.sql.store import SQLStore
from mastra.storage.sql.tables import spans as spans_table

__all__ = ["SQLObservability"]

_AT_ONCE: Final = 500
"""How many traces are deleted in one transaction: others write between two of them."""


class SQLObservability(SQLStore):
    """Keeps spans, log records, and which span each trace began with."""

    async def save(self, spans: Sequence[SpanRecord], logs: Sequence[LogRecord]) -> None:
        """Store both, all or none. What is there already stays."""
        found: dict[str, tuple[SpanRecord, float]] = {}
        for span in spans:
            first, last = found.get(span.trace_id, (span, span.ended_ms))
            first = span if span.started_ms < first.started_ms else first
            found[span.trace_id] = (first, max(last, span.ended_ms))
        # In one order everywhere: two processes that store the same traces wait for each other.
        roots: list[Values] = [
            {
                "new_trace_id": trace_id,
                "new_root_id": first.span_id,
                "new_started_ms": first.started_ms,
                "new_last_ms": last,
            }
            for trace_id, (first, last) in sorted(found.items())
        ]
        writes = [
            (build.put_trace, roots),
            (build.put_span, [_span_values(span) for span in spans]),
            (build.put_log, [_log_values(record) for record in logs]),
        ]
        statements = [
            (self._statements.get(put, self._dialect), rows) for put, rows in writes if rows
        ]
        if statements:
            what = f"store {len(spans)} spans and {len(logs)} log records"
            await self._database.insert(statements, what=what)

    async def list_traces(
        self,
        where: SpanFilter = SpanFilter(),  # noqa: B008 - it is frozen
        *,
        offset: int = 0,
        limit: int,
        order_by: Literal["started_ms", "ended_ms"] = "started_ms",
        is_ascending: bool = False,
    ) -> TracePage:
        """Return traces whose first span is asked for."""
        if where.kinds == ():
            return TracePage([], 0)
        shape, values = _asked(where)
        count = self._statements.get(build.count_roots, shape)
        listed = self._statements.get(build.list_roots, shape, order_by, is_ascending=is_ascending)
        totals = await self._database.fetch(count, values, what="count traces")
        rows = await self._database.fetch(
            listed, {**values, "limit": limit, "offset": offset}, what="list traces"
        )
        return TracePage([_span(row) for row in rows], totals[0][0])

    async def get_spans(self, trace_ids: Collection[str]) -> list[SpanRecord]:
        """Return the spans of traces in the order in which they began."""
        found: list[SpanRecord] = []
        for chunk in in_chunks(list(trace_ids)):
            count, values = padded("trace_id", chunk)
            statement = self._statements.get(build.spans_of, count)
            values["limit"] = MAX_SPANS * len(chunk)
            rows = await self._database.fetch(statement, values, what="read traces")
            found += map(_span, rows)
        return found

    async def figures(self, where: SpanFilter) -> AsyncIterator[list[SpanRecord]]:
        """Yield spans in the order in which they ended, without attributes and content."""
        last: SpanRecord | None = None
        while where.kinds != ():
            shape, values = _asked(where)
            statement = self._statements.get(build.figures, shape, goes_on=last is not None)
            values["limit"] = FIGURES_AT_ONCE
            if last is not None:
                place = {"ended_ms": last.ended_ms, "trace_id": last.trace_id}
                values |= {f"last_{name}": value for name, value in place.items()}
                values["last_span_id"] = last.span_id
            rows = await self._database.fetch(statement, values, what="read figures of spans")
            found = [_figure(row) for row in rows]
            if found:
                yield found
            if len(found) < FIGURES_AT_ONCE:
                return
            last = found[-1]
            where = replace(where, ended_from=last.ended_ms)

    async def count_values(
        self,
        column: SpanColumn,
        *,
        kinds: Collection[SpanKind] | None = None,
        of_roots: bool = False,
        resource_id: str | None = None,
        search: str = "",
        limit: int,
    ) -> list[tuple[str | bool, int]]:
        """Return the values of a column with how often each is there, the commonest first."""
        if kinds is not None and not kinds:
            return []
        count, values = padded("kind", [] if kinds is None else [*kinds])
        is_owned = resource_id is not None
        # There is nothing to search for in a column that is no text.
        is_searched = bool(search) and isinstance(spans_table.c[column].type, Text)
        statement = self._statements.get(
            build.count_values,
            column,
            count,
            of_roots=of_roots,
            is_owned=is_owned,
            is_searched=is_searched,
        )
        values |= {"of_resource": resource_id, "limit": limit, "pattern": _pattern(search)}
        rows = await self._database.fetch(statement, values, what="count values of spans")
        return [(bool(row[0]) if column == "is_failed" else row[0], row[1]) for row in rows]

    async def list_logs(
        self,
        where: LogFilter = LogFilter(),  # noqa: B008 - it is frozen
        *,
        offset: int = 0,
        limit: int,
        is_ascending: bool = False,
    ) -> LogPage:
        """Return log records by time."""
        if () in (where.kinds, where.levels):
            return LogPage([], 0)
        shape, values = _asked_logs(where)
        count = self._statements.get(build.count_logs, shape)
        listed = self._statements.get(build.list_logs, shape, is_ascending=is_ascending)
        totals = await self._database.fetch(count, values, what="count log records")
        rows = await self._database.fetch(
            listed, {**values, "limit": limit, "offset": offset}, what="list log records"
        )
        return LogPage([_log(row) for row in rows], totals[0][0])

    async def delete_before(self, before_ms: int) -> int:
        """Delete log records, and traces of which nothing has ended since; return how many."""
        values = {"before": float(before_ms), "limit": _AT_ONCE}
        of_spans = self._statements.get(build.delete_spans)
        of_traces = self._statements.get(build.delete_traces)
        of_logs = self._statements.get(build.delete_logs)
        gone, what = 0, "delete old traces and logs"
        while True:
            _, of_round = await self._database.change_all(
                [(of_spans, values), (of_traces, values)], what=what
            )
            gone += of_round
            if of_round < _AT_ONCE:
                break
        while True:
            of_round = await self._database.change(of_logs, values, what=what)
            gone += of_round
            if of_round < _AT_ONCE:
                return gone


def _span_values(span: SpanRecord) -> Values:
    values: dict[str, object] = {f"new_{name}": getattr(span, name) for name in FIGURES}
    values["new_content"] = span.content().decode()
    return values


def _log_values(record: LogRecord) -> Values:
    values: dict[str, object] = {
        f"new_{name}": getattr(record, name) for name in LOG_COLUMNS if name != "content"
    }
    values["new_content"] = record.content().decode()
    return values


def _figure(row: Row) -> SpanRecord:
    given: dict[str, Any] = dict(zip(FIGURES, row, strict=True))
    given["is_failed"] = bool(given["is_failed"])
    return SpanRecord(**given)


def _span(row: Row) -> SpanRecord:
    reader = RowReader(f"Span {row[1]!r}")
    content: dict[str, Json] = reader.json("content", row[-1], {})
    return _figure(row[:-1]).with_content({**content, **_told(reader, "error")})


def _log(row: Row) -> LogRecord:
    reader = RowReader(f"Log record {row[0]!r}")
    content: dict[str, Json] = reader.json("content", row[-1], {})
    given = dict(zip(LOG_COLUMNS[:-1], row[:-1], strict=True))
    return LogRecord(**given).with_content({**content, **_told(reader, "data")})


def _told(reader: RowReader, name: str) -> dict[str, Json]:
    # Not to the log: reading what was logged would add to it.
    faults = "; ".join(reader.faults)
    return {name: {"message": faults, "code": ROW_UNREADABLE}} if faults else {}


def _asked(where: SpanFilter) -> tuple[Shape, dict[str, object]]:
    equal = {f"of_{name}": value for name, value in where.equal().items()}
    bounds = where.bounds()
    count, kinds = padded("kind", where.kinds or ())
    return (tuple(equal), tuple(bounds), count, 0), {**equal, **bounds, **kinds}


def _asked_logs(where: LogFilter) -> tuple[Shape, dict[str, object]]:
    equal = {f"of_{name}": value for name, value in where.equal().items()}
    ends = {"time_from": where.from_ms, "time_before": where.before_ms}
    bounds = {name: value for name, value in ends.items() if value is not None}
    kind_count, kinds = padded("kind", where.kinds or ())
    level_count, levels = padded("level", where.levels or ())
    shape = (tuple(equal), tuple(bounds), kind_count, level_count)
    return shape, {**equal, **bounds, **kinds, **levels}


def _pattern(search: str) -> str:
    escaped = search.lower().replace("/", "//").replace("%", "/%").replace("_", "/_")
    return f"%{escaped}%"
