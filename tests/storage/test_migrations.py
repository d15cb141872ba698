"""Schemas: made once, brought up to date, and never taken back."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from mastra.errors import StorageError
from mastra.storage.conversations import ThreadRecord
from mastra.storage.sql import SQLStorage, migrations, postgres, sqlite_connections
from mastra.storage.sql.migrations import LATEST, MIGRATIONS, Migration, pending
from mastra.storage.sql.tables import METADATA
from tests.support.storage import TestRow, append, head, keys

OPEN = """
import asyncio, sys
from mastra.storage.base import RunHead
from mastra.storage.sql import SQLStorage

async def main():
    storage = SQLStorage(sys.argv[1])
    sys.stdin.read(1)
    await storage.open()
    await storage.workflows.create_run(RunHead("w", sys.argv[2], "pending"))
    await storage.aclose()

asyncio.run(main())
"""


def open_at_once(url: str) -> None:
    """Open a database from several processes at the same time, each to store a run."""
    processes = [
        subprocess.Popen([sys.executable, "-c", OPEN, url, f"r{number}"], stdin=subprocess.PIPE)
        for number in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=40)
    assert [process.returncode for process in processes] == [0] * 4


async def runs_in(url: str) -> list[str]:
    async with SQLStorage(url) as storage:
        page = await storage.workflows.list_runs()
    return sorted(run.run_id for run in page.runs)


def test_processes_open_an_empty_file_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    open_at_once(url)
    assert asyncio.run(runs_in(url)) == ["r0", "r1", "r2", "r3"]


def test_processes_open_an_empty_server_at_once(empty_postgres_url: str) -> None:
    open_at_once(empty_postgres_url)
    assert asyncio.run(runs_in(empty_postgres_url)) == ["r0", "r1", "r2", "r3"]


def test_versions_follow_each_other() -> None:
    assert [step.version for step in MIGRATIONS] == list(range(1, LATEST + 1))
    assert [step.version for step in pending(0)] == list(range(1, LATEST + 1))
    assert pending(LATEST) == []


# Every version that was released, with what a program of that version would have written.
OLD_ROWS = [
    "INSERT INTO mastra_workflow_runs (workflow_id, run_id, status, created_at, updated_at, state,"
    " request_context, data, lease_until) VALUES ('w', 'r', 'suspended', 1, 2, '{\"a\":1}', '{}',"
    " '{}', 0)",
]


async def check_old_data(storage: SQLStorage) -> None:
    """See that what an old version wrote is there, and that everything can be written."""
    run = await storage.workflows.get_run("w", "r")
    assert run == head(status="suspended", created_at=1, updated_at=2, state={"a": 1})
    await append(storage.workflows, "r", TestRow("k"))
    assert keys(await storage.workflows.load_rows("w", "r")) == ["k"]
    await storage.memory.save_thread(ThreadRecord("t", "ann"))
    assert await storage.memory.get_thread("t") is not None


@pytest.mark.parametrize("version", range(1, LATEST + 1))
async def test_a_file_of_an_old_version_is_brought_up_to_date(tmp_path: Path, version: int) -> None:
    connection = sqlite3.connect(tmp_path / "runs.db", isolation_level=None)
    sqlite_connections.upgrade(connection, to=version)
    for row in OLD_ROWS:
        connection.execute(row)
    connection.close()
    async with SQLStorage(f"sqlite:///{tmp_path}/runs.db") as storage:
        await check_old_data(storage)


@pytest.mark.parametrize("version", range(1, LATEST + 1))
async def test_a_server_of_an_old_version_is_brought_up_to_date(
    empty_postgres_url: str, version: int
) -> None:
    connection = await asyncpg.connect(empty_postgres_url)
    await postgres.upgrade(connection, to=version)
    for row in OLD_ROWS:
        await connection.execute(row)
    await connection.close()
    async with SQLStorage(empty_postgres_url) as storage:
        await check_old_data(storage)


async def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    connection = sqlite3.connect(tmp_path / "runs.db", isolation_level=None)
    sqlite_connections.upgrade(connection, to=1)
    broken = (MIGRATIONS[0], Migration(2, lambda _: ["CREATE TABLE half (x)", "nonsense"]))
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", broken)
        with pytest.raises(StorageError, match=r"Could not open .*nonsense"):
            await SQLStorage(url).open()
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]
    assert "half" not in names
    connection.close()
    await (storage := SQLStorage(url)).open()
    await storage.aclose()


async def test_a_migration_that_fails_leaves_the_server_as_it_was(
    empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await asyncpg.connect(empty_postgres_url)
    await postgres.upgrade(connection, to=1)
    broken = (MIGRATIONS[0], Migration(2, lambda _: ["CREATE TABLE half (x int)", "nonsense"]))
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", broken)
        storage = SQLStorage(empty_postgres_url)
        with pytest.raises(StorageError, match=r"Could not open .*nonsense"):
            await storage.open()
        await storage.aclose()
    assert await connection.fetchval("SELECT to_regclass('half')") is None
    assert await connection.fetchval("SELECT max(version) FROM mastra_schema_version") == 1
    await connection.close()
    async with SQLStorage(empty_postgres_url) as storage:
        await storage.workflows.create_run(head())


async def test_a_server_is_not_asked_for_each_statement(empty_postgres_url: str) -> None:
    asked: list[str] = []
    connection = await asyncpg.connect(empty_postgres_url)
    with connection.query_logger(lambda record: asked.append(record.query)):
        await postgres.upgrade(connection)
    await connection.close()
    assert len(asked) < len(MIGRATIONS), asked


async def test_a_database_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    await (opened := SQLStorage(url)).open()
    await opened.aclose()
    connection = sqlite3.connect(tmp_path / "runs.db")
    connection.execute("INSERT INTO mastra_schema_version VALUES (999, 0)")
    connection.commit()
    connection.close()
    storage = SQLStorage(url)
    with pytest.raises(StorageError, match=r"version 999.*Upgrade mastra-py"):
        await storage.workflows.create_run(head())


async def test_the_migrations_make_the_tables_that_queries_ask_for(tmp_path: Path) -> None:
    async with SQLStorage(f"sqlite:///{tmp_path}/runs.db"):
        connection = sqlite3.connect(tmp_path / "runs.db")
        for table in METADATA.sorted_tables:
            found: list[Any] = connection.execute(f"PRAGMA table_info({table.name})").fetchall()
            assert [row[1] for row in found] == [column.name for column in table.columns]
        connection.close()


async def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    for _ in range(2):
        storage = SQLStorage(url)
        await storage.open()
        await storage.open()
        await storage.workflows.create_run(head())
        await storage.aclose()
    connection = sqlite3.connect(tmp_path / "runs.db")
    versions = connection.execute("SELECT version FROM mastra_schema_version").fetchall()
    connection.close()
    assert versions == [(step.version,) for step in MIGRATIONS]
