"""Where runs and conversations are kept: in this process, in SQLite or in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mastra.extras import lazy_names

if TYPE_CHECKING:
    from mastra.storage.base import RunHead, Storage, WorkflowStore
    from mastra.storage.conversations import MemoryStore
    from mastra.storage.in_process import InMemoryStorage
    from mastra.storage.sql import SQLStorage

__all__ = [
    "InMemoryStorage",
    "MemoryStore",
    "RunHead",
    "SQLStorage",
    "Storage",
    "WorkflowStore",
]

_HOMES = {
    "InMemoryStorage": "mastra.storage.in_process",
    "MemoryStore": "mastra.storage.conversations",
    "RunHead": "mastra.storage.base",
    "SQLStorage": "mastra.storage.sql",
    "Storage": "mastra.storage.base",
    "WorkflowStore": "mastra.storage.base",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES, extra="sql")
