"""What only SQLite does: two connections, a queue, one file for several processes."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from mastra.errors import StorageError
from mastra.storage.sql import SQLStorage, sqlite_connections, sqlite_journal
from mastra.storage.sql.sqlite import SqliteDatabase
from tests.support.storage import TestRow, append, head, keys, values


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
async def storage(file: Path) -> AsyncIterator[SQLStorage]:
    async with SQLStorage(f"sqlite:///{file}") as storage:
        await storage.workflows.create_run(head())
        yield storage


@pytest.fixture
def writer(file: Path) -> Any:
    """Another process that may take the write lock."""
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    yield connection
    connection.close()


def connections_of(storage: SQLStorage) -> sqlite_connections.SqliteConnections:
    database = storage._database
    assert isinstance(database, SqliteDatabase)
    assert database._opened is not None
    return database._opened.connections


async def test_an_append_is_done_when_it_returns(storage: SQLStorage, writer: Any) -> None:
    assert storage.workflows.append("w", "r", [TestRow("a")]) is None
    assert writer.execute("SELECT key FROM mastra_workflow_journal").fetchall() == [("a",)]


async def test_writing_waits_for_another_process_without_holding_up_the_loop(
    storage: SQLStorage, writer: Any
) -> None:
    store = storage.workflows
    await store.create_run(head("s", status="suspended"))
    await append(store, "r", TestRow("a"))
    writer.execute("BEGIN IMMEDIATE")
    done: list[str] = []

    async def wait_for(name: str, work: Any) -> None:
        await work
        done.append(name)

    async with anyio.create_task_group() as tasks:
        pending = store.append("w", "r", [TestRow("b")])
        tasks.start_soon(wait_for, "append", pending)
        resumed = store.update_run("w", "s", {"status": "running"}, expected_status=["suspended"])
        tasks.start_soon(wait_for, "update", resumed)
        longest = 0.0
        for _ in range(20):
            before = time.perf_counter()
            await anyio.sleep(0.005)
            longest = max(longest, time.perf_counter() - before)
        # Readers wait for nobody.
        assert await store.get_run("w", "r") is not None
        assert keys(await store.load_rows("w", "r")) == ["a"]
        assert done == []
        writer.execute("COMMIT")
    assert sorted(done) == ["append", "update"]
    assert longest < 1.0
    # Directly again, though the row before went in by another connection.
    assert store.append("w", "r", [TestRow("c")]) is None
    assert keys(await store.load_rows("w", "r")) == ["a", "b", "c"]
    run = await store.get_run("w", "s")
    assert run is not None
    assert run.status == "running"


async def test_patience_with_another_process_ends(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_connections, "_PATIENCE_S", 0.05)
    async with SQLStorage(f"sqlite:///{file}") as storage:
        store = storage.workflows
        await store.create_run(head())
        writer = sqlite3.connect(file, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            StorageError, match=r"journal of run 'r'.*'w'.*locked.*process"
        ) as caught:
            await append(store, "r", TestRow("a"))
        assert caught.value.details == {"workflow_id": "w", "run_id": "r"}
        with pytest.raises(StorageError, match=r"update run 'r' of workflow 'w'.*locked"):
            await store.update_run("w", "r", {"status": "running"})
        with pytest.raises(StorageError, match=r"delete run 'r' of workflow 'w'.*locked"):
            await store.delete_run("w", "r")
        writer.close()
        await append(store, "r", TestRow("b"))
        assert keys(await store.load_rows("w", "r")) == ["b"]


async def test_two_storages_append_to_one_run_in_turn(storage: SQLStorage, file: Path) -> None:
    async with SQLStorage(f"sqlite:///{file}") as other:
        for number in range(12):
            store = (storage if number % 3 else other).workflows
            await append(store, "r", TestRow(f"a{number}"))
            await append(store, "r", TestRow(f"b{number}"), TestRow(f"c{number}"))
        rows = await storage.workflows.load_rows("w", "r")
        assert keys(rows) == [f"{letter}{number}" for number in range(12) for letter in "abc"]


async def test_a_run_that_another_process_made_again_starts_anew(
    storage: SQLStorage, file: Path
) -> None:
    await append(storage.workflows, "r", TestRow("a"))
    async with SQLStorage(f"sqlite:///{file}") as other:
        await other.workflows.delete_run("w", "r")
        await other.workflows.create_run(head("new"))
        await append(other.workflows, "new", TestRow("n"))
        await append(storage.workflows, "r", TestRow("gone"))
        await other.workflows.create_run(head())
        await append(storage.workflows, "r", TestRow("b"))
        assert keys(await other.workflows.load_rows("w", "r")) == ["b"]
        assert keys(await other.workflows.load_rows("w", "new")) == ["n"]


async def test_places_of_many_runs_are_forgotten_and_found_again(
    storage: SQLStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_journal, "_MOST_PLACES", 2)
    runs = ["r", "s", "t", "u"]
    for run_id in runs[1:]:
        await storage.workflows.create_run(head(run_id))
    for number in range(3):
        for run_id in runs:
            await append(storage.workflows, run_id, TestRow(f"k{number}"))
    for run_id in runs:
        assert keys(await storage.workflows.load_rows("w", run_id)) == ["k0", "k1", "k2"]


async def test_a_full_disk_fails_the_append_and_nothing_else(storage: SQLStorage) -> None:
    await append(storage.workflows, "r", TestRow("a"))
    direct = connections_of(storage).direct
    direct.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StorageError, match=r"journal of run 'r'.*full"):
        await append(storage.workflows, "r", TestRow("b", "x" * 100_000))
    with pytest.raises(StorageError, match=r"journal of run 'r'.*full"):
        await append(storage.workflows, "r", TestRow("b", "x" * 100_000), TestRow("c"))
    direct.execute("PRAGMA max_page_count = 1000000")
    await append(storage.workflows, "r", TestRow("d"))
    assert keys(await storage.workflows.load_rows("w", "r")) == ["a", "d"]


async def test_a_key_that_is_not_text_fails_its_append_alone(file: Path) -> None:
    async with SQLStorage(f"sqlite:///{file}", durability="full") as storage:
        store = storage.workflows
        failed: list[str] = []

        async def drive(run_id: str, key: str) -> None:
            try:
                await append(store, run_id, TestRow(key))
            except StorageError:
                failed.append(run_id)

        for number in range(5):
            await store.create_run(head(f"r{number}"))
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(drive, f"r{number}", "\ud800" if number == 2 else "fine")
        assert failed == ["r2"]
        assert [len(await store.load_rows("w", f"r{n}")) for n in range(5)] == [1, 1, 0, 1, 1]


async def test_rows_that_wait_together_share_a_commit(file: Path) -> None:
    async with SQLStorage(f"sqlite:///{file}", durability="full") as storage:
        store = storage.workflows
        for number in range(50):
            await store.create_run(head(f"r{number}"))
        commits: list[str] = []
        connections_of(storage).writer().set_trace_callback(
            lambda sql: commits.append(sql) if sql == "COMMIT" else None
        )
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(append, store, f"r{number}", TestRow("a"))
        assert 1 <= len(commits) < 25
        assert [len(await store.load_rows("w", f"r{n}")) for n in range(50)] == [1] * 50


async def test_a_caller_that_stops_waiting_leaves_the_others_alone(
    storage: SQLStorage, writer: Any
) -> None:
    store = storage.workflows
    writer.execute("BEGIN IMMEDIATE")
    with anyio.move_on_after(0.02) as scope:
        await append(store, "r", TestRow("a"))
    assert scope.cancelled_caught
    pending = store.append("w", "r", [TestRow("b")])
    assert pending is not None
    writer.execute("COMMIT")
    await pending
    # What was queued is written, though nobody waits for it.
    assert keys(await store.load_rows("w", "r")) == ["a", "b"]


async def test_closing_writes_what_is_queued(storage: SQLStorage, writer: Any) -> None:
    store = storage.workflows
    writer.execute("BEGIN IMMEDIATE")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(append, store, "r", TestRow("a"))
        await anyio.sleep(0.01)
        tasks.start_soon(storage.aclose)
        await anyio.sleep(0.01)
        writer.execute("COMMIT")
    # Closed, and opened again by being used.
    assert keys(await store.load_rows("w", "r")) == ["a"]


async def test_what_comes_too_late_is_refused(storage: SQLStorage) -> None:
    opened = connections_of(storage)
    await storage.aclose()
    with pytest.raises(sqlite3.ProgrammingError, match=r"closed meanwhile"):
        opened.submit(opened.writer)


async def test_the_log_does_not_grow_with_the_journal(storage: SQLStorage, file: Path) -> None:
    for number in range(6_000):
        assert storage.workflows.append("w", "r", [TestRow(f"k{number}", "x" * 500)]) is None
    sizes = {path.name: path.stat().st_size for path in list(file.parent.iterdir())}
    assert sizes["runs.db-wal"] < 8_000_000
    assert sizes["runs.db"] < 8_000_000


@pytest.mark.parametrize(("durability", "synchronous"), [("normal", 1), ("full", 2)])
async def test_durability_is_what_sqlite_is_set_to(
    file: Path, durability: Any, synchronous: int
) -> None:
    async with SQLStorage(f"sqlite:///{file}", durability=durability) as storage:
        opened = connections_of(storage)
        for connection in (opened.direct, opened.writer()):
            assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_file_without_a_log_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As SQLite answers on a network share.
    monkeypatch.setattr(sqlite_connections, "_prepare_once", lambda _: "delete")
    with pytest.raises(StorageError, match="network share"):
        await SQLStorage(f"sqlite:///{file}").open()


async def test_threads_with_loops_of_their_own_use_one_storage(storage: SQLStorage) -> None:
    store = storage.workflows
    runs = [f"r{number}" for number in range(4)]
    for run_id in runs:
        await store.create_run(head(run_id))

    async def drive(run_id: str) -> None:
        for number in range(200):
            await append(store, run_id, TestRow(f"k{number}", run_id))
            if number % 50 == 0:
                await store.get_run("w", run_id)

    threads = [threading.Thread(target=asyncio.run, args=(drive(run_id),)) for run_id in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        await anyio.to_thread.run_sync(thread.join)
    for run_id in runs:
        rows = await store.load_rows("w", run_id)
        assert keys(rows) == [f"k{number}" for number in range(200)]
        assert set(values(rows)) == {run_id}


async def test_a_loop_that_ended_does_not_stop_the_queue(storage: SQLStorage, writer: Any) -> None:
    store = storage.workflows
    writer.execute("BEGIN IMMEDIATE")

    async def give_up() -> None:
        with anyio.move_on_after(0.02):
            await append(store, "r", TestRow("a"))

    thread = threading.Thread(target=asyncio.run, args=(give_up(),))
    thread.start()
    await anyio.to_thread.run_sync(thread.join)
    pending = store.append("w", "r", [TestRow("b")])
    assert pending is not None
    writer.execute("COMMIT")
    await pending
    assert keys(await store.load_rows("w", "r")) == ["a", "b"]


async def test_a_small_read_goes_elsewhere_while_the_connection_is_busy(
    storage: SQLStorage,
) -> None:
    opened = connections_of(storage)
    with opened._guard:  # as another thread with a loop of its own holds it
        assert await storage.workflows.get_run("w", "r") is not None


async def test_a_mistake_of_ours_reaches_the_caller(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SQLStorage(f"sqlite:///{file}", durability="full") as storage:
        await storage.workflows.create_run(head())

        def fail(*_: object) -> None:
            raise LookupError("a mistake")

        with monkeypatch.context() as patch:
            patch.setattr(sqlite_journal, "_put_rows", fail)
            with pytest.raises(LookupError, match="a mistake"):
                await append(storage.workflows, "r", TestRow("a"))
        await append(storage.workflows, "r", TestRow("b"))
        assert keys(await storage.workflows.load_rows("w", "r")) == ["b"]


async def test_a_connection_that_cannot_be_set_up_is_closed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_connections, "_LARGEST_IDLE_WAL", "(")
    with pytest.raises(StorageError, match=r"Could not open .*syntax error"):
        await SQLStorage(f"sqlite:///{file}").open()


def test_a_transaction_that_sqlite_ended_by_itself_is_left_alone() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)

    def lose() -> None:
        with sqlite_connections.transaction(connection):
            connection.execute("ROLLBACK")
            raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(sqlite3.OperationalError, match=r"disk I/O error"):
        lose()
    connection.close()
