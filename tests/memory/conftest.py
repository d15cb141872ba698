"""The stores that memory is tested on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from mastra import InMemoryStorage, SQLStorage
from mastra.storage.conversations import MemoryStore


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[MemoryStore]:
    """Each of the stores there are."""
    storage: Any
    match request.param:
        case "memory":
            storage = InMemoryStorage()
        case "postgres":
            storage = SQLStorage(request.getfixturevalue("postgres_url"))
        case _:
            storage = SQLStorage(request.getfixturevalue("sqlite_url"))
    yield storage.memory
    await storage.aclose()
