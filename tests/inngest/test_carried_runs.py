"""Runs that wait, and workers whose storage is their own: started anew, or one of several."""

from __future__ import annotations

import logging
from copy import copy
from pathlib import Path
from typing import Any, cast

import inngest
import pytest

from mastra import (
    Mastra,
    SQLStorage,
    StepContext,
    WorkflowFailed,
    create_step,
    create_workflow,
)
from mastra.inngest import InngestEngine, carried, feed, inquiry
from mastra.inngest.mount import app_functions
from tests.inngest import flows
from tests.inngest.test_apart import asking, caller_of
from tests.support.engines import Calls
from tests.support.flows import adding
from tests.support.inngest_env import Host


async def test_a_worker_that_was_started_anew_goes_on(host: Host) -> None:
    calls = Calls()
    async with caller_of(host, asking(calls)) as caller:
        async with flows.on(host, asking(calls)):
            run = await caller.get_workflow("w").create_run()
            assert (await run.start({"value": 3})).suspended == [["ask"]]
        async with flows.on(host, asking(calls)):
            assert (await run.resume({"add": 4})).suspended == [["again"]]
        async with flows.on(host, asking(calls)) as worker:
            assert (await run.resume({"add": 5})).unwrap().value == 14
            known: Any = await worker.get_workflow("w").get_run(run.run_id)
            found: Any = await caller.get_workflow("w").get_run(run.run_id)
            assert known.created_at == found.created_at
            assert [*known.steps] == [*found.steps] == ["a", "ask", "b", "again"]
    assert calls.names == ["a", "b"]


async def test_workers_take_turns(host: Host) -> None:
    calls = Calls()
    one, two = flows.on(host, asking(calls)), flows.on(host, asking(calls))
    async with caller_of(host, asking(calls)) as caller, one, two:
        run = await caller.get_workflow("w").create_run()
        for worker, waits in ((one, "ask"), (two, "again")):
            host.serve(worker)
            begun = await (run.start({"value": 3}) if worker is one else run.resume({"add": 4}))
            assert begun.suspended == [[waits]]
        host.serve(one)  # which has the run as it was before the other one went on
        assert (await run.resume({"add": 5})).unwrap().value == 14
    assert calls.names == ["a", "b"]


async def test_what_was_written_and_is_nested_and_in_the_state_goes_along(host: Host) -> None:
    calls = Calls()

    async def note(ctx: StepContext[Any]) -> Any:
        calls.add("note")
        await ctx.set_state({"seen": [ctx.input_data, 2**60]})
        for piece in ("a", {"b": 1.0}):
            await ctx.writer.write(piece)
        return ctx.input_data

    async def ask(ctx: StepContext[Any]) -> Any:
        if ctx.resume_data is None:
            await ctx.suspend({"item": ctx.input_data}, resume_label=f"item {ctx.input_data}")
        return [ctx.input_data, ctx.resume_data, ctx.state["seen"]]

    def workflow() -> Any:
        inner = create_workflow(id="inner", input_schema=Any, output_schema=Any)
        inner.then(create_step(id="note", execute=note)).then(create_step(id="ask", execute=ask))
        begun = create_workflow(id="w", input_schema=Any, output_schema=Any)
        return begun.foreach(inner.commit(), concurrency=1).commit()

    async with caller_of(host, workflow()) as caller:
        async with flows.on(host, workflow()):
            run = await caller.get_workflow("w").create_run(resource_id="ada")
            assert (await run.start([1, 2], request_context={"city": "Oslo"})).status == "suspended"
        for label in ("item 1", "item 2"):
            async with flows.on(host, workflow()) as worker:
                result: Any = await run.resume(label.upper(), label=label)
                known: Any = await worker.get_workflow("w").get_run(run.run_id)
                assert known.resource_id == "ada"
        assert [one[:2] for one in result.unwrap()] == [[1, "ITEM 1"], [2, "ITEM 2"]]
        assert result.state["seen"] == [2, 2**60]
        written = [
            event.payload.output
            async for event in run.observe_stream()
            if event.type == "workflow-step-output"
        ]
        assert written == ["a", {"b": 1.0}] * 2
    assert calls.names == ["note", "note"]


async def test_a_run_goes_back_at_a_worker_that_was_started_anew(host: Host) -> None:
    calls = Calls()

    def chain() -> Any:
        workflow = flows.begin()
        for name in ("a", "b", "c"):
            workflow.then(adding(name, 1, calls))
        return workflow.commit()

    async with caller_of(host, chain()) as caller:
        async with flows.on(host, chain()):
            run = await caller.get_workflow("w").create_run()
            assert (await run.start({"value": 1})).unwrap().value == 4
        async with flows.on(host, chain()):
            assert (await run.time_travel(step="c")).unwrap().value == 4
    assert calls.names == ["a", "b", "c", "c"]


async def test_a_run_that_is_too_large_to_bring_along_runs_nothing_again(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carried, "MAX_CARRIED_BYTES", 100)
    monkeypatch.setattr(feed, "QUIET_S", 0.05)
    monkeypatch.setattr(inquiry, "SOON_S", 0.02)
    calls = Calls()
    async with caller_of(host, asking(calls)) as caller:
        async with flows.on(host, asking(calls)):
            run = await caller.get_workflow("w").create_run()
            assert (await run.start({"value": 3})).suspended == [["ask"]]
        async with flows.on(host, asking(calls)):
            result = await run.resume({"add": 4})
            assert isinstance(result, WorkflowFailed)
            assert "Have all workers share one" in str(result.error)
    assert calls.names == ["a"]


# -- said beforehand -------------------------------------------------------------------------------

PRODUCTION = {"is_production": True, "signing_key": f"signkey-prod-{'ab' * 32}", "event_key": "e"}


def warned_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.message for one in caplog.records if "its own, in memory" in one.message]


@pytest.mark.parametrize("declared", ["resume_schema", "suspend_schema", None])
@pytest.mark.parametrize("is_production", [True, False])
@pytest.mark.parametrize("is_nested", [True, False])
def test_a_worker_that_would_lose_what_waits_says_so(
    declared: str | None, is_production: bool, is_nested: bool, caplog: pytest.LogCaptureFixture
) -> None:
    options: dict[str, Any] = {} if declared is None else {declared: dict[str, Any]}

    async def ask(ctx: StepContext[Any]) -> Any:
        return await ctx.suspend({})

    workflow: Any = create_workflow(id="w", input_schema=Any, output_schema=Any)
    workflow = workflow.then(create_step(id="ask", execute=ask, **options)).commit()
    if is_nested:
        outer: Any = create_workflow(id="outer", input_schema=Any, output_schema=Any)
        workflow = outer.then(workflow).commit()
    more: dict[str, Any] = PRODUCTION if is_production else {"is_production": False}
    client = inngest.Inngest(app_id="app", **more)
    mastra = Mastra(workflows=[workflow], engine=InngestEngine(client))
    with caplog.at_level(logging.WARNING, "mastra"):
        app_functions(mastra, client)
    told = [f"{name!r}" in " ".join(warned_of(caplog)) for name in ("w", "outer")]
    assert told == ([True, is_nested] if declared and is_production else [False, False])


async def test_one_that_did_not_know_says_so_when_a_run_waits(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    calls = Calls()
    with caplog.at_level(logging.WARNING, "mastra"):
        async with flows.on(host, asking(calls)) as mastra:
            run = await mastra.get_workflow("w").create_run()
            assert (await run.start({"value": 3})).status == "suspended"
            assert warned_of(caplog) == []
            client: Any = copy(host.client)
            client.is_production = True
            mastra.engine._functions._client = client
            assert (await run.resume({"add": 4})).status == "suspended"
            other = await mastra.get_workflow("w").create_run()
            assert (await other.start({"value": 3})).status == "suspended"
    assert len(warned_of(caplog)) == 1


@pytest.mark.parametrize("kept", ["memory", "sqlite"])
async def test_a_run_that_is_deleted_while_its_answer_is_on_its_way_is_not_begun_anew(
    host: Host, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "QUIET_S", 0.05)
    monkeypatch.setattr(inquiry, "SOON_S", 0.02)
    storage: Any = SQLStorage(f"sqlite:///{tmp_path / 'a.db'}") if kept == "sqlite" else None
    calls = Calls()
    async with flows.on(host, asking(calls), storage=storage) as mastra:
        workflow, engine = mastra.get_workflow("w"), cast("Any", mastra.engine)
        run = await workflow.create_run()
        assert (await run.start({"value": 3})).status == "suspended"
        send = engine.client.send

        async def delete_first(event: Any) -> Any:
            await mastra.storage.workflows.delete_run("w", run.run_id)
            return await send(event)

        monkeypatch.setattr(engine.client, "send", delete_first)
        result = await run.resume({"add": 4})
        assert result.status == "canceled"
        assert await workflow.get_run(run.run_id) is None
    assert calls.names == ["a"]
