"""Where runs and conversations are kept: in this process, in SQLite or in PostgreSQL."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mastra.storage.base import RunHead, WorkflowStore
    from mastra.storage.memory import InMemoryStorage
    from mastra.storage.memory_store import MemoryStore
    from mastra.storage.sql import SQLStorage

__all__ = ["InMemoryStorage", "MemoryStore", "RunHead", "SQLStorage", "WorkflowStore"]

_HOMES = {
    "InMemoryStorage": "mastra.storage.memory",
    "MemoryStore": "mastra.storage.memory_store",
    "RunHead": "mastra.storage.base",
    "SQLStorage": "mastra.storage.sql",
    "WorkflowStore": "mastra.storage.base",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'mastra.storage' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
