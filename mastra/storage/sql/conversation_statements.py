"""Statements on threads, messages and resources."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Delete,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.types import BigInteger

from mastra.storage.sql.statements import matches, named, paged
from mastra.storage.sql.tables import messages, resources, threads

__all__ = [
    "MESSAGE_COLUMNS",
    "RESOURCE_COLUMNS",
    "THREAD_COLUMNS",
    "change_row",
    "count_rows",
    "delete_messages",
    "delete_messages_of",
    "delete_thread",
    "hold_thread",
    "list_messages",
    "list_neighbours",
    "list_threads",
    "select_by_id",
    "touch_thread",
]


def _without_key(table: Table) -> tuple[str, ...]:
    return tuple(name for name in table.columns.keys() if not name.endswith("_key"))  # noqa: SIM118


THREAD_COLUMNS = _without_key(threads)
MESSAGE_COLUMNS = _without_key(messages)
RESOURCE_COLUMNS = _without_key(resources)


def _row(table: Table) -> list[ColumnElement[Any]]:
    """Return what is read of a row: its columns, and its key last."""
    names = _without_key(table)
    keys = [name for name in table.columns.keys() if name not in names]  # noqa: SIM118
    return [table.c[name] for name in (*names, *keys)]


def select_by_id(table: Table) -> Select[Any]:
    """Build the query for one row, by `of_id`."""
    return select(*_row(table)).where(table.c.id == named("of_id", table.c.id))


def list_threads(
    names: Iterable[str], order_by: str, *, descending: bool, is_paged: bool
) -> Select[Any]:
    """Build the query for threads, in order."""
    order = [threads.c[order_by], threads.c.thread_key]
    query = select(*_row(threads)).where(*_conditions(threads, names))
    query = query.order_by(*(column.desc() if descending else column.asc() for column in order))
    return paged(query) if is_paged else query


def list_messages(names: Iterable[str], ids: int | None, *, is_paged: bool) -> Select[Any]:
    """Build the query for messages, the latest first."""
    columns = messages.c
    query = select(*_row(messages)).where(*_conditions(messages, names))
    if ids is not None:
        query = query.where(columns.id.in_(matches("id", columns.id, ids)))
    query = query.order_by(columns.created_at.desc(), columns.message_key.desc())
    return paged(query) if is_paged else query


def list_neighbours(*, is_before: bool) -> Select[Any]:
    """Build the query for the messages of a thread next to a place in it, the nearest first."""
    columns = messages.c
    place = tuple_(columns.created_at, columns.message_key)
    anchor = tuple_(
        named("of_created_at", columns.created_at), named("of_message_key", columns.message_key)
    )
    order = [columns.created_at, columns.message_key]
    return (
        select(*_row(messages))
        .where(
            columns.thread_id == named("of_thread_id", columns.thread_id),
            place < anchor if is_before else place > anchor,
        )
        .order_by(*(column.desc() if is_before else column.asc() for column in order))
        .limit(bindparam("limit", type_=BigInteger))
    )


def count_rows(table: Table, names: Iterable[str]) -> Select[int]:
    """Build the query for how many rows there are."""
    return select(func.count()).select_from(table).where(*_conditions(table, names))


def touch_thread() -> Update:
    """Build the statement that says when something was last said in a thread."""
    updated_at = threads.c.updated_at
    moment = named("new_updated_at", updated_at)
    return (
        update(threads)
        .where(threads.c.id == named("of_id", threads.c.id), updated_at < moment)
        .values(updated_at=moment)
    )


def hold_thread() -> Update:
    """Build the statement that keeps a thread from being deleted until the transaction ends."""
    updated_at = threads.c.updated_at
    return (
        update(threads)
        .where(threads.c.id == named("of_id", threads.c.id))
        .values(updated_at=updated_at)
    )


def change_row(table: Table, columns: Iterable[str]) -> Update:
    """Build the statement that changes a row which is still as it was read."""
    known = [name for name in ("id", "resource_id", "updated_at") if name in table.c]
    return (
        update(table)
        .where(*(table.c[name] == named(f"of_{name}", table.c[name]) for name in known))
        .values({name: named(f"new_{name}", table.c[name]) for name in columns if name != "id"})
    )


def delete_thread() -> Delete:
    """Build the statement that removes a thread."""
    return delete(threads).where(threads.c.id == named("of_id", threads.c.id))


def delete_messages_of() -> Delete:
    """Build the statement that removes the messages of a thread."""
    thread_id = messages.c.thread_id
    return delete(messages).where(thread_id == named("of_id", thread_id))


def delete_messages(count: int) -> Delete:
    """Build the statement that removes messages by id."""
    return delete(messages).where(messages.c.id.in_(matches("id", messages.c.id, count)))


def _conditions(table: Table, names: Iterable[str]) -> list[ColumnElement[bool]]:
    columns = [(name, table.c[name.removeprefix("of_")]) for name in names]
    return [column == named(name, column) for name, column in columns]
