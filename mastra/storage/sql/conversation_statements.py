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
    delete,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.dml import Insert

from mastra.storage.sql.statements import (
    equal,
    insert_new,
    limited,
    matches,
    named,
    paged,
    upsert,
)
from mastra.storage.sql.tables import messages, threads

__all__ = [
    "add_row",
    "change_row",
    "count_rows",
    "delete_messages",
    "delete_messages_of",
    "delete_thread",
    "hold_thread",
    "list_messages",
    "list_neighbours",
    "list_threads",
    "save_row",
    "select_by_id",
    "touch_thread",
]


def _without_key(table: Table) -> tuple[str, ...]:
    return tuple(name for name in table.columns.keys() if not name.endswith("_key"))  # noqa: SIM118


def _row(table: Table) -> list[ColumnElement[Any]]:
    """Return what is read of a row: its columns, and its key last."""
    names = _without_key(table)
    keys = [name for name in table.columns.keys() if name not in names]  # noqa: SIM118
    return [table.c[name] for name in (*names, *keys)]


def select_by_id(table: Table) -> Select[Any]:
    """Build the query for one row, by `of_id`."""
    return select(*_row(table)).where(*equal(table, "of_id"))


def save_row(table: Table, dialect: str, kept: str | None) -> Insert:
    """Build the statement that stores a row, in place of an older one of the same owner.

    Args:
        table: Where.
        dialect: The database's.
        kept: The column that stays as it is in the older one.
    """
    owner = table.c.get("resource_id")
    own = None if owner is None else owner == named("new_resource_id", owner)
    return upsert(table, _without_key(table), ("id",), dialect, where=own, kept=kept)


def add_row(table: Table, dialect: str) -> Insert:
    """Build the statement that stores a row, unless there is one of that id."""
    return insert_new(table, _without_key(table), ("id",), dialect)


def list_threads(
    names: Iterable[str], order_by: str, *, descending: bool, is_paged: bool
) -> Select[Any]:
    """Build the query for threads, in order."""
    order = [threads.c[order_by], threads.c.thread_key]
    query = select(*_row(threads)).where(*equal(threads, *names))
    query = query.order_by(*(column.desc() if descending else column.asc() for column in order))
    return paged(query) if is_paged else query


def list_messages(names: Iterable[str], ids: int | None, *, is_paged: bool) -> Select[Any]:
    """Build the query for messages, the latest first."""
    columns = messages.c
    query = select(*_row(messages)).where(*equal(messages, *names))
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
    is_beyond = place < anchor if is_before else place > anchor
    query = select(*_row(messages)).where(*equal(messages, "of_thread_id"), is_beyond)
    query = query.order_by(*(column.desc() if is_before else column.asc() for column in order))
    return limited(query)


def count_rows(table: Table, names: Iterable[str]) -> Select[int]:
    """Build the query for how many rows there are."""
    return select(func.count()).select_from(table).where(*equal(table, *names))


def touch_thread() -> Update:
    """Build the statement that says when something was last said in a thread."""
    updated_at = threads.c.updated_at
    moment = named("new_updated_at", updated_at)
    is_older = updated_at < moment
    return update(threads).where(*equal(threads, "of_id"), is_older).values(updated_at=moment)


def hold_thread() -> Update:
    """Build the statement that keeps a thread from being deleted until the transaction ends."""
    same = threads.c.updated_at
    return update(threads).where(*equal(threads, "of_id")).values(updated_at=same)


def change_row(table: Table, kept: str | None) -> Update:
    """Build the statement that changes a row which is still as it was read, but for a column."""
    known = [f"of_{name}" for name in ("id", "resource_id", "updated_at") if name in table.c]
    changed = [name for name in _without_key(table) if name not in ("id", kept)]
    values = {name: named(f"new_{name}", table.c[name]) for name in changed}
    return update(table).where(*equal(table, *known)).values(values)


def delete_thread() -> Delete:
    """Build the statement that removes a thread."""
    return delete(threads).where(*equal(threads, "of_id"))


def delete_messages_of() -> Delete:
    """Build the statement that removes the messages of a thread."""
    return delete(messages).where(*equal(messages, "of_thread_id"))


def delete_messages(count: int) -> Delete:
    """Build the statement that removes messages by id."""
    return delete(messages).where(messages.c.id.in_(matches("id", messages.c.id, count)))
