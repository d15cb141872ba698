"""Running again from a step, with what the steps before it gave."""

from __future__ import annotations

from typing import Any

import pytest

from mastra import (
    NotFoundError,
    Run,
    RunStateError,
    StepContext,
    WorkflowSuspended,
    create_step,
    create_workflow,
)
from tests.support.engines import Calls, Env
from tests.support.waiting import Gate, asking, blocking, failing, plus


def flow(id: str = "w", output: Any = int, **options: Any) -> Any:
    return create_workflow(id=id, input_schema=int, output_schema=output, **options)


async def finished(env: Env, workflow: Any, value: Any = 1) -> Run[Any]:
    run = await env.workflow(workflow).create_run("r")
    await run.start(value)
    return run


def abc(calls: Calls) -> Any:
    return flow().then(plus(calls, "a")).then(plus(calls, "b", 10)).then(plus(calls, "c")).commit()


# -- where to ----------------------------------------------------------------------------------


async def test_to_a_step_runs_it_and_what_follows(env: Env, calls: Calls) -> None:
    run = await finished(env, abc(calls))
    assert (await run.time_travel(step="b")).unwrap() == 13
    assert calls.names == ["a", "b", "c", "b", "c"]


async def test_to_the_first_step_runs_all(env: Env, calls: Calls) -> None:
    run = await finished(env, abc(calls))
    assert (await run.time_travel(step="a")).unwrap() == 13
    assert calls.names == ["a", "b", "c"] * 2


async def test_by_step_object(env: Env, calls: Calls) -> None:
    b = plus(calls, "b")
    run = await finished(env, flow().then(plus(calls, "a")).then(b).commit())
    await run.time_travel(step=b)
    assert [calls["a"], calls["b"]] == [1, 2]


async def test_an_unknown_step_lists_the_known(env: Env, calls: Calls) -> None:
    run = await finished(env, abc(calls))
    with pytest.raises(NotFoundError, match=r"'z'.*'a', 'b', 'c'") as caught:
        await run.time_travel(step="z")
    assert caught.value.code == "STEP_NOT_FOUND"


async def test_in_another_process(env: Env, calls: Calls) -> None:
    run = await finished(env, abc(calls))
    assert (await (await env.again(run)).time_travel(step="c")).unwrap() == 13
    assert calls.names == ["a", "b", "c", "c"]


def nested(calls: Calls) -> Any:
    inner = flow("inner").then(plus(calls, "x")).then(plus(calls, "y")).commit()
    return flow().then(plus(calls, "a")).then(inner).then(plus(calls, "c")).commit()


async def test_to_a_nested_step(env: Env, calls: Calls) -> None:
    run = await finished(env, nested(calls))
    assert (await run.time_travel(step="inner.y")).unwrap() == 5
    assert calls.names == ["a", "x", "y", "c", "y", "c"]


async def test_to_a_nested_step_by_list(env: Env, calls: Calls) -> None:
    run = await finished(env, nested(calls))
    await run.time_travel(step=["inner", "y"])
    assert calls.names == ["a", "x", "y", "c", "y", "c"]


async def test_to_a_nested_workflow(env: Env, calls: Calls) -> None:
    run = await finished(env, nested(calls))
    assert (await run.time_travel(step="inner")).unwrap() == 5
    assert calls.names == ["a", "x", "y", "c", "x", "y", "c"]


async def test_to_a_step_nested_twice(env: Env, calls: Calls) -> None:
    leaf = flow("leaf").then(plus(calls, "x")).then(plus(calls, "y")).commit()
    inner = flow("inner").then(plus(calls, "b")).then(leaf).commit()
    run = await finished(env, flow().then(plus(calls, "a")).then(inner).commit())
    assert (await run.time_travel(step="inner.leaf.y")).unwrap() == 5
    assert calls.names == ["a", "b", "x", "y", "y"]


async def test_to_an_arm_of_a_parallel_block(env: Env, calls: Calls) -> None:
    arms = [plus(calls, "l"), plus(calls, "m")]
    run = await finished(env, flow(output=dict).then(plus(calls, "a")).parallel(arms).commit())
    assert (await run.time_travel(step="m")).unwrap() == {"l": 3, "m": 3}
    assert sorted(calls.names) == ["a", "l", "m", "m"]


async def test_to_an_arm_of_a_branch(env: Env, calls: Calls) -> None:
    arms = [
        (lambda ctx: ctx.input_data > 0, plus(calls, "yes")),
        (lambda ctx: ctx.input_data <= 0, plus(calls, "no")),
    ]
    run = await finished(env, flow(output=dict).then(plus(calls, "a")).branch(arms).commit())
    assert (await run.time_travel(step="yes")).unwrap() == {"yes": 3}
    assert calls.names == ["a", "yes", "yes"]


async def test_to_an_arm_that_was_not_taken(env: Env, calls: Calls) -> None:
    arms = [
        (lambda ctx: ctx.input_data > 0, plus(calls, "yes")),
        (lambda ctx: ctx.input_data <= 0, plus(calls, "no", 100)),
    ]
    run = await finished(env, flow(output=dict).branch(arms).commit())
    result = await run.time_travel(step="no")
    assert result.unwrap()["no"] == 101


async def test_to_a_loop_begins_its_first_turn(env: Env, calls: Calls) -> None:
    workflow = flow().then(plus(calls, "a"))
    workflow.dountil(plus(calls, "turn"), lambda ctx: ctx.input_data >= 5).commit()
    run = await finished(env, workflow)
    assert (await run.time_travel(step="turn")).unwrap() == 5
    assert calls.names == ["a", *["turn"] * 6]


async def test_to_a_loop_with_other_input(env: Env, calls: Calls) -> None:
    workflow = flow().dountil(plus(calls, "turn"), lambda ctx: ctx.input_data >= 5).commit()
    run = await finished(env, workflow)
    assert (await run.time_travel(step="turn", input_data=4)).unwrap() == 5
    assert calls["turn"] == 5


async def test_to_a_foreach_runs_all_items(env: Env, calls: Calls) -> None:
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=list[int])
    run = await finished(env, workflow.foreach(plus(calls, "item")).commit(), [1, 2])
    assert (await run.time_travel(step="item")).unwrap() == [2, 3]
    assert calls["item"] == 4


async def test_to_a_foreach_with_other_items(env: Env, calls: Calls) -> None:
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=list[int])
    run = await finished(env, workflow.foreach(plus(calls, "item")).commit(), [1, 2])
    assert (await run.time_travel(step="item", input_data=[5])).unwrap() == [6]


async def test_into_an_item_of_a_foreach_is_refused(env: Env, calls: Calls) -> None:
    inner = flow("inner").then(plus(calls, "x")).commit()
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=list[int])
    run = await finished(env, workflow.foreach(inner).commit(), [1, 2])
    with pytest.raises(RunStateError, match="'inner'") as caught:
        await run.time_travel(step="inner.x")
    assert caught.value.code == "TIME_TRAVEL_INTO_ITEM"


async def test_to_what_follows_a_parallel_block(env: Env, calls: Calls) -> None:
    workflow = flow().parallel([plus(calls, "l"), plus(calls, "m")])
    workflow.map(lambda ctx: sum(ctx.input_data.values()), id="sum").then(plus(calls, "c")).commit()
    run = await finished(env, workflow)
    assert (await run.time_travel(step="sum")).unwrap() == 5
    assert sorted(calls.names[:2]) == ["l", "m"]
    assert calls.names[2:] == ["c", "c"]


async def test_to_what_follows_a_foreach(env: Env, calls: Calls) -> None:
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=int)
    workflow.foreach(plus(calls, "item")).map(lambda ctx: sum(ctx.input_data), id="sum").commit()
    run = await finished(env, workflow, [1, 2])
    assert (await run.time_travel(step="sum")).unwrap() == 5
    assert calls["item"] == 2


async def test_to_what_follows_a_sleep(env: Env, calls: Calls) -> None:
    run = await finished(
        env, flow().then(plus(calls, "a")).sleep(0).then(plus(calls, "b")).commit()
    )
    assert (await run.time_travel(step="b")).unwrap() == 3
    assert calls.names == ["a", "b", "b"]


# -- with what ---------------------------------------------------------------------------------


async def test_with_other_input(env: Env, calls: Calls) -> None:
    run = await finished(env, abc(calls))
    result = await run.time_travel(step="b", input_data=100)
    assert result.unwrap() == 111
    assert result.steps["b"].payload == 100


async def test_a_nested_workflow_with_other_input(env: Env, calls: Calls) -> None:
    run = await finished(env, nested(calls))
    assert (await run.time_travel(step="inner", input_data=100)).unwrap() == 103


async def test_with_resume_data(env: Env, calls: Calls) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        if ctx.resume_data is None:
            await ctx.suspend({})
        return ctx.input_data + ctx.resume_data["add"]

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    run = await env.workflow(flow().then(plus(calls, "a")).then(step).commit()).create_run()
    await run.start(1)
    await run.resume({"add": 1})
    result = await run.time_travel(step="s", resume_data={"add": 50})
    assert result.unwrap() == 52
    assert result.steps["s"].resume_payload == {"add": 50}


async def test_a_suspended_step_with_resume_data(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(asking(calls, "ask")).commit()).create_run()
    await run.start(1)
    assert (await run.time_travel(step="ask", resume_data={"add": 50})).unwrap() == 51


async def test_with_a_context_for_steps_that_never_ran(env: Env, calls: Calls) -> None:
    run = await env.workflow(abc(calls)).create_run()
    result = await run.time_travel(step="c", context={"b": {"output": 7}})
    assert result.unwrap() == 8
    assert calls.names == ["c"]


async def test_a_context_may_be_plain_outputs(env: Env, calls: Calls) -> None:
    run = await env.workflow(abc(calls)).create_run()
    assert (await run.time_travel(step="c", context={"b": 7})).unwrap() == 8


async def test_a_context_takes_the_place_of_stored_results(env: Env, calls: Calls) -> None:
    run = await finished(env, abc(calls))
    result = await run.time_travel(step="c", context={"b": {"status": "success", "output": 7}})
    assert result.unwrap() == 8
    assert result.steps["b"].output == 7


async def test_a_context_may_have_the_workflows_input(env: Env) -> None:
    seen: list[Any] = []

    async def look(ctx: StepContext[int]) -> int:
        seen.append((ctx.get_init_data(), ctx.get_step_result("a")))
        return ctx.input_data

    a = plus(Calls(), "a")
    step = create_step(id="look", input_schema=int, output_schema=int, execute=look)
    run = await env.workflow(flow().then(a).then(step).commit()).create_run()
    await run.time_travel(step="look", context={"input": 4, "a": {"output": 5}})
    assert seen == [(4, 5)]


async def test_with_a_context_for_nested_steps(env: Env, calls: Calls) -> None:
    run = await env.workflow(nested(calls)).create_run()
    result = await run.time_travel(
        step="inner.y", nested_steps_context={"inner": {"x": {"output": 40}}}
    )
    assert result.unwrap() == 42
    assert calls.names == ["y", "c"]


async def test_the_state_is_that_of_the_steps_before(env: Env) -> None:
    def setting(name: str) -> Any:
        async def execute(ctx: StepContext[int]) -> int:
            await ctx.set_state({name: ctx.state.get(name, 0) + 1})
            return ctx.input_data

        return create_step(id=name, input_schema=int, output_schema=int, execute=execute)

    run = await finished(env, flow().then(setting("a")).then(setting("b")).commit())
    result = await run.time_travel(step="b")
    assert result.state == {"a": 1, "b": 1}


async def test_with_another_state(env: Env) -> None:
    async def count(ctx: StepContext[int]) -> int:
        await ctx.set_state({"n": ctx.state.get("n", 0) + 1})
        return ctx.input_data

    def step(name: str) -> Any:
        return create_step(id=name, input_schema=int, output_schema=int, execute=count)

    run = await finished(env, flow().then(step("a")).then(step("b")).commit())
    result = await run.time_travel(step="b", initial_state={"n": 10})
    assert result.state == {"n": 11}


async def test_another_state_is_kept_across_a_resume(env: Env, calls: Calls) -> None:
    async def count(ctx: StepContext[int]) -> int:
        await ctx.set_state({"n": ctx.state.get("n", 0) + 1})
        return ctx.input_data

    def step(name: str) -> Any:
        return create_step(id=name, input_schema=int, output_schema=int, execute=count)

    workflow = flow().then(step("a")).then(asking(calls, "ask")).then(step("b")).commit()
    run = await env.workflow(workflow).create_run()
    await run.start(1)
    await run.time_travel(step="ask", initial_state={"n": 10})
    result = await (await env.again(run)).resume({"add": 1})
    assert result.state == {"n": 11}


async def test_the_request_context_is_laid_over(env: Env) -> None:
    async def look(ctx: StepContext[int]) -> str:
        return f"{ctx.request_context['tenant']} {ctx.request_context['user']}"

    step = create_step(id="look", input_schema=int, output_schema=str, execute=look)
    run = await env.workflow(flow(output=str).then(step).commit()).create_run()
    await run.start(1, request_context={"tenant": "acme", "user": "ann"})
    result = await run.time_travel(step="look", request_context={"user": "bob"})
    assert result.unwrap() == "acme bob"


# -- on what -----------------------------------------------------------------------------------


async def test_on_a_failed_run(env: Env, calls: Calls) -> None:
    workflow = flow().then(plus(calls, "a")).then(failing(calls, "f", times=1)).commit()
    run = await finished(env, workflow)
    assert await run.status() == "failed"
    assert (await run.time_travel(step="f")).unwrap() == 2
    assert await run.status() == "success"


async def test_the_error_of_a_failed_run_is_gone(env: Env, calls: Calls) -> None:
    registered = env.workflow(flow().then(failing(calls, "f", times=1)).commit())
    run = await registered.create_run("r")
    await run.start(1)
    await run.time_travel(step="f")
    info = await registered.get_run("r")
    assert info.error is None
    assert info.result == 1


async def test_on_a_suspended_run(env: Env, calls: Calls) -> None:
    workflow = flow().then(plus(calls, "a")).then(asking(calls, "ask")).commit()
    run = await env.workflow(workflow).create_run()
    await run.start(1)
    result = await run.time_travel(step="a", input_data=5)
    assert isinstance(result, WorkflowSuspended)
    assert result.suspend_payload == {"ask": {"value": 6, "asked": 0}}
    assert (await run.resume({"add": 1})).unwrap() == 7


async def test_on_a_cancelled_run(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(asking(calls, "ask")).commit()).create_run()
    await run.start(1)
    await run.cancel()
    assert (await run.time_travel(step="ask", resume_data={"add": 1})).unwrap() == 2


async def test_a_run_under_way_is_refused(env: Env, calls: Calls) -> None:
    gate = Gate()
    run = await env.workflow(flow().then(blocking(calls, "b", gate)).commit()).create_run()
    await run.start_async(1)
    await gate.reached.wait()
    with pytest.raises(RunStateError, match="running") as caught:
        await run.time_travel(step="b")
    gate.opened.set()
    assert caught.value.code == "RUN_ALREADY_RUNNING"
    await run.result()


async def test_steps_skipped_by_travel_stay_skipped_after_a_resume(env: Env, calls: Calls) -> None:
    workflow = flow().then(plus(calls, "a")).then(plus(calls, "b")).then(asking(calls, "ask"))
    workflow.then(plus(calls, "end")).commit()
    run = await env.workflow(workflow).create_run()
    result = await run.time_travel(step="ask", input_data=5)
    assert isinstance(result, WorkflowSuspended)
    result = await (await env.again(run)).resume({"add": 1})
    assert result.unwrap() == 7
    assert calls.names == ["ask", "ask", "ask:done", "end"]


async def test_a_restart_goes_on_with_the_travel(env: Env, calls: Calls) -> None:
    gate = Gate()
    workflow = flow().then(plus(calls, "a")).then(plus(calls, "b")).then(blocking(calls, "c", gate))
    run = await env.workflow(workflow.commit()).create_run("r")
    stream = run.time_travel_stream(step="b", input_data=5)
    async with stream:
        await gate.reached.wait()
    mastra = await env.crash()
    gate.opened.set()
    again = await mastra.get_workflow("w").create_run("r")
    assert (await again.restart()).unwrap() == 7
    assert calls.names == ["b", "c", "c", "c:done"]


async def test_travel_twice(env: Env, calls: Calls) -> None:
    run = await finished(env, abc(calls))
    await run.time_travel(step="c", input_data=50)
    assert (await run.time_travel(step="b", input_data=100)).unwrap() == 111
    assert (await run.time_travel(step="a")).unwrap() == 13


async def test_per_step_runs_one_step(env: Env, calls: Calls) -> None:
    run = await finished(env, abc(calls))
    result = await run.time_travel(step="b", per_step=True)
    assert result.status == "paused"
    assert calls.names == ["a", "b", "c", "b"]


# -- what is told ------------------------------------------------------------------------------


async def test_the_stream_begins_with_the_travel(env: Env, calls: Calls) -> None:
    run = await finished(env, abc(calls))
    events, result = await env.read(run.time_travel_stream(step="c"))
    assert result.unwrap() == 13
    assert [event.type for event in events] == [
        "workflow-start",
        "workflow-step-start",
        "workflow-step-result",
        "workflow-finish",
    ]
    assert events[1].payload.id == "c"


async def test_the_whole_stream_has_no_gaps_after_travel(env: Env, calls: Calls) -> None:
    run = await finished(env, nested(calls))
    await run.time_travel(step="inner.y")
    elsewhere = await env.again(run)
    events, _ = await env.read(elsewhere.observe_stream())
    assert [event.seq for event in events] == list(range(len(events)))
    assert [event.type for event in events].count("workflow-start") == 2
    assert [event.type for event in events].count("workflow-finish") == 2


async def test_nested_blocks_are_told_again(env: Env, calls: Calls) -> None:
    run = await finished(env, nested(calls))
    events, _ = await env.read(run.time_travel_stream(step="inner.y"))
    assert [event.payload.id for event in events if event.payload.id] == [
        "inner",
        "inner.y",
        "inner.y",
        "inner",
        "c",
        "c",
    ]


async def test_the_path_names_the_steps_before(env: Env, calls: Calls) -> None:
    run = await finished(env, abc(calls))
    result = await run.time_travel(step="c")
    assert result.step_execution_path == ["a", "b", "c"]


async def test_the_stored_run_has_the_later_results(env: Env, calls: Calls) -> None:
    registered = env.workflow(abc(calls))
    run = await registered.create_run("r")
    await run.start(1)
    await run.time_travel(step="b", input_data=100)
    info = await registered.get_run("r")
    assert info.result == 111
    assert info.steps["a"].output == 2
    assert info.steps["b"].output == 110


# -- crashes -----------------------------------------------------------------------------------


async def test_a_crash_before_the_leg_began_goes_back_nevertheless(
    env: Env, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    async def launch(*_: Any) -> Any:
        raise Killed

    run = await finished(env, abc(calls))
    with monkeypatch.context() as patch:
        patch.setattr(type(run._runtime.engine), "launch", launch)
        with pytest.raises(Killed):
            await run.time_travel(step="b", context={"a": {"output": 5}}, initial_state={"s": 1})
    restarted = await env.again(run)
    result = await restarted.restart()
    assert result.unwrap() == 16
    assert result.state == {"s": 1}
    assert calls.names == ["a", "b", "c", "b", "c"]
