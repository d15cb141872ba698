"""The connections of one SQLite file, and which thread may use which.

- `direct`: whoever calls, for single small statements. It never waits for another writer.
- writer thread: waits its turn to write, for up to 30 s.
- reader thread: long reads. In WAL mode it waits for nobody.

A database in memory has the direct one alone.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from mastra.clock import now_ms
from mastra.errors import StorageError
from mastra.storage.sql.database import Durability
from mastra.storage.sql.migrations import LATEST, VERSION_TABLE, pending, sql_of

__all__ = [
    "REFUSED",
    "SQLITE_DIALECT",
    "BusyError",
    "SqliteConnections",
    "connect",
    "hint_for",
    "is_busy",
    "transaction",
    "upgrade",
]

T = TypeVar("T")
P = ParamSpec("P")

SQLITE_DIALECT = SQLiteDialect_pysqlite(paramstyle="qmark")

REFUSED = (sqlite3.Error, ValueError, OverflowError)
"""What the driver raises: the last two for text that is not Unicode and integers too large."""

_PATIENCE_S = 30.0
_LARGEST_IDLE_WAL = 64 * 1024 * 1024
"""In bytes. A burst of writes leaves a file of its size; the next checkpoint cuts it to this."""

_HINTS = {
    sqlite3.SQLITE_BUSY: f" Another process has been writing to it for over {_PATIENCE_S:.0f} s.",
    sqlite3.SQLITE_CANTOPEN: " Check that the folder is there and may be written to.",
    sqlite3.SQLITE_READONLY: " Check that the file and its folder may be written to.",
    sqlite3.SQLITE_NOTADB: " Name another file, or move this one away.",
}


class BusyError(Exception):
    """Somebody else is writing: nothing was done, and waiting would help."""


class SqliteConnections:
    """An open database.

    Args:
        path: The file, or `:memory:`.
        durability: Whether a commit waits for the disk.
    """

    def __init__(self, path: str, durability: Durability) -> None:
        self._path = path
        self._durability: Durability = durability
        self._guard = threading.Lock()
        self._is_file = path != ":memory:"
        self._is_closed = False
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        if self._is_file:
            _create_for_owner(path)
        self.direct = connect(path, durability, wait_s=_PATIENCE_S)
        try:
            _prepare(self.direct)
            self.direct.execute("PRAGMA busy_timeout = 0")
        except BaseException:
            self.direct.close()
            raise
        self._writer_thread = ThreadPoolExecutor(1, "mastra-sqlite-writer")
        self._reader_thread = ThreadPoolExecutor(1, "mastra-sqlite-reader")

    def on_direct(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Do something small here and now.

        Raises:
            BusyError: Another process, or another thread of this one, has the database.
        """
        # In memory there is no other connection to go to, and nothing there takes long.
        if not self._guard.acquire(blocking=not self._is_file):
            raise BusyError
        try:
            return work(self.direct, *args, **kwargs)
        except sqlite3.OperationalError as error:
            if is_busy(error):
                raise BusyError from error
            raise
        finally:
            self._guard.release()

    async def in_writer(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something in the writer's thread, in its turn."""
        if not self._is_file:
            return self.on_direct(work)
        return await asyncio.wrap_future(self.submit(lambda: work(self.writer())))

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Queue a job for the writer's thread."""
        return self._submit(self._writer_thread, job)

    async def in_reader(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Read something long in the reader's thread."""
        if not self._is_file:
            return self.on_direct(work)
        return await asyncio.wrap_future(
            self._submit(self._reader_thread, lambda: work(self._open_reader()))
        )

    def _submit(self, executor: ThreadPoolExecutor, job: Callable[[], T]) -> Future[T]:
        try:
            return executor.submit(job)
        except RuntimeError as error:
            if self._is_closed:
                raise sqlite3.ProgrammingError("the storage was closed meanwhile") from error
        # The program is ending, and its threads have: what it still has to store is stored here.
        done: Future[T] = Future()
        try:
            done.set_result(job())
        except BaseException as error:  # noqa: BLE001 - for whoever waits
            done.set_exception(error)
        return done

    def writer(self) -> sqlite3.Connection:
        """Return the connection of the writer's thread. Call it there."""
        if self._writer is None:
            self._writer = connect(self._path, self._durability, wait_s=_PATIENCE_S)
        return self._writer

    def _open_reader(self) -> sqlite3.Connection:
        if self._reader is None:
            self._reader = connect(self._path, self._durability, wait_s=_PATIENCE_S)
        return self._reader

    def close(self) -> None:
        """Finish what is queued and close everything. Waits: call it in a thread."""
        self._is_closed = True
        self._writer_thread.shutdown()
        self._reader_thread.shutdown()
        with self._guard:
            for connection in (self._reader, self._writer, self.direct):
                if connection is not None:
                    connection.close()


def _create_for_owner(path: str) -> None:
    """Make the file where there is none, for its owner alone.

    SQLite would ask the umask, which lets others of the machine read what users say. It gives the
    files beside it (`-wal`, `-shm`) the rights of the database.
    """
    # A folder that is not there, or not to be written to, is for SQLite to report.
    with suppress(OSError):
        # A link to where nothing is yet counts as being there; SQLite makes what it leads to.
        real = os.path.realpath(path)
        os.close(os.open(real, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def connect(path: str, durability: Durability, *, wait_s: float) -> sqlite3.Connection:
    """Open one connection. Any thread may use it, one at a time."""
    connection = sqlite3.connect(
        path, timeout=wait_s, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute(f"PRAGMA synchronous = {durability}")
        connection.execute(f"PRAGMA journal_size_limit = {_LARGEST_IDLE_WAL}")
    except BaseException:
        connection.close()
        raise
    return connection


def is_busy(error: BaseException) -> bool:
    """Whether somebody else holds a lock, so that the same call could succeed later."""
    return isinstance(error, sqlite3.OperationalError) and _code(error) == sqlite3.SQLITE_BUSY


def hint_for(error: BaseException) -> str:
    """Return what to do about an error, or nothing."""
    return _HINTS.get(_code(error), "")


def _code(error: BaseException) -> int:
    # The upper bits tell variants of one error apart. Errors of the module itself have no code.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """Do what is inside as a whole or not at all, and take the write lock first."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk rolls back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _prepare(connection: sqlite3.Connection) -> None:
    """Bring a database to WAL mode and to the latest schema, whoever else is doing the same."""
    # SQLite reports a lock at once, without waiting, where two processes change the mode.
    mode = Retrying(
        retry=retry_if_exception(is_busy),
        stop=stop_after_delay(_PATIENCE_S),
        wait=wait_random_exponential(multiplier=0.01, max=0.5),
        reraise=True,
    )(_prepare_once, connection)
    if mode not in ("wal", "memory"):
        raise StorageError(
            f"SQLite cannot keep a write-ahead log there (it uses {mode!r}): is the file on a "
            "network share? Use a local disk, or PostgreSQL."
        )


def _prepare_once(connection: sqlite3.Connection) -> str:
    [mode] = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    upgrade(connection)
    return mode


def upgrade(connection: sqlite3.Connection, *, to: int = LATEST) -> None:
    """Apply the migrations that a database still needs, in one transaction."""
    if not pending(_version(connection), to=to):
        return
    with transaction(connection):
        connection.execute(VERSION_TABLE)
        # Read again: another process may have been faster.
        for step in pending(_version(connection), to=to):
            for statement in sql_of(step, SQLITE_DIALECT):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO mastra_schema_version (version, applied_at) VALUES (?, ?)",
                (step.version, now_ms()),
            )


def _version(connection: sqlite3.Connection) -> int:
    found = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'mastra_schema_version'"
    ).fetchone()
    if found is None:
        return 0
    [version] = connection.execute("SELECT max(version) FROM mastra_schema_version").fetchone()
    return version or 0
