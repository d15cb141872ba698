"""How journal rows get into a SQLite file: at once, or in turn together with others."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from mastra.errors import RunClaimedError
from mastra.storage.sql.database import EncodedRow, taken_over
from mastra.storage.sql.journal import (
    FIND_PLACE_IN_SQLITE,
    LAST_IN_SQLITE,
    PUT_IN_SQLITE,
    PUT_OWNED_IN_SQLITE,
    already_there,
)
from mastra.storage.sql.sqlite_connections import (
    REFUSED,
    SqliteConnections,
    is_busy,
    transaction,
)

__all__ = ["Addition", "AppendQueue", "Places"]

_MOST_PLACES = 4096


@dataclass(frozen=True, slots=True)
class Addition:
    """Rows to add to the journal of a run."""

    run: tuple[str, str]
    rows: Sequence[EncodedRow]
    owner: str | None
    """Who must be driving the run; `None` where that does not matter."""
    is_again: bool
    """Whether the first of the rows may be there already."""


class Places:
    """Where the next row of each run goes, so that appending reads nothing.

    It may be out of date, since other processes append too: a position that is taken is refused
    by the table's key, and then it is read again.
    """

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], list[int]] = {}

    def append(self, connection: sqlite3.Connection, addition: Addition) -> None:
        """Add rows and commit."""
        run, rows = addition.run, addition.rows
        if len(rows) == 1 and not addition.is_again:
            place = self._places.get(run)
            if place is not None and _put_at(connection, place, rows[0], addition.owner):
                return
        # Not known, or another process has appended, drives the run, or has deleted it.
        with transaction(connection):
            place = _put_rows(connection, addition)
        self._keep(run, place)

    def _keep(self, run: tuple[str, str], place: list[int] | None) -> None:
        self._places.pop(run, None)
        if place is None:
            return
        if len(self._places) >= _MOST_PLACES:
            del self._places[next(iter(self._places))]
        self._places[run] = place


def _put_at(
    connection: sqlite3.Connection, place: list[int], row: EncodedRow, owner: str | None
) -> bool:
    run_key, position = place
    values = (position, *row, run_key)
    try:
        if owner is None:
            cursor = connection.execute(PUT_IN_SQLITE, values)
        else:
            cursor = connection.execute(PUT_OWNED_IN_SQLITE, (*values, owner))
    except sqlite3.IntegrityError:
        return False
    place[1] = position + 1
    return cursor.rowcount == 1


def _put_rows(connection: sqlite3.Connection, addition: Addition) -> list[int] | None:
    """Add rows where the run's journal ends, and return its next place; `None` if it is gone.

    Raises:
        RunClaimedError: Somebody else drives the run.
    """
    rows = addition.rows
    found = connection.execute(FIND_PLACE_IN_SQLITE, addition.run).fetchall()
    if not found:
        return None
    [(run_key, position, owner)] = found
    if addition.owner is not None and owner != addition.owner:
        raise taken_over(*addition.run, owner)
    if addition.is_again:
        last = connection.execute(LAST_IN_SQLITE, (run_key, position, len(rows))).fetchall()
        rows = rows[already_there(rows, last) :]
    connection.executemany(
        PUT_IN_SQLITE,
        [(place, key, data, run_key) for place, (key, data) in enumerate(rows, position)],
    )
    return [run_key, position + len(rows)]


@dataclass(eq=False, slots=True)
class _Waiting:
    addition: Addition
    future: asyncio.Future[None]

    def settle(self, error: BaseException | None) -> None:
        """Tell the caller, in its own loop. Called in the writer's thread."""
        try:
            self.future.get_loop().call_soon_threadsafe(self._settle_here, error)
        except RuntimeError:
            return  # its loop is closed: nobody waits any more

    def _settle_here(self, error: BaseException | None) -> None:
        if self.future.done():  # the caller was cancelled
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


class AppendQueue:
    """Rows that wait for the writer's thread. All that wait at a time share one commit."""

    def __init__(self, connections: SqliteConnections) -> None:
        self._connections = connections
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []

    def put(self, addition: Addition) -> asyncio.Future[None]:
        """Queue rows. What is returned is done when they are committed."""
        item = _Waiting(addition, asyncio.get_running_loop().create_future())
        with self._lock:
            self._waiting.append(item)
            is_first = len(self._waiting) == 1
        if is_first:
            self._connections.submit(self._flush)
        return item.future

    def _flush(self) -> None:
        with self._lock:
            batch, self._waiting = self._waiting, []
        self._write(batch)

    def _write(self, batch: list[_Waiting]) -> None:
        try:
            connection = self._connections.writer()
            with transaction(connection):
                for item in batch:
                    _put_rows(connection, item.addition)
        except BaseException as error:
            # One that cannot be stored must not take the others with it.
            is_refused = isinstance(error, (*REFUSED, RunClaimedError))
            if len(batch) > 1 and is_refused and not is_busy(error):
                for item in batch:
                    self._write([item])
                return
            for item in batch:
                item.settle(error)
            if not is_refused:
                raise
        else:
            for item in batch:
                item.settle(None)
