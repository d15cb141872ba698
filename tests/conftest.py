"""What every test gets."""

from __future__ import annotations

import signal

import pytest

from tests.support.postgres import own_postgres_server, postgres_server, postgres_url

__all__ = ["anyio_backend", "own_postgres_server", "postgres_server", "postgres_url"]


def pytest_configure() -> None:
    """Let Ctrl-C reach the programs that tests start.

    A shell that runs the tests in the background has them ignore it, and so what they start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"
