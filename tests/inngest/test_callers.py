"""Callers whose run never begins, or ends without a worker that tells: none of them hangs."""

from __future__ import annotations

import asyncio
import gc
import json
from pathlib import Path
from typing import Any

import pytest

from mastra import Mastra, RunError, SQLStorage, StepContext, create_step
from mastra.inngest import feed, inbox, inquiry
from mastra.inngest.wire.names import FUNCTION_RETRIES
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.inngest.test_server_side import until
from tests.support.inngest_env import Host
from tests.support.inngest_server import FakeInngest


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the server soon."""
    monkeypatch.setattr(feed, "QUIET_S", 0.05)
    monkeypatch.setattr(inbox, "RETRY_S", 0.01)
    monkeypatch.setattr(inquiry, "UNBEGUN_S", 0.1)
    monkeypatch.setattr(inquiry, "SOON_S", 0.02)


async def ends(run: Any, data: Any = None) -> RunError:
    """Return what a start raises, which is not to take long."""
    async with asyncio.timeout(10):
        with pytest.raises(RunError) as caught:
            await run.start(data or {"value": 0})
    return caught.value


async def status_of(mastra: Mastra, run: Any) -> str | None:
    info = await mastra.get_workflow("w").get_run(run.run_id)
    return None if info is None else info.status


def apart(host: Host, workflow: Any) -> tuple[Mastra, Mastra]:
    """Return a caller and its worker, each with a storage of its own."""
    worker = flows.on(host, workflow)
    return Mastra(workflows={workflow.id: workflow}, engine=host.make_engine()), worker


class Broken:
    """An app that answers every request with an error."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = json.dumps({"code": "function_not_found", "message": "no such function"}).encode()
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": body})


async def test_a_function_that_no_app_serves(host: Host, fake: FakeInngest) -> None:
    async with flows.on(host, flows.chain(1)) as mastra:
        await host.sync()
        known, fake.functions = fake.functions, []
        run = await mastra.get_workflow("w").create_run()
        error = await ends(run)
        assert error.code == "INNGEST_RUN_NOT_BEGUN"
        assert "'workflow.w'" in error.message
        assert "No app that the server knows serves that function" in error.message
        with pytest.raises(RunError) as told:
            await run.result()
        assert told.value is error
        # Nothing has happened to the run, so it can be started once the app is there.
        assert await status_of(mastra, run) == "pending"
        fake.functions = known
        assert (await run.start({"value": 1})).unwrap().value == 2
        assert (await run.start({"value": 1})).unwrap().value == 2
        assert len(fake.runs) == 1


async def test_its_stream_ends_with_the_error_too(host: Host, fake: FakeInngest) -> None:
    async with flows.on(host, flows.chain(1)) as mastra:
        await host.sync()
        fake.functions = []
        run = await mastra.get_workflow("w").create_run()
        stream = run.stream({"value": 0})
        async with asyncio.timeout(10):
            with pytest.raises(RunError) as read:
                async for _ in stream:
                    pass
            with pytest.raises(RunError) as waited:
                await stream.result()
    assert read.value.code == waited.value.code == "INNGEST_RUN_NOT_BEGUN"


async def test_one_that_waits_later_is_told_as_well(host: Host, fake: FakeInngest) -> None:
    async with flows.on(host, flows.chain(1)) as mastra:
        await host.sync()
        fake.functions = []
        run = await mastra.get_workflow("w").create_run()
        await run.start_async({"value": 0})
        async with asyncio.timeout(10):
            with pytest.raises(RunError) as caught:
                await (await mastra.get_workflow("w").create_run(run.run_id)).result()
    assert caught.value.code == "INNGEST_RUN_NOT_BEGUN"


async def test_flow_control_that_may_have_dropped_the_event_is_named(
    host: Host, fake: FakeInngest
) -> None:
    from mastra.inngest import MastraInngest

    ing = MastraInngest(host.make_engine())
    workflow = ing.create_workflow(
        id="w", input_schema=Value, output_schema=Value, rate_limit={"limit": 1, "period": 60}
    )
    workflow.then(flows.plus_one("a")).commit()
    async with Mastra(workflows={"w": workflow}) as mastra:
        host.serve(mastra)
        await host.sync()
        fake.functions = []
        error = await ends(await mastra.get_workflow("w").create_run())
    assert "the workflow's rate_limit left the event out" in error.message


async def test_a_debounced_event_is_waited_for_longer(host: Host, fake: FakeInngest) -> None:
    from mastra.inngest import MastraInngest

    ing = MastraInngest(host.make_engine())
    workflow = ing.create_workflow(
        id="w", input_schema=Value, output_schema=Value, debounce={"period": 1}
    )
    workflow.then(flows.plus_one("a")).commit()
    async with Mastra(workflows={"w": workflow}) as mastra:
        host.serve(mastra)
        await host.sync()
        # The test says when the period is over.
        known = [{k: v for k, v in one.items() if k != "debounce"} for one in fake.functions]
        fake.functions = []
        run = await mastra.get_workflow("w").create_run()
        await run.start_async({"value": 0})
        waiting = asyncio.create_task(run.result())
        await until(lambda: fake.questions > 8)  # for longer than without a debounce
        assert not waiting.done()
        fake.functions = known
        fake.send({**fake.events[-1], "id": "when the period is over"})
        assert (await waiting).unwrap().value == 1


async def test_a_resume_that_went_nowhere_leaves_the_run_suspended(
    host: Host, fake: FakeInngest
) -> None:
    async with flows.on(host, flows.suspending()) as mastra:
        run = await mastra.get_workflow("w").create_run()
        assert (await run.start({"value": 0})).status == "suspended"
        fake.functions = []
        async with asyncio.timeout(10):
            with pytest.raises(RunError) as caught:
                await run.resume({"add": 1})
        assert caught.value.code == "INNGEST_RUN_NOT_BEGUN"
        assert await status_of(mastra, run) == "suspended"


@pytest.mark.every_engine
@pytest.mark.parametrize("storage", ["memory", "sqlite"])
@pytest.mark.parametrize("is_down", [True, False])
async def test_a_resume_that_went_nowhere_is_made_again(
    host: Host, fake: FakeInngest, tmp_path: Path, *, is_down: bool, storage: str
) -> None:
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    options = {"storage": SQLStorage(url)} if storage == "sqlite" else {}
    async with flows.on(host, flows.suspending(), **options) as mastra:
        run = await mastra.get_workflow("w").create_run()
        assert (await run.start({"value": 0})).status == "suspended"
        known = fake.functions
        if is_down:
            fake.go_down()
        else:
            fake.functions = []
        async with asyncio.timeout(10):
            with pytest.raises(RunError):
                await run.resume({"add": 1})
        fake.is_down, fake.functions = False, known
        again = await mastra.get_workflow("w").create_run(run.run_id)
        async with asyncio.timeout(10):
            assert (await again.resume({"add": 1})).unwrap().value == 2


async def test_a_way_back_that_went_nowhere_is_a_failed_run(host: Host, fake: FakeInngest) -> None:
    async with flows.on(host, flows.chain(2)) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start({"value": 0})
        fake.functions = []
        async with asyncio.timeout(10):
            with pytest.raises(RunError):
                await run.time_travel(step="s1")
        assert await status_of(mastra, run) == "failed"


async def test_a_function_that_fails_before_it_could_store_anything(
    host: Host, fake: FakeInngest
) -> None:
    async with flows.on(host, flows.chain(1)) as mastra:
        await host.sync()
        fake.app = Broken()
        run = await mastra.get_workflow("w").create_run()
        async with asyncio.timeout(10):
            result: Any = await run.start({"value": 0})
        (server_run,) = fake.runs.values()
        assert len(server_run.requests) == 1 + FUNCTION_RETRIES
        assert result.status == "failed"
        assert result.error.code == "INNGEST_GAVE_UP"
        assert "no such function" in result.error.message
        assert await status_of(mastra, run) == "failed"


async def test_its_stream_has_an_end(host: Host, fake: FakeInngest) -> None:
    async with flows.on(host, flows.chain(1)) as mastra:
        await host.sync()
        fake.app = Broken()
        run = await mastra.get_workflow("w").create_run()
        async with asyncio.timeout(10):
            events = [event async for event in run.stream({"value": 0})]
    assert [event.seq for event in events] == list(range(len(events)))
    assert events[-1].type == "workflow-finish"
    assert events[-1].payload is not None
    assert events[-1].payload.workflow_status == "failed"


async def test_a_run_that_is_cancelled_before_a_worker_saw_it(
    host: Host, fake: FakeInngest
) -> None:
    async def hold(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    async with flows.on(host, flows.chain(1)) as mastra:
        await host.sync()
        fake.app = hold
        run = await mastra.get_workflow("w").create_run()
        await run.start_async({"value": 0})
        await until(lambda: bool(fake.runs))
        fake.cancel(next(iter(fake.runs.values())))
        async with asyncio.timeout(10):
            assert (await run.result()).status == "canceled"


@pytest.mark.parametrize("build", [lambda: flows.chain(2), flows.suspending])
async def test_an_end_that_was_not_heard_is_told_again(
    host: Host, fake: FakeInngest, build: Any
) -> None:
    caller, worker = apart(host, build())
    async with caller, worker:
        run = await caller.get_workflow("w").create_run()
        fake.lose_messages = True
        waiting = asyncio.create_task(run.start({"value": 0}))
        await until(lambda: any(r.status == "Completed" for r in fake.runs.values()))
        fake.lose_messages = False
        async with asyncio.timeout(10):
            result = await waiting
        if result.status == "suspended":
            result = await run.resume({"add": 1})
        assert result.unwrap().value == 2
        seqs = [event.seq async for event in run.observe_stream()]
        assert seqs == list(range(len(seqs)))


async def test_an_end_that_nobody_can_tell_is_an_error(
    host: Host, fake: FakeInngest, tmp_path: Path
) -> None:
    workflow = flows.chain(1)
    here, there = (SQLStorage(f"sqlite:///{tmp_path / name}.db") for name in ("a", "b"))
    caller = Mastra(workflows={"w": workflow}, engine=host.make_engine(), storage=here)
    worker = flows.on(host, workflow, storage=there)
    async with caller, worker:
        error = await ends(await caller.get_workflow("w").create_run())
    assert error.code == "INNGEST_RESULT_NOT_STORED"
    assert "the same storage" in error.message


async def test_a_server_that_goes_away_for_long(
    host: Host, fake: FakeInngest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inquiry, "LOST_S", 0.1)
    gate = asyncio.Event()

    async def hold(ctx: StepContext[Value]) -> Value:
        await gate.wait()
        return ctx.input_data

    async with flows.on(host, flows.begin().then(create_step(execute=hold)).commit()) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start_async({"value": 0})
        await until(lambda: any(r.requests for r in fake.runs.values()))
        fake.go_down()
        async with asyncio.timeout(10):
            with pytest.raises(RunError) as caught:
                await run.result()
        assert caught.value.code == "INNGEST_NOT_REACHED"
        assert "http://inngest.test" in caught.value.message
        # Only the wait has ended: whoever asks when the server is back gets the result.
        assert await status_of(mastra, run) == "running"
        fake.is_down = False
        gate.set()
        again = await mastra.get_workflow("w").create_run(run.run_id)
        assert (await again.result()).status == "success"
        assert (await run.start({"value": 0})).status == "success"


async def test_a_key_that_is_refused_is_not_a_server_that_is_down(
    host: Host, fake: FakeInngest
) -> None:
    fake.event_key = "another"
    async with flows.on(host, flows.chain(1)) as mastra:
        run = await mastra.get_workflow("w").create_run()
        error = await ends(run)
        assert error.code == "INNGEST_EVENT_REFUSED"
        assert "Event key not found" in error.message
        assert "INNGEST_EVENT_KEY" in error.message
        assert await status_of(mastra, run) == "pending"


async def test_a_run_that_is_over_leaves_nothing_behind(host: Host) -> None:
    async with flows.on(host, flows.chain(1)) as mastra:
        run: Any = None
        for _ in range(3):
            run = await mastra.get_workflow("w").create_run()
            await run.start({"value": 0})
        del run
        engine: Any = mastra.engine
        await until(lambda: not engine._feeds)
        assert not engine._sent


async def test_a_run_that_its_caller_let_go_is_known_all_the_same(
    host: Host, fake: FakeInngest
) -> None:
    caller, worker = apart(host, flows.chain(3))
    async with caller, worker:
        run = await caller.get_workflow("w").create_run()
        run_id = await run.start_async({"value": 0})
        del run
        gc.collect()
        await until(lambda: all(one.status != "Running" for one in fake.runs.values()))
        again = await caller.get_workflow("w").create_run(run_id)
        assert (await again.result()).unwrap().value == 3
