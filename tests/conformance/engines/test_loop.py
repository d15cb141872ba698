"""Loops: a step on its own output, until or while a condition holds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mastra import StepContext, WorkflowFailed, create_step, create_workflow
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding, chain, failing, outline


def start(output: Any = Number, **options: Any) -> Any:
    return create_workflow(id="w", input_schema=Number, output_schema=output, **options)


def reached(limit: int) -> Any:
    return lambda ctx: ctx.input_data.value >= limit


async def test_until_ends_when_the_condition_holds(env: Env, calls: Calls) -> None:
    workflow = start().dountil(adding("add", 1, calls), reached(10)).commit()
    assert (await env.start(workflow, {"value": 0})).unwrap() == Number(value=10)
    assert calls["add"] == 10


async def test_while_ends_when_the_condition_does_not_hold(env: Env, calls: Calls) -> None:
    workflow = start().dowhile(adding("add", 1, calls), lambda c: not reached(10)(c)).commit()
    assert (await env.start(workflow, {"value": 0})).unwrap() == Number(value=10)
    assert calls["add"] == 10


@pytest.mark.parametrize("kind", ["dountil", "dowhile"])
async def test_the_step_runs_at_least_once(env: Env, calls: Calls, kind: str) -> None:
    loop = getattr(start(), kind)
    workflow = loop(adding("add", 1, calls), lambda ctx: kind == "dountil").commit()
    assert (await env.start(workflow, {"value": 50})).unwrap() == Number(value=51)
    assert calls["add"] == 1


async def test_the_condition_is_asked_once_a_turn_with_output_and_count(env: Env) -> None:
    asked: list[Any] = []

    def condition(ctx: StepContext[Number]) -> bool:
        asked.append((ctx.input_data, ctx.iteration_count))
        return ctx.iteration_count == 3

    await env.start(start().dountil(adding("add", 5), condition).commit(), {"value": 0})
    assert asked == [(Number(value=5), 1), (Number(value=10), 2), (Number(value=15), 3)]


async def test_the_condition_may_be_async(env: Env) -> None:
    async def condition(ctx: StepContext[Number]) -> bool:
        await asyncio.sleep(0)
        return ctx.input_data.value >= 3

    workflow = start().dountil(adding("add"), condition).commit()
    assert (await env.start(workflow, {"value": 0})).unwrap() == Number(value=3)


async def test_the_step_counts_its_turns_from_one(env: Env) -> None:
    turns: list[int] = []

    async def count(ctx: StepContext[Number]) -> Number:
        turns.append(ctx.iteration_count)
        return ctx.input_data

    step = create_step(id="count", execute=count)
    await env.start(
        start().dountil(step, lambda ctx: ctx.iteration_count == 4).commit(), {"value": 0}
    )
    assert turns == [1, 2, 3, 4]


async def test_outside_of_a_loop_the_count_is_zero(env: Env) -> None:
    turns: list[int] = []

    async def count(ctx: StepContext[Number]) -> Number:
        turns.append(ctx.iteration_count)
        return ctx.input_data

    await env.start(chain("w", create_step(id="count", execute=count)), {"value": 0})
    assert turns == [0]


async def test_two_loops_count_by_themselves(env: Env) -> None:
    turns: list[Any] = []

    def counting(id: str) -> Any:
        async def count(ctx: StepContext[Number]) -> Number:
            turns.append((id, ctx.iteration_count))
            return ctx.input_data

        return create_step(id=id, execute=count)

    def twice(ctx: StepContext[Any]) -> bool:
        return ctx.iteration_count == 2

    workflow = start().dountil(counting("a"), twice).dountil(counting("b"), twice).commit()
    await env.start(workflow, {"value": 0})
    assert turns == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]


async def test_steps_keeps_the_last_turn_and_its_number(env: Env) -> None:
    workflow = start().dountil(adding("add"), reached(3)).commit()
    last = (await env.start(workflow, {"value": 0})).steps["add"]
    assert (last.payload, last.output) == ({"value": 2}, {"value": 3})
    assert last.metadata == {"iterationCount": 3}


async def test_the_next_step_gets_the_last_output(env: Env) -> None:
    workflow = start().dountil(adding("add"), reached(3)).then(adding("after", 100)).commit()
    result = await env.start(workflow, {"value": 0})
    assert result.unwrap() == Number(value=103)
    assert result.step_execution_path == ["after"]


async def test_output_may_grow_from_turn_to_turn(env: Env) -> None:
    async def append(items: list[int]) -> list[int]:
        return [*items, len(items)]

    workflow = create_workflow(id="w", input_schema=list[int], output_schema=list[int])
    workflow.dowhile(create_step(execute=append), lambda ctx: len(ctx.input_data) < 4).commit()
    assert (await env.start(workflow, [])).unwrap() == [0, 1, 2, 3]


async def test_a_workflow_in_a_loop(env: Env, calls: Calls) -> None:
    inner = chain("inner", adding("x", 1, calls), adding("y", 1, calls))
    result = await env.start(start().dountil(inner, reached(6)).commit(), {"value": 0})
    assert result.unwrap() == Number(value=6)
    assert calls.names == ["x", "y"] * 3
    assert result.steps["inner"].metadata == {"iterationCount": 3}
    assert result.steps["inner.y"].output == {"value": 6}


async def test_the_condition_of_a_looped_workflow_is_asked_once_a_turn(
    env: Env, calls: Calls
) -> None:
    def condition(ctx: StepContext[Number]) -> bool:
        calls.add(f"asked {ctx.iteration_count}")
        return ctx.input_data.value >= 3

    workflow = start().dountil(chain("inner", adding("x")), condition).then(adding("after"))
    await env.start(workflow.commit(), {"value": 0})
    assert calls.names == ["asked 1", "asked 2", "asked 3"]


async def test_a_loop_in_a_loop(env: Env, calls: Calls) -> None:
    inner = create_workflow(id="inner", input_schema=Number, output_schema=Number)
    inner.dountil(adding("add", 1, calls), lambda ctx: ctx.input_data.value % 5 == 0).commit()
    workflow = start().dountil(inner, reached(20)).commit()
    assert (await env.start(workflow, {"value": 0})).unwrap() == Number(value=20)
    assert calls["add"] == 20


async def test_a_failing_turn_ends_the_loop(env: Env, calls: Calls) -> None:
    async def fail_third(ctx: StepContext[Number]) -> Number:
        if calls.add("turn") == 2:
            raise ValueError("third time unlucky")
        return ctx.input_data

    step = create_step(id="turn", execute=fail_third)
    workflow = start().dowhile(step, lambda ctx: True).then(adding("after", 1, calls)).commit()
    result = await env.start(workflow, {"value": 0})
    assert isinstance(result, WorkflowFailed)
    assert result.error.message == "third time unlucky"
    assert calls.names == ["turn"] * 3
    assert result.steps["turn"].metadata == {"iterationCount": 3}


async def test_a_condition_that_raises_fails_the_run(env: Env, calls: Calls) -> None:
    def broken(ctx: StepContext[Number]) -> bool:
        raise RuntimeError("no idea")

    workflow = start().dountil(adding("add", 1, calls), broken).commit()
    result = await env.start(workflow, {"value": 0})
    assert isinstance(result, WorkflowFailed)
    assert result.error.message == "no idea"
    assert calls["add"] == 1


async def test_the_condition_sees_the_step_result_and_the_state(env: Env) -> None:
    seen: list[Any] = []

    async def count(ctx: StepContext[Number]) -> Number:
        await ctx.set_state({"turns": ctx.iteration_count})
        return Number(value=ctx.input_data.value + 1)

    def condition(ctx: StepContext[Number]) -> bool:
        seen.append((ctx.get_step_result("count"), ctx.state["turns"]))
        return ctx.iteration_count == 2

    step = create_step(id="count", execute=count)
    await env.start(start().dountil(step, condition).commit(), {"value": 0})
    assert seen == [(Number(value=1), 1), (Number(value=2), 2)]


async def test_a_step_without_a_condition_that_fails_is_no_loop(env: Env) -> None:
    result = await env.start(start().dountil(failing("bad"), reached(1)).commit(), {"value": 0})
    assert result.status == "failed"


async def test_each_turn_is_told(env: Env) -> None:
    events, _ = await env.events(start().dountil(adding("add"), reached(2)).commit(), {"value": 0})
    assert outline(events) == [
        "start",
        "step-start:add",
        "step-result:add",
        "step-start:add",
        "step-result:add",
        "finish",
    ]
    turns = [event.payload.metadata for event in events if event.type == "workflow-step-start"]
    assert turns == [{"iterationCount": 1}, {"iterationCount": 2}]


async def test_many_turns(env: Env, calls: Calls) -> None:
    workflow = start().dountil(adding("add", 1, calls), reached(300)).commit()
    assert (await env.start(workflow, {"value": 0})).unwrap() == Number(value=300)
    assert calls["add"] == 300
