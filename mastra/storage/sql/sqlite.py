"""Runs on SQLite: a commit on the event loop's own thread where it costs less than to leave it.

A commit in WAL mode takes about 15 µs and an answer from a worker thread 80. So small statements
run where they are called, on a connection that never waits. Where another process is writing
just then, they go to a worker thread whose connection waits for its turn. With
`durability="full"` every commit waits for the disk, and all of them go there.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from sqlalchemy.engine import Dialect

from mastra.storage.sql.database import (
    Durability,
    EncodedRow,
    Row,
    Undone,
    Values,
    append_failed,
    failed,
    open_failed,
    whole,
)
from mastra.storage.sql.sqlite_connections import (
    REFUSED,
    SQLITE_DIALECT,
    BusyError,
    SqliteConnections,
    hint_for,
    transaction,
)
from mastra.storage.sql.sqlite_journal import Addition, AppendQueue, Places
from mastra.storage.sql.statements import Statement

__all__ = ["SqliteDatabase"]

T = TypeVar("T")

_FEW = 8
"""How many statements of one transaction still cost less where they are called."""


class _Opened:
    def __init__(self, path: str, durability: Durability) -> None:
        self.connections = SqliteConnections(path, durability)
        self.places = Places()
        self.queue = AppendQueue(self.connections)


class SqliteDatabase:
    """One SQLite file, or a database in memory.

    Args:
        path: The file, or `:memory:`.
        durability: `normal` or `full`: see `SQLStorage`.
    """

    dialect: Dialect = SQLITE_DIALECT

    def __init__(self, path: str, *, durability: Durability) -> None:
        self.is_shared = path != ":memory:"
        self._path = path
        self._where = f"the SQLite database {path!r}"
        self._durability: Durability = durability
        self._is_direct = durability == "normal" or not self.is_shared
        self._opened: _Opened | None = None
        self._open_lock = threading.Lock()

    async def open(self) -> None:
        """Open the file, and bring its schema up to date."""
        if self._opened is None:
            await self._open()

    async def _open(self) -> _Opened:
        try:
            return await asyncio.to_thread(self._open_once)
        except REFUSED as error:
            raise open_failed(self._where, error, hint_for(error)) from error

    def _open_once(self) -> _Opened:
        with self._open_lock:
            if self._opened is None:
                self._opened = _Opened(self._path, self._durability)
            return self._opened

    async def aclose(self) -> None:
        """Write what is queued and close the file."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await asyncio.to_thread(opened.connections.close)

    async def fetch(
        self, statement: Statement, values: Values, *, what: str, is_point: bool = False
    ) -> Sequence[Row]:
        """Read rows."""
        opened = self._opened or await self._open()
        arguments = statement.arguments(values)

        def read(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
            try:
                return connection.execute(statement.sql, arguments).fetchall()
            except sqlite3.OperationalError as error:
                if not str(error).startswith("Could not decode"):
                    raise
                # Bytes that are no text, in one row: the others can be read, and this one is for
                # whoever asked. A function for every text would make every read slower.
                connection.text_factory = _text_or_bytes
                try:
                    return connection.execute(statement.sql, arguments).fetchall()
                finally:
                    connection.text_factory = str

        try:
            if is_point:
                try:
                    return opened.connections.on_direct(read)
                except BusyError:
                    pass
            return await opened.connections.in_reader(read)
        except REFUSED as error:
            raise failed(what, self._where, error, hint_for(error)) from error

    async def change(self, statement: Statement, values: Values, *, what: str) -> int:
        """Write a row or two, and return how many were changed."""
        opened = self._opened or await self._open()
        arguments = statement.arguments(values)

        def write(connection: sqlite3.Connection) -> int:
            return connection.execute(statement.sql, arguments).rowcount

        try:
            if self._is_direct:
                try:
                    return opened.connections.on_direct(write)
                except BusyError:
                    pass
            return await opened.connections.in_writer(write)
        except REFUSED as error:
            raise failed(what, self._where, error, hint_for(error)) from error

    async def change_all(
        self, statements: Sequence[tuple[Statement, Values]], *, what: str, needed: int = 0
    ) -> list[int]:
        """Write with several statements in one transaction; with many in the writer's thread."""
        opened = self._opened or await self._open()

        def write(connection: sqlite3.Connection) -> list[int]:
            with transaction(connection):
                counts = [
                    connection.execute(statement.sql, statement.arguments(values)).rowcount
                    for statement, values in statements
                ]
                return whole(counts, needed)

        try:
            if self._is_direct and len(statements) <= _FEW:
                try:
                    return opened.connections.on_direct(write)
                except BusyError:
                    pass
            return await opened.connections.in_writer(write)
        except Undone as undone:
            return undone.counts
        except REFUSED as error:
            raise failed(what, self._where, error, hint_for(error)) from error

    async def insert(
        self, statements: Sequence[tuple[Statement, Sequence[Values]]], *, what: str
    ) -> None:
        """Run each statement for many rows in one transaction, in the writer's thread."""
        opened = self._opened or await self._open()

        def write(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                for statement, rows in statements:
                    connection.executemany(statement.sql, map(statement.arguments, rows))

        try:
            await opened.connections.in_writer(write)
        except REFUSED as error:
            raise failed(what, self._where, error, hint_for(error)) from error

    def append(
        self,
        workflow_id: str,
        run_id: str,
        rows: Sequence[EncodedRow],
        *,
        owner: str | None = None,
        is_again: bool = False,
    ) -> Awaitable[None] | None:
        """Add journal rows and commit: at once if nobody else is writing."""
        opened = self._opened
        addition = Addition((workflow_id, run_id), rows, owner, is_again)
        if opened is not None and self._is_direct:
            try:
                return opened.connections.on_direct(opened.places.append, addition)
            except BusyError:
                pass
            except REFUSED as error:
                raise append_failed(
                    workflow_id, run_id, self._where, error, hint_for(error)
                ) from error
        return self._append_in_turn(addition)

    async def _append_in_turn(self, addition: Addition) -> None:
        opened = self._opened or await self._open()
        try:
            if self.is_shared:
                await opened.queue.put(addition)
            else:
                opened.connections.on_direct(opened.places.append, addition)
        except REFUSED as error:
            raise append_failed(*addition.run, self._where, error, hint_for(error)) from error


def _text_or_bytes(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
