"""A server may send a request again while the first is being answered: its lease of it is over.

Here every request is answered twice at once, by one process or by two with a common storage, the
second beginning a little later or earlier each time, and the answer to one of the two is lost.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from mastra import Mastra, SQLStorage, StepContext, create_step
from mastra.ids import random_id as new_id
from mastra.inngest.mount import serving_app
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.support.inngest_env import DevServer, Host, inngest_host


class Doubled:
    """An app that is asked everything twice; by turns another place of it gets the answer."""

    def __init__(self, app: Any, other: Any = None) -> None:
        self._apps = (app, other or app)
        self._late = 0
        self._lost: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope.get("method") != "POST":
            await self._apps[0](scope, receive, send)
            return
        parts: list[bytes] = []
        has_more = True
        while has_more:
            message = await receive()
            parts.append(message.get("body", b""))
            has_more = message.get("more_body", False)
        body = b"".join(parts)
        self._late += 1
        one, other = self._apps if self._late % 2 else reversed(self._apps)
        lost = asyncio.create_task(self._ask(one, scope, body, _nowhere, self._late % 7))
        self._lost.add(lost)
        lost.add_done_callback(self._lost.discard)
        await self._ask(other, scope, body, send, self._late % 5)

    @staticmethod
    async def _ask(app: Any, scope: Any, body: bytes, send: Any, late: int) -> None:
        for _ in range(late):
            await asyncio.sleep(0)
        ended = asyncio.Event()
        told = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> Any:
            for message in told:
                return message
            await ended.wait()
            return {"type": "http.disconnect"}

        await app(dict(scope), receive, send)
        ended.set()

    async def settle(self) -> None:
        """Wait for what nobody listens to."""
        await asyncio.gather(*self._lost)


async def _nowhere(_: Any) -> None:
    """Take an answer that is lost."""


@pytest.fixture(params=[True, False], ids=["checkpointed", "sdk"])
async def real(dev_server: DevServer, request: pytest.FixtureRequest) -> AsyncIterator[Host]:
    """An app on the real server, in both ways to run steps."""
    async with inngest_host(dev_server, checkpoint=request.param) as opened:
        yield opened


def counted(ran: Counter[str], ids: list[str], name: str) -> Any:
    async def execute(ctx: StepContext[Value]) -> Value:
        ran[name] += ctx.run_id in ids
        if name.startswith("slow"):
            await asyncio.sleep(0.02)
        return Value(value=ctx.input_data.value + 1)

    return create_step(id=name, execute=execute)


def asking(ran: Counter[str], ids: list[str]) -> Any:
    async def execute(ctx: StepContext[Value]) -> Value:
        ran["ask"] += ctx.run_id in ids
        if ctx.resume_data is None:
            await ctx.suspend({"need": "add"})
        return Value(value=ctx.input_data.value + ctx.resume_data["add"])

    return create_step(id="ask", execute=execute)


def shape(ran: Counter[str], ids: list[str]) -> Any:
    """Return a workflow whose steps are counted."""
    workflow = flows.begin(output=None).then(counted(ran, ids, "a")).then(counted(ran, ids, "slow"))
    workflow.sleep(0.1).parallel([counted(ran, ids, "slow-p"), counted(ran, ids, "q")])
    workflow.map(lambda ctx: ctx.input_data["q"])
    workflow.dountil(counted(ran, ids, "turn"), lambda ctx: ctx.input_data.value >= 12)
    return workflow.then(asking(ran, ids)).then(counted(ran, ids, "last")).commit()


ONCE = {"a": 1, "slow": 1, "slow-p": 1, "q": 1, "turn": 4, "ask": 2, "last": 1}


async def each_once(host: Host) -> None:
    ran = Counter[str]()
    # A real server may still send what is left of another test's runs.
    ids = [new_id() for _ in range(4)]
    async with flows.on(host, shape(ran, ids)) as mastra:
        told: list[Counter[str]] = []
        doubled = Doubled(host._app)
        for number in range(4):
            ran.clear()
            run = await mastra.get_workflow("w").create_run(ids[number])
            assert (await run.start({"value": 5})).status == "suspended"
            ended = await run.resume({"add": 2})
            await doubled.settle()
            assert ended.unwrap() == {"value": 15}
            told.append(Counter([event.type async for event in run.observe_stream()]))
            assert ran == ONCE
            host.call(doubled)  # the first run, which is as it should be, is answered once
        assert told[1:] == told[:1] * 3


async def told_in_process() -> Counter[str]:
    """Return what events a run has, by type."""
    async with Mastra(workflows={"w": shape(Counter(), [])}) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start({"value": 5})
        await run.resume({"add": 2})
        return Counter([event.type async for event in run.observe_stream()])


async def each_once_in_two(host: Host, url: str) -> None:
    ran = Counter[str]()
    ids = [new_id() for _ in range(4)]
    async with AsyncExitStack() as stack:
        places: list[Mastra] = []
        for _ in range(3):
            place = Mastra(
                workflows={"w": shape(ran, ids)},
                engine=host.make_engine(),
                storage=SQLStorage(url),
            )
            places.append(await stack.enter_async_context(place))
        caller, *workers = places
        doubled = Doubled(*(serving_app(worker, host.client) for worker in workers))
        host.call(doubled)
        told: list[Counter[str]] = []
        for run_id in ids:
            ran.clear()
            run = await caller.get_workflow("w").create_run(run_id)
            assert (await run.start({"value": 5})).status == "suspended"
            ended = await run.resume({"add": 2})
            await doubled.settle()
            assert ended.unwrap() == {"value": 15}
            assert ran == ONCE
            events = [event async for event in run.observe_stream()]
            assert [event.seq for event in events] == list(range(len(events)))
            told.append(Counter([event.type for event in events]))
        assert told == [await told_in_process()] * 4


async def test_each_step_runs_once(host: Host) -> None:
    await each_once(host)


@pytest.mark.devserver
async def test_each_step_runs_once_on_a_real_server(real: Host) -> None:
    await each_once(real)


async def test_each_step_runs_once_in_two_processes(host: Host, tmp_path: Path) -> None:
    await each_once_in_two(host, f"sqlite:///{tmp_path}/runs.db")


@pytest.mark.devserver
async def test_each_step_runs_once_in_two_processes_on_a_real_server(
    real: Host, tmp_path: Path
) -> None:
    await each_once_in_two(real, f"sqlite:///{tmp_path}/runs.db")
