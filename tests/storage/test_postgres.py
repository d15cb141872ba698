"""What only PostgreSQL does: connections that are lost, and one pool for each event loop."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import anyio
import asyncpg
import pytest

from mastra.errors import StorageError
from mastra.storage.sql import SQLStorage
from tests.support.postgres import PostgresServer
from tests.support.storage import TestRow, append, head, keys


async def cut_connections(url: str) -> None:
    """End every session but this one, as a server does that restarts."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    await connection.close()


async def test_reading_and_writing_go_on_after_a_restart(
    own_postgres_server: PostgresServer,
) -> None:
    async with SQLStorage(own_postgres_server.url) as storage:
        store = storage.workflows
        await store.create_run(head())
        await append(store, "r", TestRow("a"))
        await anyio.to_thread.run_sync(own_postgres_server.stop)

        async def restart() -> None:
            await anyio.sleep(0.3)
            await anyio.to_thread.run_sync(own_postgres_server.start)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(restart)
            # Asked while there is no server, answered when there is one.
            assert keys(await store.load_rows("w", "r")) == ["a"]
        await append(store, "r", TestRow("b"))
        assert await store.update_run("w", "r", {"status": "success"})
        assert keys(await store.load_rows("w", "r")) == ["a", "b"]


async def test_an_append_whose_connection_is_lost_says_so(postgres_url: str) -> None:
    async with SQLStorage(postgres_url) as storage:
        store = storage.workflows
        await store.create_run(head())
        locker = await asyncpg.connect(postgres_url)
        async with anyio.create_task_group() as tasks:
            lock = locker.transaction()
            await lock.start()
            await locker.execute("LOCK TABLE mastra_workflow_journal")

            async def fail() -> None:
                with pytest.raises(StorageError, match="journal of run 'r' of workflow 'w'") as it:
                    await append(store, "r", TestRow("a"))
                assert it.value.details == {"workflow_id": "w", "run_id": "r"}
                assert it.value.__cause__ is not None

            tasks.start_soon(fail)
            await anyio.sleep(0.1)
            await cut_connections(postgres_url)
        locker.terminate()
        await append(store, "r", TestRow("b"))
        assert keys(await store.load_rows("w", "r")) == ["b"]


async def test_reads_outlive_lost_connections(postgres_url: str) -> None:
    async with SQLStorage(postgres_url) as storage:
        store = storage.workflows
        await store.create_run(head())
        for number in range(10):
            await cut_connections(postgres_url)
            # Before the driver has noticed, and after.
            await anyio.sleep(number % 2 / 100)
            assert await store.get_run("w", "r") is not None
        await cut_connections(postgres_url)
        # Closing does not mind that nobody is there.


async def test_a_caller_that_stops_waiting_leaves_the_others_alone(postgres_url: str) -> None:
    async with SQLStorage(postgres_url) as storage:
        store = storage.workflows
        await store.create_run(head())
        for number in range(30):
            with anyio.move_on_after(number / 20_000):
                await append(store, "r", TestRow(f"k{number}"))
        await append(store, "r", TestRow("last"))
        assert keys(await store.load_rows("w", "r"))[-1] == "last"


async def test_more_callers_than_connections_take_turns(postgres_url: str) -> None:
    async with SQLStorage(postgres_url) as storage:
        store = storage.workflows
        await store.create_run(head())
        async with anyio.create_task_group() as tasks:
            for _ in range(60):
                tasks.start_soon(store.get_run, "w", "r")
        connection = await asyncpg.connect(postgres_url)
        count: Any = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE query LIKE '%mastra_workflow_runs%' AND pid <> pg_backend_pid()"
        )
        await connection.close()
        assert 1 <= count <= 10


def test_each_event_loop_has_its_connections(postgres_url: str) -> None:
    storage = SQLStorage(postgres_url)

    async def drive(run_id: str) -> None:
        await storage.workflows.create_run(head(run_id))
        await append(storage.workflows, run_id, TestRow(run_id))
        assert keys(await storage.workflows.load_rows("w", run_id)) == [run_id]
        await storage.aclose()

    # One after the other, and two at once.
    asyncio.run(drive("a"))
    asyncio.run(drive("b"))
    threads = [threading.Thread(target=asyncio.run, args=(drive(name),)) for name in "cd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def count() -> int:
        async with storage:
            return (await storage.workflows.list_runs()).total

    assert asyncio.run(count()) == 4


async def test_a_key_that_postgres_refuses_is_a_storage_error(postgres_url: str) -> None:
    async with SQLStorage(postgres_url) as storage:
        await storage.workflows.create_run(head())
        with pytest.raises(StorageError, match="journal of run 'r'"):
            await append(storage.workflows, "r", TestRow("nul\x00"))
        with pytest.raises(StorageError, match=r"read run 'nul\\x00'"):
            await storage.workflows.get_run("w", "nul\x00")
        with pytest.raises(StorageError, match=r"store run 'nul\\x00'"):
            await storage.workflows.create_run(head("nul\x00"))
        await append(storage.workflows, "r", TestRow("fine"))


async def test_full_durability_is_asked_of_the_server(postgres_url: str) -> None:
    lax = f"{postgres_url}&synchronous_commit=off"
    for durability, setting in (("normal", "off"), ("full", "on")):
        wanted: Any = durability
        async with SQLStorage(lax, durability=wanted) as storage:
            database: Any = storage._database
            pool = await database._ready()
            shown = await pool.run(lambda on: on.fetchval("SHOW synchronous_commit"))
            assert shown == setting


class DeadConnection:
    """What a connection is that the server has ended, before the driver has understood."""

    def __init__(self, message: str = "cannot switch to state 12; another is in progress") -> None:
        self.message = message
        self.is_terminated = False

    def is_closed(self) -> bool:
        return self.is_terminated

    async def execute(self, query: str, *arguments: object) -> str:
        raise asyncpg.InternalClientError(self.message)

    async def close(self, **_: object) -> None:
        raise ConnectionResetError

    def terminate(self) -> None:
        self.is_terminated = True


async def test_a_write_that_was_never_sent_begins_again(postgres_url: str) -> None:
    async with SQLStorage(postgres_url) as storage:
        database: Any = storage._database
        dead = [DeadConnection(), DeadConnection(), DeadConnection()]
        idle = (await database._ready())._idle
        idle += dead[:2]
        await storage.workflows.create_run(head())
        await append(storage.workflows, "r", TestRow("a"))
        assert keys(await storage.workflows.load_rows("w", "r")) == ["a"]
        idle.append(dead[2])
    assert [connection.is_terminated for connection in dead] == [True] * 3


async def test_a_driver_that_fails_otherwise_is_not_asked_twice(postgres_url: str) -> None:
    async with SQLStorage(postgres_url) as storage:
        database: Any = storage._database
        (await database._ready())._idle.append(DeadConnection("out of its depth"))
        with pytest.raises(StorageError, match=r"store run 'r'.*out of its depth"):
            await storage.workflows.create_run(head())


async def test_a_run_that_is_deleted_during_an_append_keeps_nothing(postgres_url: str) -> None:
    async with SQLStorage(postgres_url) as storage:
        store = storage.workflows
        await store.create_run(head())
        other = await asyncpg.connect(postgres_url)
        async with anyio.create_task_group() as tasks, other.transaction():
            await other.execute("DELETE FROM mastra_workflow_runs")
            tasks.start_soon(append, store, "r", TestRow("a"))
            await anyio.sleep(0.1)
        assert await other.fetchval("SELECT count(*) FROM mastra_workflow_journal") == 0
        await other.close()


def loops_after_each_run(url: str) -> list[int]:
    """Use one storage in three loops without ever closing it; count what it remembers."""
    storage = SQLStorage(url)

    async def use() -> int:
        await storage.workflows.get_run("w", "r")
        database: Any = storage._database
        return len(database._loops)

    return [asyncio.run(use()) for _ in range(3)]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_loop_that_ended_without_closing_is_forgotten(postgres_url: str) -> None:
    assert loops_after_each_run(postgres_url) == [1, 1, 1]
    gc.collect()  # here, where the warnings are expected
