"""A schema that a test has given back is as new for the next one, or is not used again."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from mastra.storage.conversations import ThreadRecord
from mastra.storage.sql import SQLStorage
from tests.storage.test_postgres import cut_connections
from tests.support.postgres import PostgresServer
from tests.support.postgres_schemas import Schemas
from tests.support.storage import TestRow, append, head

numbers = itertools.count(1)


@pytest.fixture
def schemas(postgres_server: PostgresServer) -> Iterator[Schemas]:
    """Some that no other test is lent."""
    schemas = Schemas(postgres_server.url, f"own{next(numbers)}")
    yield schemas
    schemas.close()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    connection: Any = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def use(url: str, size: int = 1) -> None:
    """Store something in some of the tables, in one of them so many bytes."""
    async with SQLStorage(url) as storage:
        await storage.workflows.create_run(head(data=secrets.token_hex(size)))
        await append(storage.workflows, "r", TestRow("k"))
        await storage.memory.save_thread(ThreadRecord("t", "ann"))


async def rows(url: str) -> dict[str, int]:
    """Return how many rows each table has."""
    async with connected(url) as connection:
        names = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace ="
            " current_schema()::regnamespace AND relname <> 'mastra_schema_version'"
        )
        return {
            name: await connection.fetchval(f"SELECT count(*) FROM {name}") for (name,) in names
        }


async def lend_again(schemas: Schemas, name: str) -> str:
    """Give a schema back and take one, as soon as the server has ended the sessions in it."""
    async with connected(schemas.url("mastra_tests")) as connection:
        left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1"
        while await connection.fetchval(left, name):
            pass
    schemas.give_back(name)
    return schemas.lend()


async def place_of(schemas: Schemas, name: str) -> int:
    async with connected(schemas.url(name)) as connection:
        found: int = await connection.fetchval("SELECT current_schema()::regnamespace::oid")
        return found


async def key_of_a_run(url: str) -> int:
    async with SQLStorage(url) as storage, connected(url) as connection:
        await storage.workflows.create_run(head("one"))
        found: int = await connection.fetchval("SELECT run_key FROM mastra_workflow_runs")
        return found


@pytest.mark.parametrize("size", [1, 500_000])
async def test_what_is_given_back_is_lent_empty(schemas: Schemas, size: int) -> None:
    first = schemas.lend()
    place = await place_of(schemas, first)
    await use(schemas.url(first), size)
    second = await lend_again(schemas, first)
    assert second != first
    assert await place_of(schemas, second) == place, "it was made anew"
    found = await rows(schemas.url(second))
    assert len(found) > 10
    assert set(found.values()) == {0}
    assert await key_of_a_run(schemas.url(second)) == 1


CHANGES = [
    "ALTER TABLE mastra_threads ADD COLUMN more text",
    "ALTER TABLE mastra_workflow_journal DISABLE TRIGGER ALL",
    "ALTER TABLE mastra_workflow_runs ALTER COLUMN data SET NOT NULL",
    "CREATE TABLE more (x int)",
    "DROP INDEX mastra_workflow_runs_status",
    "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "DELETE FROM mastra_schema_version WHERE version = 3",
    "ALTER TABLE mastra_drivers ADD CONSTRAINT short CHECK (length(driver_id) < 3) NOT VALID",
]


async def test_what_was_changed_is_not_lent_again(schemas: Schemas) -> None:
    for change in CHANGES:
        name = schemas.lend()
        place = await place_of(schemas, name)
        async with connected(schemas.url(name)) as connection:
            await connection.execute(change)
        name = await lend_again(schemas, name)
        assert await place_of(schemas, name) != place, change
        await use(schemas.url(name))
        schemas.remove(name)


async def test_what_somebody_is_connected_to_is_not_lent_again(schemas: Schemas) -> None:
    name = schemas.lend()
    async with connected(schemas.url(name)) as connection:
        await connection.execute("BEGIN; LOCK TABLE mastra_threads")
        schemas.give_back(name)
        others = [schemas.lend() for _ in range(3)]
        assert await connection.fetchval("SELECT current_schema()") == name
    assert len({name, *others}) == 4
    assert set((await rows(schemas.url(others[0]))).values()) == {0}


async def test_who_comes_late_finds_nothing_under_the_old_name(schemas: Schemas) -> None:
    first = schemas.lend()
    second = await lend_again(schemas, first)
    async with connected(schemas.url(first)) as connection:
        with pytest.raises(asyncpg.UndefinedTableError):
            await connection.execute("DELETE FROM mastra_threads")
    await use(schemas.url(second))


async def test_a_schema_is_lent_though_a_test_has_cut_all_connections(schemas: Schemas) -> None:
    name = schemas.lend()
    await cut_connections(schemas.url(name))
    await use(schemas.url(await lend_again(schemas, name)))
