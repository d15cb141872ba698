"""`bail` ends the whole run in success, with its own result."""

from __future__ import annotations

import asyncio
from typing import Any

from mastra import StepContext, WorkflowSuccess, create_step, create_workflow
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding, chain, outline


def bailing(result: Any, id: str = "leave") -> Any:
    async def execute(ctx: StepContext[Number]) -> Number:
        return ctx.bail(result)

    return create_step(id=id, execute=execute)


async def test_the_run_succeeds_with_what_bail_was_given(env: Env) -> None:
    result = await env.start(chain("w", bailing({"value": 99}), adding("a")), {"value": 0})
    assert isinstance(result, WorkflowSuccess)
    assert result.result == Number(value=99)


async def test_later_steps_do_not_run(env: Env, calls: Calls) -> None:
    workflow = chain("w", adding("a", 1, calls), bailing({"value": 9}), adding("b", 1, calls))
    result = await env.start(workflow, {"value": 0})
    assert calls.names == ["a"]
    assert list(result.steps) == ["a", "leave"]
    assert result.step_execution_path == ["a", "leave"]


async def test_the_step_that_bailed_succeeded(env: Env) -> None:
    step = (await env.start(chain("w", bailing({"value": 9})), {"value": 0})).steps["leave"]
    assert (step.status, step.output) == ("success", {"value": 9})


async def test_the_result_may_be_a_value_of_the_output_type(env: Env) -> None:
    result = await env.start(chain("w", bailing(Number(value=4))), {"value": 0})
    assert result.unwrap() == Number(value=4)


async def test_the_result_need_not_be_of_the_output_type(env: Env) -> None:
    result = await env.start(chain("w", bailing("enough")), {"value": 0})
    assert result.unwrap() == "enough"


async def test_nothing_after_bail_is_executed(env: Env, calls: Calls) -> None:
    async def execute(ctx: StepContext[Number]) -> Number:
        try:
            ctx.bail({"value": 1})
        except Exception:  # noqa: BLE001 - a step's own handlers must not catch it
            calls.add("caught")
        calls.add("beyond")
        return ctx.input_data

    await env.start(chain("w", create_step(execute=execute)), {"value": 0})
    assert calls.names == []


async def test_bail_in_a_plain_function(env: Env) -> None:
    def execute(ctx: StepContext[Number]) -> Number:
        ctx.bail({"value": 3})

    result = await env.start(chain("w", create_step(execute=execute), adding("a")), {"value": 0})
    assert result.unwrap() == Number(value=3)


async def test_bail_inside_a_task_group_of_the_step(env: Env) -> None:
    async def leave(ctx: StepContext[Number]) -> None:
        ctx.bail({"value": 3})

    async def execute(ctx: StepContext[Number]) -> Number:
        async with asyncio.TaskGroup() as group:
            group.create_task(leave(ctx))
        return ctx.input_data

    result = await env.start(chain("w", create_step(execute=execute), adding("a")), {"value": 0})
    assert result.unwrap() == Number(value=3)


async def test_bail_in_a_parallel_block(env: Env, calls: Calls) -> None:
    workflow = create_workflow(id="w", input_schema=Number, output_schema=Number)
    workflow.parallel([adding("a", 1, calls), bailing({"value": 5})])
    workflow.map(lambda ctx: calls.add("after")).commit()
    result = await env.start(workflow, {"value": 0})
    assert result.unwrap() == Number(value=5)
    assert calls.names == ["a"]


async def test_bail_in_an_arm(env: Env) -> None:
    workflow = create_workflow(id="w", input_schema=Number, output_schema=Number)
    workflow.branch([(lambda ctx: True, bailing({"value": 5}))]).map(lambda ctx: 1 / 0).commit()
    assert (await env.start(workflow, {"value": 0})).unwrap() == Number(value=5)


async def test_bail_in_a_loop(env: Env, calls: Calls) -> None:
    async def execute(ctx: StepContext[Number]) -> Number:
        calls.add("turn")
        if ctx.iteration_count == 3:
            ctx.bail({"value": 33})
        return ctx.input_data

    workflow = create_workflow(id="w", input_schema=Number, output_schema=Number)
    workflow.dowhile(create_step(execute=execute), lambda ctx: True).commit()
    assert (await env.start(workflow, {"value": 0})).unwrap() == Number(value=33)
    assert calls["turn"] == 3


async def test_bail_in_a_map(env: Env, calls: Calls) -> None:
    workflow = create_workflow(id="w", input_schema=Number, output_schema=Number)
    workflow.map(lambda ctx: ctx.bail({"value": 8})).then(adding("a", 1, calls)).commit()
    assert (await env.start(workflow, {"value": 0})).unwrap() == Number(value=8)
    assert calls.names == []


async def test_state_set_before_bail_is_kept(env: Env) -> None:
    async def execute(ctx: StepContext[Number]) -> Number:
        await ctx.set_state({"why": "enough"})
        ctx.bail({"value": 1})

    result = await env.start(chain("w", create_step(execute=execute)), {"value": 0})
    assert result.state == {"why": "enough"}


async def test_bail_is_not_retried(env: Env, calls: Calls) -> None:
    async def execute(ctx: StepContext[Number]) -> Number:
        calls.add("leave")
        ctx.bail({"value": 1})

    await env.start(chain("w", create_step(execute=execute, retries=3)), {"value": 0})
    assert calls["leave"] == 1


async def test_the_events_end_in_success(env: Env) -> None:
    workflow = chain("w", bailing({"value": 9}), adding("a"))
    events, _ = await env.events(workflow, {"value": 0})
    assert outline(events) == ["start", "step-start:leave", "step-result:leave", "finish"]
    assert events[-1].payload is not None
    assert events[-1].payload.workflow_status == "success"
    assert events[-1].payload.final_workflow_result == {"value": 9}
