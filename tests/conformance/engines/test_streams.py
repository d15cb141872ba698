"""Readers of a run: one, several, late ones, ones that leave, from here and from elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from mastra import (
    InputValidationError,
    Run,
    RunNotFoundError,
    StepContext,
    WorkflowSuccess,
    create_step,
    create_workflow,
)
from tests.support.engines import Calls, Env
from tests.support.waiting import Gate, asking, blocking, plus


def flow(output: Any = int) -> Any:
    return create_workflow(id="w", input_schema=int, output_schema=output)


def writing(count: int, gate: Gate | None = None) -> Any:
    async def execute(ctx: StepContext[int]) -> int:
        for number in range(count):
            await ctx.writer.write(number)
        if gate is not None:
            await gate.pass_through()
        return ctx.input_data

    return create_step(id="write", input_schema=int, output_schema=int, execute=execute)


async def under_way(env: Env, workflow: Any, gate: Gate) -> Run[Any]:
    run = await env.workflow(workflow).create_run("r")
    await run.start_async(1)
    await gate.reached.wait()
    return run


async def types_of(stream: Any) -> list[str]:
    return [event.type async for event in stream]


async def test_stream_gives_all_events_and_the_result(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    stream = run.stream(1)
    types = await types_of(stream)
    assert types[0] == "workflow-start"
    assert types[-1] == "workflow-finish"
    assert (await stream.result()).unwrap() == 2


async def test_a_stream_can_be_iterated_without_entering_it(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    assert len([event async for event in run.stream(1)]) == 4


async def test_the_result_alone_runs_the_workflow(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    assert isinstance(await run.stream(1).result(), WorkflowSuccess)


async def test_a_stream_knows_its_run(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run("r")
    stream = run.stream(1)
    assert (stream.run_id, stream.workflow_id) == ("r", "w")
    assert await stream.status() == "success"


async def test_bad_input_comes_out_of_the_stream(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    with pytest.raises(InputValidationError):
        async for _ in run.stream("many"):
            pass
    assert await run.status() == "pending"


async def test_several_readers_get_the_same(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(writing(20)).commit()).create_run()
    stream = run.stream(1)
    async with stream:
        first, second, third = await asyncio.gather(*[types_of(stream) for _ in range(3)])
    assert first == second == third
    assert len(first) == 24


async def test_a_late_reader_gets_all_from_the_start(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(writing(5)).commit()).create_run()
    stream = run.stream(1)
    await stream.result()
    assert len(await types_of(stream)) == 9
    assert len(await types_of(stream)) == 9


async def test_a_reader_that_joins_half_way_gets_what_was_before(env: Env) -> None:
    gate = Gate()
    run = await env.workflow(flow().then(writing(3, gate)).commit()).create_run()
    async with run.stream(1) as stream:
        await gate.reached.wait()
        reading = asyncio.ensure_future(types_of(stream))
        gate.opened.set()
        assert len(await reading) == 7


async def test_events_come_while_the_step_runs(env: Env) -> None:
    gate = Gate()
    run = await env.workflow(flow().then(writing(2, gate)).commit()).create_run()
    seen: list[Any] = []
    async with run.stream(1) as stream:
        async for event in stream:
            if event.type == "workflow-step-output":
                seen.append(event.payload.output)
                if len(seen) == 2:
                    assert not gate.opened.is_set()
                    gate.opened.set()
    assert seen == [0, 1]


async def test_leaving_a_stream_does_not_stop_the_run(env: Env, calls: Calls) -> None:
    gate = Gate()
    workflow = flow().then(blocking(calls, "b", gate)).then(plus(calls, "after")).commit()
    run = await env.workflow(workflow).create_run()
    async with run.stream(1) as stream:
        async for event in stream:
            assert event.type == "workflow-start"
            break
    gate.opened.set()
    assert (await run.result()).unwrap() == 3


async def test_closing_a_reader_does_not_stop_the_others(env: Env) -> None:
    gate = Gate()
    run = await env.workflow(flow().then(writing(2, gate)).commit()).create_run()
    async with run.stream(1) as stream:
        other = asyncio.ensure_future(types_of(stream))
        async with contextlib.aclosing(stream.full_stream) as events:
            async for _ in events:
                break
        gate.opened.set()
        assert len(await other) == 6


async def test_cancelling_a_reader_does_not_stop_the_run(env: Env, calls: Calls) -> None:
    gate = Gate()
    run = await env.workflow(flow().then(blocking(calls, "b", gate)).commit()).create_run()
    stream = run.stream(1)
    reading = asyncio.ensure_future(types_of(stream))
    await gate.reached.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    gate.opened.set()
    assert (await stream.result()).unwrap() == 2


async def test_cancelling_whoever_awaits_start_does_not_stop_the_run(
    env: Env, calls: Calls
) -> None:
    gate = Gate()
    run = await env.workflow(flow().then(blocking(calls, "b", gate)).commit()).create_run()
    waiting = asyncio.ensure_future(run.start(1))
    await gate.reached.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.opened.set()
    assert (await run.result()).unwrap() == 2


async def test_an_error_in_a_reader_does_not_stop_the_run(env: Env, calls: Calls) -> None:
    gate = Gate()
    run = await env.workflow(flow().then(blocking(calls, "b", gate)).commit()).create_run()

    async def read() -> None:
        async with run.stream(1) as stream:
            async for _ in stream:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await read()
    gate.opened.set()
    assert (await run.result()).unwrap() == 2


async def test_a_stream_ends_where_the_run_suspends(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(asking(calls, "ask")).commit()).create_run()
    stream = run.stream(1)
    assert (await types_of(stream))[-1] == "workflow-finish"
    assert (await stream.result()).status == "suspended"


async def test_resume_stream_begins_with_the_resumed_leg(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(asking(calls, "ask")).commit()).create_run()
    await run.start(1)
    types = await types_of(run.resume_stream({"add": 1}))
    assert types == [
        "workflow-start",
        "workflow-step-start",
        "workflow-step-result",
        "workflow-finish",
    ]


async def test_streaming_a_run_that_was_started_joins_it(env: Env) -> None:
    gate = Gate()
    run = await under_way(env, flow().then(writing(3, gate)).commit(), gate)
    gate.opened.set()
    assert len(await types_of(run.stream(1))) == 7


async def test_usage_is_summed_over_what_agents_wrote(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        for tokens in (3, 4):
            usage = {"inputTokens": tokens, "outputTokens": 1, "totalTokens": tokens + 1}
            finish = {"type": "finish", "payload": {"output": {"usage": usage}}}
            await ctx.writer.write(finish)
        return ctx.input_data

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    run = await env.workflow(flow().then(step).commit()).create_run()
    usage = await run.stream(1).usage()
    assert (usage["inputTokens"], usage["outputTokens"], usage["totalTokens"]) == (7, 2, 9)


# -- observe -----------------------------------------------------------------------------------


async def test_observe_live_gives_all_from_the_first(env: Env) -> None:
    gate = Gate()
    run = await under_way(env, flow().then(writing(3, gate)).commit(), gate)
    gate.opened.set()
    assert len(await types_of(run.observe_stream())) == 7


async def test_observe_after_the_end_gives_all(env: Env) -> None:
    run = await env.workflow(flow().then(writing(3)).commit()).create_run()
    live = [event.to_wire() async for event in run.stream(1)]
    assert [event.to_wire() async for event in run.observe_stream()] == live


async def test_observe_in_another_process_gives_the_same_events(env: Env, calls: Calls) -> None:
    inner = create_workflow(id="inner", input_schema=int, output_schema=int)
    inner.then(plus(calls, "x")).commit()
    each = create_workflow(id="each", input_schema=int, output_schema=list[int])
    each.map(lambda ctx: [ctx.input_data, 2]).foreach(plus(calls, "item")).commit()
    workflow = flow(dict).then(writing(3)).then(inner).sleep(0, id="nap")
    workflow.parallel([plus(calls, "a"), each]).commit()
    run = await env.workflow(workflow).create_run()
    live = [(event.seq, event.to_wire()) async for event in run.stream(1)]
    elsewhere = await env.again(run)
    stored = [(event.seq, event.to_wire()) async for event in elsewhere.observe_stream()]
    assert stored == live


async def test_observe_covers_all_legs(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(asking(calls, "ask")).commit()).create_run()
    first = [event.seq async for event in run.stream(1)]
    second = [event.seq async for event in run.resume_stream({"add": 1})]
    events = [event.seq async for event in run.observe_stream()]
    assert events == [*first, *second] == list(range(len(events)))


async def test_observe_with_an_offset_begins_there(env: Env) -> None:
    run = await env.workflow(flow().then(writing(3)).commit()).create_run()
    await run.start(1)
    assert [event.seq async for event in run.observe_stream(offset=5)] == [5, 6]


async def test_observe_live_with_an_offset(env: Env) -> None:
    gate = Gate()
    run = await under_way(env, flow().then(writing(3, gate)).commit(), gate)
    gate.opened.set()
    assert [event.seq async for event in run.observe_stream(offset=3)] == [3, 4, 5, 6]


async def test_observe_with_an_offset_beyond_the_end_is_empty(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    await run.start(1)
    assert [event.seq async for event in run.observe_stream(offset=99)] == []


async def test_observe_a_suspended_run_ends_at_its_suspension(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(asking(calls, "ask")).commit()).create_run()
    await run.start(1)
    types = await types_of((await env.again(run)).observe_stream())
    assert types[-2:] == ["workflow-step-suspended", "workflow-finish"]


async def test_observe_an_unknown_run(env: Env, calls: Calls) -> None:
    workflow = env.workflow(flow().then(plus(calls, "a")).commit())
    run = await workflow.create_run("r")
    await workflow.delete_run("r")
    with pytest.raises(RunNotFoundError):
        await types_of(run.observe_stream())


async def test_observe_does_not_start_a_run(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    observing = asyncio.ensure_future(types_of(run.observe_stream()))
    assert await run.status() == "pending"
    await run.start(1)
    assert (await observing)[-1] == "workflow-finish"


async def test_the_result_of_an_observed_run(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    await run.start(1)
    elsewhere = await env.again(run)
    assert (await elsewhere.observe_stream().result()).unwrap() == 2


# -- watch -------------------------------------------------------------------------------------


async def test_watch_is_called_with_each_event(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    seen: list[str] = []
    done = asyncio.Event()

    def callback(event: Any) -> None:
        seen.append(event.type)
        if event.type == "workflow-finish":
            done.set()

    run.watch(callback)
    await run.start(1)
    await done.wait()
    assert seen == [
        "workflow-start",
        "workflow-step-start",
        "workflow-step-result",
        "workflow-step-finish",
        "workflow-finish",
    ]
    seen.remove("workflow-step-finish")  # which streams do not have
    assert seen == await types_of(run.observe_stream())


async def test_watch_may_be_async(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    done = asyncio.Event()

    async def callback(event: Any) -> None:
        await asyncio.sleep(0)
        if event.type == "workflow-finish":
            done.set()

    run.watch(callback)
    await run.start(1)
    await done.wait()


async def test_unsubscribing_ends_a_watch(env: Env, calls: Calls) -> None:
    gate = Gate()
    workflow = flow().then(plus(calls, "a")).then(blocking(calls, "b", gate)).commit()
    run = await env.workflow(workflow).create_run()
    seen: list[str] = []
    stop = run.watch(lambda event: seen.append(event.type))
    await run.start_async(1)
    await gate.reached.wait()
    stop()
    stop()
    before = list(seen)
    gate.opened.set()
    await run.result()
    await asyncio.sleep(0)
    assert seen == before


async def test_a_watch_goes_on_after_resume(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(asking(calls, "ask")).commit()).create_run()
    ends: asyncio.Queue[str] = asyncio.Queue()

    def callback(event: Any) -> None:
        if event.type == "workflow-finish":
            ends.put_nowait(event.payload.workflow_status)

    run.watch(callback)
    await run.start(1)
    assert await ends.get() == "suspended"
    await run.resume({"add": 1})
    assert await ends.get() == "success"


async def test_a_watcher_that_raises_does_not_stop_the_run(
    env: Env, calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    run = await env.workflow(flow().then(plus(calls, "a")).commit()).create_run()
    done = asyncio.Event()

    def callback(event: Any) -> None:
        if event.type == "workflow-finish":
            done.set()
        raise ZeroDivisionError

    run.watch(callback)
    assert (await run.start(1)).unwrap() == 2
    await done.wait()
    assert "watcher" in caplog.text


async def test_a_watch_of_a_run_under_way_begins_with_its_leg(env: Env, calls: Calls) -> None:
    gate = Gate()
    run = await under_way(env, flow().then(blocking(calls, "b", gate)).commit(), gate)
    seen: list[str] = []
    done = asyncio.Event()

    def callback(event: Any) -> None:
        seen.append(event.type)
        if event.type == "workflow-finish":
            done.set()

    run.watch(callback)
    gate.opened.set()
    await done.wait()
    assert seen[0] == "workflow-start"
    assert len(seen) == 5


async def test_a_watch_by_another_object_of_a_run_that_is_driven_here(
    env: Env, calls: Calls
) -> None:
    gate = Gate()
    registered = env.workflow(flow().then(blocking(calls, "b", gate)).commit())
    run = await registered.create_run("r")
    await run.start_async(1)
    await gate.reached.wait()
    done = asyncio.Event()

    def callback(event: Any) -> None:
        if event.type == "workflow-finish":
            done.set()

    (await registered.create_run("r")).watch(callback)
    gate.opened.set()
    await done.wait()


async def test_several_readers_begin_a_stream_once(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(asking(calls, "ask")).commit()).create_run("r")
    started = run.stream(1)
    first, second = await asyncio.gather(types_of(started), types_of(started))
    assert first == second
    resumed = run.resume_stream({"add": 1})
    third, fourth, result = await asyncio.gather(
        types_of(resumed), types_of(resumed), resumed.result()
    )
    assert third == fourth
    assert third[-1] == "workflow-finish"
    assert result.unwrap() == 2
    assert calls.names == ["ask", "ask", "ask:done"]
