"""A real server that is killed and started again, in the middle of a sleep and of a suspension."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from mastra import Mastra, SQLStorage, StepContext, create_step
from mastra.inngest import InngestEngine
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.support.inngest_env import DevServer, free_ports, inngest_binary
from tests.support.inngest_production import keyed_client, keyed_server, redis, served, synced

pytestmark = [
    pytest.mark.devserver,
    pytest.mark.skipif(inngest_binary() is None, reason="no Inngest server"),
]


@pytest.fixture(params=["redis", "alone"])
def server(request: pytest.FixtureRequest) -> Iterator[DevServer]:
    """A server with a Redis behind it, or with its own memory."""
    port = free_ports(1)[0]
    if request.param == "alone":
        started = keyed_server(port)
        started.start()
        yield started
        started.kill()
        return
    with redis() as address:
        started = keyed_server(port, "--redis-uri", address)
        started.start()
        yield started
        started.kill()


@asynccontextmanager
async def app(
    server: DevServer, folder: Path, ran: list[str], *, long_s: float = 1, keep: Any = None
) -> AsyncIterator[tuple[Mastra, DevServer]]:
    """Serve a workflow that sleeps, and one that suspends, from a database.

    Args:
        server: Who calls it.
        folder: Where its database is.
        ran: Takes the names of steps that begin.
        long_s: How long the long step takes.
        keep: Called with every call of a function.
    """

    def noting(name: str) -> Any:
        async def execute(ctx: StepContext[Value]) -> Value:
            ran.append(name)
            return Value(value=ctx.input_data.value + 1)

        return create_step(id=name, execute=execute)

    async def long(ctx: StepContext[Value]) -> Value:
        ran.append("long")
        await asyncio.sleep(long_s)
        return ctx.input_data

    middle = flows.begin("middle").then(noting("one")).then(create_step(id="long", execute=long))
    middle.then(noting("two")).then(noting("three")).commit()
    nap = flows.begin("nap").then(noting("before")).sleep(3).then(noting("after")).commit()
    ask = flows.begin("ask").then(noting("first")).then(flows.waiting("wait")).commit()
    client = keyed_client(server)
    mastra = Mastra(
        workflows={"nap": nap, "ask": ask, "middle": middle},
        engine=InngestEngine(client),
        storage=SQLStorage(f"sqlite:///{folder / 'runs.db'}"),
    )
    async with served(mastra, client, server.app_port, keep=keep):
        yield mastra, server


async def restart(server: DevServer) -> None:
    """Kill the server, and start it again."""
    server.kill()
    await asyncio.sleep(0.2)
    await asyncio.to_thread(server.start)


async def sleeping(mastra: Mastra, run_id: str) -> None:
    """Wait until a run sleeps on the server."""
    async with asyncio.timeout(10):
        while True:
            info = await mastra.get_workflow("nap").get_run(run_id)
            if info is not None and info.status == "waiting":
                break
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)  # the server has answered, and knows of the sleep


async def test_a_sleeping_run_survives_its_server(
    server: DevServer, tmp_path: Path, request: Any
) -> None:
    ran: list[str] = []
    async with app(server, tmp_path, ran) as (mastra, _):
        run = await mastra.get_workflow("nap").create_run()
        result = asyncio.create_task(run.start({"value": 0}))
        await sleeping(mastra, run.run_id)
        await restart(server)
        if "alone" in request.node.name:
            await synced(server.app_port)
            brought_back = await mastra.restart_all_active_workflow_runs()
            assert brought_back == {"nap": [run.run_id]}
        async with asyncio.timeout(30):
            assert (await result).unwrap().value == 2
    assert ran == ["before", "after"]


async def test_a_suspended_run_survives_its_server(
    server: DevServer, tmp_path: Path, request: Any
) -> None:
    ran: list[str] = []
    async with app(server, tmp_path, ran) as (mastra, _):
        run = await mastra.get_workflow("ask").create_run()
        assert (await run.start({"value": 0})).status == "suspended"
        await restart(server)
        if "alone" in request.node.name:
            assert await mastra.restart_all_active_workflow_runs() == {}
        async with asyncio.timeout(20):
            assert (await run.resume({"add": 5})).unwrap().value == 6
    assert ran == ["first"]


async def test_a_step_under_way_survives_its_server(
    server: DevServer, tmp_path: Path, request: Any
) -> None:
    ran: list[str] = []
    async with app(server, tmp_path, ran) as (mastra, _):
        run = await mastra.get_workflow("middle").create_run()
        result = asyncio.create_task(run.start({"value": 0}))
        async with asyncio.timeout(10):
            while "long" not in ran:
                await asyncio.sleep(0.02)
        server.kill()
        await asyncio.sleep(1.5)  # the step ends while there is no server
        await asyncio.to_thread(server.start)
        if "alone" in request.node.name:
            await synced(server.app_port)
            brought_back = await mastra.restart_all_active_workflow_runs()
            assert brought_back == {"middle": [run.run_id]}
        async with asyncio.timeout(40):
            assert (await result).unwrap().value == 3
    assert ran == ["one", "long", "two", "three"]


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_a_step_that_outlives_the_lease_of_its_request_runs_once(tmp_path: Path) -> None:
    ran: list[str] = []
    during: list[str] = []

    async def keep(request: httpx.Request) -> None:
        during.append(ran[-1] if ran else "")

    with redis() as address:
        server = keyed_server(free_ports(1)[0], "--redis-uri", address)
        await asyncio.to_thread(server.start)
        try:
            async with app(server, tmp_path, ran, long_s=60, keep=keep) as (mastra, _):
                run = await mastra.get_workflow("middle").create_run()
                result = asyncio.create_task(run.start({"value": 0}))
                async with asyncio.timeout(30):
                    while "long" not in ran:
                        await asyncio.sleep(0.02)
                await restart(server)
                async with asyncio.timeout(200):
                    assert (await result).unwrap().value == 3
        finally:
            server.kill()
    assert "long" in during, "the request did not come again while its step ran"
    assert ran == ["one", "long", "two", "three"]
