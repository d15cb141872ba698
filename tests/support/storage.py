"""Stores to test, and rows to put into them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mastra.jsonable import dump_json, load_json
from mastra.storage.base import RunHead, StoredRow, WorkflowStore

__all__ = ["SQL_STORES", "STORES", "SettableClock", "TestRow", "append", "head", "keys", "values"]


SQL_STORES = ("sqlite", "sqlite-full", "sqlite-memory", "postgres")
STORES = ("memory", *SQL_STORES)


class SettableClock:
    """Stands still until it is set."""

    def __init__(self, ms: int = 1_000_000) -> None:
        self.ms = ms

    def time(self) -> float:
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


async def append(store: WorkflowStore, run_id: str, *rows: TestRow, workflow_id: str = "w") -> None:
    """Append rows and wait until they are stored."""
    pending = store.append(workflow_id, run_id, rows)
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
