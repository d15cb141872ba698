"""Steps one after the other: what goes in, what comes out, how often each runs."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from mastra import StepContext, WorkflowSuccess, create_step, create_workflow
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding, chain, outline


async def test_one_step_gives_the_result(env: Env) -> None:
    result = await env.start(chain("w", adding()), Number(value=1))
    assert isinstance(result, WorkflowSuccess)
    assert result.status == "success"
    assert result.result == Number(value=2)


async def test_steps_run_in_order_and_once_each(env: Env, calls: Calls) -> None:
    workflow = chain("w", *(adding(f"s{i}", calls=calls) for i in range(5)))
    result = await env.start(workflow, {"value": 0})
    assert result.unwrap() == Number(value=5)
    assert calls.names == ["s0", "s1", "s2", "s3", "s4"]


async def test_a_step_result_has_input_output_and_times(env: Env) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    result = await env.start(chain("w", adding("a"), adding("b")), {"value": 1})
    second = result.steps["b"]
    assert (second.status, second.payload, second.output) == ("success", {"value": 2}, {"value": 3})
    assert second.error is None
    assert second.started_at is not None
    assert second.ended_at is not None
    assert before <= second.started_at <= second.ended_at


async def test_the_result_names_run_workflow_input_and_path(env: Env) -> None:
    workflow = env.workflow(chain("orders", adding("a"), adding("b")))
    run = await workflow.create_run()
    result = await run.start({"value": 1})
    assert (result.run_id, result.workflow_id) == (run.run_id, "orders")
    assert result.input == {"value": 1}
    assert result.step_execution_path == ["a", "b"]


async def test_input_may_be_a_value_or_data(env: Env) -> None:
    workflow = env.workflow(chain("w", adding()))
    results = [
        await (await workflow.create_run()).start(given)
        for given in (Number(value=3), {"value": 3}, {"value": "3"})
    ]
    assert [result.unwrap() for result in results] == [Number(value=4)] * 3


async def test_a_step_gets_its_input_as_a_value_of_its_type(env: Env) -> None:
    seen: list[Any] = []

    async def look(ctx: StepContext[Number]) -> Number:
        seen.append(ctx.input_data)
        return ctx.input_data

    await env.start(chain("w", create_step(id="look", execute=look)), {"value": 1})
    assert seen == [Number(value=1)]


async def test_types_beyond_json_reach_the_next_step_whole(env: Env) -> None:
    class Colour(Enum):
        RED = "red"

    class Parcel(BaseModel):
        due: date
        price: Decimal
        colour: Colour
        code: UUID
        wait: timedelta
        tags: set[str]

    parcel = Parcel(
        due=date(2026, 2, 3),
        price=Decimal("1.10"),
        colour=Colour.RED,
        code=UUID(int=7),
        wait=timedelta(minutes=3),
        tags={"a"},
    )
    seen: list[Parcel] = []

    async def give() -> Parcel:
        return parcel

    async def take(given: Parcel) -> Parcel:
        seen.append(given)
        return given

    workflow = create_workflow(id="w", input_schema=None, output_schema=Parcel)
    workflow.then(create_step(execute=give)).then(create_step(execute=take)).commit()
    result = await env.start(workflow)
    assert seen == [parcel]
    assert result.unwrap() == parcel


async def test_a_step_may_take_context_and_input_in_any_order(env: Env) -> None:
    async def both(number: Number, ctx: StepContext[Number]) -> Number:
        assert ctx.input_data == number
        return Number(value=number.value + 1)

    async def turned(ctx: StepContext[Number], number: Number) -> Number:
        assert ctx.input_data == number
        return Number(value=number.value + 1)

    workflow = chain("w", create_step(execute=both), create_step(execute=turned))
    assert (await env.start(workflow, {"value": 0})).unwrap() == Number(value=2)


async def test_a_plain_function_runs_in_a_worker_thread(env: Env) -> None:
    threads: list[int] = []

    def blocking(number: Number) -> Number:
        threads.append(threading.get_ident())
        return Number(value=number.value + 1)

    result = await env.start(chain("w", create_step(execute=blocking)), {"value": 0})
    assert result.unwrap() == Number(value=1)
    assert threads != [threading.get_ident()]


async def test_a_step_without_input_and_output(env: Env, calls: Calls) -> None:
    async def nothing() -> None:
        calls.add("nothing")

    workflow = create_workflow(id="w", input_schema=None, output_schema=None)
    workflow.then(create_step(execute=nothing)).commit()
    result = await env.start(workflow)
    assert (result.status, result.unwrap()) == ("success", None)
    assert calls["nothing"] == 1


async def test_a_step_knows_its_run(env: Env) -> None:
    seen: list[Any] = []

    async def look(ctx: StepContext[Number]) -> Number:
        seen.append((ctx.run_id, ctx.workflow_id, ctx.step_id, ctx.resource_id))
        return ctx.input_data

    workflow = env.workflow(chain("w", create_step(id="look", execute=look)))
    run = await workflow.create_run(resource_id="user-1")
    await run.start({"value": 1})
    assert seen == [(run.run_id, "w", "look", "user-1")]


async def test_a_step_reaches_what_is_registered(env: Env) -> None:
    seen: list[Any] = []

    async def look(ctx: StepContext[Number]) -> Number:
        seen.append(ctx.mastra.get_workflow("other").id)
        return ctx.input_data

    workflow = chain("w", create_step(id="look", execute=look))
    mastra = env.mastra(workflows={"w": workflow, "other": chain("other-id", adding())})
    await (await mastra.get_workflow("w").create_run()).start({"value": 1})
    assert seen == ["other-id"]


async def test_a_run_keeps_the_id_it_is_given(env: Env) -> None:
    run = await env.workflow(chain("w", adding())).create_run("order-1")
    result = await run.start({"value": 1})
    assert (run.run_id, result.run_id) == ("order-1", "order-1")


async def test_each_run_has_an_id_of_its_own(env: Env) -> None:
    workflow = env.workflow(chain("w", adding()))
    assert (await workflow.create_run()).run_id != (await workflow.create_run()).run_id


async def test_runs_at_the_same_time_do_not_mix(env: Env) -> None:
    workflow = env.workflow(chain("w", *(adding(f"s{i}") for i in range(4))))
    runs = [await workflow.create_run() for _ in range(20)]
    results = await asyncio.gather(*(run.start({"value": i}) for i, run in enumerate(runs)))
    assert [result.unwrap().value for result in results] == [i + 4 for i in range(20)]


async def test_starting_again_waits_for_the_first_start(env: Env, calls: Calls) -> None:
    run = await env.workflow(chain("w", adding("a", calls=calls))).create_run()
    first, second = await asyncio.gather(run.start({"value": 1}), run.start({"value": 1}))
    third = await run.start({"value": 1})
    assert [r.unwrap().value for r in (first, second, third)] == [2, 2, 2]
    assert calls["a"] == 1


async def test_a_known_run_id_attaches_to_that_run(env: Env, calls: Calls) -> None:
    workflow = env.workflow(chain("w", adding("a", calls=calls)))
    await (await workflow.create_run("one")).start({"value": 1})
    again = await workflow.create_run("one")
    assert (await again.start({"value": 1})).unwrap() == Number(value=2)
    assert calls["a"] == 1


async def test_another_process_attaches_to_a_finished_run(env: Env, calls: Calls) -> None:
    run = await env.workflow(chain("w", adding("a", calls=calls))).create_run()
    await run.start({"value": 1})
    elsewhere = await env.again(run)
    assert (await elsewhere.start({"value": 1})).unwrap() == Number(value=2)
    assert calls["a"] == 1


async def test_start_async_returns_while_the_run_goes_on(env: Env) -> None:
    may_end = asyncio.Event()

    async def wait(number: Number) -> Number:
        await may_end.wait()
        return number

    run = await env.workflow(chain("w", create_step(execute=wait))).create_run()
    assert await run.start_async({"value": 1}) == run.run_id
    may_end.set()
    assert (await run.result()).unwrap() == Number(value=1)


async def test_a_caller_that_gives_up_does_not_stop_the_run(env: Env, calls: Calls) -> None:
    may_end, begun = asyncio.Event(), asyncio.Event()

    async def wait(number: Number) -> Number:
        begun.set()
        await may_end.wait()
        calls.add("end")
        return number

    run = await env.workflow(chain("w", create_step(execute=wait))).create_run()
    async with asyncio.TaskGroup() as group:
        caller = group.create_task(run.start({"value": 1}))
        await begun.wait()
        caller.cancel()
    may_end.set()
    assert (await run.result()).status == "success"
    assert calls["end"] == 1


async def test_the_same_step_twice_runs_twice(env: Env, calls: Calls) -> None:
    step = adding("again", calls=calls)
    result = await env.start(chain("w", step, step), {"value": 0})
    assert result.unwrap() == Number(value=2)
    assert calls["again"] == 2
    assert result.steps["again"].payload == {"value": 1}
    assert result.step_execution_path == ["again", "again"]


async def test_a_long_chain(env: Env) -> None:
    workflow = chain("w", *(adding(f"s{i}") for i in range(150)))
    result = await env.start(workflow, {"value": 0})
    assert result.unwrap() == Number(value=150)
    assert len(result.steps) == 150


async def test_events_of_a_chain_come_in_order(env: Env) -> None:
    events, _ = await env.events(chain("w", adding("a"), adding("b")), {"value": 0})
    assert outline(events) == [
        "start",
        "step-start:a",
        "step-result:a",
        "step-start:b",
        "step-result:b",
        "finish",
    ]
    assert [event.seq for event in events] == list(range(6))


async def test_a_definition_is_not_changed_by_its_runs(env: Env) -> None:
    async def spoil(data: dict[str, Any]) -> dict[str, Any]:
        data["items"].append(1)
        return data

    first = create_step(id="spoil", execute=spoil)
    workflow = create_workflow(id="w", input_schema=dict[str, Any], output_schema=dict[str, Any])
    bound = env.workflow(workflow.then(first).commit())
    given: dict[str, Any] = {"items": []}
    for _ in range(2):
        result = await (await bound.create_run()).start(given)
        assert result.unwrap() == {"items": [1]}
    assert given == {"items": []}


async def test_what_a_later_step_does_to_its_input_leaves_earlier_results_alone(env: Env) -> None:
    async def give() -> dict[str, Any]:
        return {"items": [1]}

    async def spoil(data: dict[str, Any]) -> int:
        data["items"].append(2)
        return len(data["items"])

    workflow = create_workflow(id="w", input_schema=None, output_schema=int)
    workflow.then(create_step(execute=give)).then(create_step(execute=spoil)).commit()
    result = await env.start(workflow)
    assert result.unwrap() == 2
    assert result.steps["give"].output == {"items": [1]}
