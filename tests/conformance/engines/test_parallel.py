"""Steps at once on the same input."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel

from mastra import StepContext, WorkflowFailed, create_step, create_workflow
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding, chain, failing, outline


def parallel(*steps: Any, id: str = "w") -> Any:
    workflow = create_workflow(id=id, input_schema=Number, output_schema=dict[str, Any])
    return workflow.parallel(steps)


async def test_outputs_come_by_step_id_in_order_of_position(env: Env, calls: Calls) -> None:
    workflow = parallel(adding("b", 1, calls), adding("a", 10, calls)).commit()
    result = await env.start(workflow, {"value": 0})
    assert list(result.unwrap().items()) == [("b", {"value": 1}), ("a", {"value": 10})]
    assert sorted(calls.names) == ["a", "b"]


async def test_all_run_at_the_same_time(env: Env) -> None:
    """Each of three steps waits until all three have begun."""
    begun: set[str] = set()
    all_begun = asyncio.Event()

    def meeting(id: str) -> Any:
        async def execute(number: Number) -> str:
            begun.add(id)
            if len(begun) == 3:
                all_begun.set()
            await asyncio.wait_for(all_begun.wait(), 50)
            return id

        return create_step(id=id, execute=execute)

    workflow = parallel(*(meeting(id) for id in "abc")).commit()
    assert (await env.start(workflow, {"value": 0})).unwrap() == {"a": "a", "b": "b", "c": "c"}


async def test_the_next_step_gets_all_outputs(env: Env) -> None:
    class Both(BaseModel):
        a: Number
        b: Number

    async def total(both: Both) -> Number:
        return Number(value=both.a.value + both.b.value)

    workflow = create_workflow(id="w", input_schema=Number, output_schema=Number)
    workflow.parallel([adding("a", 1), adding("b", 10)]).then(create_step(execute=total)).commit()
    assert (await env.start(workflow, {"value": 1})).unwrap() == Number(value=13)


async def test_the_next_step_runs_once_and_after_all(env: Env, calls: Calls) -> None:
    async def after(ctx: StepContext[Any]) -> int:
        return calls.add("after")

    workflow = create_workflow(id="w", input_schema=Number, output_schema=int)
    workflow.parallel([adding("a", calls=calls), adding("b", calls=calls)])
    workflow.then(create_step(id="after", execute=after)).commit()
    await env.start(workflow, {"value": 1})
    assert calls.names[-1] == "after"
    assert calls["after"] == 1


async def test_members_are_in_steps_but_not_in_the_path(env: Env) -> None:
    workflow = create_workflow(id="w", input_schema=Number, output_schema=Number)
    workflow.parallel([adding("a"), adding("b")]).map(lambda ctx: ctx.input_data["a"], id="pick")
    result = await env.start(workflow.commit(), {"value": 0})
    first, second, third = result.steps  # as they ended; members end in any order
    assert {first, second} == {"a", "b"}
    assert third == "pick"
    assert result.step_execution_path == ["pick"]


async def test_a_failure_fails_the_run_and_the_siblings_end(env: Env, calls: Calls) -> None:
    async def slow(number: Number) -> Number:
        await asyncio.sleep(0.01)
        calls.add("slow")
        return number

    workflow = parallel(failing("bad"), create_step(execute=slow))
    workflow.map(lambda ctx: ctx.input_data, id="never").commit()
    result = await env.start(workflow, {"value": 0})
    assert isinstance(result, WorkflowFailed)
    assert calls["slow"] == 1
    assert result.steps["slow"].status == "success"
    assert "never" not in result.steps


async def test_of_several_failures_the_first_by_position_is_told(env: Env) -> None:
    async def late(number: Number) -> Number:
        await asyncio.sleep(0.01)
        raise ValueError("first by position")

    workflow = parallel(
        create_step(execute=late), failing("early", ValueError("first by time"))
    ).commit()
    result = await env.start(workflow, {"value": 0})
    assert isinstance(result, WorkflowFailed)
    assert result.error.message == "first by position"
    assert result.steps["early"].status == "failed"


async def test_chains_side_by_side(env: Env, calls: Calls) -> None:
    """A chain inside a parallel block is a workflow of its own."""
    left = chain("left", adding("a", 1, calls), adding("b", 1, calls))
    right = chain("right", adding("c", 10, calls), adding("d", 10, calls))
    result = await env.start(parallel(left, right).commit(), {"value": 0})
    assert result.unwrap() == {"left": {"value": 2}, "right": {"value": 20}}
    assert sorted(calls.names) == ["a", "b", "c", "d"]
    assert result.steps["left.b"].output == {"value": 2}


async def test_blocks_one_after_the_other(env: Env) -> None:
    async def third(both: dict[str, Number]) -> int:
        return both["a"].value + both["b"].value

    async def fourth(both: dict[str, Number]) -> int:
        return both["a"].value * both["b"].value

    workflow = create_workflow(id="w", input_schema=Number, output_schema=dict[str, int])
    workflow.parallel([adding("a", 1), adding("b", 2)])
    workflow.parallel([create_step(execute=third), create_step(execute=fourth)]).commit()
    assert (await env.start(workflow, {"value": 1})).unwrap() == {"third": 5, "fourth": 6}


async def test_one_step_alone(env: Env) -> None:
    result = await env.start(parallel(adding("a")).commit(), {"value": 0})
    assert result.unwrap() == {"a": {"value": 1}}


async def test_many_steps(env: Env, calls: Calls) -> None:
    workflow = parallel(*(adding(f"s{i}", i, calls) for i in range(40))).commit()
    result = await env.start(workflow, {"value": 0})
    assert [value["value"] for value in result.unwrap().values()] == list(range(40))
    assert len(calls.names) == 40


async def test_the_same_step_in_two_blocks(env: Env, calls: Calls) -> None:
    step = adding("a", 1, calls)
    workflow = parallel(step, adding("b")).map(lambda ctx: ctx.input_data["a"])
    workflow.parallel([step, adding("c")]).commit()
    result = await env.start(workflow, {"value": 0})
    assert result.unwrap() == {"a": {"value": 2}, "c": {"value": 2}}
    assert calls["a"] == 2


async def test_all_starts_are_told_before_the_first_end(env: Env) -> None:
    begun: set[str] = set()
    all_begun = asyncio.Event()

    def meeting(id: str) -> Any:
        async def execute(number: Number) -> Number:
            begun.add(id)
            if len(begun) == 2:
                all_begun.set()
            await asyncio.wait_for(all_begun.wait(), 50)
            return number

        return create_step(id=id, execute=execute)

    events, _ = await env.events(parallel(meeting("a"), meeting("b")).commit(), {"value": 0})
    lines = outline(events)
    assert set(lines[1:3]) == {"step-start:a", "step-start:b"}
    assert set(lines[3:5]) == {"step-result:a", "step-result:b"}
