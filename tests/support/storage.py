"""Stores to test, and rows to put into them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mastra.jsonable import dump_json, load_json
from mastra.storage.base import JournalRow, RunHead, StoredRow, WorkflowStore
from mastra.storage.drivers import DRIVER_ID_LENGTH
from mastra.storage.sql import SQLStorage

__all__ = [
    "SHARED_STORES",
    "SQL_STORES",
    "STORES",
    "SettableClock",
    "TestRow",
    "append",
    "drivers_of_claims",
    "head",
    "keys",
    "values",
]


SQL_STORES = ("sqlite", "sqlite-full", "sqlite-memory", "postgres")
STORES = ("memory", *SQL_STORES)
SHARED_STORES = ("sqlite", "postgres")
"""Those that other processes see."""


@asynccontextmanager
async def drivers_of_claims(
    request: pytest.FixtureRequest, folder: Path, *, alive: str, dead: str
) -> AsyncIterator[SQLStorage]:
    """Open a database in which the driver of one claim has a lease, and that of another had one."""
    url = f"sqlite:///{folder}/runs.db"
    if request.param == "postgres":
        url = str(request.getfixturevalue("postgres_url"))
    async with SQLStorage(url, lease_s=0.001) as passing:
        assert passing.workflows.drivers is not None
        await passing.workflows.drivers.beat(dead[:DRIVER_ID_LENGTH], "")
    async with SQLStorage(url, lease_s=60) as storage:
        assert storage.workflows.drivers is not None
        await storage.workflows.drivers.beat(alive[:DRIVER_ID_LENGTH], "")
        yield storage


class SettableClock:
    """Stands still until it is set."""

    def __init__(self, ms: int = 1_000_000) -> None:
        self.ms = ms

    def now(self) -> float:
        """Return the time in seconds."""
        return self.ms / 1000


class TestRow:
    """A journal row with any value."""

    __test__ = False

    def __init__(self, key: str, value: Any = None) -> None:
        self.key = key
        self.value = value

    def encode(self) -> bytes:
        return dump_json(self.to_stored(), what=f"Row {self.key!r}")

    def to_stored(self) -> dict[str, Any]:
        return {"value": self.value}


def head(run_id: str = "r", workflow_id: str = "w", **columns: Any) -> RunHead:
    """Return a run to store."""
    return RunHead(workflow_id, run_id, columns.pop("status", "pending"), **columns)


async def append(
    store: WorkflowStore, run_id: str, *rows: JournalRow, workflow_id: str = "w", **options: Any
) -> None:
    """Append rows and wait until they are stored."""
    pending = store.append(workflow_id, run_id, rows, **options)
    if pending is not None:
        await pending


def keys(rows: Iterable[StoredRow]) -> list[str]:
    """Return the keys of rows."""
    return [row.key for row in rows]


def values(rows: Iterable[StoredRow]) -> list[Any]:
    """Return the values that rows were made with."""
    return [
        load_json(row.data if isinstance(row.data, bytes) else row.data.encode())["value"]
        for row in rows
    ]
