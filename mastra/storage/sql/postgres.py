"""Runs on PostgreSQL through asyncpg."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine import Dialect
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from mastra.clock import now_ms
from mastra.errors import ConfigError
from mastra.storage.sql.database import (
    Durability,
    EncodedRow,
    Row,
    Undone,
    Values,
    append_failed,
    failed,
    open_failed,
    taken_over,
    whole,
)
from mastra.storage.sql.journal import (
    APPEND_ALL_TO_POSTGRES,
    APPEND_TO_POSTGRES,
    LAST_IN_POSTGRES,
    LOCK_IN_POSTGRES,
    OWNED_ALL_IN_POSTGRES,
    OWNED_IN_POSTGRES,
    already_there,
)
from mastra.storage.sql.migrations import LATEST, VERSION_TABLE, pending, sql_of
from mastra.storage.sql.postgres_pool import RETRY_S, Connection, ConnectionPool, is_lost
from mastra.storage.sql.statements import Statement

__all__ = ["POSTGRES_DIALECT", "PostgresDatabase", "upgrade"]

POSTGRES_DIALECT = PGDialect(paramstyle="numeric_dollar")

_REFUSED = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

_MIGRATION_LOCK = 0x6D617374_72610001
"""Any number that nobody else uses: it is the text `mastra` and a one."""


class PostgresDatabase:
    """One PostgreSQL database, from any number of event loops.

    Args:
        url: Where it is, as asyncpg and libpq read it.
        where: What it is called in messages: no password.
        durability: `normal` or `full`: see `SQLStorage`.
    """

    dialect: Dialect = POSTGRES_DIALECT
    is_shared = True

    def __init__(self, url: str, *, where: str, durability: Durability) -> None:
        self._url = url
        self._where = where
        self._settings = {"synchronous_commit": "on"} if durability == "full" else {}
        # A connection belongs to the loop that made it, and a program may run several.
        self._loops: dict[asyncio.AbstractEventLoop, _LoopState] = {}

    async def open(self) -> None:
        """Connect, and bring the schema up to date."""
        await self._ready()

    async def _ready(self) -> ConnectionPool:
        loop = asyncio.get_running_loop()
        state = self._loops.get(loop)
        if state is None:
            for other in list(self._loops):
                if other.is_closed():
                    self._loops.pop(other, None)  # its connections ended with it
            state = self._loops[loop] = _LoopState(self._url, self._settings)
        if not state.is_ready:
            try:
                await state.prepare()
            except ValueError as error:  # asyncpg's own for a URL that it cannot use
                raise ConfigError(
                    f"The options in the URL of {self._where} cannot be used: {error}."
                ) from error
            except _REFUSED as error:
                raise open_failed(self._where, error, _hint_for(error)) from error
        return state.pool

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        state = self._loops.pop(asyncio.get_running_loop(), None)
        if state is not None:
            await state.pool.aclose()

    async def fetch(
        self,
        statement: Statement,
        values: Values,
        *,
        what: str,
        is_point: bool = False,  # noqa: ARG002 - every query goes the same way
    ) -> Sequence[Row]:
        """Read rows, again if the connection is lost."""
        pool = await self._ready()
        arguments = statement.arguments(values)

        async def read(connection: Connection) -> Sequence[Row]:
            return await connection.fetch(statement.sql, *arguments)

        try:
            return await AsyncRetrying(
                retry=retry_if_exception(is_lost),
                stop=stop_after_delay(RETRY_S),
                wait=wait_random_exponential(multiplier=0.05, max=1.0),
                reraise=True,
            )(pool.run, read)
        except _REFUSED as error:
            raise failed(what, self._where, error, _hint_for(error)) from error

    async def change(self, statement: Statement, values: Values, *, what: str) -> int:
        """Write, and return how many rows were changed."""
        pool = await self._ready()
        try:
            return await pool.run(lambda connection: _execute(connection, statement, values))
        except _REFUSED as error:
            raise failed(what, self._where, error, _hint_for(error)) from error

    async def change_all(
        self, statements: Sequence[tuple[Statement, Values]], *, what: str, needed: int = 0
    ) -> list[int]:
        """Write with several statements in one transaction."""
        pool = await self._ready()

        async def write(connection: Connection) -> list[int]:
            try:
                async with connection.transaction():
                    counts = [
                        await _execute(connection, statement, values)
                        for statement, values in statements
                    ]
                    return whole(counts, needed)
            except Undone as undone:
                return undone.counts

        try:
            return await pool.run(write)
        except _REFUSED as error:
            raise failed(what, self._where, error, _hint_for(error)) from error

    async def insert(
        self, statements: Sequence[tuple[Statement, Sequence[Values]]], *, what: str
    ) -> None:
        """Run each statement for many rows in one transaction."""
        pool = await self._ready()

        async def write(connection: Connection) -> None:
            async with connection.transaction():
                for statement, rows in statements:
                    await connection.executemany(
                        statement.sql, [statement.arguments(values) for values in rows]
                    )

        try:
            await pool.run(write)
        except _REFUSED as error:
            raise failed(what, self._where, error, _hint_for(error)) from error

    async def append(
        self,
        workflow_id: str,
        run_id: str,
        rows: Sequence[EncodedRow],
        *,
        owner: str | None = None,
        is_again: bool = False,
    ) -> None:
        """Add journal rows and commit."""
        pool = await self._ready()
        run = (workflow_id, run_id)

        async def put(connection: Connection) -> None:
            if not is_again:
                statement, *values = _addition(rows, owner)
                status = await connection.execute(statement, *run, *values)
                if owner is None or int(status.rpartition(" ")[2]) == len(rows):
                    return
            # A second try, or a run that somebody else drives or has deleted.
            async with connection.transaction():
                await _put_rows(connection, run, rows, owner, is_again=is_again)

        try:
            await pool.run(put)
        except asyncpg.ForeignKeyViolationError:
            return  # the run was deleted just then: there is nothing to keep
        except _REFUSED as error:
            raise append_failed(
                workflow_id, run_id, self._where, error, _hint_for(error)
            ) from error


class _LoopState:
    def __init__(self, url: str, settings: dict[str, str]) -> None:
        self.pool = ConnectionPool(url, settings=settings)
        self.is_ready = False
        self._lock = asyncio.Lock()

    async def prepare(self) -> None:
        async with self._lock:
            if self.is_ready:
                return  # somebody else has done it meanwhile
            await self.pool.run(upgrade)
            self.is_ready = True


async def _put_rows(
    connection: Connection,
    run: tuple[str, str],
    rows: Sequence[EncodedRow],
    owner: str | None,
    *,
    is_again: bool,
) -> None:
    found = await connection.fetch(LOCK_IN_POSTGRES, *run)
    if not found:
        return
    run_key, found_owner = found[0]
    if owner is not None and found_owner != owner:
        raise taken_over(*run, found_owner)
    if is_again:
        last = await connection.fetch(LAST_IN_POSTGRES, run_key, len(rows))
        rows = rows[already_there(rows, [(key, data) for key, data in last]) :]
    if rows:
        statement, *values = _addition(rows, None)
        await connection.execute(statement, *run, *values)


def _addition(rows: Sequence[EncodedRow], owner: str | None) -> tuple[str, *tuple[object, ...]]:
    """Return the statement that adds rows, and its parameters after those of the run."""
    values: list[Any] = [*rows[0]] if len(rows) == 1 else [*zip(*rows, strict=True)]
    if owner is None:
        return (APPEND_TO_POSTGRES if len(rows) == 1 else APPEND_ALL_TO_POSTGRES, *values)
    return (OWNED_IN_POSTGRES if len(rows) == 1 else OWNED_ALL_IN_POSTGRES, *values, owner)


async def _execute(connection: Connection, statement: Statement, values: Values) -> int:
    status = await connection.execute(statement.sql, *statement.arguments(values))
    return int(status.rpartition(" ")[2])  # such as `UPDATE 1` and `INSERT 0 1`


def _hint_for(error: BaseException) -> str:
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return " Create the database first."
    if isinstance(error, ConnectionRefusedError | FileNotFoundError):
        return " Is the server running there?"
    return ""


async def upgrade(connection: Connection, *, to: int = LATEST) -> None:
    """Apply the migrations that a database still needs, in one transaction."""
    if not pending(await _version(connection), to=to):
        return
    async with connection.transaction():
        # Whoever else is doing the same waits here, and then finds nothing to do.
        await connection.execute(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        await connection.execute(VERSION_TABLE)
        steps = pending(await _version(connection), to=to)
        # At once: each statement by itself is a way to the server and back.
        sql = [statement for step in steps for statement in sql_of(step, POSTGRES_DIALECT)]
        if sql:
            await connection.execute(";\n".join(sql))
        await connection.executemany(
            "INSERT INTO mastra_schema_version (version, applied_at) VALUES ($1, $2)",
            [[step.version, now_ms()] for step in steps],
        )


async def _version(connection: Connection) -> int:
    if await connection.fetchval("SELECT to_regclass('mastra_schema_version')") is None:
        return 0
    version = await connection.fetchval("SELECT max(version) FROM mastra_schema_version")
    return version or 0
