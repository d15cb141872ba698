"""Inngest servers for the tests of this folder: a small one in memory, and a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.inngest_env import (
    DevServer,
    Host,
    free_ports,
    inngest_binary,
    inngest_host,
)
from tests.support.inngest_server import FakeInngest


@pytest.fixture
def fake() -> FakeInngest:
    """The small server."""
    return FakeInngest()


@pytest.fixture(params=[True, False], ids=["checkpointed", "sdk"])
async def host(fake: FakeInngest, request: pytest.FixtureRequest) -> AsyncIterator[Host]:
    """An app on the small server, in both ways to run steps."""
    async with inngest_host(fake, checkpoint=request.param) as opened:
        yield opened


@pytest.fixture
async def checkpointed(fake: FakeInngest) -> AsyncIterator[Host]:
    """An app on the small server that posts its results."""
    async with inngest_host(fake, checkpoint=True) as opened:
        yield opened


@pytest.fixture(scope="session")
def dev_server() -> Iterator[DevServer]:
    """A real server, started once."""
    yield from _started()


@pytest.fixture(scope="session")
def patient_server() -> Iterator[DevServer]:
    """One that tries again after five seconds: in ten tries a busy machine starts a worker anew."""
    yield from _started("--retry-interval", "5")


def _started(*options: str) -> Iterator[DevServer]:
    if inngest_binary() is None:
        pytest.skip("no Inngest server: set INNGEST_BIN, or put `inngest` on the PATH")
    server = DevServer(free_ports(1)[0])
    if options:
        server.use("dev", "--no-discovery", "--no-poll", *options)
    server.start()
    yield server
    server.kill()
