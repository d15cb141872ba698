"""A run that is under way in one process, observed from another as it goes."""

from __future__ import annotations

import asyncio
from typing import Any

from mastra import Run, StepContext, create_step, create_workflow
from tests.support.databases import *  # noqa: F403 - a fixture
from tests.support.engines import Calls, Env, engine_env
from tests.support.waiting import Gate, asking, blocking, plus


def flow(output: Any = int) -> Any:
    return create_workflow(id="w", input_schema=int, output_schema=output)


async def begun(env: Env, workflow: Any, gate: Gate) -> tuple[Run[Any], Run[Any]]:
    """Start a run; return it as it is here and as it is elsewhere, with a step at the gate."""
    run = await env.workflow(workflow).create_run("r")
    await run.start_async(1)
    await gate.reached.wait()
    return run, await env.again(run)


async def test_finished_steps_are_seen_while_the_run_goes_on(shared_url: str, calls: Calls) -> None:
    gate = Gate()
    workflow = flow().then(plus(calls, "a")).then(blocking(calls, "b", gate)).commit()
    async with engine_env("inprocess", shared_url) as env:
        _, elsewhere = await begun(env, workflow, gate)
        types = []
        async for event in elsewhere.observe_stream():
            types.append(event.type)
            if len(types) == 3:
                gate.opened.set()
        assert types == [
            "workflow-start",
            *["workflow-step-start", "workflow-step-result"] * 2,
            "workflow-finish",
        ]


async def test_what_a_step_writes_is_seen_before_it_ends(shared_url: str) -> None:
    gate = Gate()

    async def execute(ctx: StepContext[int]) -> int:
        await ctx.writer.write("first")
        await gate.pass_through()
        await ctx.writer.write("second")
        return ctx.input_data

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    async with engine_env("inprocess", shared_url) as env:
        _, elsewhere = await begun(env, flow().then(step).commit(), gate)
        seen = []
        async for event in elsewhere.observe_stream():
            seen.append(event)
            if event.type == "workflow-step-output":
                gate.opened.set()
        assert [event.type for event in seen][1:4] == [
            "workflow-step-start",
            "workflow-step-output",
            "workflow-step-output",
        ]
        assert [event.seq for event in seen] == list(range(6))


async def test_events_of_parallel_arms_keep_their_places(shared_url: str, calls: Calls) -> None:
    gate = Gate()
    arms = [blocking(calls, "slow", gate), plus(calls, "fast"), plus(calls, "quick")]
    async with engine_env("inprocess", shared_url) as env:
        run, elsewhere = await begun(env, flow(dict).parallel(arms).commit(), gate)
        observing = asyncio.ensure_future(env.read(elsewhere.observe_stream()))
        await asyncio.sleep(0.25)  # several looks at a log that has gaps
        gate.opened.set()
        stored, result = await observing
        live = [event async for event in run.observe_stream()]
        assert result.unwrap() == {"slow": 2, "fast": 2, "quick": 2}
        assert [(event.seq, event.to_wire()) for event in stored] == [
            (event.seq, event.to_wire()) for event in live
        ]


async def test_the_result_is_waited_for(shared_url: str, calls: Calls) -> None:
    gate = Gate()
    async with engine_env("inprocess", shared_url) as env:
        _, elsewhere = await begun(env, flow().then(blocking(calls, "b", gate)).commit(), gate)
        waiting = asyncio.ensure_future(elsewhere.result())
        gate.opened.set()
        assert (await waiting).unwrap() == 2


async def test_start_elsewhere_joins_the_run(shared_url: str, calls: Calls) -> None:
    gate = Gate()
    async with engine_env("inprocess", shared_url) as env:
        _, elsewhere = await begun(env, flow().then(blocking(calls, "b", gate)).commit(), gate)
        waiting = asyncio.ensure_future(elsewhere.start(1))
        gate.opened.set()
        assert (await waiting).unwrap() == 2
        assert calls["b"] == 1


async def test_the_stream_of_a_run_elsewhere_ends_where_it_suspends(
    shared_url: str, calls: Calls
) -> None:
    gate = Gate()
    workflow = flow().then(blocking(calls, "b", gate)).then(asking(calls, "ask")).commit()
    async with engine_env("inprocess", shared_url) as env:
        _, elsewhere = await begun(env, workflow, gate)
        observing = asyncio.ensure_future(env.read(elsewhere.observe_stream()))
        gate.opened.set()
        events, result = await observing
        assert result.status == "suspended"
        assert events[-1].payload.workflow_status == "suspended"


async def test_a_run_that_was_taken_over_is_not_ended_here(shared_url: str, calls: Calls) -> None:
    gate = Gate()
    async with engine_env("inprocess", shared_url) as env:
        run, _ = await begun(env, flow().then(blocking(calls, "b", gate)).commit(), gate)
        store = env.storage.workflows
        await store.update_run("w", "r", {"owner": "elsewhere:1:2:3"})
        gate.opened.set()
        answer = (await asyncio.gather(run.result(), return_exceptions=True))[0]
        assert isinstance(answer, Exception)
        assert answer.code == "RUN_CLAIMED"
        head = await store.get_run("w", "r")
        assert (head.status, head.owner) == ("running", "elsewhere:1:2:3")
