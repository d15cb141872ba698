"""`per_step`: one step runs, then the run is paused until it is told to go on."""

from __future__ import annotations

from typing import Any

import pytest

from mastra import Run, WorkflowPaused, WorkflowSuccess, create_step, create_workflow
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding, chain, failing, outline


def start(output: Any = Number, id: str = "w") -> Any:
    return create_workflow(id=id, input_schema=Number, output_schema=output)


async def first_step(env: Env, workflow: Any, value: Any = None) -> tuple[Run[Any], Any]:
    run = await env.workflow(workflow).create_run()
    return run, await run.start({"value": 0} if value is None else value, per_step=True)


async def walk_through(env: Env, calls: Calls, workflow: Any, value: Any = None) -> list[list[str]]:
    """Return which steps ran in each leg, up to the end."""
    run, result = await first_step(env, workflow, value)
    legs = [list(calls.names)]
    while isinstance(result, WorkflowPaused):
        before = len(calls.names)
        result = await run.resume(per_step=True)
        legs.append(calls.names[before:])
    assert isinstance(result, WorkflowSuccess)
    return legs


async def test_only_the_first_step_runs(env: Env, calls: Calls) -> None:
    workflow = chain("w", adding("a", 1, calls), adding("b", 1, calls))
    run, result = await first_step(env, workflow)
    assert isinstance(result, WorkflowPaused)
    assert result.status == "paused"
    assert calls.names == ["a"]
    assert result.steps["a"].output == {"value": 1}
    assert list(result.steps) == ["a"]
    assert await run.status() == "paused"


async def test_each_resume_runs_one_more(env: Env, calls: Calls) -> None:
    workflow = chain("w", *(adding(id, 1, calls) for id in "abc"))
    assert await walk_through(env, calls, workflow) == [["a"], ["b"], ["c"]]


async def test_the_last_step_ends_the_run(env: Env) -> None:
    run, _ = await first_step(env, chain("w", adding("a"), adding("b", 10)))
    result = await run.resume(per_step=True)
    assert result.unwrap() == Number(value=11)


async def test_a_resume_without_per_step_runs_the_rest(env: Env, calls: Calls) -> None:
    run, _ = await first_step(env, chain("w", *(adding(id, 1, calls) for id in "abcd")))
    result = await run.resume()
    assert result.unwrap() == Number(value=4)
    assert calls.names == ["a", "b", "c", "d"]


async def test_another_process_goes_on_with_a_paused_run(env: Env, calls: Calls) -> None:
    run, _ = await first_step(env, chain("w", adding("a", 1, calls), adding("b", 1, calls)))
    elsewhere = await env.again(run)
    assert (await elsewhere.resume(per_step=True)).unwrap() == Number(value=2)
    assert calls.names == ["a", "b"]


async def test_in_parallel_one_step_runs(env: Env, calls: Calls) -> None:
    workflow = start(Any).parallel([adding("a", 1, calls), adding("b", 1, calls)])
    workflow.map(lambda ctx: calls.add("c") or ctx.input_data["a"]).commit()
    _, result = await first_step(env, workflow)
    assert isinstance(result, WorkflowPaused)
    assert calls.names == ["a"]
    assert list(result.steps) == ["a"]


async def test_a_parallel_block_is_gone_through_step_by_step(env: Env, calls: Calls) -> None:
    workflow = start(Any).parallel([adding("a", 1, calls), adding("b", 2, calls)])
    run, _ = await first_step(env, workflow.commit())
    result = await run.resume(per_step=True)
    assert result.unwrap() == {"a": {"value": 1}, "b": {"value": 2}}
    assert calls.names == ["a", "b"]


async def test_before_a_branch_the_arms_wait(env: Env, calls: Calls) -> None:
    workflow = start(Any).then(adding("check", 1, calls))
    workflow.branch(
        [
            (lambda ctx: True, adding("yes", 1, calls)),
            (lambda ctx: True, adding("also", 1, calls)),
            (lambda ctx: False, adding("no", 1, calls)),
        ]
    ).commit()
    assert await walk_through(env, calls, workflow) == [["check"], ["yes"], ["also"]]


async def test_a_nested_workflow_is_gone_through_step_by_step(env: Env, calls: Calls) -> None:
    inner = chain("inner", adding("x", 1, calls), adding("y", 1, calls))
    workflow = chain("w", adding("a", 1, calls), inner, adding("b", 1, calls))
    assert await walk_through(env, calls, workflow) == [["a"], ["x"], ["y"], ["b"]]


async def test_a_loop_over_a_step_is_one_step(env: Env, calls: Calls) -> None:
    workflow = start().dountil(adding("a", 1, calls), lambda ctx: ctx.input_data.value >= 2)
    workflow.then(adding("b", 1, calls)).commit()
    assert await walk_through(env, calls, workflow) == [["a", "a"], ["b"]]


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_foreach_over_a_step_is_one_step(env: Env, calls: Calls, concurrency: int) -> None:
    workflow = create_workflow(id="w", input_schema=list[Number], output_schema=Any)
    workflow.foreach(adding("a", 1, calls), concurrency=concurrency)
    workflow.map(lambda ctx: calls.add("map")).commit()
    legs = await walk_through(env, calls, workflow, [{"value": 1}, {"value": 2}, {"value": 3}])
    assert legs == [["a", "a", "a"], ["map"]]


async def test_a_workflow_in_a_loop_is_gone_through_step_by_step(env: Env, calls: Calls) -> None:
    inner = chain("inner", adding("x", 1, calls), adding("y", 1, calls))
    workflow = start().dountil(inner, lambda ctx: ctx.input_data.value >= 4).commit()
    assert await walk_through(env, calls, workflow) == [["x"], ["y"], ["x"], ["y"]]


async def test_a_workflow_in_a_foreach_is_gone_through_step_by_step(env: Env, calls: Calls) -> None:
    inner = chain("inner", adding("x", 1, calls), adding("y", 1, calls))
    workflow = create_workflow(id="w", input_schema=list[Number], output_schema=list[Number])
    legs = await walk_through(
        env, calls, workflow.foreach(inner).commit(), [{"value": 1}, {"value": 2}]
    )
    assert legs == [["x"], ["y"], ["x"], ["y"]]


async def test_a_map_counts_as_a_step(env: Env, calls: Calls) -> None:
    workflow = start().map(lambda ctx: calls.add("map") or ctx.input_data)
    workflow.then(adding("a", 1, calls)).commit()
    assert await walk_through(env, calls, workflow) == [["map"], ["a"]]


async def test_a_sleep_counts_as_a_step(env: Env, calls: Calls) -> None:
    workflow = start().then(adding("a", 1, calls)).sleep(0.001, id="nap")
    workflow.then(adding("b", 1, calls)).commit()
    assert await walk_through(env, calls, workflow) == [["a"], [], ["b"]]


async def test_a_failing_step_fails_the_run(env: Env) -> None:
    _, result = await first_step(env, chain("w", failing("bad"), adding("a")))
    assert result.status == "failed"


async def test_a_retried_step_is_one_step(env: Env, calls: Calls) -> None:
    async def execute(number: Number) -> Number:
        if calls.add("s") < 2:
            raise ValueError
        return number

    step = create_step(id="s", execute=execute, retries=2)
    workflow = chain("w", step, adding("b", 1, calls), retry_config={"delay": 0.06})
    _, result = await first_step(env, workflow)
    assert result.status == "paused"
    assert calls.names == ["s", "s", "s"]


async def test_a_suspended_step_resumed_step_by_step(env: Env, calls: Calls) -> None:
    async def ask(ctx: Any) -> Number:
        if ctx.resume_data is None:
            await ctx.suspend({"why": "asking"})
        calls.add("ask")
        return ctx.input_data

    step = create_step(id="ask", execute=ask, input_schema=Number, output_schema=Number)
    run, result = await first_step(env, chain("w", step, adding("b", 1, calls)))
    assert result.status == "suspended"
    assert (await run.resume({"ok": True}, per_step=True)).status == "paused"
    assert calls.names == ["ask"]
    assert (await run.resume()).unwrap() == Number(value=1)


async def test_the_events_end_with_paused(env: Env) -> None:
    workflow = env.workflow(chain("w", adding("a"), adding("b")))
    run = await workflow.create_run()
    events, _ = await env.read(run.stream({"value": 0}, per_step=True))
    assert outline(events) == ["start", "step-start:a", "step-result:a", "paused", "finish"]
    events, _ = await env.read(run.resume_stream(per_step=True))
    assert outline(events) == ["start", "step-start:b", "step-result:b", "finish"]
