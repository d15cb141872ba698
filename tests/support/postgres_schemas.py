"""A schema of one PostgreSQL for each test, and those with all tables in it used again.

To make the tables takes many times as long as what most tests do with them. So a schema that a test
has given back is emptied, under another name, for a later one: where it is as it was made, and nobody
is connected to it any more. What still has the old name finds nothing there.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

import pytest

from tests.support.postgres import PostgresServer

__all__ = ["Schemas", "empty_postgres_url", "postgres_schemas", "postgres_url"]

T = TypeVar("T")

PATIENCE_S = 30.0
KEPT = 8
"""How many tests later a schema is removed: the storage that used it may take a while to close."""

SETTINGS = {"lock_timeout": "2s", "client_min_messages": "error"}
"""Of the connection that makes and removes schemas: it waits for no test."""

# What may not differ from how the migrations have left it. Numbers of objects and stored expressions
# are as good as their text, since a schema is compared with itself.
SHAPE = """
CREATE OR REPLACE FUNCTION mastra_tests.shape(name text) RETURNS numeric LANGUAGE plpgsql AS $shape$
DECLARE found numeric;
BEGIN
    EXECUTE format($$
    WITH things AS (SELECT * FROM pg_class WHERE relnamespace = %1$L::regnamespace)
    SELECT sum(hashtextextended(line, 0)) FROM (
        SELECT concat_ws(' ', oid, relname, relkind, relpersistence, relrowsecurity, reloptions,
            relacl, relnatts, relchecks, relhasrules, relhastriggers, relowner) AS line FROM things
        UNION ALL
        SELECT concat_ws(' ', attrelid, attnum, attname, atttypid, atttypmod, attnotnull,
            attisdropped, attidentity, atthasdef, attacl)
        FROM things JOIN pg_attribute ON attrelid = things.oid
        WHERE attnum > 0 AND relkind IN ('r', 'v', 'm')
        UNION ALL
        SELECT concat_ws(' ', adrelid, adnum, adbin) FROM things JOIN pg_attrdef ON adrelid = things.oid
        UNION ALL
        SELECT concat_ws(' ', indexrelid, indkey, indisunique, indisvalid, indpred, indexprs)
        FROM things JOIN pg_index ON indexrelid = things.oid
        UNION ALL
        SELECT concat_ws(' ', oid, conname, contype, conkey, confdeltype, convalidated, conbin)
        FROM pg_constraint WHERE connamespace = %1$L::regnamespace
        UNION ALL
        SELECT concat_ws(' ', oid, proname, prosrc, provolatile, proacl)
        FROM pg_proc WHERE pronamespace = %1$L::regnamespace
        UNION ALL
        SELECT concat_ws(' ', pg_trigger.oid, tgname, tgtype, tgenabled, tgfoid)
        FROM things JOIN pg_trigger ON tgrelid = things.oid
        UNION ALL
        SELECT concat_ws(' ', typname, typtype)
        FROM pg_type WHERE typnamespace = %1$L::regnamespace
        UNION ALL
        SELECT 'version ' || version FROM %1$I.mastra_schema_version
    ) AS lines$$, name) INTO found;
    RETURN found;
END
$shape$
"""

# Deleting a few rows is quicker than making new files, as TRUNCATE does; what they leave grows.
RENEW = """
CREATE OR REPLACE FUNCTION mastra_tests.renew(old text, new text, shape numeric) RETURNS text
LANGUAGE plpgsql SET session_replication_role = replica AS $renew$
DECLARE todo text;
BEGIN
    IF EXISTS (SELECT FROM pg_stat_activity WHERE application_name = old) THEN
        RETURN 'in use';
    END IF;
    IF mastra_tests.shape(old) <> shape THEN
        RETURN 'changed';
    END IF;
    SELECT string_agg(format(CASE
            WHEN relkind = 'S' THEN 'PERFORM setval(%1$s, 1, false)'
            WHEN pg_total_relation_size(oid) > 500000 THEN 'TRUNCATE %2$s CASCADE'
            ELSE 'DELETE FROM %2$s' END, oid, oid::regclass), ';')
    INTO todo FROM pg_class
    WHERE relnamespace = old::regnamespace AND relkind IN ('r', 'S')
    AND relname <> 'mastra_schema_version';
    EXECUTE format('DO $do$BEGIN %s; ALTER SCHEMA %I RENAME TO %I; END$do$', todo, old, new);
    RETURN 'ready';
EXCEPTION WHEN lock_not_available THEN
    RETURN 'in use';
END
$renew$
"""


class Admin:
    """One connection to a server, in a thread of its own: a test's loop may run or not."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="schemas of tests", daemon=True
        )
        self._thread.start()
        self._connection: Any = None

    def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Do something on the connection, on another one if a test has cut this one."""
        return asyncio.run_coroutine_threadsafe(self._run(work), self._loop).result(2 * PATIENCE_S)

    async def _run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        import asyncpg

        for _ in range(2):
            if self._connection is None or self._connection.is_closed():
                self._connection = await asyncpg.connect(
                    self._url, timeout=PATIENCE_S, server_settings=SETTINGS
                )
            try:
                async with asyncio.timeout(PATIENCE_S):
                    return await work(self._connection)
            except (asyncpg.AdminShutdownError, asyncpg.ConnectionDoesNotExistError):
                self._connection.terminate()
        raise RuntimeError("Somebody cuts the connection to PostgreSQL again and again.")

    def execute(self, sql: str) -> None:
        """Run SQL."""
        self.run(lambda connection: connection.execute(sql))

    def close(self) -> None:
        """Close the connection, and end the thread."""

        async def close() -> None:
            if self._connection is not None:
                self._connection.terminate()

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()


class Schemas:
    """The schemas of a server.

    Args:
        url: Of the server's database.
        prefix: What all their names begin with.
    """

    def __init__(self, url: str, prefix: str = "test") -> None:
        self._url = url
        self._admin = Admin(url)
        self._names = (f"{prefix}_{number}" for number in itertools.count(1))
        self._shapes: dict[str, Any] = {}
        """Of those with tables."""
        self._returned: deque[str] = deque()
        self._old: deque[str] = deque()
        self._admin.execute(f"CREATE SCHEMA IF NOT EXISTS mastra_tests;{SHAPE};{RENEW}")

    def url(self, name: str) -> str:
        """Return where a schema is. Who connects there is told by its name."""
        return f"{self._url}&search_path={name}&application_name={name}"

    def make(self) -> str:
        """Return the name of a schema with nothing in it."""
        name = next(self._names)
        self._admin.execute(f"CREATE SCHEMA {name}")
        return name

    def lend(self) -> str:
        """Return the name of a schema with all tables, and no row in them."""
        for _ in range(len(self._returned)):
            old, name = self._returned.popleft(), next(self._names)
            found = self._renew(old, name)
            if found == "ready":
                self._shapes[name] = self._shapes.pop(old)
                return name
            if found == "in use" and len(self._returned) < KEPT:
                self._returned.append(old)
            else:
                self.remove(old)
        return self._make_ready()

    def _renew(self, old: str, name: str) -> str:
        sql, shape = "SELECT mastra_tests.renew($1, $2, $3)", self._shapes[old]
        return self._admin.run(lambda connection: connection.fetchval(sql, old, name, shape))

    def _make_ready(self) -> str:
        from mastra.storage.sql.postgres import upgrade

        name = self.make()

        async def fill(connection: Any) -> Any:
            await connection.execute(f"SET search_path = {name}")
            try:
                await upgrade(connection)
            finally:
                await connection.execute("RESET search_path")
            return await connection.fetchval("SELECT mastra_tests.shape($1)", name)

        self._shapes[name] = self._admin.run(fill)
        return name

    def give_back(self, name: str) -> None:
        """Take a schema back for a later test."""
        self._returned.append(name)

    def remove(self, name: str) -> None:
        """Remove a schema, some tests later.

        Fifty repeats leave thousands of them otherwise, each of a hundred files, and it takes minutes
        to remove the server's folder in the end.
        """
        import asyncpg

        self._shapes.pop(name, None)
        self._old.append(name)
        if len(self._old) > KEPT:
            old = f"DROP SCHEMA IF EXISTS {self._old.popleft()} CASCADE"
            with suppress(asyncpg.LockNotAvailableError):  # a storage that nobody has closed
                self._admin.execute(old)

    def close(self) -> None:
        """Close the connection."""
        self._admin.close()


@pytest.fixture(scope="session")
def postgres_schemas(postgres_server: PostgresServer) -> Iterator[Schemas]:
    """The schemas of the session's server."""
    schemas = Schemas(postgres_server.url)
    yield schemas
    schemas.close()


@pytest.fixture
def postgres_url(postgres_schemas: Schemas) -> Iterator[str]:
    """The URL of a database that a storage has been opened on, and nothing stored in."""
    name = postgres_schemas.lend()
    yield postgres_schemas.url(name)
    postgres_schemas.give_back(name)


@pytest.fixture
def empty_postgres_url(postgres_schemas: Schemas) -> Iterator[str]:
    """The URL of a database without any table."""
    name = postgres_schemas.make()
    yield postgres_schemas.url(name)
    postgres_schemas.remove(name)
