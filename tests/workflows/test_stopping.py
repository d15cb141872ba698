"""Steps that stop their run in the middle of a block, a retry or a clause that catches all."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from mastra import Mastra, RunStateError, StepContext, create_step, create_workflow
from tests.support.engines import Calls
from tests.support.waiting import plus


@pytest.fixture
def calls() -> Calls:
    return Calls()


def flow(id: str = "w", output: Any = Any) -> Any:
    return create_workflow(id=id, input_schema=int, output_schema=output)


def aborting(calls: Calls) -> Any:
    async def execute(ctx: StepContext[int]) -> int:
        calls.add("abort")
        ctx.abort()
        return ctx.input_data

    return create_step(id="abort", execute=execute)


async def ended(workflow: Any) -> Any:
    async with Mastra(workflows=[workflow.commit()]) as mastra:
        return await (await mastra.get_workflow("w").create_run("r")).start(1)


async def test_an_abort_in_an_arm_begins_no_sleep_and_no_step_of_the_others(calls: Calls) -> None:
    sleeps = flow("sleeps", int).sleep(3600).then(plus(calls, "a")).commit()
    works = flow("works", int).then(plus(calls, "b")).commit()

    async def last(ctx: StepContext[Any]) -> str:
        calls.add("c")
        return "end"

    workflow = (
        flow().parallel([aborting(calls), sleeps, works]).then(create_step(id="c", execute=last))
    )
    result = await ended(workflow)
    assert result.status == "canceled"
    assert calls.names == ["abort"]
    assert result.steps["abort"].output == 1
    assert {result.steps[name].status for name in ("sleeps", "works")} == {"canceled"}


async def test_a_step_that_aborts_and_fails_is_not_tried_again(calls: Calls) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        calls.add("s")
        ctx.abort()
        raise ValueError("no more")

    result = await ended(flow().then(create_step(id="s", execute=execute, retries=3)))
    assert (result.status, result.steps["s"].status) == ("canceled", "failed")
    assert "no more" in str(result.steps["s"].error)
    assert calls.names == ["s"]


async def test_a_step_that_catches_its_own_bail_has_bailed_all_the_same(
    calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        try:
            ctx.bail({"enough": ctx.input_data})
        except BaseException:  # noqa: BLE001 - what it must not do
            return 5

    result = await ended(flow().then(create_step(id="s", execute=execute)).then(plus(calls, "a")))
    assert result.unwrap() == {"enough": 1}
    assert "Step 's' caught what `bail` raises" in caplog.text
    assert calls.names == []


async def test_a_foreach_in_which_an_item_aborts_is_cancelled_and_gives_nothing(
    calls: Calls,
) -> None:
    item = flow("item", int).then(aborting(calls)).then(plus(calls, "a")).commit()
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=Any)
    workflow.foreach(item, concurrency=2)
    async with Mastra(workflows=[workflow.commit()]) as mastra:
        result = await (await mastra.get_workflow("w").create_run("r")).start([1, 2])
    assert (result.status, result.steps["item"].status) == ("canceled", "canceled")
    assert result.steps["item"].output is None
    assert "a" not in calls.names


async def test_an_arm_whose_task_its_step_cancels_fails_the_run(calls: Calls) -> None:
    """The block went on without it, as if it had given nothing."""

    async def cancels(ctx: StepContext[int]) -> int:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return 1

    def three(ctx: StepContext[int]) -> list[int]:
        return [ctx.input_data] * 3

    arm = create_step(id="arm", execute=cancels)
    inner = flow("inner").parallel([arm, plus(calls, "b")]).commit()
    for workflow in (
        flow().parallel([arm, plus(calls, "a")]),
        flow().parallel([inner, plus(calls, "a")]),
        flow().map(three).foreach(arm, concurrency=3),
    ):
        result = await ended(workflow)
        assert result.status == "failed"
        assert result.error.code == "STEP_CANCELED"
        assert "nobody had cancelled the run" in str(result.error)


async def test_a_run_whose_task_a_program_that_ends_has_cancelled_is_left_as_it_is() -> None:
    """It is no failure of the step's: the run is restarted."""
    begun = asyncio.Event()

    async def waits(ctx: StepContext[int]) -> int:
        begun.set()
        await asyncio.Event().wait()
        return 1

    workflow = flow().then(create_step(id="s", execute=waits)).commit()
    async with Mastra(workflows=[workflow]) as mastra:
        run = await mastra.get_workflow("w").create_run("r")
        started = asyncio.ensure_future(run.start(1))
        await begun.wait()
        (leg,) = [task for task in asyncio.all_tasks() if task.get_name() == "mastra run r"]
        leg.cancel()
        with pytest.raises(RunStateError):
            await started
        found = await mastra.get_workflow("w").get_run("r")
        assert found is not None
        assert found.status == "running"


async def test_a_step_that_cancels_all_tasks_of_a_program_fails_its_run() -> None:
    async def cancels(ctx: StepContext[int]) -> int:
        for task in asyncio.all_tasks():
            if task.get_name().startswith("mastra run"):
                task.cancel()
        await asyncio.sleep(0)
        return 1

    waiting = flow("other").then(create_step(id="s", execute=hangs)).commit()
    workflow = flow().then(create_step(id="s", execute=cancels)).commit()
    async with Mastra(workflows=[workflow, waiting]) as mastra:
        other = await mastra.get_workflow("other").create_run("o")
        beside = asyncio.ensure_future(other.start(1))
        await asyncio.sleep(0)
        results = [await (await mastra.get_workflow("w").create_run("r")).start(1), await beside]
    assert [result.status for result in results] == ["failed", "failed"]


async def hangs(ctx: StepContext[int]) -> int:
    await asyncio.Event().wait()
    return 1


async def test_a_step_that_is_timed_out_or_has_a_request_left_over_goes_on() -> None:
    async def execute(ctx: StepContext[int]) -> int:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.sleep(60)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return 1

    result = await ended(flow().then(create_step(id="s", execute=execute)))
    assert result.unwrap() == 1
