"""Going on after a crash: from the last finished operation, without running any again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from mastra import (
    Run,
    RunNotFoundError,
    RunStateError,
    StepContext,
    WorkflowSuspended,
    create_step,
    create_workflow,
)
from mastra.testing import FakeClock
from tests.support.engines import Calls, Env
from tests.support.waiting import Gate, asking, blocking, plus, until_stored


def flow(id: str = "w", output: Any = int, **options: Any) -> Any:
    return create_workflow(id=id, input_schema=int, output_schema=output, **options)


async def crashed(env: Env, workflow: Any, gate: Gate, value: Any = 1) -> Run[Any]:
    """Start a run, stop its process when a step is at the gate, and return it in the next."""
    run = await env.workflow(workflow).create_run("r")
    await run.start_async(value)
    await gate.reached.wait()
    return await next_process(env, gate)


async def asleep(env: Env, workflow: Any) -> Any:
    """Start a run, wait until its sleep is stored, and return that."""
    registered = env.workflow(workflow)
    run = await registered.create_run("r")
    await run.start_async(1)
    await until_stored(registered, "nap", statuses=("waiting",))
    return (await registered.get_run("r")).steps["nap"]


async def next_process(env: Env, gate: Gate) -> Run[Any]:
    mastra = await env.crash()
    gate.opened.set()
    return await mastra.get_workflow("w").create_run("r")


async def test_it_goes_on_with_the_step_that_was_cut_off(env: Env, calls: Calls) -> None:
    gate = Gate()
    workflow = flow().then(plus(calls, "a")).then(blocking(calls, "b", gate)).then(plus(calls, "c"))
    run = await crashed(env, workflow.commit(), gate)
    assert (await run.restart()).unwrap() == 4
    assert calls.names == ["a", "b", "b", "b:done", "c"]


async def test_a_crashed_run_is_still_running_in_storage(env: Env, calls: Calls) -> None:
    gate = Gate()
    run = await crashed(env, flow().then(blocking(calls, "b", gate)).commit(), gate)
    assert await run.status() == "running"


async def test_a_crash_before_anything_finished(env: Env, calls: Calls) -> None:
    gate = Gate()
    run = await crashed(env, flow().then(blocking(calls, "b", gate)).commit(), gate)
    assert (await run.restart()).unwrap() == 2


async def test_restart_async_returns_the_run_id(env: Env, calls: Calls) -> None:
    gate = Gate()
    run = await crashed(env, flow().then(blocking(calls, "b", gate)).commit(), gate)
    assert await run.restart_async() == "r"
    assert (await run.result()).unwrap() == 2


async def test_input_state_context_and_resource_are_kept(env: Env) -> None:
    gate = Gate()
    seen: list[Any] = []

    async def note(ctx: StepContext[int]) -> int:
        await ctx.set_state({"seen": ctx.state["seen"] + 1})
        return ctx.input_data

    async def look(ctx: StepContext[int]) -> int:
        await gate.pass_through()
        seen.extend([ctx.get_init_data(), ctx.state, ctx.request_context["tenant"]])
        seen.append(ctx.resource_id)
        return ctx.input_data

    workflow = flow().then(create_step(id="note", execute=note))
    workflow.then(create_step(id="look", execute=look)).commit()
    run = await env.workflow(workflow).create_run("r", resource_id="ann")
    await run.start_async(7, initial_state={"seen": 1}, request_context={"tenant": "acme"})
    await gate.reached.wait()
    await (await next_process(env, gate)).restart()
    assert seen == [7, {"seen": 2}, "acme", "ann"]


async def test_parallel_arms_that_finished_do_not_run_again(env: Env, calls: Calls) -> None:
    gate = Gate()
    arms = [plus(calls, "a"), blocking(calls, "late", gate), plus(calls, "b")]
    registered = env.workflow(flow(output=dict).parallel(arms).commit())
    run = await registered.create_run("r")
    await run.start_async(1)
    await gate.reached.wait()
    await until_stored(registered, "a", "b")
    again = await next_process(env, gate)
    assert (await again.restart()).unwrap() == {"a": 2, "late": 2, "b": 2}
    assert [calls["a"], calls["b"]] == [1, 1]


async def test_loops_go_on_in_the_turn_that_was_cut_off(env: Env, calls: Calls) -> None:
    gate = Gate()

    async def turn(ctx: StepContext[int]) -> int:
        calls.add(f"turn {ctx.iteration_count}")
        if ctx.iteration_count == 3:
            await gate.pass_through()
        return ctx.input_data + 1

    step = create_step(id="turn", input_schema=int, output_schema=int, execute=turn)
    workflow = flow().dountil(step, lambda ctx: ctx.input_data >= 5).commit()
    run = await crashed(env, workflow, gate, 0)
    assert (await run.restart()).unwrap() == 5
    assert calls.names == ["turn 1", "turn 2", "turn 3", "turn 3", "turn 4", "turn 5"]


async def test_foreach_items_that_finished_do_not_run_again(env: Env, calls: Calls) -> None:
    gate = Gate()

    async def item(ctx: StepContext[int]) -> int:
        calls.add(f"item {ctx.input_data}")
        if ctx.input_data == 3:
            await gate.pass_through()
        return ctx.input_data * 10

    step = create_step(id="item", input_schema=int, output_schema=int, execute=item)
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=list[int])
    run = await crashed(env, workflow.foreach(step).commit(), gate, [1, 2, 3, 4])
    assert (await run.restart()).unwrap() == [10, 20, 30, 40]
    assert calls.names == ["item 1", "item 2", "item 3", "item 3", "item 4"]


async def test_nested_steps_that_finished_do_not_run_again(env: Env, calls: Calls) -> None:
    gate = Gate()
    inner = flow("inner").then(plus(calls, "a")).then(blocking(calls, "b", gate)).commit()
    run = await crashed(env, flow().then(inner).then(plus(calls, "c")).commit(), gate)
    assert (await run.restart()).unwrap() == 4
    assert calls["a"] == 1


async def test_the_arm_that_was_chosen_stays_chosen(env: Env, calls: Calls) -> None:
    gate = Gate()
    answers = iter([True, False])

    def once(_: Any) -> bool:
        return next(answers)

    workflow = flow(output=dict).branch([(once, blocking(calls, "arm", gate))]).commit()
    run = await crashed(env, workflow, gate)
    assert (await run.restart()).unwrap() == {"arm": 2}


async def test_a_crash_during_a_resumed_leg_keeps_the_resume_data(env: Env, calls: Calls) -> None:
    gate = Gate()

    async def ask(ctx: StepContext[int]) -> int:
        if ctx.resume_data is None:
            await ctx.suspend({"why": "x"})
        calls.add(f"resumed with {ctx.resume_data} of {ctx.suspend_data}")
        await gate.pass_through()
        return ctx.input_data + ctx.resume_data["add"]

    step = create_step(id="ask", input_schema=int, output_schema=int, execute=ask)
    run = await env.workflow(flow().then(step).commit()).create_run("r")
    await run.start(1)
    await run.resume_async({"add": 10})
    await gate.reached.wait()
    again = await next_process(env, gate)
    assert (await again.restart()).unwrap() == 11
    assert calls.names == ["resumed with {'add': 10} of {'why': 'x'}"] * 2


async def test_a_crash_after_the_resumed_step_does_not_run_it_again(env: Env, calls: Calls) -> None:
    gate = Gate()
    workflow = flow().then(asking(calls, "ask")).then(blocking(calls, "b", gate)).commit()
    run = await env.workflow(workflow).create_run("r")
    await run.start(1)
    await run.resume_async({"add": 10})
    await gate.reached.wait()
    again = await next_process(env, gate)
    assert (await again.restart()).unwrap() == 12
    assert calls["ask:done"] == 1


async def test_a_crash_in_a_resumed_leg_leaves_other_suspensions_waiting(
    env: Env, calls: Calls
) -> None:
    gate = Gate()

    async def slow(ctx: StepContext[int]) -> int:
        if ctx.resume_data is None:
            await ctx.suspend({})
        await gate.pass_through()
        return ctx.input_data + 100

    step = create_step(id="slow", input_schema=int, output_schema=int, execute=slow)
    workflow = flow(output=dict).parallel([step, asking(calls, "ask")]).commit()
    run = await env.workflow(workflow).create_run("r")
    await run.start(1)
    await run.resume_async({"go": 1}, step="slow")
    await gate.reached.wait()
    again = await next_process(env, gate)
    result = await again.restart()
    assert isinstance(result, WorkflowSuspended)
    assert result.suspended == [["ask"]]
    assert (await again.resume({"add": 1})).unwrap() == {"slow": 101, "ask": 2}


async def test_a_step_that_suspended_again_before_the_crash_is_not_given_the_old_answer(
    env: Env, calls: Calls
) -> None:
    gate = Gate()
    arms = [asking(calls, "ask", times=2), blocking(calls, "b", gate)]
    workflow = flow(output=dict).parallel(arms).commit()
    run = await env.workflow(workflow).create_run("r")
    await run.start_async(1)
    await gate.reached.wait()
    again = await next_process(env, gate)
    result = await again.restart()
    assert isinstance(result, WorkflowSuspended)
    assert result.suspend_payload["ask"]["asked"] == 0


def nap_s(env: Env) -> float:
    """Return a sleep long enough to be seen: a real server's clock does not stand still for it."""
    return 60.0 if isinstance(env.clock, FakeClock) else 3.0


@pytest.mark.time_jumps
async def test_a_sleep_keeps_its_wake_up_time(env: Env, calls: Calls) -> None:
    length = nap_s(env)
    env.hold_time()
    waiting = await asleep(env, flow().sleep(length, id="nap").then(plus(calls, "a")).commit())
    mastra = await env.crash()
    env.let_time_go()
    again = await mastra.get_workflow("w").create_run("r")
    slept = (await again.restart()).steps["nap"]
    assert slept.started_at == waiting.started_at
    assert slept.record.wake_at == waiting.record.wake_at
    assert (slept.ended_at - waiting.started_at).total_seconds() >= length - 0.01


@pytest.mark.time_jumps
async def test_a_sleep_whose_time_is_over_ends_at_once(env: Env, calls: Calls) -> None:
    moment = datetime.fromtimestamp(env.clock.now() + nap_s(env), UTC)
    workflow = flow().sleep_until(moment, id="nap").then(plus(calls, "a")).commit()
    env.hold_time()
    await asleep(env, workflow)
    mastra = await env.crash()
    left = max(0.0, moment.timestamp() - env.clock.now())
    await (env.clock.advance(left) if isinstance(env.clock, FakeClock) else asyncio.sleep(left))
    again = await mastra.get_workflow("w").create_run("r")
    with suppress(RunStateError):  # a server has gone on with it by itself
        await again.restart_async()
    slept = (await again.result()).steps["nap"]
    assert slept.record.wake_at == moment.timestamp()
    assert calls["a"] == 1


@pytest.mark.time_jumps
async def test_a_time_drawn_by_a_function_is_drawn_once(env: Env, calls: Calls) -> None:
    length = nap_s(env)

    def draw(_: Any) -> float:
        calls.add("draw")
        return length

    # On a busy machine the sleep would be over before it was seen.
    env.hold_time()
    await asleep(env, flow().sleep(draw, id="nap").then(plus(calls, "a")).commit())
    mastra = await env.crash()
    env.let_time_go()
    again = await mastra.get_workflow("w").create_run("r")
    assert (await again.restart()).unwrap() == 2
    assert calls["draw"] == 1


async def test_a_run_may_crash_again_and_again(env: Env, calls: Calls) -> None:
    gates = [Gate() for _ in range(3)]
    workflow = flow()
    for number, gate in enumerate(gates):
        workflow.then(plus(calls, f"before{number}"))
        workflow.then(blocking(calls, f"b{number}", gate))
    run = await env.workflow(workflow.commit()).create_run("r")
    await run.start_async(0)
    for gate in gates:
        await gate.reached.wait()
        run = await next_process(env, gate)
        await run.restart_async()
    assert (await run.result()).unwrap() == 6
    assert [calls[f"before{number}"] for number in range(3)] == [1, 1, 1]
    assert [calls[f"b{number}:done"] for number in range(3)] == [1, 1, 1]


async def test_a_finished_run_cannot_be_restarted(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    await run.start(1)
    with pytest.raises(RunStateError, match="success") as caught:
        await run.restart()
    assert caught.value.code == "RUN_NOT_ACTIVE"


async def test_a_suspended_run_cannot_be_restarted(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(asking(calls, "ask")).commit()).create_run()
    await run.start(1)
    with pytest.raises(RunStateError, match="suspended"):
        await run.restart()


async def test_a_pending_run_cannot_be_restarted(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    with pytest.raises(RunStateError, match="pending"):
        await run.restart()


async def test_an_unknown_run_cannot_be_restarted(env: Env, calls: Calls) -> None:
    workflow = env.workflow(flow().then(plus(calls, "a")).commit())
    run = await workflow.create_run("r")
    await workflow.delete_run("r")
    with pytest.raises(RunNotFoundError, match="'r'"):
        await run.restart()


async def test_a_run_under_way_here_cannot_be_restarted(env: Env, calls: Calls) -> None:
    gate = Gate()
    run = await env.workflow(flow().then(blocking(calls, "b", gate)).commit()).create_run()
    await run.start_async(1)
    await gate.reached.wait()
    with pytest.raises(RunStateError) as caught:
        await run.restart()
    gate.opened.set()
    assert caught.value.code == "RUN_ALREADY_RUNNING"
    assert (await run.result()).unwrap() == 2


async def test_all_active_runs_are_restarted(env: Env, calls: Calls) -> None:
    gate = Gate()
    first = flow().then(plus(calls, "a")).then(blocking(calls, "b", gate)).commit()
    second = flow("v").then(blocking(calls, "c", gate)).commit()
    done = flow("u").then(plus(calls, "d")).commit()
    waiting = flow("t").then(asking(calls, "ask")).commit()
    mastra = env.mastra(workflows=[first, second, done, waiting])
    runs = [await mastra.get_workflow(name).create_run(f"run-{name}") for name in "wvut"]
    for run in runs[:2]:
        await run.start_async(1)
    for run in runs[2:]:
        await run.start(1)
    while calls["b"] + calls["c"] < 2:
        await asyncio.sleep(0)
    mastra = await env.crash()
    gate.opened.set()
    restarted = await mastra.restart_all_active_workflow_runs()
    ours = {run.run_id for run in runs}  # a real server may bring those of an earlier case as well
    found = {key: [run_id for run_id in ids if run_id in ours] for key, ids in restarted.items()}
    assert {key: ids for key, ids in found.items() if ids} == {"w": ["run-w"], "v": ["run-v"]}
    for name in ("w", "v"):
        run = await mastra.get_workflow(name).create_run(f"run-{name}")
        assert (await run.result()).status == "success"
    assert [calls["a"], calls["d"], calls["ask"]] == [1, 1, 1]


async def test_restarting_all_where_nothing_was_cut_off(env: Env, calls: Calls) -> None:
    mastra = env.mastra(workflows=[flow().then(plus(calls, "a")).commit()])
    await (await mastra.get_workflow("w").create_run()).start(1)
    restarted = await mastra.restart_all_active_workflow_runs()
    assert not any(restarted.values())
    assert calls["a"] == 1


async def test_restarting_all_leaves_runs_alone_that_are_driven_here(
    env: Env, calls: Calls
) -> None:
    gate = Gate()
    mastra = env.mastra(workflows=[flow().then(blocking(calls, "b", gate)).commit()])
    run = await mastra.get_workflow("w").create_run()
    await run.start_async(1)
    await gate.reached.wait()
    restarted = await mastra.restart_all_active_workflow_runs()
    assert run.run_id not in restarted.get("w", [])
    gate.opened.set()
    await run.result()
    assert calls["b"] == 1


async def test_the_stream_of_a_restarted_run_has_no_gap_and_no_double(
    env: Env, calls: Calls
) -> None:
    gate = Gate()
    workflow = flow().then(plus(calls, "a")).then(blocking(calls, "b", gate)).commit()
    run = await crashed(env, workflow, gate)
    await run.restart()
    events, _ = await env.read(run.observe_stream())
    assert [event.seq for event in events] == list(range(len(events)))
    assert [event.type for event in events] == [
        "workflow-start",
        "workflow-step-start",
        "workflow-step-result",
        "workflow-step-start",
        "workflow-step-result",
        "workflow-finish",
    ]


async def test_events_of_parallel_arms_survive_a_crash(env: Env, calls: Calls) -> None:
    gate = Gate()
    arms = [blocking(calls, "slow", gate), plus(calls, "fast"), plus(calls, "quick")]
    workflow = flow(output=dict).parallel(arms).commit()
    registered = env.workflow(workflow)
    run = await registered.create_run("r")
    await run.start_async(1)
    await gate.reached.wait()
    await until_stored(registered, "fast", "quick")
    again = await next_process(env, gate)
    await again.restart()
    elsewhere = await env.again(again)
    events, _ = await env.read(elsewhere.observe_stream())
    assert [event.seq for event in events] == list(range(len(events)))
    told = sorted((event.type, event.payload.step_name) for event in events if event.payload.id)
    assert told == sorted(
        (kind, name)
        for name in ("slow", "fast", "quick")
        for kind in ("workflow-step-start", "workflow-step-result")
    )
