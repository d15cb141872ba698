"""Whose turn of the event loop a run takes that its caller waits for."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest

from mastra import StepContext, Workflow, create_step, create_workflow

mark: ContextVar[str] = ContextVar("mark", default="the caller's")


def of_step(execute: Any) -> Workflow:
    step = create_step(id="step", execute=execute, output_schema=Any)
    flow = create_workflow(id="turns", input_schema=Any, output_schema=Any)
    return flow.then(step).commit()


@pytest.fixture(autouse=True)
def has_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every run begin in its caller's turn, however slow the machine is."""
    monkeypatch.setattr("mastra.workflows.engines.prompt_task.MOST_AT_A_TURN_S", float("inf"))


async def test_a_run_is_a_task_of_its_own() -> None:
    seen: list[Any] = []

    async def look(ctx: StepContext) -> None:
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())

    run = await of_step(look).create_run()
    (await run.start()).unwrap()
    first, second = seen
    assert first is second is not asyncio.current_task()
    assert first.get_name() == f"mastra run {run.run_id}"
    assert asyncio.current_task() in asyncio.all_tasks()


async def test_what_a_step_does_to_its_context_stays_in_the_run() -> None:
    async def change(ctx: StepContext) -> str:
        before = mark.get()
        mark.set("the step's")
        return before

    run = await of_step(change).create_run()
    assert (await run.start()).unwrap() == "the caller's"
    assert mark.get() == "the caller's"


async def test_a_time_limit_inside_a_step_ends_what_the_step_does_and_not_its_caller() -> None:
    async def limited(ctx: StepContext) -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return "too late"
        return "never"

    run = await of_step(limited).create_run()
    assert (await run.start()).unwrap() == "too late"


async def test_a_caller_that_is_cancelled_in_a_run_that_waits_leaves_it_alone() -> None:
    go_on = asyncio.Event()

    async def wait(ctx: StepContext) -> str:
        await go_on.wait()
        return "to the end"

    run = await of_step(wait).create_run()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await run.start()
    go_on.set()
    assert (await run.result()).unwrap() == "to the end"


async def test_a_step_that_cancels_its_own_run_cancels_it() -> None:
    runs: list[Any] = []

    async def cancel(ctx: StepContext) -> str:
        await runs[0].cancel()
        return "not told"

    runs.append(await of_step(cancel).create_run())
    assert (await runs[0].start()).status == "canceled"
    assert await runs[0].status() == "canceled"


async def test_runs_inside_of_runs_go_as_deep_as_they_like() -> None:
    async def deeper(left: int) -> int:
        if not left:
            return 0
        run = await flow.create_run()
        return 1 + (await run.start(input_data=left - 1)).unwrap()

    step = create_step(id="deeper", execute=deeper, input_schema=int, output_schema=int)
    flow = create_workflow(id="deep", input_schema=int, output_schema=int).then(step).commit()
    run = await flow.create_run()
    assert (await run.start(input_data=200)).unwrap() == 200


async def test_runs_one_after_the_other_leave_others_their_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()

    async def nothing(ctx: StepContext) -> None:
        return None

    flow, turns = of_step(nothing), 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        counting = group.create_task(count())
        while turns < 3:  # which would have no end if nobody else had a turn
            (await (await flow.create_run()).start()).unwrap()
        counting.cancel()


async def test_a_watcher_sees_every_event_of_a_run_that_has_ended_at_once() -> None:
    async def nothing(ctx: StepContext) -> None:
        return None

    seen: list[str] = []
    run = await of_step(nothing).create_run()
    run.watch(lambda event: seen.append(event.type))
    (await run.start()).unwrap()
    async with asyncio.timeout(10):
        while "workflow-finish" not in seen:
            await asyncio.sleep(0)
    assert seen[0] == "workflow-start"
    assert "workflow-step-result" in seen
