"""A step suspends: what the run's result says, and what waits."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from mastra import (
    StepContext,
    WorkflowFailed,
    WorkflowFailedError,
    WorkflowSuccess,
    WorkflowSuspended,
    create_step,
    create_workflow,
)
from tests.support.engines import Calls, Env
from tests.support.waiting import asking, plus


class Question(BaseModel):
    text: str
    urgency: int = 1


def flow(*, id: str = "w") -> Any:
    return create_workflow(id=id, input_schema=int, output_schema=int)


async def test_a_suspended_run_names_the_step_and_its_payload(env: Env, calls: Calls) -> None:
    workflow = flow().then(plus(calls, "a")).then(asking(calls, "ask")).commit()
    result = await env.start(workflow, 1)
    assert isinstance(result, WorkflowSuspended)
    assert result.suspended == [["ask"]]
    assert result.suspend_payload == {"ask": {"value": 2, "asked": 0}}


async def test_steps_after_the_suspended_one_do_not_run(env: Env, calls: Calls) -> None:
    workflow = flow().then(asking(calls, "ask")).then(plus(calls, "after")).commit()
    result = await env.start(workflow, 1)
    assert calls.names == ["ask"]
    assert "after" not in result.steps


async def test_the_suspended_step_has_its_times_and_payload(env: Env, calls: Calls) -> None:
    result = await env.start(flow().then(asking(calls, "ask")).commit(), 1)
    waiting = result.steps["ask"]
    assert waiting.status == "suspended"
    assert waiting.payload == 1
    assert waiting.suspend_payload == {"value": 1, "asked": 0}
    assert waiting.started_at is not None
    assert waiting.suspended_at is not None
    assert waiting.output is None


async def test_nothing_after_suspend_is_executed(env: Env, calls: Calls) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        await ctx.suspend({})
        calls.add("beyond")
        return 0

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    await env.start(flow().then(step).commit(), 1)
    assert calls["beyond"] == 0


async def test_except_exception_in_a_step_does_not_catch_suspend(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        try:
            await ctx.suspend({"why": "waiting"})
        except Exception:  # noqa: BLE001 - what the case is about
            return -1

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    result = await env.start(flow().then(step).commit(), 1)
    assert result.status == "suspended"


async def test_suspend_without_a_payload_still_waits(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        if ctx.resume_data is None:
            await ctx.suspend()
        return 5

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    run = await env.workflow(flow().then(step).commit()).create_run()
    assert (await run.start(1)).status == "suspended"
    assert (await run.resume({"go": True})).unwrap() == 5


async def test_suspending_inside_a_task_group_of_the_step_suspends_it(env: Env) -> None:
    import asyncio

    async def execute(ctx: StepContext[int]) -> int:
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.suspend({"from": "task"}))
        return 0

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    result = await env.start(flow().then(step).commit(), 1)
    assert isinstance(result, WorkflowSuspended)
    assert result.suspend_payload == {"s": {"from": "task"}}


async def test_a_suspend_payload_meets_the_suspend_schema(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        await ctx.suspend({"text": "really?"})

    step = create_step(
        id="s", input_schema=int, output_schema=int, execute=execute, suspend_schema=Question
    )
    result = await env.start(flow().then(step).commit(), 1)
    assert isinstance(result, WorkflowSuspended)
    assert result.suspend_payload == {"s": {"text": "really?", "urgency": 1}}


async def test_a_suspend_payload_may_be_a_value_of_the_suspend_schema(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        await ctx.suspend(Question(text="really?", urgency=2))

    step = create_step(
        id="s", input_schema=int, output_schema=int, execute=execute, suspend_schema=Question
    )
    result = await env.start(flow().then(step).commit(), 1)
    assert isinstance(result, WorkflowSuspended)
    assert result.suspend_payload == {"s": {"text": "really?", "urgency": 2}}


async def test_a_suspend_payload_that_misses_its_schema_fails_the_step(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        await ctx.suspend({"urgency": 3})

    step = create_step(
        id="s", input_schema=int, output_schema=int, execute=execute, suspend_schema=Question
    )
    result = await env.start(flow().then(step).commit(), 1)
    assert isinstance(result, WorkflowFailed)
    assert result.error.code == "WORKFLOW_STEP_SUSPEND_PAYLOAD_VALIDATION_FAILED"
    assert "'s'" in result.error.message
    assert "text" in result.error.message


async def test_suspend_data_is_a_value_of_the_suspend_schema(env: Env) -> None:
    seen: list[Any] = []

    async def execute(ctx: StepContext[int]) -> int:
        seen.append(ctx.suspend_data)
        if ctx.resume_data is None:
            await ctx.suspend(Question(text="really?"))
        return 1

    step = create_step(
        id="s", input_schema=int, output_schema=int, execute=execute, suspend_schema=Question
    )
    run = await env.workflow(flow().then(step).commit()).create_run()
    await run.start(1)
    await run.resume({"yes": True})
    assert seen == [None, Question(text="really?")]


async def test_resume_data_is_none_before_a_resume(env: Env) -> None:
    seen: list[Any] = []

    async def execute(ctx: StepContext[int]) -> int:
        seen.append(ctx.resume_data)
        if ctx.resume_data is None:
            await ctx.suspend({})
        return 1

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    run = await env.workflow(flow().then(step).commit()).create_run()
    await run.start(1)
    await run.resume({"n": 3})
    assert seen == [None, {"n": 3}]


async def test_unwrap_of_a_suspended_run_names_the_steps(env: Env, calls: Calls) -> None:
    result = await env.start(flow().then(asking(calls, "ask")).commit(), 1)
    with pytest.raises(WorkflowFailedError, match="suspended at 'ask'"):
        result.unwrap()


async def test_a_run_goes_on_after_resume(env: Env, calls: Calls) -> None:
    workflow = flow().then(plus(calls, "a")).then(asking(calls, "ask")).then(plus(calls, "b"))
    run = await env.workflow(workflow.commit()).create_run()
    await run.start(1)
    result = await run.resume({"add": 10})
    assert isinstance(result, WorkflowSuccess)
    assert result.result == 13
    assert calls.names == ["a", "ask", "ask", "ask:done", "b"]


async def test_a_resumed_step_keeps_both_payloads(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(asking(calls, "ask")).commit()).create_run()
    await run.start(1)
    step = (await run.resume({"add": 10})).steps["ask"]
    assert step.status == "success"
    assert step.resume_payload == {"add": 10}
    assert step.resumed_at is not None
    assert step.output == 11


async def test_a_step_may_suspend_again_after_resume(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(asking(calls, "ask", times=2)).commit()).create_run()
    await run.start(1)
    second = await run.resume({"add": 10})
    assert isinstance(second, WorkflowSuspended)
    assert second.suspend_payload == {"ask": {"value": 1, "asked": 1}}
    assert (await run.resume({"add": 20})).unwrap() == 21


async def test_two_steps_may_suspend_one_after_the_other(env: Env, calls: Calls) -> None:
    workflow = flow().then(asking(calls, "one")).then(asking(calls, "two")).commit()
    run = await env.workflow(workflow).create_run()
    await run.start(1)
    second = await run.resume({"add": 1})
    assert isinstance(second, WorkflowSuspended)
    assert second.suspended == [["two"]]
    assert (await run.resume({"add": 2})).unwrap() == 4
    assert calls["one"] == 2


async def test_a_step_can_bail_after_resume(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        if ctx.resume_data is None:
            await ctx.suspend({})
        return ctx.bail(99)

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    run = await env.workflow(flow().then(step).commit()).create_run()
    await run.start(1)
    assert (await run.resume({"stop": True})).unwrap() == 99


async def test_a_step_that_raises_after_resume_fails_the_run(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        if ctx.resume_data is None:
            await ctx.suspend({})
        raise ValueError("no good")

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    run = await env.workflow(flow().then(step).commit()).create_run()
    await run.start(1)
    result = await run.resume({"go": True})
    assert isinstance(result, WorkflowFailed)
    assert result.error.message == "no good"


async def test_the_wire_of_a_suspended_result_is_mastras(env: Env, calls: Calls) -> None:
    workflow = flow().then(plus(calls, "a")).then(asking(calls, "ask")).commit()
    wire = (await env.start(workflow, 1)).to_wire()
    waiting = wire["steps"]["ask"]
    assert wire["status"] == "suspended"
    assert wire["suspended"] == [["ask"]]
    assert wire["suspendPayload"] == {"ask": {"value": 2, "asked": 0}}
    assert wire["stepExecutionPath"] == ["a", "ask"]
    assert set(waiting) == {"status", "startedAt", "suspendPayload", "suspendedAt"}


async def test_get_step_result_of_a_suspended_step_is_none(env: Env, calls: Calls) -> None:
    seen: list[Any] = []

    async def look(ctx: StepContext[Any]) -> int:
        seen.append(ctx.get_step_result("ask"))
        if ctx.resume_data is None:
            await ctx.suspend({})
        return 1

    looking = create_step(id="look", input_schema=int, output_schema=int, execute=look)
    workflow = create_workflow(id="w", input_schema=int, output_schema=dict)
    workflow = workflow.parallel([asking(calls, "ask"), looking]).commit()
    run = await env.workflow(workflow).create_run()
    await run.start(1)
    await run.resume({"go": 1}, step="look")
    assert seen == [None, None]


async def test_conditions_cannot_suspend(env: Env, calls: Calls) -> None:
    async def condition(ctx: StepContext[int]) -> bool:
        await ctx.suspend({})

    workflow = flow().dountil(plus(calls, "a"), condition).commit()
    result = await env.start(workflow, 1)
    assert isinstance(result, WorkflowFailed)
    assert result.error.code == "RUN_STATE_INVALID"
