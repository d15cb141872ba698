"""Runs of one database that another application drives, cancels, deletes or takes over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mastra import (
    Mastra,
    RunClaimedError,
    RunNotFoundError,
    RunStateError,
    SQLStorage,
    StepContext,
    StorageError,
    create_step,
    create_workflow,
)
from mastra.storage.base import RunChanges
from mastra.storage.damage import unreadable
from mastra.storage.drivers import DRIVER_ID_LENGTH
from mastra.workflows.engines import inprocess
from tests.support.engines import Calls
from tests.support.storage import head
from tests.support.waiting import Gate, asking, blocking, plus

ELSEWHERE = "e" * DRIVER_ID_LENGTH


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have runs looked after often, under a lease that no slow machine lets lapse."""
    monkeypatch.setattr(inprocess, "LOOKS_IN_A_LEASE", 3000)


Application = Callable[..., Mastra]


@pytest.fixture
def application(tmp_path: Path) -> Application:
    """What makes an application on one database, as another process would."""

    def make(*steps: Any, **options: Any) -> Mastra:
        workflow: Any = create_workflow(id="w", input_schema=int, output_schema=int, **options)
        for step in steps:
            workflow.then(step)
        storage = SQLStorage(f"sqlite:///{tmp_path}/runs.db", lease_s=60)
        return Mastra(workflows=[workflow.commit()], storage=storage)

    return make


async def run_of(mastra: Mastra, run_id: str = "r") -> Any:
    return await mastra.get_workflow("w").create_run(run_id)


async def begun(mastra: Mastra, run_id: str = "r") -> asyncio.Task[Any]:
    return asyncio.ensure_future((await run_of(mastra, run_id)).start(1))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.001)


async def test_a_restart_in_vain_leaves_the_place_of_the_run_that_is_under_way(
    application: Application, calls: Calls, gate: Gate
) -> None:
    step = blocking(calls, "hold", gate)
    async with application(step, concurrency=1) as here, application(step, concurrency=1) as there:
        first = await begun(here)
        await gate.reached.wait()
        with pytest.raises(RunClaimedError):
            await (await run_of(there)).restart()
        flow = here.storage.workflows.flow
        assert [one.run_id for one in (await flow.read("w")).tickets] == ["r"]
        second = await begun(there, "s")
        async with asyncio.timeout(30):
            while not await flow.waiting("w", now=1 << 60, without=(), limit=9):
                await asyncio.sleep(0.001)
        assert calls.names == ["hold"]
        gate.opened.set()
        assert [(await first).unwrap(), (await second).unwrap()] == [2, 2]


async def test_a_run_that_was_cancelled_elsewhere_has_ended_as_that(
    application: Application, calls: Calls, gate: Gate
) -> None:
    steps = [blocking(calls, "hold", gate), asking(calls, "ask")]
    for run_id, those in (("ends", steps[:1]), ("suspends", steps)):
        gate.opened.clear()
        gate.reached.clear()
        async with application(*those) as here, application(*those) as there:
            first = await begun(here, run_id)
            await gate.reached.wait()
            await (await run_of(there, run_id)).cancel()
            gate.opened.set()
            assert (await first).status == "canceled"
            head = await here.storage.workflows.get_run("w", run_id)
            assert head is not None
            assert (head.status, head.owner) == ("canceled", None)
            assert (await (await run_of(there, run_id)).result()).status == "canceled"


@pytest.mark.usefixtures("soon")
async def test_the_only_one_of_its_kind_is_cancelled_where_it_is_driven(
    application: Application, calls: Calls, gate: Gate
) -> None:
    steps = [blocking(calls, "hold", gate)]
    here, there = (application(*steps, singleton="cancel") for _ in range(2))
    async with here, there:
        first = await begun(here, "first")
        await gate.reached.wait()
        second = await begun(there, "second")
        assert (await first).status == "canceled"
        gate.opened.set()
        assert (await second).unwrap() == 2
        assert calls["hold"] == 2
        assert calls["hold:done"] == 1


@pytest.mark.usefixtures("soon")
async def test_a_step_that_will_not_be_cut_off_says_once_that_its_run_was_lost(
    application: Application, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        try:
            await gate.pass_through()
        except asyncio.CancelledError:
            return ctx.input_data
        return 7

    step = create_step(id="stubborn", execute=execute)
    async with application(step) as here:
        run = await run_of(here)
        first = asyncio.ensure_future(run.start(1))
        await gate.reached.wait()
        store = here.storage.workflows
        await store.update_run("w", "r", RunChanges(owner=f"{ELSEWHERE}:1"))
        with pytest.raises(RunClaimedError):
            await first
        told = [one for one in caplog.records if "is no longer driven here" in one.getMessage()]
        assert [one.levelno for one in told] == [logging.ERROR]
        head = await store.get_run("w", "r")
        assert head is not None
        assert (head.status, head.owner) == ("running", f"{ELSEWHERE}:1")
        assert await store.load_rows("w", "r") == []


@pytest.mark.usefixtures("soon")
async def test_who_waits_for_a_run_that_was_taken_over_is_told(
    application: Application, calls: Calls, gate: Gate
) -> None:
    async with application(blocking(calls, "hold", gate)) as here:
        first = await begun(here)
        await gate.reached.wait()
        await here.storage.workflows.update_run("w", "r", RunChanges(owner=f"{ELSEWHERE}:1"))
        with pytest.raises(RunClaimedError, match="was taken over by another process"):
            await first


@pytest.mark.usefixtures("soon")
async def test_a_run_that_is_deleted_elsewhere_is_stopped_where_it_is_driven(
    application: Application, calls: Calls, gate: Gate
) -> None:
    steps = [blocking(calls, "hold", gate), plus(calls, "after")]
    async with application(*steps) as here, application(*steps) as there:
        first = await begun(here)
        await gate.reached.wait()
        assert await there.get_workflow("w").delete_run("r")
        assert (await first).status == "canceled"
        assert calls.names == ["hold"]
        assert await here.storage.workflows.get_run("w", "r") is None


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("waits", [True, False])
async def test_a_run_that_vanishes_from_the_storage_has_come_to_nothing(
    application: Application, calls: Calls, gate: Gate, shared: bool, waits: bool
) -> None:
    steps = [blocking(calls, "hold", gate), *([asking(calls, "ask")] if waits else [])]
    mastra = application(*steps)
    if not shared:
        workflow: Any = create_workflow(id="w", input_schema=int, output_schema=int)
        for step in steps:
            workflow.then(step)
        mastra = Mastra(workflows=[workflow.commit()])
    async with mastra:
        first = await begun(mastra)
        await gate.reached.wait()
        assert await mastra.storage.workflows.delete_run("w", "r")
        gate.opened.set()
        assert (await first).status == "canceled"
        assert await mastra.get_workflow("w").get_run("r") is None


async def test_who_looks_at_a_run_that_is_deleted_sees_its_end(
    application: Application, calls: Calls, gate: Gate
) -> None:
    steps = [plus(calls, "a"), blocking(calls, "hold", gate)]
    async with application(*steps) as here, application(*steps) as there:
        first = await begun(here)
        await gate.reached.wait()
        run = await run_of(there)
        result = asyncio.ensure_future(run.result())
        seen: list[str] = []

        async def look() -> None:
            async for event in run.observe_stream():
                seen.append(event.type)  # noqa: PERF401 - looked at meanwhile

        looking = asyncio.ensure_future(look())
        await until(lambda: "workflow-step-result" in seen)
        assert await here.storage.workflows.delete_run("w", "r")
        with pytest.raises(RunNotFoundError, match="has no run 'r'"):
            await result
        await looking
        assert "workflow-finish" not in seen
        with pytest.raises(RunNotFoundError, match="has no run 'r'"):
            [event async for event in run.observe_stream()]
        gate.opened.set()
        assert (await first).status == "canceled"
        assert await there.storage.workflows.get_run("w", "r") is None


@pytest.mark.parametrize("shared", [True, False])
def test_a_run_that_was_stopped_as_it_began_can_be_restarted(
    application: Application, calls: Calls, shared: bool
) -> None:
    mastra = application(plus(calls, "a"))
    if not shared:
        workflow: Any = create_workflow(id="w", input_schema=int, output_schema=int)
        mastra = Mastra(workflows=[workflow.then(plus(calls, "a")).commit()])

    async def begin() -> None:
        await (await run_of(mastra)).start_async(1)
        (task,) = (one for one in asyncio.all_tasks() if one.get_name() == "mastra run r")
        task.cancel()

    async def go_on() -> Any:
        async with mastra:
            return (await (await run_of(mastra)).restart()).unwrap()

    asyncio.run(begin())
    assert calls.names == []
    assert asyncio.run(go_on()) == 2


async def test_a_run_is_cancelled_from_another_event_loop(calls: Calls, gate: Gate) -> None:
    workflow: Any = create_workflow(id="w", input_schema=int, output_schema=int)
    workflow.then(blocking(calls, "hold", gate)).commit()
    async with Mastra(workflows=[workflow]) as mastra:
        run = await run_of(mastra)
        first = asyncio.ensure_future(run.start(1))
        await gate.reached.wait()
        await asyncio.to_thread(lambda: asyncio.run(run.cancel()))
        assert (await first).status == "canceled"
        assert calls.names == ["hold"]


async def test_an_application_is_closed_from_another_event_loop(calls: Calls, gate: Gate) -> None:
    workflow: Any = create_workflow(id="w", input_schema=int, output_schema=int)
    workflow.then(blocking(calls, "hold", gate)).commit()
    mastra = Mastra(workflows=[workflow])
    first = await begun(mastra)
    await gate.reached.wait()
    await asyncio.to_thread(lambda: asyncio.run(mastra.engine.aclose()))
    with pytest.raises(RunStateError, match="its engine was closed"):
        await first
    assert calls.names == ["hold"]


async def test_draining_says_how_many_runs_did_not_end(calls: Calls, gate: Gate) -> None:
    workflow: Any = create_workflow(id="w", input_schema=int, output_schema=int)
    workflow.then(blocking(calls, "hold", gate)).commit()
    async with Mastra(workflows=[workflow]) as mastra:
        runs = [await begun(mastra, run_id) for run_id in "ab"]
        await until(lambda: calls["hold"] == 2)
        assert await mastra.engine.drain(0) == 2
        gate.opened.set()
        assert [(await run).unwrap() for run in runs] == [2, 2]
        assert await mastra.engine.drain(30) == 0


class RefusedError(StorageError):
    is_lasting = True


async def test_a_run_that_the_storage_refuses_counts_as_one_whose_driver_died(
    application: Application, calls: Calls
) -> None:
    async with application(plus(calls, "a")) as mastra:
        store: Any = mastra.storage.workflows
        append = store.append

        def refuse(*_: Any, **__: Any) -> Any:
            raise RefusedError("The row is too long.")

        store.append = refuse
        with pytest.raises(RefusedError, match="too long"):
            await (await run_of(mastra)).start(1)
        assert (await store.get_run("w", "r")).owner == "stopped"
        store.append = append
        assert (await (await run_of(mastra)).restart()).unwrap() == 2
        assert calls.names == ["a", "a"]


@pytest.mark.parametrize("name", ["append", "update_run"])
async def test_what_the_storage_refuses_at_any_time_is_asked_once(
    application: Application, calls: Calls, name: str
) -> None:
    async with application(plus(calls, "a")) as mastra:
        store: Any = mastra.storage.workflows
        run = await run_of(mastra)
        real, asked = getattr(store, name), list[str]()

        async def refuse(*given: Any, **options: Any) -> Any:
            if name == "update_run" and not calls.names:
                return await real(*given, **options)  # the start
            asked.append(name)
            raise RefusedError("The row is too long.")

        setattr(store, name, refuse)
        with pytest.raises(RefusedError, match="too long"):
            await run.start(1)
        # The last is the try to say who may go on.
        assert asked == (["append"] if name == "append" else ["update_run"] * 2)


async def test_an_append_that_fails_at_once_is_made_again(
    application: Application, calls: Calls
) -> None:
    async with application(plus(calls, "a"), plus(calls, "b")) as mastra:
        store: Any = mastra.storage.workflows
        append, failures = store.append, [StorageError("The connection was lost.")]

        def fail(*given: Any, **options: Any) -> Any:
            if failures:
                raise failures.pop()
            return append(*given, **options)

        store.append = fail
        assert (await (await run_of(mastra)).start(1)).unwrap() == 3
        rows = await store.load_rows("w", "r")
        assert [row.key for row in rows if row.key] == ["a", "b"]
        assert calls.names == ["a", "b"]


@pytest.mark.usefixtures("soon")
async def test_a_run_that_cannot_be_taken_up_now_is_taken_up_later(
    application: Application, calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    async with application(plus(calls, "a")) as mastra:
        store: Any = mastra.storage.workflows
        claim, failures = store.claim, [StorageError("The connection was lost.")] * 2

        async def fail(*given: Any, **options: Any) -> Any:
            if failures:
                raise failures.pop()
            return await claim(*given, **options)

        store.claim = fail
        await store.create_run(head("r", status="running", input=1))
        assert (await (await run_of(mastra)).result()).unwrap() == 2
    assert caplog.text.count("A run that nobody drives could not be taken up") == 2


@pytest.mark.usefixtures("soon")
async def test_a_run_that_cannot_be_read_is_tried_once_and_keeps_up_no_other(
    application: Application, calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    async with application(plus(calls, "a")) as mastra:
        store: Any = mastra.storage.workflows
        load_rows, looks = store.load_rows, list[str]()

        async def damaged(workflow_id: str, run_id: str, *more: Any) -> Any:
            looks.append(run_id)
            if run_id == "bad":
                raise unreadable("Row 3 of run 'bad'")
            return await load_rows(workflow_id, run_id, *more)

        store.load_rows = damaged
        await store.create_run(head("bad", status="running", input=1))
        for run_id in ("first", "second"):
            await store.create_run(head(run_id, status="running", input=1))
            assert (await (await run_of(mastra, run_id)).result()).unwrap() == 2
        assert looks.count("bad") == 1
    assert caplog.text.count("A run that nobody drives could not be taken up") == 1


async def test_a_restart_that_fails_after_its_claim_gives_its_place_back(
    application: Application, calls: Calls
) -> None:
    async with application(plus(calls, "a"), concurrency=1) as mastra:
        store: Any = mastra.storage.workflows
        await store.create_run(head("r", status="running", input=1))
        run, load_rows, claim = await run_of(mastra), store.load_rows, store.claim

        async def fail(*_: Any, **__: Any) -> Any:
            raise StorageError("The connection was lost.")

        async def claimed(*given: Any, **options: Any) -> bool:
            is_claimed = await claim(*given, **options)
            store.load_rows = fail
            return bool(is_claimed)

        store.claim = claimed
        with pytest.raises(StorageError, match="connection was lost"):
            await run.restart()
        store.load_rows, store.claim = load_rows, claim
        assert await store.flow.waiting("w", now=1 << 60, without=(), limit=9) == []
        assert (await (await begun(mastra, "s"))).unwrap() == 2
        assert (await run.restart()).unwrap() == 2


async def test_a_run_that_ended_just_before_it_was_claimed_is_not_restarted(
    application: Application, calls: Calls
) -> None:
    async with application(plus(calls, "a")) as mastra:
        store: Any = mastra.storage.workflows
        await store.create_run(head("r", status="running", input=1))
        run, claim = await run_of(mastra), store.claim

        async def claimed(*given: Any, **options: Any) -> bool:
            is_claimed = await claim(*given, **options)
            await store.update_run("w", "r", RunChanges(status="suspended"))
            return bool(is_claimed)

        store.claim = claimed
        with pytest.raises(RunStateError, match="is suspended: somebody else went on with it"):
            await run.restart()
        assert calls.names == []
