"""Foreach: one step for each item of a list."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mastra import StepContext, StepValidationError, WorkflowFailed, create_step, create_workflow
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding, chain, outline


def start(output: Any = list[Number], *, id: str = "w", **options: Any) -> Any:
    return create_workflow(id=id, input_schema=list[Number], output_schema=output, **options)


def numbers(*values: int) -> list[dict[str, int]]:
    return [{"value": value} for value in values]


class Gauge:
    """How many are inside at once, and the most there ever were.

    The first ones wait inside until as many have come as may: a server that is busy starts them
    one after the other.
    """

    def __init__(self, expected: int = 1) -> None:
        self.inside = 0
        self.most = 0
        self._expected = expected
        self._is_full = asyncio.Event()

    async def pass_through(self) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.most >= self._expected:
            self._is_full.set()
        async with asyncio.timeout(50):
            await self._is_full.wait()
        await asyncio.sleep(0.003)  # in which one too many would come
        self.inside -= 1


def measured(gauge: Gauge) -> Any:
    async def execute(number: Number) -> Number:
        await gauge.pass_through()
        return number

    return create_step(id="measured", execute=execute)


async def test_outputs_come_in_order_of_the_items(env: Env, calls: Calls) -> None:
    workflow = start().foreach(adding("add", 10, calls)).commit()
    result = await env.start(workflow, numbers(1, 2, 3))
    assert result.unwrap() == [Number(value=v) for v in (11, 12, 13)]
    assert calls["add"] == 3


async def test_items_run_one_after_the_other_by_default(env: Env) -> None:
    gauge = Gauge()
    await env.start(start().foreach(measured(gauge)).commit(), numbers(*range(4)))
    assert gauge.most == 1


async def test_as_many_items_at_once_as_is_said(env: Env) -> None:
    gauge = Gauge(3)
    workflow = start().foreach(measured(gauge), concurrency=3).commit()
    result = await env.start(workflow, numbers(*range(7)))
    assert gauge.most == 3
    assert len(result.unwrap()) == 7


async def test_all_items_at_once_where_there_are_fewer(env: Env) -> None:
    gauge = Gauge(5)
    await env.start(start().foreach(measured(gauge), concurrency=50).commit(), numbers(*range(5)))
    assert gauge.most == 5


async def test_order_is_kept_when_later_items_end_first(env: Env) -> None:
    async def execute(number: Number) -> Number:
        await asyncio.sleep(0.006 - 0.002 * number.value)
        return number

    workflow = start().foreach(create_step(id="s", execute=execute), concurrency=3).commit()
    result = await env.start(workflow, numbers(0, 1, 2))
    assert [number.value for number in result.unwrap()] == [0, 1, 2]


async def test_concurrency_may_depend_on_the_run(env: Env, calls: Calls) -> None:
    gauge = Gauge(3)

    def at_once(ctx: StepContext[list[Number]]) -> int:
        calls.add("asked")
        return min(len(ctx.input_data), len(ctx.get_init_data()) - 1)

    workflow = start().foreach(measured(gauge), concurrency=at_once).commit()
    await env.start(workflow, numbers(*range(4)))
    assert gauge.most == 3
    assert calls["asked"] == 1


async def test_a_concurrency_function_that_gives_nonsense_fails_the_run(env: Env) -> None:
    workflow = start().foreach(adding(), concurrency=lambda ctx: 0).commit()
    result = await env.start(workflow, numbers(1))
    assert isinstance(result, WorkflowFailed)
    assert "Concurrency of foreach 'add'" in result.error.message


async def test_a_concurrency_function_that_raises_fails_the_run(env: Env) -> None:
    def broken(ctx: StepContext[Any]) -> int:
        raise ValueError("no idea")

    result = await env.start(start().foreach(adding(), concurrency=broken).commit(), numbers(1))
    assert isinstance(result, WorkflowFailed)
    assert result.error.message == "no idea"


async def test_no_items_give_an_empty_list_and_run_nothing(env: Env, calls: Calls) -> None:
    workflow = start().foreach(adding("add", 1, calls)).commit()
    result = await env.start(workflow, [])
    assert (result.status, result.unwrap()) == ("success", [])
    assert calls.names == []


async def test_steps_before_and_after(env: Env) -> None:
    async def split(text: str) -> list[Number]:
        return [Number(value=int(part)) for part in text.split()]

    async def total(items: list[Number]) -> int:
        return sum(number.value for number in items)

    workflow = create_workflow(id="w", input_schema=str, output_schema=int)
    workflow.then(create_step(execute=split)).foreach(adding("add", 1))
    workflow.then(create_step(execute=total)).commit()
    assert (await env.start(workflow, "1 2 3")).unwrap() == 9


async def test_a_map_may_make_the_items_and_take_the_outputs(env: Env) -> None:
    workflow = create_workflow(id="w", input_schema=int, output_schema=list[int])
    workflow.map(lambda ctx: [Number(value=i) for i in range(ctx.input_data)])
    workflow.foreach(adding("add", 5)).map(lambda ctx: [n.value for n in ctx.input_data]).commit()
    assert (await env.start(workflow, 3)).unwrap() == [5, 6, 7]


async def test_one_foreach_after_the_other(env: Env, calls: Calls) -> None:
    step = adding("add", 1, calls)
    result = await env.start(start().foreach(step).foreach(step).commit(), numbers(1, 2))
    assert result.unwrap() == [Number(value=3), Number(value=4)]
    assert calls["add"] == 4


async def test_the_block_has_one_step_result_with_lists(env: Env) -> None:
    result = await env.start(start().foreach(adding("add")).commit(), numbers(1, 2))
    assert list(result.steps) == ["add"]
    block = result.steps["add"]
    assert block.payload == numbers(1, 2)
    assert block.output == numbers(2, 3)
    assert result.step_execution_path == []


async def test_get_step_result_gives_the_list(env: Env) -> None:
    seen: list[Any] = []

    def look(ctx: StepContext[Any]) -> int:
        seen.append(ctx.get_step_result("add"))
        return 0

    await env.start(start(int).foreach(adding("add")).map(look).commit(), numbers(1, 2))
    assert seen == [[Number(value=2), Number(value=3)]]


async def test_a_failing_item_fails_the_run_and_the_rest_is_not_started(
    env: Env, calls: Calls
) -> None:
    async def execute(number: Number) -> Number:
        calls.add(str(number.value))
        if number.value == 2:
            raise ValueError("two is bad")
        return number

    workflow = start().foreach(create_step(id="s", execute=execute))
    result = await env.start(workflow.map(lambda c: calls.add("after")).commit(), numbers(1, 2, 3))
    assert isinstance(result, WorkflowFailed)
    assert result.error.message == "two is bad"
    assert calls.names == ["1", "2"]
    assert result.steps["s"].status == "failed"


async def test_items_under_way_end_when_another_fails(env: Env, calls: Calls) -> None:
    async def execute(number: Number) -> Number:
        if number.value == 0:
            raise ValueError("zero is bad")
        await asyncio.sleep(0.003)
        calls.add(f"end {number.value}")
        return number

    workflow = start().foreach(create_step(id="s", execute=execute), concurrency=2).commit()
    result = await env.start(workflow, numbers(0, 1, 2, 3))
    assert isinstance(result, WorkflowFailed)
    assert calls.names == ["end 1"]


async def test_input_that_is_no_list_fails_the_run(env: Env, calls: Calls) -> None:
    workflow = create_workflow(id="w", input_schema=Any, output_schema=Any)
    workflow.foreach(adding("add", 1, calls)).commit()
    result = await env.start(workflow, {"value": 1})
    assert isinstance(result, WorkflowFailed)
    assert isinstance(result.error, StepValidationError)
    assert "'add'" in result.error.message
    assert "list" in result.error.message
    assert calls.names == []


async def test_a_bad_item_is_named_by_step_and_field(env: Env) -> None:
    workflow = create_workflow(id="w", input_schema=list[Any], output_schema=list[Any])
    workflow.foreach(adding("add")).commit()
    result = await env.start(workflow, [{"value": 1}, {"value": "x"}])
    assert isinstance(result, WorkflowFailed)
    assert result.error.code == "WORKFLOW_STEP_INPUT_VALIDATION_FAILED"
    assert "'add'" in result.error.message
    assert "value" in result.error.message


async def test_a_workflow_for_each_item(env: Env, calls: Calls) -> None:
    inner = chain("inner", adding("x", 1, calls), adding("y", 1, calls))
    result = await env.start(start().foreach(inner).commit(), numbers(0, 10))
    assert result.unwrap() == [Number(value=2), Number(value=12)]
    assert calls.names == ["x", "y", "x", "y"]
    assert result.steps["inner"].output == numbers(2, 12)


async def test_workflows_for_items_at_once_do_not_mix(env: Env) -> None:
    inner = create_workflow(id="inner", input_schema=Number, output_schema=Number)
    inner.then(adding("x")).map(
        lambda ctx: Number(value=ctx.get_init_data().value * 100 + ctx.get_step_result("x").value)
    ).commit()
    workflow = start().foreach(inner, concurrency=4).commit()
    result = await env.start(workflow, numbers(1, 2, 3, 4))
    assert [number.value for number in result.unwrap()] == [102, 203, 304, 405]


async def test_a_foreach_in_a_foreach(env: Env) -> None:
    inner = start(id="inner").foreach(adding("add")).commit()
    workflow = create_workflow(
        id="w", input_schema=list[list[Number]], output_schema=list[list[Number]]
    )
    workflow.foreach(inner, concurrency=2).commit()
    result = await env.start(workflow, [numbers(1, 2), [], numbers(3)])
    assert [[n.value for n in part] for part in result.unwrap()] == [[2, 3], [], [4]]


async def test_a_branch_for_each_item(env: Env) -> None:
    inner = create_workflow(id="inner", input_schema=Number, output_schema=Any)
    inner.branch(
        [
            (lambda ctx: ctx.input_data.value > 1, adding("big", 100)),
            (lambda ctx: ctx.input_data.value <= 1, adding("small", 10)),
        ]
    ).map(lambda ctx: next(iter(ctx.input_data.values()))).commit()
    result = await env.start(start().foreach(inner).commit(), numbers(1, 2))
    assert result.unwrap() == [Number(value=11), Number(value=102)]


async def test_one_after_the_other_items_see_the_state_of_those_before(env: Env) -> None:
    async def execute(ctx: StepContext[Number]) -> int:
        total = ctx.state.get("total", 0) + ctx.input_data.value
        await ctx.set_state({"total": total})
        return total

    workflow = start(list[int]).foreach(create_step(id="sum", execute=execute)).commit()
    result = await env.start(workflow, numbers(1, 2, 3))
    assert result.unwrap() == [1, 3, 6]
    assert result.state == {"total": 6}


async def test_bail_in_an_item_ends_the_run(env: Env, calls: Calls) -> None:
    async def execute(ctx: StepContext[Number]) -> Number:
        calls.add(str(ctx.input_data.value))
        if ctx.input_data.value == 2:
            ctx.bail([{"value": 15}])
        return ctx.input_data

    workflow = start().foreach(create_step(id="s", execute=execute)).foreach(adding("after"))
    result = await env.start(workflow.commit(), numbers(1, 2, 3))
    assert result.unwrap() == [Number(value=15)]
    assert calls.names == ["1", "2"]


async def test_a_retried_item_counts_its_own_tries(env: Env, calls: Calls) -> None:
    counts: list[tuple[int, int]] = []

    async def execute(ctx: StepContext[Number]) -> Number:
        counts.append((ctx.input_data.value, ctx.retry_count))
        if calls.add(str(ctx.input_data.value)) == 0:
            raise ValueError("first time unlucky")
        return ctx.input_data

    workflow = start().foreach(create_step(id="s", execute=execute, retries=1)).commit()
    await env.start(workflow, numbers(1, 2))
    assert counts == [(1, 0), (1, 1), (2, 0), (2, 1)]


async def test_items_are_silent_but_progress_is_told(env: Env) -> None:
    events, _ = await env.events(start().foreach(adding("add")).commit(), numbers(1, 2))
    assert outline(events) == [
        "start",
        "step-start:add",
        "step-progress:add",
        "step-progress:add",
        "step-result:add",
        "finish",
    ]
    progress = [event.payload for event in events if event.type == "workflow-step-progress"]
    assert [
        (p.completed_count, p.total_count, p.current_index, p.iteration_status, p.iteration_output)
        for p in progress
    ] == [(1, 2, 0, "success", {"value": 2}), (2, 2, 1, "success", {"value": 3})]


async def test_progress_tells_of_a_failed_item(env: Env) -> None:
    async def execute(number: Number) -> Number:
        if number.value == 2:
            raise ValueError("two is bad")
        return number

    workflow = start().foreach(create_step(id="s", execute=execute)).commit()
    events, _ = await env.events(workflow, numbers(1, 2, 3))
    progress = [event.payload for event in events if event.type == "workflow-step-progress"]
    told = [(item.completed_count, item.iteration_status) for item in progress]
    assert told == [(1, "success"), (2, "failed")]


@pytest.mark.parametrize("concurrency", [1, 8])
async def test_many_items(env: Env, calls: Calls, concurrency: int) -> None:
    workflow = start().foreach(adding("add", 1, calls), concurrency=concurrency).commit()
    result = await env.start(workflow, numbers(*range(120)))
    assert [number.value for number in result.unwrap()] == list(range(1, 121))
    assert calls["add"] == 120
