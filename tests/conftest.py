"""What every test gets."""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator
from typing import Any

import pytest

from tests.support import hard_limit
from tests.support.databases import sqlite_template, sqlite_url
from tests.support.postgres import own_postgres_server, postgres_server
from tests.support.postgres_schemas import empty_postgres_url, postgres_schemas, postgres_url

__all__ = [
    "anyio_backend",
    "empty_postgres_url",
    "own_postgres_server",
    "postgres_schemas",
    "postgres_server",
    "postgres_url",
    "sqlite_template",
    "sqlite_url",
]


def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl-C reach the programs that tests start.

    A shell that runs the tests in the background has them ignore it, and so what they start.
    """
    config.pluginmanager.register(hard_limit)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def no_server_has_stopped() -> Generator[None]:
    """Let servers of a test send streams, though one of another test was told to stop.

    What the MCP SDK sends streams with notes that in the process, and takes it back never.
    """
    yield
    streams: Any = sys.modules.get("sse_starlette.sse")
    if streams is not None:
        streams.AppStatus.should_exit = False
