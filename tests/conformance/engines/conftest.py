"""Every case in this folder runs once on each engine, through the fixture `env`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.support.engines import Calls, Env, engine_env

ENGINES = (
    "inprocess",
    pytest.param("inprocess-sqlite", marks=pytest.mark.every_engine),
    pytest.param("inprocess-postgres", marks=pytest.mark.every_engine),
    "replay",
    "inngest-fake",
    pytest.param("inngest-fake-sdk", marks=pytest.mark.every_engine),
    pytest.param("inngest-fake-buffered", marks=pytest.mark.every_engine),
    pytest.param("inngest-dev", marks=pytest.mark.devserver),
    pytest.param("inngest-dev-sdk", marks=pytest.mark.devserver),
    pytest.param("inngest-dev-buffered", marks=pytest.mark.devserver),
)
"""Those on Inngest are driven by a small server of the tests, or by a real one; checkpointed, each
step or several at once, or through the SDK's own steps alone."""

KNOWN_DIFFERENCES: dict[tuple[str, str], str] = {}
"""Why a case does not hold on an engine, by (engine, case).

A case is `file::function`, such as `test_foreach::test_outputs_keep_the_order_of_the_items`. Each
is a strict xfail, so that a difference that is mended fails the suite until its line is gone.
"""


def _case_of(request: pytest.FixtureRequest) -> str:
    return f"{request.path.stem}::{request.function.__name__}"


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    """The engine that the case runs on."""
    name: str = request.param
    reason = KNOWN_DIFFERENCES.get((name, _case_of(request)))
    if reason is not None:
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    return name


@pytest.fixture
def engine_url(engine_name: str, request: pytest.FixtureRequest) -> str | None:
    """The database that the engine is run with, or nothing."""
    match engine_name.partition("-")[2]:
        case "sqlite" | "postgres" as kind:
            url: str = request.getfixturevalue(f"{kind}_url")
            return url
        case _:
            return None


@pytest.fixture(scope="session")
def inngest_dev_server() -> Iterator[Any]:
    """A real Inngest server, started once."""
    from tests.support.inngest_env import DevServer, free_ports, inngest_binary

    if inngest_binary() is None:
        pytest.skip("no Inngest server: set INNGEST_BIN, or put `inngest` on the PATH")
    server = DevServer(free_ports(1)[0])
    server.start()
    yield server
    server.kill()


@pytest.fixture
def inngest_server(engine_name: str, request: pytest.FixtureRequest) -> Any:
    """The Inngest server of the engine, or nothing."""
    if engine_name.startswith("inngest-dev"):
        return request.getfixturevalue("inngest_dev_server")
    if engine_name.startswith("inngest-fake"):
        from tests.support.inngest_server import FakeInngest

        return FakeInngest()
    return None


@pytest.fixture
async def env(
    request: pytest.FixtureRequest, engine_name: str, engine_url: str | None, inngest_server: Any
) -> AsyncIterator[Env]:
    """One engine and one storage, closed after the test."""
    async with engine_env(engine_name, engine_url, inngest_server) as opened:
        if request.node.get_closest_marker("time_jumps") is not None:
            opened.use_fake_clock()
        yield opened


@pytest.fixture
def calls() -> Calls:
    """Counts which steps ran."""
    return Calls()
