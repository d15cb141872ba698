"""Every test that asks for `store` runs once on each store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from mastra.storage.base import WorkflowStore
from mastra.storage.in_process import InMemoryStorage
from mastra.storage.sql import SQLStorage
from tests.support.storage import STORES, SettableClock


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture(params=STORES)
def storage_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def storage(storage_name: str, clock: SettableClock, request: pytest.FixtureRequest) -> Any:
    """A storage that nobody has opened yet."""
    match storage_name:
        case "memory":
            return InMemoryStorage(clock=clock)
        case "postgres":
            return SQLStorage(request.getfixturevalue("postgres_url"), clock=clock)
        case "sqlite-memory":
            return SQLStorage("sqlite:///:memory:", clock=clock)
        case _:
            durability: Any = "full" if storage_name == "sqlite-full" else "normal"
            url = request.getfixturevalue("sqlite_url")
            return SQLStorage(url, durability=durability, clock=clock)


@pytest.fixture
async def store(storage: Any) -> AsyncIterator[WorkflowStore]:
    """Its runs. It opens itself on first use."""
    yield storage.workflows
    await storage.aclose()
