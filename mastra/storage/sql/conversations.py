"""Threads, messages and resources in a SQL database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Table

from mastra.jsonable import Json, dump_json
from mastra.storage.conversations import (
    MessagePage,
    ResourceRecord,
    StoredMessage,
    ThreadPage,
    ThreadRecord,
    check_order,
    check_record,
    holds,
    id_taken,
)
from mastra.storage.damage import RowReader
from mastra.storage.sql import conversation_statements as build
from mastra.storage.sql import tables
from mastra.storage.sql.database import Database, Row, Values
from mastra.storage.sql.statements import Statement, in_chunks, padded
from mastra.storage.sql.store import SQLStore
from mastra.storage.sql.vectors import SQLVectors

__all__ = ["SQLMemoryStore"]


class SQLMemoryStore(SQLStore):
    """Keeps conversations in three tables.

    Attributes:
        vectors: What messages mean, in a fourth.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.vectors = SQLVectors(database)

    def _save(self, table: Table, kept: str | None) -> Statement:
        return self._statements.get(build.save_row, table, self._dialect, kept)

    async def get_thread(self, thread_id: str) -> ThreadRecord | None:
        """Return a thread, or `None`."""
        found = await self._database.fetch(
            self._statements.get(build.select_by_id, tables.threads),
            {"of_id": thread_id},
            what=f"read thread {thread_id!r}",
            is_point=True,
        )
        return _thread(found[0]) if found else None

    async def save_thread(self, thread: ThreadRecord) -> None:
        """Store a thread, in place of an older one of that id."""
        statement = self._save(tables.threads, _unread(thread))
        what = f"store thread {thread.id!r}"
        if await self._database.change(statement, _thread_values(thread), what=what) != 1:
            raise id_taken("Thread", thread.id)

    async def add_thread(self, thread: ThreadRecord) -> bool:
        """Store a thread unless there is one of that id; return whether it was stored."""
        statement = self._statements.get(build.add_row, tables.threads, self._dialect)
        what = f"store thread {thread.id!r}"
        return await self._database.change(statement, _thread_values(thread), what=what) == 1

    async def change_thread(self, thread: ThreadRecord, known: ThreadRecord) -> bool:
        """Store a thread if it is still there and was not changed since it was read."""
        if _has_no_time(known):
            await self.save_thread(thread)
            return True
        statement = self._statements.get(build.change_row, tables.threads, _unread(thread))
        values = {
            **_thread_values(thread),
            "of_id": known.id,
            "of_resource_id": known.resource_id,
            "of_updated_at": known.updated_at,
        }
        what = f"store thread {thread.id!r}"
        return await self._database.change(statement, values, what=what) == 1

    async def delete_thread(self, thread_id: str) -> bool:
        """Delete a thread and its messages; return whether it was there."""
        of_thread = self._statements.get(build.delete_messages_of)
        thread = self._statements.get(build.delete_thread)
        values = {"of_id": thread_id, "of_thread_id": thread_id}
        # The thread first: whoever adds messages holds it until they are there to be deleted.
        deleted, _ = await self._database.change_all(
            [(thread, values), (of_thread, values)], what=f"delete thread {thread_id!r}"
        )
        return deleted == 1

    async def list_threads(
        self,
        *,
        resource_id: str | None = None,
        metadata: Mapping[str, Json] | None = None,
        page: int = 0,
        per_page: int | None = None,
        order_by: str = "updated_at",
        descending: bool = True,
    ) -> ThreadPage:
        """Return threads, of one resource or of all, whose metadata has all of these values."""
        check_order(order_by)
        values: dict[str, object] = {} if resource_id is None else {"of_resource_id": resource_id}
        # What equal means for JSON is Python's here: the databases' own functions differ, and
        # know neither NaN nor large integers.
        is_paged = per_page is not None and not metadata
        listed = self._statements.get(
            build.list_threads, tuple(values), order_by, descending=descending, is_paged=is_paged
        )
        window = {"limit": per_page, "offset": page * (per_page or 0)}
        rows = await self._rows(listed, {**values, **window}, "threads")
        found = [thread for thread in map(_thread, rows) if holds(thread.metadata, metadata)]
        if is_paged:
            return ThreadPage(found, await self._count(tables.threads, values))
        total = len(found)
        if per_page is not None:
            found = found[page * per_page : (page + 1) * per_page]
        return ThreadPage(found, total)

    async def save_messages(self, messages: Sequence[StoredMessage]) -> None:
        """Store messages, in place of older ones of the same ids, and touch their threads."""
        if messages:
            writes = [*self._writes(messages), *self._touches(messages)]
            what = f"store {len(messages)} messages"
            counts = await self._database.change_all(writes, what=what, needed=len(messages))
            if 0 in counts[: len(messages)]:
                raise id_taken("Message", messages[counts.index(0)].id)

    async def add_messages(self, messages: Sequence[StoredMessage]) -> bool:
        """Store messages as `save_messages` does, if their threads are there."""
        if not messages:
            return True
        holds = self._statements.get(build.hold_thread)
        held = [(holds, values) for _, values in self._touches(messages)]
        writes = [*held, *self._writes(messages), *self._touches(messages)]
        needed = len(held) + len(messages)
        what = f"store {len(messages)} messages"
        counts = await self._database.change_all(writes, what=what, needed=needed)
        if 0 in counts[: len(held)]:
            return False
        if 0 in counts[:needed]:
            raise id_taken("Message", messages[counts.index(0) - len(held)].id)
        return True

    def _writes(self, messages: Sequence[StoredMessage]) -> list[tuple[Statement, Values]]:
        return [
            (
                self._save(tables.messages, None if message.error is None else "content"),
                {
                    "new_id": message.id,
                    "new_thread_id": message.thread_id,
                    "new_resource_id": message.resource_id,
                    "new_role": message.role,
                    "new_content": _json(message.content, check_record(message)),
                    "new_created_at": message.created_at,
                },
            )
            for message in messages
        ]

    def _touches(self, messages: Sequence[StoredMessage]) -> list[tuple[Statement, Values]]:
        latest: dict[str, int] = {}
        for message in messages:
            at = message.created_at
            latest[message.thread_id] = max(at, latest.get(message.thread_id, at))
        touch = self._statements.get(build.touch_thread)
        # In one order, so that two callers never wait for each other.
        return [
            (touch, {"of_id": thread_id, "new_updated_at": at})
            for thread_id, at in sorted(latest.items())
        ]

    async def list_messages(
        self,
        *,
        thread_id: str | None = None,
        resource_id: str | None = None,
        ids: Sequence[str] | None = None,
        page: int = 0,
        per_page: int | None = None,
    ) -> MessagePage:
        """Return messages, the oldest first; page 0 holds the latest."""
        exact = {"of_thread_id": thread_id, "of_resource_id": resource_id}
        values: dict[str, object] = {k: value for k, value in exact.items() if value is not None}
        is_paged = per_page is not None and ids is None
        rows: list[Row] = []
        for chunk in [None] if ids is None else in_chunks(list(dict.fromkeys(ids))):
            count, wanted = (None, {}) if chunk is None else padded("id", chunk)
            listed = self._statements.get(
                build.list_messages, tuple(values), count, is_paged=is_paged
            )
            window = {"limit": per_page, "offset": page * (per_page or 0)}
            rows += await self._rows(listed, {**values, **wanted, **window}, "messages")
        if ids is not None:
            rows.sort(key=lambda row: (row[-2], row[-1]), reverse=True)  # time, then key
        if is_paged:
            total = await self._count(tables.messages, values)
        else:
            total = len(rows)
            if per_page is not None:
                rows = rows[page * per_page : (page + 1) * per_page]
        return MessagePage([_message(row) for row in reversed(rows)], total)

    async def list_around(
        self, message_ids: Sequence[str], *, before: int, after: int
    ) -> list[StoredMessage]:
        """Return messages with those said just before and after each in its thread."""
        found: dict[str, Row] = {}
        for chunk in in_chunks(list(dict.fromkeys(message_ids))):
            count, wanted = padded("id", chunk)
            listed = self._statements.get(build.list_messages, (), count, is_paged=False)
            for anchor in await self._rows(listed, wanted, "messages"):
                found[anchor[0]] = anchor
                for limit, is_before in ((before, True), (after, False)):
                    if limit:
                        near = await self._neighbours(anchor, limit, is_before=is_before)
                        found.update((row[0], row) for row in near)
        rows = sorted(found.values(), key=lambda row: (row[-2], row[-1]))  # time, then key
        return [_message(row) for row in rows]

    async def _neighbours(self, anchor: Row, limit: int, *, is_before: bool) -> Sequence[Row]:
        statement = self._statements.get(build.list_neighbours, is_before=is_before)
        values = {
            "of_thread_id": anchor[1],
            "of_created_at": anchor[-2],
            "of_message_key": anchor[-1],
            "limit": limit,
        }
        return await self._rows(statement, values, "messages")

    async def delete_messages(self, message_ids: Sequence[str]) -> None:
        """Delete messages, all or none."""
        deletions = [
            (self._statements.get(build.delete_messages, count), values)
            for count, values in (padded("id", chunk) for chunk in in_chunks(message_ids))
        ]
        if deletions:
            what = f"delete {len(message_ids)} messages"
            await self._database.change_all(deletions, what=what)

    async def get_resource(self, resource_id: str) -> ResourceRecord | None:
        """Return a resource, or `None`."""
        found = await self._database.fetch(
            self._statements.get(build.select_by_id, tables.resources),
            {"of_id": resource_id},
            what=f"read resource {resource_id!r}",
            is_point=True,
        )
        if not found:
            return None
        _, notes, metadata, created_at, updated_at = found[0]
        reader = RowReader(f"Resource {resource_id!r}")
        return ResourceRecord(
            resource_id,
            None if notes is None else reader.text("working_memory", notes),
            reader.json("metadata", metadata, dict[str, Json]()),
            reader.moment("created_at", created_at),
            reader.moment("updated_at", updated_at),
            reader.error,
        )

    async def save_resource(self, resource: ResourceRecord) -> None:
        """Store a resource, in place of an older one of that id."""
        what = f"store resource {resource.id!r}"
        statement = self._save(tables.resources, _unread(resource))
        await self._database.change(statement, _resource_values(resource), what=what)

    async def change_resource(self, resource: ResourceRecord, known: ResourceRecord | None) -> bool:
        """Store a resource if it was not changed since it was read."""
        what = f"store resource {resource.id!r}"
        values = _resource_values(resource)
        if known is not None and _has_no_time(known):
            await self.save_resource(resource)
            return True
        if known is None:
            statement = self._statements.get(build.add_row, tables.resources, self._dialect)
        else:
            statement = self._statements.get(build.change_row, tables.resources, _unread(resource))
            values |= {"of_id": known.id, "of_updated_at": known.updated_at}
        return await self._database.change(statement, values, what=what) == 1

    async def _rows(self, statement: Statement, values: Values, what: str) -> Sequence[Row]:
        return await self._database.fetch(statement, values, what=f"list {what}")

    async def _count(self, table: Table, values: Values) -> int:
        statement = self._statements.get(build.count_rows, table, tuple(values))
        [[count]] = await self._database.fetch(statement, values, what="count")
        return count


def _json(value: object, what: str) -> str:
    return dump_json(value, what=what).decode()


def _unread(record: ThreadRecord | ResourceRecord) -> str | None:
    """Return the column that stays as it is, since it could not be read."""
    return None if record.error is None else "metadata"


def _has_no_time(known: ThreadRecord | ResourceRecord) -> bool:
    """Return whether it cannot be told if a row has been changed: its time could not be read."""
    return known.error is not None and known.updated_at == 0


def _thread_values(thread: ThreadRecord) -> dict[str, object]:
    metadata, what = thread.metadata, check_record(thread)
    return {
        "new_id": thread.id,
        "new_resource_id": thread.resource_id,
        "new_title": thread.title,
        "new_metadata": None if metadata is None else _json(metadata, what),
        "new_created_at": thread.created_at,
        "new_updated_at": thread.updated_at,
    }


def _resource_values(resource: ResourceRecord) -> dict[str, object]:
    return {
        "new_id": resource.id,
        "new_working_memory": resource.working_memory,
        "new_metadata": _json(resource.metadata, check_record(resource)),
        "new_created_at": resource.created_at,
        "new_updated_at": resource.updated_at,
    }


def _thread(row: Row) -> ThreadRecord:
    identifier, resource_id, title, metadata, created_at, updated_at, _ = row
    reader = RowReader(f"Thread {identifier!r}")
    return ThreadRecord(
        reader.text("id", identifier),
        reader.text("resource_id", resource_id),
        reader.text("title", title),
        None if metadata is None else reader.json("metadata", metadata, None),
        reader.moment("created_at", created_at),
        reader.moment("updated_at", updated_at),
        reader.error,
    )


def _message(row: Row) -> StoredMessage:
    identifier, thread_id, resource_id, role, content, created_at, _ = row
    reader = RowReader(f"Message {identifier!r} of thread {thread_id!r}")
    return StoredMessage(
        reader.text("id", identifier),
        reader.text("thread_id", thread_id),
        reader.text("resource_id", resource_id),
        reader.text("role", role),
        reader.json("content", content, {"format": 2, "parts": []}),
        reader.moment("created_at", created_at),
        reader.error,
    )
