"""What a process keeps of runs that have ended, and of readers that do not read.

The exact figures are measured by `bench/memory.py`.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from mastra import (
    InMemoryStorage,
    Mastra,
    StepContext,
    StreamOverflowError,
    create_step,
    create_workflow,
)
from tests.support.engines import Calls
from tests.support.waiting import asking, plus

CHUNK = "x" * 1000


@pytest.fixture
def traced() -> Iterator[None]:
    """Python's own memory is counted."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


def in_use() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def keeping(workflow: Any, runs: int) -> Any:
    storage = InMemoryStorage(max_ended_runs=runs)
    return Mastra(workflows={"w": workflow}, storage=storage).get_workflow("w")


@pytest.mark.every_engine
async def test_runs_that_ended_leave_memory_where_it_was(traced: None) -> None:
    workflow = create_workflow(id="w", input_schema=int, output_schema=list[int])
    workflow.then(plus(Calls(), "a")).map(lambda ctx: [ctx.input_data] * 3)
    registered = keeping(workflow.foreach(plus(Calls(), "each")).commit(), 20)

    async def many(count: int) -> None:
        for _ in range(count):
            async for _ in (await registered.create_run()).stream(1):
                pass

    await many(100)
    before = in_use()
    await many(400)
    # The counters of calls grow by a reference a call; nothing else may.
    assert in_use() - before < 40_000 + 400 * 4 * 64


async def test_a_run_is_gone_when_nobody_holds_it() -> None:
    workflow = create_workflow(id="w", input_schema=int, output_schema=int)
    registered = keeping(workflow.then(plus(Calls(), "a")).commit(), 1)
    run = await registered.create_run()
    await run.start(1)
    gone = weakref.ref(run)
    del run
    await (await registered.create_run()).start(1)
    gc.collect()
    assert gone() is None


async def test_ended_runs_are_kept_up_to_a_number() -> None:
    workflow = create_workflow(id="w", input_schema=int, output_schema=int)
    registered = keeping(workflow.then(plus(Calls(), "a")).commit(), 5)
    for number in range(8):
        await (await registered.create_run(f"r{number}")).start(1)
    assert [run.run_id for run in (await registered.list_runs()).runs] == [
        f"r{number}" for number in (7, 6, 5, 4, 3)
    ]


async def test_suspended_runs_are_never_dropped() -> None:
    workflow = create_workflow(id="w", input_schema=int, output_schema=int)
    registered = keeping(workflow.then(asking(Calls(), "ask")).commit(), 2)
    runs = [await registered.create_run() for _ in range(10)]
    for run in runs:
        await run.start(1)
    assert (await runs[0].resume({"add": 1})).unwrap() == 2


def writing(count: int, wait: asyncio.Event | None = None) -> Any:
    async def execute(ctx: StepContext[int]) -> int:
        for number in range(count):
            await ctx.writer.write(CHUNK + str(number))
            if number % 1000 == 0:
                await asyncio.sleep(0)
        if wait is not None:
            await wait.wait()
        return ctx.input_data

    step = create_step(id="write", input_schema=int, output_schema=int, execute=execute)
    workflow = create_workflow(id="w", input_schema=int, output_schema=int)
    return workflow.then(step).commit()


async def memory_of(count: int, *, readers: int) -> int:
    registered = keeping(writing(count), 1)
    before = in_use()
    run = await registered.create_run()
    stream = run.stream(1)
    async with stream:
        stalled = [aiter(stream) for _ in range(readers)]
        for events in stalled:
            await anext(events)
        await stream.result()
        return in_use() - before


@pytest.mark.every_engine
async def test_readers_that_do_not_read_cost_nothing(traced: None) -> None:
    alone = await memory_of(2_000, readers=0)
    watched = await memory_of(2_000, readers=20)
    assert watched - alone < 200_000


async def test_a_reader_too_far_behind_is_told_and_the_run_goes_on() -> None:
    ended = asyncio.Event()
    ended.set()
    registered = keeping(writing(60_000, ended), 1)
    run = await registered.create_run()
    stream = run.stream(1)
    async with stream:
        events = aiter(stream)
        await anext(events)
        assert (await stream.result()).unwrap() == 1
        with pytest.raises(StreamOverflowError) as caught:
            async for _ in events:
                pass
    assert caught.value.code == "STREAM_OVERFLOW"
    assert caught.value.details["newest"] == 60_003


async def test_a_reader_that_keeps_up_misses_nothing() -> None:
    registered = keeping(writing(60_000), 1)
    run = await registered.create_run()
    seen = 0
    async for event in run.stream(1):
        seen += event.type == "workflow-step-output"
    assert seen == 60_000


async def kept_while_open(count: int) -> int:
    """Return how much memory a run takes whose step has written that often and goes on."""
    written, ended = asyncio.Event(), asyncio.Event()

    async def execute(ctx: StepContext[int]) -> int:
        for _ in range(count):
            await ctx.writer.write(CHUNK)
        written.set()
        await ended.wait()
        return ctx.input_data

    step = create_step(id="write", input_schema=int, output_schema=int, execute=execute)
    workflow = create_workflow(id="w", input_schema=int, output_schema=int).then(step).commit()
    run = await keeping(workflow, 1).create_run()
    before = in_use()
    async with run.stream(1) as stream:
        await written.wait()
        grown = in_use() - before
        ended.set()
        await stream.result()
    return grown


@pytest.mark.every_engine
async def test_what_a_step_writes_is_kept_once_for_readers_and_storage(traced: None) -> None:
    await kept_while_open(1)
    few, many = await kept_while_open(1_000), await kept_while_open(21_000)
    assert (many - few) / 20_000 < 12  # bytes: a reference, in a list that grows by an eighth


@pytest.mark.every_engine
async def test_events_are_made_when_their_reader_has_its_turn(traced: None) -> None:
    ended = asyncio.Event()
    run = await keeping(writing(64, ended), 1).create_run()
    async with run.stream(1) as stream:
        async for event in stream:
            if event.seq == 64:
                break
        waiting = [stream.batches() for _ in range(100)]
        before = in_use()
        batches = [await anext(batch) for batch in waiting]
        grown = in_use() - before
        made = [list(batch) for batch in batches]
        assert grown < (in_use() - before) / 10
        assert [[event.seq for event in batch] for batch in made] == [list(range(64))] * 100
        ended.set()
        await stream.result()


@pytest.mark.parametrize("writers", [1, 2])
async def test_what_readers_no_longer_get_is_stored_all_the_same(writers: int) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        for number in range(60_000 // writers):
            await ctx.writer.write(f"{ctx.step_id} {number}")
            if number % 100 == 0:
                await asyncio.sleep(0)
        return ctx.input_data

    steps = [
        create_step(id=f"s{number}", input_schema=int, output_schema=int, execute=execute)
        for number in range(writers)
    ]
    workflow = create_workflow(id="w", input_schema=int, output_schema=Any)
    workflow = keeping(workflow.parallel(steps).commit(), 1)
    run = await workflow.create_run()
    async with run.stream(1) as stream:
        reading = aiter(stream)
        await anext(reading)
        await stream.result()
        with pytest.raises(StreamOverflowError):
            [event async for event in reading]
    again = await workflow.create_run(run.run_id)
    told = [event async for event in again.observe_stream()]
    assert [event.seq for event in told] == list(range(len(told)))
    written = [event for event in told if event.type == "workflow-step-output"]
    texts = [str(event.to_wire()["payload"]["output"]) for event in written]
    names = [event.to_wire()["payload"]["stepName"] for event in written]
    assert all(text.startswith(f"{name} ") for text, name in zip(texts, names, strict=True))
    for step in steps:
        mine = [text for text in texts if text.startswith(step.id)]
        assert mine == [f"{step.id} {number}" for number in range(60_000 // writers)]
