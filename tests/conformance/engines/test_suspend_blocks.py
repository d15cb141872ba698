"""Suspension inside parallel blocks, branches, loops and nested workflows."""

from __future__ import annotations

from typing import Any

import pytest

from mastra import Run, StepContext, WorkflowFailed, WorkflowSuspended, create_step, create_workflow
from tests.support.engines import Calls, Env, OddClock
from tests.support.waiting import asking, failing, plus


def flow(id: str = "w", output: Any = int) -> Any:
    return create_workflow(id=id, input_schema=int, output_schema=output)


async def suspended(env: Env, workflow: Any, value: Any = 1) -> tuple[Run[Any], WorkflowSuspended]:
    run = await env.workflow(workflow).create_run()
    result = await run.start(value)
    assert isinstance(result, WorkflowSuspended)
    return run, result


# -- parallel ----------------------------------------------------------------------------------


async def test_parallel_waits_for_its_other_arms_before_it_suspends(env: Env, calls: Calls) -> None:
    arms = [asking(calls, "ask"), plus(calls, "b"), plus(calls, "c")]
    _, result = await suspended(env, flow(output=dict).parallel(arms).commit())
    assert result.suspended == [["ask"]]
    assert result.steps["b"].output == result.steps["c"].output == 2


async def test_parallel_lists_all_that_wait_in_order(env: Env, calls: Calls) -> None:
    arms = [asking(calls, "a"), plus(calls, "b"), asking(calls, "c")]
    _, result = await suspended(env, flow(output=dict).parallel(arms).commit())
    assert sorted(result.suspended) == [["a"], ["c"]]
    assert set(result.suspend_payload) == {"a", "c"}


async def test_parallel_arms_that_finished_do_not_run_again(env: Env, calls: Calls) -> None:
    arms = [asking(calls, "ask"), plus(calls, "b")]
    run, _ = await suspended(env, flow(output=dict).parallel(arms).commit())
    assert (await run.resume({"add": 4})).unwrap() == {"ask": 5, "b": 2}
    assert calls["b"] == 1


async def test_parallel_arms_are_resumed_one_by_one(env: Env, calls: Calls) -> None:
    arms = [asking(calls, "a"), asking(calls, "b"), asking(calls, "c")]
    run, _ = await suspended(env, flow(output=dict).parallel(arms).commit())
    await run.resume({"add": 2}, step="b")
    await run.resume({"add": 3}, step="c")
    result = await run.resume({"add": 1}, step="a")
    assert result.unwrap() == {"a": 2, "b": 3, "c": 4}
    assert [calls[name] for name in "abc"] == [2, 2, 2]


async def test_a_resumed_arm_may_suspend_again_beside_another(env: Env, calls: Calls) -> None:
    arms = [asking(calls, "a", times=2), asking(calls, "b")]
    run, _ = await suspended(env, flow(output=dict).parallel(arms).commit())
    again = await run.resume({"add": 2}, step="a")
    assert isinstance(again, WorkflowSuspended)
    assert again.suspend_payload == {"a": {"value": 1, "asked": 1}, "b": {"value": 1, "asked": 0}}
    await run.resume({"add": 3}, step="b")
    assert (await run.resume({"add": 4}, step="a")).unwrap() == {"a": 5, "b": 4}


async def test_a_failure_beside_a_suspension_fails_the_run(env: Env, calls: Calls) -> None:
    arms = [asking(calls, "ask"), failing(calls, "bad")]
    result = await env.start(flow(output=dict).parallel(arms).commit(), 1)
    assert isinstance(result, WorkflowFailed)
    assert result.error.message == "bad refuses 1"


async def test_what_follows_a_parallel_runs_once_after_the_last_resume(
    env: Env, calls: Calls
) -> None:
    workflow = flow().parallel([asking(calls, "a"), asking(calls, "b")])
    workflow = workflow.map(lambda ctx: sum(ctx.input_data.values())).then(plus(calls, "end"))
    run, _ = await suspended(env, workflow.commit())
    await run.resume({"add": 1}, step="a")
    assert calls["end"] == 0
    assert (await run.resume({"add": 2}, step="b")).unwrap() == 6
    assert calls["end"] == 1


# -- branch ------------------------------------------------------------------------------------


async def test_a_branch_arm_suspends_and_goes_on(env: Env, calls: Calls) -> None:
    workflow = flow(output=dict).branch(
        [
            (lambda ctx: ctx.input_data > 0, asking(calls, "yes")),
            (lambda ctx: ctx.input_data <= 0, plus(calls, "no")),
        ]
    )
    run, result = await suspended(env, workflow.commit())
    assert result.suspended == [["yes"]]
    assert (await run.resume({"add": 1})).unwrap() == {"yes": 2}
    assert calls["no"] == 0


async def test_conditions_are_not_asked_again_on_resume(env: Env, calls: Calls) -> None:
    async def condition(ctx: StepContext[int]) -> bool:
        calls.add("condition")
        return True

    workflow = flow(output=dict).then(plus(calls, "a")).branch([(condition, asking(calls, "ask"))])
    run, _ = await suspended(env, workflow.commit())
    await run.resume({"add": 1})
    assert calls["condition"] == 1


async def test_conditions_of_a_first_branch_are_not_asked_again_on_resume(
    env: Env, calls: Calls
) -> None:
    async def condition(ctx: StepContext[int]) -> bool:
        calls.add("condition")
        return True

    workflow = flow(output=dict).branch([(condition, asking(calls, "ask"))])
    run, _ = await suspended(env, workflow.commit())
    await run.resume({"add": 1})
    assert calls["condition"] == 1


async def test_two_arms_of_a_branch_may_wait(env: Env, calls: Calls) -> None:
    def yes(_: Any) -> bool:
        return True

    workflow = flow(output=dict).branch([(yes, asking(calls, "a")), (yes, asking(calls, "b"))])
    run, result = await suspended(env, workflow.commit())
    assert sorted(result.suspended) == [["a"], ["b"]]
    await run.resume({"add": 1}, step="a")
    assert (await run.resume({"add": 2}, step="b")).unwrap() == {"a": 2, "b": 3}


# -- loops -------------------------------------------------------------------------------------


async def test_a_loop_suspends_in_its_first_turn(env: Env, calls: Calls) -> None:
    workflow = flow().dountil(asking(calls, "ask"), lambda ctx: ctx.input_data >= 10).commit()
    run, result = await suspended(env, workflow)
    assert result.suspended == [["ask"]]
    assert (await run.resume({"add": 20})).unwrap() == 21


async def test_each_turn_of_a_loop_may_suspend(env: Env, calls: Calls) -> None:
    workflow = flow().dountil(asking(calls, "ask"), lambda ctx: ctx.input_data >= 10).commit()
    run, _ = await suspended(env, workflow)
    second = await run.resume({"add": 4})
    assert isinstance(second, WorkflowSuspended)
    assert second.suspend_payload["ask"]["value"] == 5
    third = await run.resume({"add": 4})
    assert isinstance(third, WorkflowSuspended)
    assert third.suspend_payload["ask"]["value"] == 9
    assert (await run.resume({"add": 4})).unwrap() == 13
    assert calls["ask:done"] == 3


async def test_a_loop_keeps_its_iteration_count_across_resume(env: Env) -> None:
    counts: list[int] = []

    async def execute(ctx: StepContext[int]) -> int:
        counts.append(ctx.iteration_count)
        if ctx.input_data == 1 and ctx.resume_data is None:
            await ctx.suspend({})
        return ctx.input_data + 1

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    workflow = flow().dowhile(step, lambda ctx: ctx.iteration_count < 3).commit()
    run, _ = await suspended(env, workflow, 0)
    assert (await run.resume({"go": 1})).unwrap() == 3
    assert counts == [1, 2, 2, 3]


async def test_a_turn_suspends_twice(env: Env, calls: Calls) -> None:
    step = asking(calls, "ask", times=2)
    workflow = flow().dountil(step, lambda ctx: ctx.input_data >= 10).commit()
    run, _ = await suspended(env, workflow)
    await run.resume({"add": 1})
    result = await run.resume({"add": 30})
    assert result.unwrap() == 31


@pytest.mark.parametrize("step_s", [0.0, -0.5], ids=["stands still", "goes back"])
async def test_no_answer_is_lost_by_a_clock(env: Env, calls: Calls, step_s: float) -> None:
    """Two resumes may come within a millisecond, and a machine may set its clock."""
    env.clock = OddClock(step_s)
    step = asking(calls, "ask", times=3)
    workflow = flow().dountil(step, lambda ctx: ctx.input_data >= 10).commit()
    run, first = await suspended(env, workflow)
    said = [first, await run.resume({"add": 1}), await run.resume({"add": 2})]
    assert [one.suspend_payload["ask"]["asked"] for one in said] == [0, 1, 2]
    assert (await run.resume({"add": 30})).unwrap() == 31
    assert calls.names == ["ask"] * 4 + ["ask:done"]


async def test_a_block_tells_each_time_that_it_goes_on_whatever_the_clock_says(
    env: Env, calls: Calls
) -> None:
    env.clock = OddClock()
    inner = flow("inner").then(asking(calls, "ask", times=9)).commit()
    run, _ = await suspended(env, flow().then(inner).commit())
    for _ in range(3):
        events, _ = await env.read(run.resume_stream({"add": 1}))
        begun = [e.payload.id for e in events if e.type == "workflow-step-start"]
        assert begun == ["inner", "inner.ask"]
        run = await env.again(run)


async def test_a_nested_workflow_in_a_loop_suspends(env: Env, calls: Calls) -> None:
    inner = flow("inner").then(plus(calls, "a")).then(asking(calls, "ask")).commit()
    run, result = await suspended(
        env, flow().dountil(inner, lambda ctx: ctx.input_data >= 10).commit()
    )
    assert result.suspended == [["inner", "ask"]]
    again = await run.resume({"add": 1})
    assert isinstance(again, WorkflowSuspended)
    assert (await run.resume({"add": 10})).unwrap() == 14
    assert calls["a"] == 2


# -- nested ------------------------------------------------------------------------------------


async def test_a_nested_suspension_has_the_whole_path(env: Env, calls: Calls) -> None:
    inner = flow("inner").then(asking(calls, "ask")).commit()
    _, result = await suspended(env, flow().then(plus(calls, "a")).then(inner).commit())
    assert result.suspended == [["inner", "ask"]]
    assert result.suspend_payload == {"inner": {"value": 2, "asked": 0}}


async def test_a_nested_workflow_is_suspended_while_its_step_waits(env: Env, calls: Calls) -> None:
    inner = flow("inner").then(asking(calls, "ask")).commit()
    _, result = await suspended(env, flow().then(inner).commit())
    assert result.steps["inner"].status == "suspended"
    assert result.steps["inner.ask"].status == "suspended"


async def test_steps_inside_a_nested_workflow_do_not_run_again(env: Env, calls: Calls) -> None:
    inner = flow("inner").then(plus(calls, "a")).then(asking(calls, "ask")).then(plus(calls, "b"))
    workflow = flow().then(inner.commit()).then(plus(calls, "end")).commit()
    run, _ = await suspended(env, workflow)
    assert (await run.resume({"add": 10})).unwrap() == 14
    assert calls.names == ["a", "ask", "ask", "ask:done", "b", "end"]


async def test_nested_twice(env: Env, calls: Calls) -> None:
    leaf = flow("leaf").then(asking(calls, "ask")).commit()
    inner = flow("inner").then(plus(calls, "a")).then(leaf).commit()
    run, result = await suspended(env, flow().then(inner).then(plus(calls, "end")).commit())
    assert result.suspended == [["inner", "leaf", "ask"]]
    assert (await run.resume({"add": 10}, step="inner.leaf.ask")).unwrap() == 13
    assert calls["a"] == 1


async def test_nested_twice_suspends_one_after_the_other(env: Env, calls: Calls) -> None:
    leaf = flow("leaf").then(asking(calls, "first")).commit()
    inner = flow("inner").then(leaf).then(asking(calls, "second")).commit()
    run, _ = await suspended(env, flow().then(inner).commit())
    again = await run.resume({"add": 1})
    assert isinstance(again, WorkflowSuspended)
    assert again.suspended == [["inner", "second"]]
    assert again.steps["inner.leaf"].status == "success"
    assert (await run.resume({"add": 2})).unwrap() == 4


async def test_nested_in_parallel(env: Env, calls: Calls) -> None:
    def inner(name: str) -> Any:
        return flow(name).then(plus(calls, f"{name}-a")).then(asking(calls, "ask")).commit()

    workflow = flow(output=dict).parallel([inner("x"), inner("y")]).commit()
    run, result = await suspended(env, workflow)
    assert sorted(result.suspended) == [["x", "ask"], ["y", "ask"]]
    await run.resume({"add": 1}, step="y.ask")
    assert (await run.resume({"add": 5}, step="x.ask")).unwrap() == {"x": 7, "y": 3}
    assert [calls["x-a"], calls["y-a"]] == [1, 1]


async def test_several_inside_one_nested_workflow_have_payloads_by_path(
    env: Env, calls: Calls
) -> None:
    inner = flow("inner", dict).parallel([asking(calls, "l"), asking(calls, "r")]).commit()
    _, result = await suspended(env, flow(output=dict).then(inner).commit())
    assert result.suspend_payload["inner.l"] == {"value": 1, "asked": 0}
    assert result.suspend_payload["inner.r"] == {"value": 1, "asked": 0}


async def test_the_same_step_twice_in_a_row_suspends_twice(env: Env, calls: Calls) -> None:
    ask = asking(calls, "ask")
    run, _ = await suspended(env, flow().then(ask).then(ask).commit())
    second = await run.resume({"add": 1})
    assert isinstance(second, WorkflowSuspended)
    assert second.suspend_payload == {"ask": {"value": 2, "asked": 0}}
    assert (await run.resume({"add": 2})).unwrap() == 4


async def test_bail_in_a_nested_workflow_after_resume_ends_that_alone(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        if ctx.resume_data is None:
            await ctx.suspend({})
        return ctx.bail(50)

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    inner = flow("inner").then(step).commit()
    run, _ = await suspended(env, flow().then(inner).then(plus(Calls(), "end")).commit())
    assert (await run.resume({"go": 1})).unwrap() == 51


async def test_sleep_before_a_suspension_is_not_slept_again(env: Env, calls: Calls) -> None:
    workflow = flow().sleep(0.05).then(asking(calls, "ask")).commit()
    run, _ = await suspended(env, workflow)
    (slept,) = [
        step for name, step in (await run.resume({"add": 1})).steps.items() if "sleep" in name
    ]
    assert slept.ended_at is not None
    assert slept.started_at is not None
    assert slept.resumed_at is None


async def test_a_map_after_a_suspended_step_sees_its_output(env: Env, calls: Calls) -> None:
    workflow = flow().then(asking(calls, "ask")).map(lambda ctx: ctx.input_data * 10).commit()
    run, _ = await suspended(env, workflow)
    assert (await run.resume({"add": 1})).unwrap() == 20
