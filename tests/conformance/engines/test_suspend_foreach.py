"""Suspension of the items of a foreach, resumed all at once or one by one."""

from __future__ import annotations

from typing import Any, cast

import pytest

from mastra import (
    Run,
    RunStateError,
    StepContext,
    WorkflowSuspended,
    create_step,
    create_workflow,
)
from tests.support.engines import Calls, Env, OddClock
from tests.support.waiting import asking, plus


def each(step: Any, concurrency: int = 1) -> Any:
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=list[int])
    return workflow.foreach(step, concurrency=concurrency).commit()


def odd_asks(calls: Calls, step_id: str = "item") -> Any:
    async def execute(ctx: StepContext[int]) -> int:
        calls.add(f"{step_id}{ctx.input_data}")
        if ctx.input_data % 2 and ctx.resume_data is None:
            await ctx.suspend({"value": ctx.input_data}, resume_label=f"item-{ctx.input_data}")
        added = 0 if ctx.resume_data is None else ctx.resume_data["add"]
        return ctx.input_data * 10 + added

    return create_step(id=step_id, input_schema=int, output_schema=int, execute=execute)


async def suspended(env: Env, workflow: Any, items: list[int]) -> Run[Any]:
    run = await env.workflow(workflow).create_run()
    result = await run.start(items)
    assert isinstance(result, WorkflowSuspended)
    return run


async def test_one_at_a_time_stops_at_the_first_that_suspends(env: Env, calls: Calls) -> None:
    await suspended(env, each(odd_asks(calls)), [2, 1, 4, 3])
    assert calls.names == ["item2", "item1"]


async def test_one_at_a_time_is_resumed_item_by_item(env: Env, calls: Calls) -> None:
    run = await suspended(env, each(odd_asks(calls)), [2, 1, 4, 3])
    second = await run.resume({"add": 5})
    assert isinstance(second, WorkflowSuspended)
    assert second.suspend_payload == {"item": {"value": 3}}
    assert (await run.resume({"add": 7})).unwrap() == [20, 15, 40, 37]


async def test_finished_items_do_not_run_again(env: Env, calls: Calls) -> None:
    run = await suspended(env, each(odd_asks(calls), 4), [2, 1, 4, 3])
    await run.resume({"add": 5})
    assert sorted(calls.names) == ["item1", "item1", "item2", "item3", "item3", "item4"]


async def test_without_an_index_all_that_wait_are_resumed(env: Env, calls: Calls) -> None:
    run = await suspended(env, each(odd_asks(calls), 4), [2, 1, 4, 3])
    assert (await run.resume({"add": 5})).unwrap() == [20, 15, 40, 35]


async def test_by_index(env: Env, calls: Calls) -> None:
    run = await suspended(env, each(odd_asks(calls), 4), [2, 1, 4, 3])
    first = await run.resume({"add": 5}, for_each_index=1)
    assert isinstance(first, WorkflowSuspended)
    assert (await run.resume({"add": 7}, for_each_index=3)).unwrap() == [20, 15, 40, 37]


async def test_by_index_from_the_last_to_the_first(env: Env, calls: Calls) -> None:
    run = await suspended(env, each(asking(calls, "ask"), 3), [1, 2, 3])
    for index in (2, 1):
        result = await run.resume({"add": index}, for_each_index=index)
        assert isinstance(result, WorkflowSuspended)
    assert (await run.resume({"add": 0}, for_each_index=0)).unwrap() == [1, 3, 5]
    assert calls["ask"] == 6


async def test_by_index_with_fewer_at_once_than_items(env: Env, calls: Calls) -> None:
    run = await suspended(env, each(asking(calls, "ask"), 2), [1, 2, 3, 4])
    assert calls["ask"] == 2
    result = await run.resume({"add": 10}, for_each_index=1)
    assert isinstance(result, WorkflowSuspended)
    assert calls["ask:done"] == 1


async def test_items_not_begun_wait_until_no_other_waits(env: Env, calls: Calls) -> None:
    run = await suspended(env, each(asking(calls, "ask"), 2), [1, 2, 3, 4])
    await run.resume({"add": 10}, for_each_index=1)
    assert calls["ask"] == 3
    await run.resume({"add": 10}, for_each_index=0)
    assert calls["ask"] == 6
    assert (await run.resume({"add": 10})).unwrap() == [11, 12, 13, 14]


async def test_by_index_and_step(env: Env, calls: Calls) -> None:
    run = await suspended(env, each(odd_asks(calls), 2), [1, 3])
    result = await run.resume({"add": 1}, step="item", for_each_index=0)
    assert isinstance(result, WorkflowSuspended)


async def test_by_label_of_an_item(env: Env, calls: Calls) -> None:
    run = await suspended(env, each(odd_asks(calls), 2), [1, 3])
    await run.resume({"add": 1}, label="item-3")
    assert (await run.resume({"add": 2}, label="item-1")).unwrap() == [12, 31]


async def test_labels_tell_the_index(env: Env, calls: Calls) -> None:
    run = await env.workflow(each(odd_asks(calls), 2)).create_run()
    result = await run.start([1, 3])
    assert isinstance(result, WorkflowSuspended)
    assert result.resume_labels == {
        "item-1": {"stepId": "item", "foreachIndex": 0},
        "item-3": {"stepId": "item", "foreachIndex": 1},
    }


def labelled() -> Any:
    async def execute(ctx: StepContext[int]) -> int:
        if ctx.resume_data is None:
            await ctx.suspend({"n": ctx.input_data}, resume_label=f"item-{ctx.input_data}")
        return ctx.input_data + ctx.resume_data["add"]

    return create_step(id="ask", input_schema=int, output_schema=int, execute=execute)


async def test_labels_tell_the_index_of_an_item_that_is_a_workflow(env: Env) -> None:
    inner = create_workflow(id="inner", input_schema=int, output_schema=int).then(labelled())
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=list[int])
    workflow = env.workflow(workflow.foreach(inner.commit(), concurrency=3).commit())
    run = await workflow.create_run("r")
    result = await run.start([1, 2, 3])
    assert isinstance(result, WorkflowSuspended)
    expected = {f"item-{n + 1}": {"stepId": "inner.ask", "foreachIndex": n} for n in range(3)}
    assert result.resume_labels == expected
    assert result.suspend_payload["inner"] == {"n": 1}

    found = (await workflow.get_run("r")).to_snapshot()
    assert found["resumeLabels"] == expected
    about = {
        name: step["suspendPayload"]["__workflow_meta"].get("foreachIndex")
        for name, step in found["context"].items()
        if name != "input"
    }
    assert about == {"inner": 0, "inner[0].ask": 0, "inner[1].ask": 1, "inner[2].ask": 2}

    # As clients do that go by what a label says.
    place = result.resume_labels["item-2"]
    result = await run.resume(
        {"add": 10}, step=place["stepId"], for_each_index=cast("int", place["foreachIndex"])
    )
    assert isinstance(result, WorkflowSuspended)
    assert set(result.resume_labels) == {"item-1", "item-3"}


async def test_the_snapshot_tells_which_item_waits_first(env: Env, calls: Calls) -> None:
    workflow = env.workflow(each(odd_asks(calls), 2))
    await (await workflow.create_run("r")).start([2, 3])
    found = (await workflow.get_run("r")).to_snapshot()
    assert found["context"]["item"]["suspendPayload"]["__workflow_meta"]["foreachIndex"] == 1


async def test_an_index_that_does_not_wait_is_refused(env: Env, calls: Calls) -> None:
    run = await suspended(env, each(odd_asks(calls), 4), [2, 1, 4, 3])
    with pytest.raises(RunStateError, match=r"Item 0 .*\[1, 3\]") as caught:
        await run.resume({"add": 5}, for_each_index=0)
    assert caught.value.code == "RESUME_TARGET_NOT_FOUND"


async def test_an_index_where_there_is_no_foreach_is_refused(env: Env, calls: Calls) -> None:
    workflow = create_workflow(id="w", input_schema=int, output_schema=int)
    run = await env.workflow(workflow.then(asking(calls, "ask")).commit()).create_run()
    await run.start(1)
    with pytest.raises(RunStateError, match="Item 0"):
        await run.resume({"add": 5}, for_each_index=0)


async def test_an_item_may_suspend_again(env: Env, calls: Calls) -> None:
    run = await suspended(env, each(asking(calls, "ask", times=2), 2), [1, 2])
    again = await run.resume({"add": 1}, for_each_index=0)
    assert isinstance(again, WorkflowSuspended)
    await run.resume({"add": 2}, for_each_index=1)
    await run.resume({"add": 3}, for_each_index=0)
    assert (await run.resume({"add": 4}, for_each_index=1)).unwrap() == [4, 6]


async def test_the_block_is_suspended_while_an_item_waits(env: Env, calls: Calls) -> None:
    run = await env.workflow(each(odd_asks(calls), 2)).create_run()
    result = await run.start([1, 2])
    assert isinstance(result, WorkflowSuspended)
    assert result.suspended == [["item"]]
    assert result.steps["item"].status == "suspended"


async def test_the_output_is_that_of_the_block(env: Env, calls: Calls) -> None:
    run = await suspended(env, each(odd_asks(calls), 2), [1, 2])
    result = await run.resume({"add": 5})
    assert result.steps["item"].output == [15, 20]


def nested_each(calls: Calls, concurrency: int) -> Any:
    inner = create_workflow(id="inner", input_schema=int, output_schema=int)
    inner.then(plus(calls, "a", 100)).then(asking(calls, "ask")).then(plus(calls, "b")).commit()
    return each(inner, concurrency)


async def test_a_nested_workflow_in_a_foreach_suspends(env: Env, calls: Calls) -> None:
    run = await suspended(env, nested_each(calls, 2), [1, 2])
    assert (await run.resume({"add": 10})).unwrap() == [112, 113]
    assert [calls["a"], calls["b"]] == [2, 2]


async def test_a_nested_workflow_in_a_foreach_is_resumed_by_index(env: Env, calls: Calls) -> None:
    run = await suspended(env, nested_each(calls, 3), [1, 2, 3])
    for index in (1, 2):
        result = await run.resume({"add": index}, for_each_index=index)
        assert isinstance(result, WorkflowSuspended)
    result = await run.resume({"add": 0}, step="inner.ask", for_each_index=0)
    assert result.unwrap() == [102, 104, 106]


async def test_a_nested_workflow_in_a_foreach_one_at_a_time(env: Env, calls: Calls) -> None:
    run = await suspended(env, nested_each(calls, 1), [1, 2])
    second = await run.resume({"add": 10})
    assert isinstance(second, WorkflowSuspended)
    assert (await run.resume({"add": 20})).unwrap() == [112, 123]
    assert calls["a"] == 2


async def test_a_nested_item_by_index_with_fewer_at_once(env: Env, calls: Calls) -> None:
    run = await suspended(env, nested_each(calls, 2), [1, 2, 3])
    result = await run.resume({"add": 10}, for_each_index=1)
    assert isinstance(result, WorkflowSuspended)
    assert calls["ask:done"] == 1
    await run.resume({"add": 10}, for_each_index=0)
    assert (await run.resume({"add": 10})).unwrap() == [112, 113, 114]


async def test_a_foreach_inside_a_nested_workflow_suspends(env: Env, calls: Calls) -> None:
    inner = create_workflow(id="inner", input_schema=list[int], output_schema=list[int])
    inner.foreach(asking(calls, "ask"), concurrency=2).commit()
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=list[int])
    run = await suspended(env, workflow.then(inner).commit(), [1, 2])
    result = await run.resume({"add": 1}, step="inner.ask", for_each_index=1)
    assert isinstance(result, WorkflowSuspended)
    assert (await run.resume({"add": 1})).unwrap() == [2, 3]


async def test_a_foreach_inside_a_foreach_suspends(env: Env, calls: Calls) -> None:
    inner = create_workflow(id="inner", input_schema=list[int], output_schema=list[int])
    inner.foreach(asking(calls, "ask")).commit()
    workflow = create_workflow(id="w", input_schema=list[list[int]], output_schema=list[list[int]])
    run = await env.workflow(workflow.foreach(inner).commit()).create_run()
    result = await run.start([[1, 2], [3]])
    turns = 0
    while isinstance(result, WorkflowSuspended):
        turns += 1
        result = await run.resume({"add": 10})
    assert result.unwrap() == [[11, 12], [13]]
    assert turns == 3


async def test_what_follows_a_foreach_waits_for_all_items(env: Env, calls: Calls) -> None:
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=int)
    workflow = workflow.foreach(asking(calls, "ask"), concurrency=2)
    workflow = workflow.map(lambda ctx: sum(ctx.input_data)).then(plus(calls, "end")).commit()
    run = await suspended(env, workflow, [1, 2])
    await run.resume({"add": 1}, for_each_index=0)
    assert calls["end"] == 0
    assert (await run.resume({"add": 1}, for_each_index=1)).unwrap() == 6


@pytest.mark.parametrize("is_nested", [False, True], ids=["a step", "a workflow"])
async def test_an_item_tells_each_time_that_it_suspends_whatever_the_clock_says(
    env: Env, calls: Calls, is_nested: bool
) -> None:
    env.clock = OddClock()
    item = asking(calls, "ask", times=9)
    if is_nested:
        inner = create_workflow(id="inner", input_schema=int, output_schema=int)
        item = inner.then(item).commit()
    run = await suspended(env, each(item), [1])
    for _ in range(3):
        events, result = await env.read(run.resume_stream({"add": 1}))
        assert result.status == "suspended"
        told = [event for event in events if event.type == "workflow-step-progress"]
        assert [event.payload.iteration_status for event in told] == ["suspended"]
        run = await env.again(run)
    assert calls["ask"] == 4
