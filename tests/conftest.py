"""What every test gets."""

from __future__ import annotations

import pytest

from tests.support.postgres import own_postgres_server, postgres_server, postgres_url

__all__ = ["anyio_backend", "own_postgres_server", "postgres_server", "postgres_url"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"
