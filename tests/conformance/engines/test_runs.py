"""Runs as things that are stored: making, listing, reading, deleting, starting twice."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, cast

import pytest
from pydantic import BaseModel, Field

from mastra import (
    ConfigError,
    InputValidationError,
    RunNotFoundError,
    RunStateError,
    StepContext,
    WorkflowSuccess,
    create_step,
    create_workflow,
)
from tests.support.engines import Calls, Env
from tests.support.waiting import Gate, asking, blocking, failing, plus


class Number(BaseModel):
    value: int = 5


def flow(id: str = "w", output: Any = int, **options: Any) -> Any:
    return create_workflow(id=id, input_schema=int, output_schema=output, **options)


# -- making ------------------------------------------------------------------------------------


async def test_a_run_has_a_random_id(env: Env, calls: Calls) -> None:
    workflow = env.workflow(flow().then(plus(calls, "a")).commit())
    first, second = await workflow.create_run(), await workflow.create_run()
    assert first.run_id != second.run_id


async def test_a_run_is_stored_as_pending(env: Env, calls: Calls) -> None:
    workflow = env.workflow(flow().then(plus(calls, "a")).commit())
    run = await workflow.create_run("r", resource_id="ann")
    info = await workflow.get_run("r")
    assert await run.status() == info.status == "pending"
    assert info.resource_id == "ann"
    assert info.steps == {}


async def test_create_run_async_is_the_same(env: Env, calls: Calls) -> None:
    workflow = env.workflow(flow().then(plus(calls, "a")).commit())
    run = await workflow.create_run_async("r")
    assert (await run.start(1)).unwrap() == 2


@pytest.mark.parametrize("name", ["run_id", "resource_id"])
async def test_an_id_is_one_that_every_database_takes(env: Env, calls: Calls, name: str) -> None:
    workflow = env.workflow(flow().then(plus(calls, "a")).commit())
    for wrong in ("", "a\0b", "\ud800", "x" * 256, "a\nb", 5):
        with pytest.raises(ConfigError, match=f"{name} is "):
            await workflow.create_run(**cast("Any", {name: wrong}))
    # No database could press these into fewer bytes.
    longest = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=255))
    run = await workflow.create_run(**cast("Any", {name: longest}))
    assert (await run.start(1)).unwrap() == 2
    listed = await workflow.list_runs(resource_id=longest if name == "resource_id" else None)
    assert [info.run_id for info in listed.runs] == [run.run_id]


async def test_an_existing_id_gives_that_run(env: Env, calls: Calls) -> None:
    workflow = env.workflow(flow().then(asking(calls, "ask")).commit())
    await (await workflow.create_run("r", resource_id="ann")).start(1)
    again = await workflow.create_run("r")
    assert await again.status() == "suspended"
    assert again.resource_id == "ann"
    assert (await again.resume({"add": 1})).unwrap() == 2


async def test_the_same_id_in_two_workflows_are_two_runs(env: Env, calls: Calls) -> None:
    first = flow().then(plus(calls, "a")).commit()
    second = flow("v").then(plus(calls, "b", 10)).commit()
    mastra = env.mastra(workflows=[first, second])
    runs = [await mastra.get_workflow(name).create_run("r") for name in "wv"]
    assert [(await run.start(1)).unwrap() for run in runs] == [2, 11]


async def test_runs_share_nothing(env: Env) -> None:
    async def count(ctx: StepContext[int]) -> int:
        await ctx.set_state({"n": ctx.state.get("n", 0) + ctx.input_data})
        return ctx.input_data

    step = create_step(id="s", input_schema=int, output_schema=int, execute=count)
    workflow = env.workflow(flow().then(step).commit())
    runs = [await workflow.create_run() for _ in range(5)]
    results = await asyncio.gather(*[run.start(n) for n, run in enumerate(runs)])
    assert [result.state["n"] for result in results] == [0, 1, 2, 3, 4]


# -- starting twice ----------------------------------------------------------------------------


async def test_start_twice_runs_once(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    assert (await run.start(1)).unwrap() == (await run.start(1)).unwrap() == 2
    assert (await run.start()).unwrap() == 2
    assert calls["a"] == 1


async def test_a_second_start_with_another_input_is_refused(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    await run.start(1)
    with pytest.raises(RunStateError, match="another input") as raised:
        await run.start(5)
    assert raised.value.code == "RUN_ALREADY_STARTED"
    with pytest.raises(RunStateError, match="another initial state"):
        await run.start(1, initial_state={"n": 1})
    with pytest.raises(RunStateError, match="another input"):
        async for _ in run.stream(5):
            pass
    elsewhere = await env.again(run)
    with pytest.raises(RunStateError, match="another input"):
        await elsewhere.start(5)
    assert (await elsewhere.start(1)).unwrap() == 2
    assert calls["a"] == 1


async def test_a_run_under_way_refuses_another_input(env: Env, calls: Calls) -> None:
    gate = Gate()
    workflow = env.workflow(flow().then(blocking(calls, "b", gate)).commit())
    run = await workflow.create_run("r")
    await run.start_async(1)
    await gate.reached.wait()
    with pytest.raises(RunStateError, match="another input"):
        await (await workflow.create_run("r")).start(2)
    gate.opened.set()
    assert (await run.result()).unwrap() == 2


class Order(BaseModel):
    name: str
    number: float = Field(default_factory=random.random)
    notes: list[str] = []


async def test_defaults_that_differ_each_time_are_no_other_input(env: Env) -> None:
    async def name(order: Order) -> str:
        return order.name

    workflow = create_workflow(id="w", input_schema=Order, output_schema=str)
    run = await env.workflow(workflow.then(create_step(execute=name)).commit()).create_run()
    assert (await run.start({"name": "a"})).unwrap() == "a"
    assert (await run.start({"name": "a"})).unwrap() == "a"
    for other in ({"name": "b"}, {"name": "a", "notes": ["x"]}, {"name": "a", "number": 7}):
        with pytest.raises(RunStateError, match="another input"):
            await run.start(other)


async def test_start_at_once_runs_once(env: Env, calls: Calls) -> None:
    started: list[str] = []

    async def on_start(facts: Any) -> None:
        await asyncio.sleep(0)
        started.append(facts.run_id)

    workflow = flow(on_start=on_start).then(plus(calls, "a")).commit()
    run = await env.workflow(workflow).create_run()
    results = await asyncio.gather(*[run.start(1) for _ in range(4)])
    assert [result.unwrap() for result in results] == [2] * 4
    assert calls["a"] == len(started) == 1


async def test_start_of_two_objects_at_once_runs_once(env: Env, calls: Calls) -> None:
    workflow = env.workflow(flow().then(plus(calls, "a")).commit())
    runs = [await workflow.create_run("r") for _ in range(4)]
    results = await asyncio.gather(*[run.start(1) for run in runs])
    assert [result.unwrap() for result in results] == [2] * 4
    assert calls["a"] == 1


async def test_start_of_a_run_under_way_waits_for_its_result(env: Env, calls: Calls) -> None:
    gate = Gate()
    workflow = env.workflow(flow().then(blocking(calls, "b", gate)).commit())
    await (await workflow.create_run("r")).start_async(1)
    await gate.reached.wait()
    waiting = asyncio.ensure_future((await workflow.create_run("r")).start(1))
    gate.opened.set()
    assert (await waiting).unwrap() == 2
    assert calls["b"] == 1


async def test_start_of_a_finished_run_gives_its_result(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    await run.start(1)
    elsewhere = await env.again(run)
    result = await elsewhere.start(1)
    assert isinstance(result, WorkflowSuccess)
    assert result.unwrap() == 2
    assert result.steps["a"].output == 2
    assert calls["a"] == 1


async def test_start_of_a_finished_run_needs_no_input(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    await run.start(1)
    assert (await (await env.again(run)).start()).unwrap() == 2


async def test_start_of_a_failed_run_gives_its_error(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(failing(calls, "f")).commit()).create_run()
    await run.start(1)
    result = await (await env.again(run)).start(1)
    assert result.status == "failed"
    assert result.error.message == "f refuses 1"


async def test_bad_input_leaves_the_run_pending(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    with pytest.raises(InputValidationError):
        await run.start("many")
    assert await run.status() == "pending"
    assert (await run.start(1)).unwrap() == 2


async def test_the_result_of_a_run_started_elsewhere(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    await run.start_async(1)
    await run.result()
    assert (await (await env.again(run)).result()).unwrap() == 2


async def test_a_typed_result_comes_back_as_its_type(env: Env) -> None:
    async def make(number: int) -> Number:
        return Number(value=number)

    workflow = flow(output=Number).then(create_step(id="make", execute=make)).commit()
    run = await env.workflow(workflow).create_run()
    await run.start(3)
    assert (await (await env.again(run)).result()).unwrap() == Number(value=3)


# -- reading -----------------------------------------------------------------------------------


async def test_a_finished_run(env: Env, calls: Calls) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    workflow = env.workflow(flow().then(plus(calls, "a")).commit())
    run = await workflow.create_run("r", resource_id="ann")
    await run.start(1, initial_state={"k": "v"}, request_context={"tenant": "acme"})
    info = await workflow.get_run("r")
    assert (info.run_id, info.workflow_id, info.status) == ("r", "w", "success")
    assert (info.input, info.result, info.error) == (1, 2, None)
    assert info.steps["a"].status == "success"
    assert info.steps["a"].output == 2
    assert info.state == {"k": "v"}
    assert info.resource_id == "ann"
    assert dict(info.request_context) == {"tenant": "acme"}
    assert before < info.created_at <= info.updated_at <= datetime.now(UTC) + timedelta(seconds=1)


async def test_an_unknown_run_is_none(env: Env, calls: Calls) -> None:
    workflow = env.workflow(flow().then(plus(calls, "a")).commit())
    assert await workflow.get_run("nope") is None


async def test_a_failed_run_has_its_error(env: Env, calls: Calls) -> None:
    workflow = env.workflow(flow().then(failing(calls, "f")).commit())
    await (await workflow.create_run("r")).start(1)
    info = await workflow.get_run("r")
    assert info.status == "failed"
    assert info.error.message == "f refuses 1"
    assert info.steps["f"].error.message == "f refuses 1"


async def test_a_suspended_run_has_its_payload(env: Env, calls: Calls) -> None:
    workflow = env.workflow(flow().then(asking(calls, "ask")).commit())
    await (await workflow.create_run("r")).start(1)
    info = await workflow.get_run("r")
    assert info.status == "suspended"
    assert info.steps["ask"].suspend_payload == {"value": 1, "asked": 0}


async def test_a_running_run_has_its_running_step(env: Env, calls: Calls) -> None:
    gate = Gate()
    workflow = flow().then(plus(calls, "a")).then(blocking(calls, "b", gate)).commit()
    registered = env.workflow(workflow)
    run = await registered.create_run("r")
    await run.start_async(1)
    await gate.reached.wait()
    info = await registered.get_run("r")
    gate.opened.set()
    assert info.status == "running"
    assert info.steps["a"].status == "success"
    assert info.steps["b"].status == "running"
    assert info.steps["b"].payload == 2
    await run.result()


async def test_a_running_turn_of_a_loop_is_running(env: Env) -> None:
    gate = Gate()

    async def turn(ctx: StepContext[int]) -> int:
        if ctx.iteration_count == 2:
            await gate.pass_through()
        return ctx.input_data + 1

    step = create_step(id="turn", input_schema=int, output_schema=int, execute=turn)
    registered = env.workflow(flow().dountil(step, lambda ctx: ctx.input_data >= 3).commit())
    run = await registered.create_run("r")
    await run.start_async(0)
    await gate.reached.wait()
    info = await registered.get_run("r")
    gate.opened.set()
    assert info.steps["turn"].status == "running"
    await run.result()


async def test_nested_steps_have_dotted_names(env: Env, calls: Calls) -> None:
    inner = flow("inner").then(plus(calls, "x")).commit()
    registered = env.workflow(flow().then(inner).commit())
    await (await registered.create_run("r")).start(1)
    info = await registered.get_run("r")
    assert set(info.steps) == {"inner", "inner.x"}


async def test_status_of_an_unknown_run(env: Env, calls: Calls) -> None:
    workflow = env.workflow(flow().then(plus(calls, "a")).commit())
    run = await workflow.create_run("r")
    await workflow.delete_run("r")
    with pytest.raises(RunNotFoundError) as caught:
        await run.status()
    assert caught.value.code == "RUN_NOT_FOUND"


# -- listing -----------------------------------------------------------------------------------


async def several(env: Env, calls: Calls) -> Any:
    def fails_on_3(number: int) -> int:
        if number == 3:
            raise ValueError(number)
        return number

    step = create_step(id="s", input_schema=int, output_schema=int, execute=fails_on_3)
    other = flow("other").then(plus(calls, "a")).commit()
    mastra = env.mastra(workflows=[flow().then(step).commit(), other])
    workflow = mastra.get_workflow("w")
    for number in range(5):
        run = await workflow.create_run(f"r{number}", resource_id=f"user-{number % 2}")
        await run.start(number)
    await (await mastra.get_workflow("other").create_run("o")).start(1)
    return workflow


async def test_all_runs_of_a_workflow(env: Env, calls: Calls) -> None:
    found = await (await several(env, calls)).list_runs()
    assert found.total == 5
    assert {run.run_id for run in found.runs} == {f"r{n}" for n in range(5)}


async def test_the_newest_first(env: Env, calls: Calls) -> None:
    found = await (await several(env, calls)).list_runs()
    made = [run.created_at for run in found.runs]
    assert made == sorted(made, reverse=True)


async def test_by_status(env: Env, calls: Calls) -> None:
    workflow = await several(env, calls)
    failed = await workflow.list_runs(status="failed")
    assert ([run.run_id for run in failed.runs], failed.total) == (["r3"], 1)
    either = await workflow.list_runs(status=["failed", "success"])
    assert either.total == 5


async def test_by_resource(env: Env, calls: Calls) -> None:
    found = await (await several(env, calls)).list_runs(resource_id="user-1")
    assert {run.run_id for run in found.runs} == {"r1", "r3"}


async def test_by_date(env: Env, calls: Calls) -> None:
    workflow = await several(env, calls)
    hour = timedelta(hours=1)
    now = datetime.now(UTC)
    assert (await workflow.list_runs(from_date=now + hour)).total == 0
    assert (await workflow.list_runs(to_date=now - hour)).total == 0
    assert (await workflow.list_runs(from_date=now - hour, to_date=now + hour)).total == 5


async def test_pages(env: Env, calls: Calls) -> None:
    workflow = await several(env, calls)
    pages = [await workflow.list_runs(page=page, per_page=2) for page in range(4)]
    assert [len(page.runs) for page in pages] == [2, 2, 1, 0]
    assert [page.total for page in pages] == [5] * 4
    ids = [run.run_id for page in pages for run in page.runs]
    assert sorted(ids) == [f"r{n}" for n in range(5)]


async def test_listed_runs_have_their_steps(env: Env, calls: Calls) -> None:
    found = await (await several(env, calls)).list_runs(status="failed")
    assert found.runs[0].steps["s"].status == "failed"


async def test_active_runs(env: Env, calls: Calls) -> None:
    gate = Gate()
    workflow = env.workflow(flow().then(blocking(calls, "b", gate)).commit())
    run = await workflow.create_run("r")
    await run.start_async(1)
    await gate.reached.wait()
    await workflow.create_run("pending")
    assert [info.run_id for info in (await workflow.list_active_runs()).runs] == ["r"]
    gate.opened.set()
    await run.result()
    assert (await workflow.list_active_runs()).total == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"status": 5}, "status is 5"),
        ({"status": ["done"]}, "no status 'done'"),
        ({"resource_id": 5}, "resource_id is 5"),
        ({"from_date": "2026-01-01"}, "from_date is '2026-01-01'"),
        ({"to_date": date(2026, 1, 1)}, "to_date is an object of class date"),
        ({"page": -1}, "page is -1"),
        ({"per_page": True}, "per_page is True"),
        ({"page": 3}, "page is 3, and per_page is not given"),
    ],
)
async def test_what_no_listing_can_be_asked_for(env: Env, options: Any, said: str) -> None:
    workflow = env.workflow(flow().then(plus(Calls(), "a")).commit())
    with pytest.raises(ConfigError, match=said):
        await workflow.list_runs(**options)
    with pytest.raises(ConfigError, match="age is 30"):
        await workflow.delete_runs_older_than(cast("Any", 30))


async def test_runs_are_listed_between_the_ends_of_the_calendar(env: Env, calls: Calls) -> None:
    workflow = await several(env, calls)
    for zone in (None, UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))):
        first, last = datetime.min.replace(tzinfo=zone), datetime.max.replace(tzinfo=zone)
        assert (await workflow.list_runs(from_date=first, to_date=last)).total == 5
        assert (await workflow.list_runs(to_date=first)).total == 0


# -- deleting ----------------------------------------------------------------------------------


async def test_a_deleted_run_is_gone(env: Env, calls: Calls) -> None:
    workflow = await several(env, calls)
    assert await workflow.delete_run("r1") is True
    assert await workflow.get_run("r1") is None
    assert (await workflow.list_runs()).total == 4


async def test_deleting_an_unknown_run(env: Env, calls: Calls) -> None:
    assert await (await several(env, calls)).delete_run("nope") is False


async def test_deleting_a_run_leaves_the_same_id_of_another_workflow(
    env: Env, calls: Calls
) -> None:
    first, second = (
        flow().then(plus(calls, "a")).commit(),
        flow("v").then(plus(calls, "b")).commit(),
    )
    mastra = env.mastra(workflows=[first, second])
    for name in "wv":
        await (await mastra.get_workflow(name).create_run("r")).start(1)
    await mastra.get_workflow("w").delete_run("r")
    assert (await mastra.get_workflow("v").get_run("r")).result == 2


async def test_deleting_a_run_under_way_stops_it(env: Env, calls: Calls) -> None:
    gate = Gate()
    workflow = env.workflow(flow().then(blocking(calls, "b", gate)).commit())
    run = await workflow.create_run("r")
    await run.start_async(1)
    await gate.reached.wait()
    assert await workflow.delete_run("r") is True
    assert calls["b:done"] == 0
    assert await workflow.get_run("r") is None


async def test_a_run_that_is_deleted_while_it_is_driven_is_cancelled_for_its_holder(
    env: Env, calls: Calls
) -> None:
    gate = Gate()
    flow_of_two = flow().then(blocking(calls, "b", gate)).then(plus(calls, "after"))
    workflow = env.workflow(flow_of_two.commit())
    run = await workflow.create_run("r")
    ending = asyncio.ensure_future(run.start(1))
    await gate.reached.wait()
    await workflow.delete_run("r")
    result = await ending
    assert (result.status, calls["after"]) == ("canceled", 0)


async def test_a_deleted_id_can_be_used_again(env: Env, calls: Calls) -> None:
    workflow = env.workflow(flow().then(plus(calls, "a")).commit())
    await (await workflow.create_run("r")).start(1)
    await workflow.delete_run("r")
    assert (await (await workflow.create_run("r")).start(5)).unwrap() == 6
    assert set((await workflow.get_run("r")).steps) == {"a"}


async def test_ended_runs_can_be_removed_by_age(env: Env, calls: Calls) -> None:
    workflow = await several(env, calls)
    assert await workflow.delete_runs_older_than(timedelta(hours=1)) == 0
    assert await workflow.delete_runs_older_than(timedelta(seconds=-5)) == 5
    assert (await workflow.list_runs()).total == 0


async def test_removal_by_age_leaves_what_waits(env: Env, calls: Calls) -> None:
    workflow = env.workflow(flow().then(asking(calls, "ask")).commit())
    run = await workflow.create_run("r")
    await run.start(1)
    await workflow.create_run("pending")
    assert await workflow.delete_runs_older_than(timedelta(seconds=-5)) == 0
    assert (await run.resume({"add": 1})).unwrap() == 2


# -- cancelling --------------------------------------------------------------------------------


async def test_a_cancelled_suspension_cannot_be_resumed(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(asking(calls, "ask")).commit()).create_run()
    await run.start(1)
    await (await env.again(run)).cancel()
    elsewhere = await env.again(run)
    with pytest.raises(Exception, match="canceled, not suspended"):
        await elsewhere.resume({"add": 1})


async def test_the_stream_of_a_cancelled_suspension_ends_with_canceled(
    env: Env, calls: Calls
) -> None:
    run = await env.workflow(flow().then(asking(calls, "ask")).commit()).create_run()
    await run.start(1)
    await run.cancel()
    events, result = await env.read((await env.again(run)).observe_stream())
    assert result.status == "canceled"
    assert [event.type for event in events][-2:] == ["workflow-canceled", "workflow-finish"]
    assert events[-1].payload.workflow_status == "canceled"
    assert [event.seq for event in events] == list(range(len(events)))


async def test_the_stream_of_a_run_cancelled_before_its_start(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    await run.cancel()
    events, _ = await env.read(run.observe_stream())
    assert [event.type for event in events] == ["workflow-canceled", "workflow-finish"]


async def test_a_step_that_was_cut_off_is_told_and_stored(env: Env, calls: Calls) -> None:
    gate = Gate()
    workflow = flow().then(plus(calls, "a")).then(blocking(calls, "b", gate)).commit()
    run = await env.workflow(workflow).create_run("r")
    stream = run.stream(1)
    async with stream:
        await gate.reached.wait()
        await run.cancel()
        live = [event async for event in stream]
    assert [event.type for event in live][-3:] == [
        "workflow-step-result",
        "workflow-canceled",
        "workflow-finish",
    ]
    assert live[-3].payload.id == "b"
    assert live[-3].payload.status == "canceled"
    elsewhere = await env.again(run)
    stored, result = await env.read(elsewhere.observe_stream())
    assert [event.to_wire() for event in stored] == [event.to_wire() for event in live]
    assert result.steps["b"].status == "canceled"


async def test_cancelling_an_unknown_run(env: Env, calls: Calls) -> None:
    workflow = env.workflow(flow().then(plus(calls, "a")).commit())
    run = await workflow.create_run("r")
    await workflow.delete_run("r")
    with pytest.raises(RunNotFoundError):
        await run.cancel()


async def test_a_step_may_cancel_its_own_run(env: Env, calls: Calls) -> None:
    held: list[Any] = []

    async def execute(ctx: StepContext[int]) -> int:
        await held[0].cancel()
        calls.add("beyond")
        return ctx.input_data

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    run = await env.workflow(flow().then(step).then(plus(calls, "after")).commit()).create_run()
    held.append(run)
    assert (await run.start(1)).status == "canceled"
    assert calls["after"] == 0
