"""Callers and workers with a storage each, and runs that storage has lost or others have changed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mastra import (
    Agent,
    Mastra,
    SQLStorage,
    StepContext,
    create_step,
    create_workflow,
)
from mastra.inngest import feed, inquiry, worker_leg
from mastra.processors import Processor
from mastra.storage.base import RunChanges
from mastra.testing import ScriptedModel
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.inngest.test_server_side import ended, until
from tests.support.engines import Calls
from tests.support.flows import adding
from tests.support.inngest_env import Host
from tests.support.inngest_server import FakeInngest


def caller_of(host: Host, workflow: Any, **options: Any) -> Mastra:
    """Return a caller that shares nothing with its worker."""
    return Mastra(workflows={workflow.id: workflow}, engine=host.make_engine(), **options)


IN_MEMORY = ["memory", "sqlite:///:memory:"]


def asking(calls: Calls) -> Any:
    """Return a workflow that runs a step, asks, runs another and asks again."""
    workflow = flows.begin().then(adding("a", 1, calls)).then(flows.waiting("ask"))
    return workflow.then(adding("b", 1, calls)).then(flows.waiting("again")).commit()


@pytest.mark.parametrize("kept", IN_MEMORY)
async def test_a_run_is_resumed_at_a_worker_with_a_storage_of_its_own(
    host: Host, kept: str
) -> None:
    options: dict[str, Any] = {} if kept == "memory" else {"storage": SQLStorage(kept)}
    calls = Calls()
    async with caller_of(host, asking(calls), **options) as caller, flows.on(host, asking(calls)):
        run = await caller.get_workflow("w").create_run()
        assert (await run.start({"value": 3})).suspended == [["ask"]]
        assert (await run.resume({"add": 4})).suspended == [["again"]]
        assert (await run.resume({"add": 5})).unwrap().value == 14
        found: Any = await caller.get_workflow("w").get_run(run.run_id)
        assert (found.status, found.result.value) == ("success", 14)
    assert calls.names == ["a", "b"]


async def test_a_run_goes_back_at_a_worker_with_a_storage_of_its_own(host: Host) -> None:
    calls = Calls()

    def chain() -> Any:
        workflow = flows.begin()
        for name in ("a", "b", "c"):
            workflow.then(adding(name, 1, calls))
        return workflow.commit()

    async with caller_of(host, chain()) as caller, flows.on(host, chain()):
        run = await caller.get_workflow("w").create_run()
        assert (await run.start({"value": 1})).unwrap().value == 4
        result = await run.time_travel(step="b", input_data={"value": 10})
        assert result.unwrap().value == 12
    assert calls.names == ["a", "b", "c", "b", "c"]


async def test_why_a_processor_stopped_a_run_reaches_a_caller_with_a_storage_of_its_own(
    host: Host,
) -> None:
    class Stops(Processor):
        id = "stops"

        def process_input(self, ctx: Any) -> None:
            ctx.abort("not that", metadata={"level": 3})

    def flow() -> Any:
        agent = Agent(id="a", model=ScriptedModel("x"), input_processors=[Stops()])
        workflow = create_workflow(id="w", input_schema=Any, output_schema=Any)
        return workflow.then(create_step(agent)).commit()

    async with caller_of(host, flow()) as caller, flows.on(host, flow()):
        run = await caller.get_workflow("w").create_run()
        result: Any = await run.start({"prompt": "?"})
    assert result.status == "tripwire"
    assert result.tripwire["reason"] == "not that"
    assert result.tripwire["metadata"] == {"level": 3}


# -- events that are not ours ----------------------------------------------------------------------


async def test_an_event_begins_a_run_that_was_made_and_not_started(
    host: Host, fake: FakeInngest
) -> None:
    async with flows.on(host, flows.chain(2)) as mastra:
        await host.sync()
        run = await mastra.get_workflow("w").create_run("mine")
        data = {"runId": "mine", "inputData": {"value": 5}, "requestContext": {"city": "Oslo"}}
        (begun,) = fake.send({"name": "workflow.w", "data": data})
        await ended(begun)
        assert begun.output["result"] == {"value": 7}
        assert (await run.result()).unwrap().value == 7
        head = await mastra.storage.workflows.get_run("w", "mine")
        assert head is not None
        assert (head.input, head.request_context) == ({"value": 5}, {"city": "Oslo"})


async def test_an_event_is_not_checked_where_the_workflow_does_not_want_it(
    host: Host, fake: FakeInngest
) -> None:
    async def take(ctx: StepContext[Any]) -> Any:
        return ctx.input_data

    workflow = create_workflow(id="w", input_schema=Value, output_schema=Any, validate_inputs=False)
    workflow.then(create_step(id="take", input_schema=Any, execute=take)).commit()
    async with flows.on(host, workflow):
        await host.sync()
        (begun,) = fake.send({"name": "workflow.w", "data": {"inputData": {"value": "x"}}})
        await ended(begun)
    assert begun.output["result"] == {"value": "x"}


async def test_a_nested_workflow_is_started_and_resumed_by_events(
    host: Host, fake: FakeInngest
) -> None:
    inner = flows.begin("inner").then(flows.waiting("ask")).commit()
    async with flows.on(host, flows.begin().then(inner).commit()) as mastra:
        await host.sync()
        data: dict[str, Any] = {"runId": "mine", "inputData": {"value": 5}}
        (begun,) = fake.send({"name": "workflow.inner", "data": data})
        await ended(begun)
        assert begun.output["status"] == "suspended"
        data = {"runId": "mine", "inputData": {"add": 2}, "resume": {"steps": ["ask"]}}
        (resumed,) = fake.send({"name": "workflow.inner", "data": data})
        await ended(resumed)
        assert resumed.output["result"] == {"value": 7}
        assert (await mastra.get_workflow("w").list_runs()).total == 0


# -- runs that others have changed -----------------------------------------------------------------


def holding(began: asyncio.Event, ran: list[str]) -> Any:
    """Return a workflow whose step waits until it is ended."""

    async def hold(ctx: StepContext[Value]) -> Value:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ran.append("ended")
        return ctx.input_data

    return flows.begin().then(create_step(id="hold", execute=hold)).commit()


@pytest.mark.parametrize("change", ["taken over", "cancelled", "deleted"])
async def test_a_worker_stops_where_its_run_has_been(
    checkpointed: Host,
    fake: FakeInngest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    monkeypatch.setattr(worker_leg, "WATCH_S", 0.02)
    monkeypatch.setattr(feed, "QUIET_S", 0.05)
    monkeypatch.setattr(inquiry, "SOON_S", 0.02)
    began, ran = asyncio.Event(), list[str]()
    storage = SQLStorage(f"sqlite:///{tmp_path / 'runs.db'}")
    async with flows.on(checkpointed, holding(began, ran), storage=storage) as mastra:
        run = await mastra.get_workflow("w").create_run()
        waiting = asyncio.create_task(run.start({"value": 0}))
        await began.wait()
        (begun,) = fake.runs.values()
        store = mastra.storage.workflows
        if change == "deleted":
            await store.delete_run("w", run.run_id)
        else:
            owner = "inngest:another" if change == "taken over" else None
            status = "running" if owner else "canceled"
            changes = RunChanges(status=status, owner=owner)
            assert await store.update_run(
                "w", run.run_id, changes, expected_status=("running", "waiting")
            )
        await until(lambda: ran == ["ended"])
        await ended(begun)
        head = await store.get_run("w", run.run_id)
        if change == "deleted":
            assert head is None
        else:
            assert head is not None
            assert (head.status, head.owner) == (status, owner)
            assert begun.output["isRepeated"] is True
        if change == "taken over":
            await asyncio.sleep(0.3)  # its caller asks, and is told of the other one
            assert not waiting.done()
            await store.update_run(
                "w", run.run_id, RunChanges(status="canceled"), expected_status=("running",)
            )
        async with asyncio.timeout(20):
            assert (await waiting).status == "canceled"
