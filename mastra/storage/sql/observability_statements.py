"""Statements on traces, spans and log records."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Delete,
    Insert,
    Select,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    select,
    tuple_,
)
from sqlalchemy.types import Text

from mastra.storage.sql.statements import (
    equal,
    insert_into,
    insert_new,
    limited,
    matches,
    named,
    paged,
)
from mastra.storage.sql.tables import logs, spans, traces

__all__ = [
    "FIGURES",
    "LOG_COLUMNS",
    "Shape",
    "count_logs",
    "count_roots",
    "count_values",
    "delete_logs",
    "delete_spans",
    "delete_traces",
    "figures",
    "list_logs",
    "list_roots",
    "put_log",
    "put_span",
    "put_trace",
    "spans_of",
]

FIGURES: Final = tuple(column.name for column in spans.columns if column.name != "content")
LOG_COLUMNS: Final = tuple(column.name for column in logs.columns)
_SPAN_COLUMNS: Final = (*FIGURES, "content")

Shape: TypeAlias = tuple[tuple[str, ...], tuple[str, ...], int, int]
"""Of a filter: `of_<column>` for what is equal to something, bounds, how many kinds and levels."""


def put_trace(dialect: str) -> Insert:
    """Build the statement that notes a trace, or that one is longer than was known."""
    values = {column.name: named(f"new_{column.name}", column) for column in traces.columns}
    statement = insert_into(traces, dialect).values(values)
    new = statement.excluded
    is_first, is_last = new.started_ms < traces.c.started_ms, new.last_ms > traces.c.last_ms
    return statement.on_conflict_do_update(
        index_elements=["trace_id"],
        set_={
            "root_id": case((is_first, new.root_id), else_=traces.c.root_id),
            "started_ms": case((is_first, new.started_ms), else_=traces.c.started_ms),
            "last_ms": case((is_last, new.last_ms), else_=traces.c.last_ms),
        },
    )


def put_span(dialect: str) -> Insert:
    """Build the statement that stores a span, unless it is there."""
    return insert_new(spans, _SPAN_COLUMNS, ("trace_id", "span_id"), dialect)


def put_log(dialect: str) -> Insert:
    """Build the statement that stores a log record, unless it is there."""
    return insert_new(logs, LOG_COLUMNS, ("id",), dialect)


def _conditions(table: Table, shape: Shape) -> list[ColumnElement[bool]]:
    names, bounds, kinds, levels = shape
    found = equal(table, *names)
    for name in bounds:
        column, _, side = name.rpartition("_")
        moment: Any = table.c[f"{column}_ms"]
        bound = named(name, moment)
        found.append(moment >= bound if side == "from" else moment < bound)
    for name, count in (("kind", kinds), ("level", levels)):
        if count:
            found.append(table.c[name].in_(matches(name, table.c[name], count)))
    return found


_IS_ROOT: Final = and_(spans.c.trace_id == traces.c.trace_id, spans.c.span_id == traces.c.root_id)


def count_roots(shape: Shape) -> Select[int]:
    """Build the query for how many traces begin with a span that is asked for."""
    roots = traces.join(spans, _IS_ROOT)
    return select(func.count()).select_from(roots).where(*_conditions(spans, shape))


def list_roots(shape: Shape, order_by: str, *, is_ascending: bool) -> Select[Any]:
    """Build the query for the first spans of traces, by their time."""
    # By the column that has an index, where it has the same.
    moment: Any = traces.c.started_ms if order_by == "started_ms" else spans.c.ended_ms
    return paged(
        select(*(spans.c[name] for name in _SPAN_COLUMNS))
        .select_from(traces.join(spans, _IS_ROOT))
        .where(*_conditions(spans, shape))
        .order_by(moment.asc() if is_ascending else moment.desc(), spans.c.trace_id)
    )


def spans_of(count: int) -> Select[Any]:
    """Build the query for the spans of some traces."""
    wanted = spans.c.trace_id.in_(matches("trace_id", spans.c.trace_id, count))
    query = select(*(spans.c[name] for name in _SPAN_COLUMNS)).where(wanted)
    return limited(query.order_by(spans.c.started_ms))


def figures(shape: Shape, *, goes_on: bool) -> Select[Any]:
    """Build the query for spans without their content, in the order in which they ended.

    Args:
        shape: What is asked for.
        goes_on: Whether those up to one of them (`last_…`) are left out. Where it goes on, `shape`
            has its moment as a bound, which is what the index is for.
    """
    order = (spans.c.ended_ms, spans.c.trace_id, spans.c.span_id)
    query = select(*(spans.c[name] for name in FIGURES)).where(*_conditions(spans, shape))
    if goes_on:
        last = [named(f"last_{column.name}", column) for column in order]
        query = query.where(tuple_(*order) > tuple_(*last))
    return limited(query.order_by(*order))


def count_values(
    column: str, kinds: int, *, of_roots: bool, is_owned: bool, is_searched: bool
) -> Select[Any]:
    """Build the query for the values of a column with how often each is there."""
    counted: Any = spans.c[column]
    how_often = func.count()
    query: Any = select(counted, how_often).where(counted.is_not(None))
    if of_roots:
        query = query.select_from(traces.join(spans, _IS_ROOT))
    if is_owned:
        # The owner of a trace is that of its first span.
        root = spans.alias("root")
        owned = (
            select(traces.c.trace_id)
            .join(
                root, (root.c.trace_id == traces.c.trace_id) & (root.c.span_id == traces.c.root_id)
            )
            .where(root.c.resource_id == named("of_resource", spans.c.resource_id))
        )
        query = query.where(spans.c.trace_id.in_(owned))
    if kinds:
        query = query.where(spans.c.kind.in_(matches("kind", spans.c.kind, kinds)))
    if is_searched:
        pattern = bindparam("pattern", type_=Text)
        query = query.where(func.lower(counted).like(pattern, escape="/"))
    return limited(query.group_by(counted).order_by(how_often.desc(), counted))


def count_logs(shape: Shape) -> Select[int]:
    """Build the query for how many log records are asked for."""
    return select(func.count()).select_from(logs).where(*_conditions(logs, shape))


def list_logs(shape: Shape, *, is_ascending: bool) -> Select[Any]:
    """Build the query for log records, by their time."""
    moment = logs.c.time_ms
    return paged(
        select(*(logs.c[name] for name in LOG_COLUMNS))
        .where(*_conditions(logs, shape))
        .order_by(moment.asc() if is_ascending else moment.desc(), logs.c.id)
    )


def _old(table: Table, key: str, moment: str) -> Select[Any]:
    column: Any = table.c[moment]
    is_old = column < named("before", column)
    return limited(select(table.c[key]).where(is_old).order_by(column))


def delete_spans() -> Delete:
    """Build the statement that deletes the spans of some old traces."""
    return delete(spans).where(spans.c.trace_id.in_(_old(traces, "trace_id", "last_ms")))


def delete_traces() -> Delete:
    """Build the statement that deletes the same traces."""
    return delete(traces).where(traces.c.trace_id.in_(_old(traces, "trace_id", "last_ms")))


def delete_logs() -> Delete:
    """Build the statement that deletes some old log records."""
    return delete(logs).where(logs.c.id.in_(_old(logs, "id", "time_ms")))
