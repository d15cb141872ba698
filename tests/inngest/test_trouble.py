"""Runs that are not stored, storages that fail, servers that say little, and steps that do not end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mastra import InMemoryStorage, Mastra, RunError, StepContext, create_step, create_workflow
from mastra.errors import StorageError
from mastra.inngest import engine as engines
from mastra.inngest import feed, inbox, inquiry
from mastra.testing import FakeClock
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.inngest.test_server_side import ended, until
from tests.support.engines import Calls
from tests.support.flows import adding
from tests.support.inngest_env import Host, inngest_host
from tests.support.inngest_server import FakeInngest


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the server soon."""
    monkeypatch.setattr(feed, "QUIET_S", 0.05)
    monkeypatch.setattr(inbox, "RETRY_S", 0.01)
    monkeypatch.setattr(inquiry, "SOON_S", 0.02)


# -- runs that are not stored ----------------------------------------------------------------------


def unstored(*steps: Any) -> Any:
    """Return a workflow of which nothing is stored."""
    workflow = create_workflow(
        id="w",
        input_schema=Value,
        output_schema=Value,
        should_persist_snapshot=lambda _: False,
    )
    for step in steps:
        workflow.then(step)
    return workflow.commit()


async def test_a_run_that_is_not_stored_gives_its_result_and_its_events(host: Host) -> None:
    calls = Calls()
    async with flows.on(host, unstored(adding("a", 1, calls), adding("b", 2, calls))) as mastra:
        run = await mastra.get_workflow("w").create_run()
        stream = run.stream({"value": 1})
        told = await types_of(stream)
        assert (await stream.result()).unwrap().value == 4
        assert told.count("workflow-start") == told.count("workflow-finish") == 1
        assert told.count("workflow-step-result") == 2
        assert (await mastra.get_workflow("w").list_runs()).total == 0
    assert calls.names == ["a", "b"]


@pytest.mark.usefixtures("impatient")
async def test_one_that_is_cancelled_on_the_server_is_waited_for_no_longer(
    host: Host, fake: FakeInngest
) -> None:
    began, gate = asyncio.Event(), asyncio.Event()

    async def hold(ctx: StepContext[Value]) -> Value:
        began.set()
        await gate.wait()
        return ctx.input_data

    steps = create_step(id="hold", execute=hold), adding("b")
    async with flows.on(host, unstored(*steps)) as mastra:
        run = await mastra.get_workflow("w").create_run()
        waiting = asyncio.create_task(run.start({"value": 1}))
        async with asyncio.timeout(20):
            await began.wait()
            (begun,) = fake.runs.values()
            fake.cancel(begun)
            gate.set()
            (end,) = await asyncio.gather(waiting, return_exceptions=True)
        if isinstance(end, RunError):
            assert end.code == "INNGEST_RUN_ENDED"
            assert "cancelled" in end.message
        else:
            assert end.status == "canceled"


async def test_one_whose_step_goes_on_is_cancelled_once_that_has_ended(
    checkpointed: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "CANCEL_WAIT_S", 0.05)
    began, gate = asyncio.Event(), asyncio.Event()

    async def hold(ctx: StepContext[Value]) -> Value:
        began.set()
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue
        return ctx.input_data

    async with flows.on(
        checkpointed, unstored(create_step(id="hold", execute=hold), adding("b"))
    ) as mastra:
        run = await mastra.get_workflow("w").create_run()
        waiting = asyncio.create_task(run.start({"value": 1}))
        try:
            await began.wait()
            await run.cancel()
            assert not waiting.done()
        finally:
            gate.set()
        async with asyncio.timeout(20):
            assert (await waiting).status == "canceled"


# -- storages that fail ----------------------------------------------------------------------------


@pytest.mark.parametrize(("times", "status"), [(2, "success"), (4, "failed")])
async def test_a_storage_that_is_away_for_some_requests(
    host: Host, fake: FakeInngest, monkeypatch: pytest.MonkeyPatch, times: int, status: str
) -> None:
    storage, calls, failures = InMemoryStorage(), Calls(), list[Any]()
    append = storage.workflows.append

    def failing(*arguments: Any, **options: Any) -> Any:
        if len(failures) < times:
            failures.append(arguments)
            raise StorageError("The disk is full.")
        return append(*arguments, **options)

    monkeypatch.setattr(storage.workflows, "append", failing)
    workflow = flows.begin().then(adding("a", 1, calls)).commit()
    async with flows.on(host, workflow, storage=storage) as mastra:
        run = await mastra.get_workflow("w").create_run()
        async with asyncio.timeout(20):
            result: Any = await run.start({"value": 1})
        assert result.status == status
        if status == "failed":
            assert "disk" not in str(result.error)
            (begun,) = fake.runs.values()
            await ended(begun)
            assert begun.status == "Failed"
        found: Any = await mastra.get_workflow("w").get_run(run.run_id)
        assert found.status == status
    assert len(failures) == times


async def test_one_that_is_away_when_a_request_comes_has_it_sent_again(
    host: Host, fake: FakeInngest, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, failures = InMemoryStorage(), list[Any]()
    load = storage.workflows.load_rows

    async def failing(*arguments: Any) -> Any:
        if fake.runs and len(failures) < 2:
            failures.append(arguments)
            raise StorageError("The network is down.")
        return await load(*arguments)

    monkeypatch.setattr(storage.workflows, "load_rows", failing)
    async with flows.on(host, flows.chain(2), storage=storage) as mastra:
        run = await mastra.get_workflow("w").create_run()
        async with asyncio.timeout(20):
            assert (await run.start({"value": 1})).unwrap().value == 3
    assert len(failures) == 2


# -- servers that say little -----------------------------------------------------------------------


class Quiet(FakeInngest):
    """Says nothing of the runs of events at first, nor takes subscriptions."""

    refusals = 2

    async def _token(self, request: Request) -> Response:
        self.refusals -= 1
        if self.refusals >= 0:
            return JSONResponse({"error": "busy"}, 500)
        return await super()._token(request)

    async def _runs_of_event(self, request: Request) -> Response:
        self.questions += 1
        return JSONResponse({"error": "unknown"}, 404)

    async def _run(self, request: Request) -> Response:
        self.questions += 1
        return JSONResponse({"error": "unknown"}, 404)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("checkpoint", [True, False])
async def test_a_server_that_says_little_is_asked_in_vain(
    checkpoint: bool, caplog: pytest.LogCaptureFixture
) -> None:
    server, gate = Quiet(), asyncio.Event()

    async def hold(ctx: StepContext[Value]) -> Value:
        await gate.wait()
        return Value(value=ctx.input_data.value + 1)

    async with inngest_host(server, checkpoint=checkpoint) as host:
        workflow = flows.begin().then(create_step(id="hold", execute=hold)).commit()
        async with flows.on(host, workflow) as mastra:
            run = await mastra.get_workflow("w").create_run()
            waiting = asyncio.create_task(run.start({"value": 1}))
            await until(lambda: server.questions > 3)
            gate.set()
            async with asyncio.timeout(20):
                assert (await waiting).unwrap().value == 2
    assert "No realtime from Inngest, trying again" in caplog.text


@pytest.mark.parametrize("takes", [True, False])
async def test_steps_that_nobody_waited_for_reach_a_server_that_takes_no_posts(
    fake: FakeInngest, takes: bool
) -> None:
    fake.takes_checkpoints = takes
    calls = Calls()
    steps = [adding(name, 1, calls) for name in "abcd"]
    workflow = flows.begin()
    for step in steps:
        workflow.then(step)
    workflow.sleep(1.5)
    async with inngest_host(fake, checkpoint=True, buffered_steps=3) as host:
        async with flows.on(host, workflow.commit()) as mastra:
            run = await mastra.get_workflow("w").create_run()
            assert (await run.start({"value": 0})).unwrap().value == 4
    assert calls.names == ["a", "b", "c", "d"]


# -- waits between tries, and steps that do not end ------------------------------------------------


async def test_a_try_that_waits_long_waits_on_the_server() -> None:
    clock, tries = FakeClock(), list[float]()

    async def fail(ctx: StepContext[Value]) -> Value:
        tries.append(clock.now())
        if len(tries) < 3:
            raise ValueError("not yet")
        return ctx.input_data

    workflow = create_workflow(
        id="w",
        input_schema=Value,
        output_schema=Value,
        retry_config={"attempts": 3, "delay": 60},
    )
    workflow.then(create_step(id="fail", execute=fail)).commit()
    async with inngest_host(FakeInngest(clock), checkpoint=True, clock=clock) as host:
        async with flows.on(host, workflow) as mastra:
            run = await mastra.get_workflow("w").create_run()
            async with asyncio.timeout(30):
                assert (await run.start({"value": 7})).unwrap().value == 7
    assert len(tries) == 3
    assert tries[1] - tries[0] >= 60


async def test_an_engine_closes_although_a_step_does_not_end(checkpointed: Host) -> None:
    began, gate, has_ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hold(ctx: StepContext[Value]) -> Value:
        began.set()
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue
        has_ended.set()
        return ctx.input_data

    workflow = flows.begin().then(create_step(id="hold", execute=hold)).commit()
    async with flows.on(checkpointed, workflow) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start_async({"value": 0})
        await began.wait()
        try:
            async with asyncio.timeout(20):
                await mastra.engine.aclose()
            assert not has_ended.is_set()
        finally:
            gate.set()
        await has_ended.wait()


async def test_a_run_that_is_driven_here_is_not_restarted(checkpointed: Host) -> None:
    began, gate, calls = asyncio.Event(), asyncio.Event(), list[int]()

    async def hold(ctx: StepContext[Value]) -> Value:
        calls.append(1)
        began.set()
        await gate.wait()
        return ctx.input_data

    workflow = flows.begin().then(create_step(id="hold", execute=hold)).commit()
    async with flows.on(checkpointed, workflow) as mastra:
        run = await mastra.get_workflow("w").create_run()
        waiting = asyncio.create_task(run.start({"value": 3}))
        await began.wait()
        with pytest.raises(RunError) as refused:
            await run.restart()
        assert refused.value.code == "RUN_ALREADY_RUNNING"
        gate.set()
        assert (await waiting).unwrap().value == 3
    assert calls == [1]


async def test_a_worker_that_is_new_in_the_middle_of_a_leg_runs_no_step_again(
    fake: FakeInngest,
) -> None:
    calls = Calls()

    def flow() -> Any:
        workflow = flows.begin().then(adding("a", 1, calls)).sleep(1.5)
        return workflow.then(adding("b", 1, calls)).commit()

    async with inngest_host(fake, checkpoint=True) as host:
        caller = Mastra(workflows={"w": flow()}, engine=host.make_engine())
        async with caller:
            async with flows.on(host, flow()):
                run = await caller.get_workflow("w").create_run()
                stream = run.stream({"value": 1})
                reading = asyncio.create_task(types_of(stream))
                await until(lambda: any(one.steps for one in fake.runs.values()))
                (begun,) = fake.runs.values()
                await until(lambda: any(".sleep_" in name for name in begun.steps))
            async with flows.on(host, flow()), asyncio.timeout(20):
                told = await reading
                assert (await stream.result()).unwrap().value == 3
    assert calls.names == ["a", "b"]
    assert told.count("workflow-finish") == told.count("workflow-start") == 1


async def types_of(stream: Any) -> list[str]:
    return [event.type async for event in stream]


async def test_the_event_of_an_earlier_leg_tells_nobody_of_a_later(
    host: Host, fake: FakeInngest
) -> None:
    caller = Mastra(workflows={"w": flows.suspending()}, engine=host.make_engine())
    async with caller, flows.on(host, flows.suspending()):
        run = await caller.get_workflow("w").create_run()
        assert (await run.start({"value": 1})).status == "suspended"
        first = fake.events[-1]
        assert (await run.resume({"add": 2})).unwrap().value == 4
        said = len(fake.messages)
        (again,) = fake.send({**first, "id": "other"})
        await ended(again)
        assert again.output["isRepeated"] is True
        assert again.output["status"] == "success"
        assert len(fake.messages) == said
