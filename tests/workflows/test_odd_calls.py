"""What a step's function or a caller gives that cannot be meant, or only looks like something else."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

from mastra import (
    ConfigError,
    Mastra,
    RunStateError,
    SQLStorage,
    StepContext,
    WorkflowFailed,
    create_step,
    create_workflow,
)

NO_TOKENS = {
    "inputTokens": 0,
    "outputTokens": 0,
    "totalTokens": 0,
    "cachedInputTokens": 0,
    "cacheCreationInputTokens": 0,
    "reasoningTokens": 0,
}


def of_one(act: Callable[[StepContext[int]], Any], **options: Any) -> Any:
    """Return a workflow of one step that does something with its context."""

    def execute(ctx: StepContext[int]) -> Any:
        act(ctx)
        return ctx.input_data

    step = create_step(id="s", input_schema=int, output_schema=Any, execute=execute, **options)
    return create_workflow(id="w", input_schema=int, output_schema=Any).then(step).commit()


async def result_of(act: Callable[[StepContext[int]], Any]) -> Any:
    run = await of_one(act).create_run()
    return await run.start(1)


# -- what a step writes ------------------------------------------------------------------------


def told(usage: Any) -> dict[str, Any]:
    return {"type": "finish", "payload": {"output": {"usage": usage}}}


@pytest.mark.parametrize(
    ("written", "tokens"),
    [
        ({"type": "finish"}, 0),
        ({"type": "finish", "payload": "of the race"}, 0),
        ({"type": "finish", "payload": [1]}, 0),
        ({"type": "finish", "payload": {"output": "flat"}}, 0),
        (told("low"), 0),
        (told({"inputTokens": "many"}), 0),
        (told({"inputTokens": [1]}), 0),
        (told({"inputTokens": math.inf}), 0),
        (told({"inputTokens": None}), 0),
        (told({"inputTokens": 3, "places": 2}), 3),
    ],
)
async def test_what_looks_like_the_end_of_an_agents_answer(written: Any, tokens: int) -> None:
    run = await of_one(lambda ctx: ctx.writer.write(written)).create_run()
    stream = run.stream(1)
    assert (await stream.result()).status == "success"
    assert await stream.usage() == NO_TOKENS | {"inputTokens": tokens}
    assert [event.payload and event.payload.output async for event in stream][2] == written


@pytest.mark.parametrize("chunk", [5, None, "data-x", [("type", "data-x"), ("data", 1)]])
async def test_a_chunk_of_ones_own_is_a_dict(chunk: Any) -> None:
    result = await result_of(lambda ctx: ctx.writer.custom(chunk))
    assert isinstance(result, WorkflowFailed)
    assert result.error.code == "CUSTOM_CHUNK_INVALID"
    assert "as a custom chunk: it is a dict" in result.error.message


# -- what a step asks --------------------------------------------------------------------------


@pytest.mark.parametrize("label", [5, [5], [["a"]], {"a": 1, 2: 3}, True])
async def test_labels_are_texts(label: Any) -> None:
    result = await result_of(lambda ctx: ctx.suspend({}, resume_label=label))
    assert isinstance(result, WorkflowFailed)
    assert result.error.message.startswith("resume_label is ")
    assert result.error.message.endswith("It takes text, or a list of texts.")


@pytest.mark.parametrize(
    ("label", "labels"), [(None, set()), ("a", {"a"}), (("a", "b"), {"a", "b"}), ({"a"}, {"a"})]
)
async def test_one_label_or_several(label: Any, labels: set[str]) -> None:
    result = await result_of(lambda ctx: ctx.suspend({}, resume_label=label))
    assert set(result.resume_labels) == labels


@pytest.mark.parametrize("step", [5, None, ["s"], StepContext])
async def test_a_result_is_that_of_a_step(step: Any) -> None:
    result = await result_of(lambda ctx: ctx.get_step_result(step))
    assert isinstance(result, WorkflowFailed)
    assert "get_step_result takes a step or its id, not" in result.error.message


# -- how a run is gone on with -----------------------------------------------------------------


def asking(ctx: StepContext[int]) -> None:
    if ctx.resume_data is None:
        ctx.suspend({"which": "price"})


@pytest.mark.parametrize("step", [5, True, [5], {"s"}, {"id": "s"}, object()])
async def test_a_run_goes_on_at_a_step(step: Any) -> None:
    run = await of_one(asking).create_run()
    await run.start(1)
    with pytest.raises(ConfigError, match=r"^step is .* It takes a step, its id"):
        await run.resume({"yes": True}, step=step)
    with pytest.raises(ConfigError, match=r"^step is .* It takes a step, its id"):
        await run.time_travel(step=step)
    assert (await run.resume({"yes": True})).status == "success"


async def test_going_back_names_a_step() -> None:
    run = await of_one(asking).create_run()
    await run.start(1)
    with pytest.raises(ConfigError, match="empty list"):
        await run.time_travel(step=[])


async def travelled(**options: Any) -> Any:
    def plus(value: int) -> int:
        return value + 1

    inner = create_workflow(id="inner", input_schema=int, output_schema=int)
    inner.then(create_step(id="x", execute=plus)).then(create_step(id="y", execute=plus)).commit()
    workflow = create_workflow(id="w", input_schema=int, output_schema=Any)
    workflow.then(create_step(id="a", execute=plus)).then(inner).commit()
    run = await workflow.create_run()
    await run.start(1)
    return await run.time_travel(**options)


@pytest.mark.parametrize("status", ["done", ["success"], 5, None])
async def test_a_result_that_is_given_has_a_status_that_there_is(status: Any) -> None:
    context = {"a": {"status": status, "output": 7}}
    with pytest.raises(ConfigError, match=r"Result given for step 'a' has the status .*'success'"):
        await travelled(step="inner", context=context)


@pytest.mark.parametrize("given", [5, "x", [1], None])
async def test_results_of_nested_steps_are_given_by_step(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"steps of workflow 'inner' are .* a dict of them"):
        await travelled(step="inner.y", nested_steps_context={"inner": given})


async def test_what_is_given_for_a_nested_step_flows_into_the_next() -> None:
    given = {"inner": {"x": {"status": "success", "output": 40}}}
    assert (await travelled(step="inner.y", nested_steps_context=given)).unwrap() == 41


# -- what a definition before this one suspended with ------------------------------------------


class Before(BaseModel):
    which: str


class Now(BaseModel):
    which: str
    since: int


async def test_a_step_goes_on_though_its_suspend_schema_was_changed() -> None:
    seen: list[Any] = []

    def ask(ctx: StepContext[int]) -> None:
        if ctx.resume_data is None:
            ctx.suspend({"which": "price"})
        seen.append(ctx.suspend_data)

    before = Mastra(workflows=[of_one(ask, suspend_schema=Before)])
    run = await before.get_workflow("w").create_run("r")
    await run.start(1)
    after = Mastra(workflows=[of_one(ask, suspend_schema=Now)], storage=before.storage)
    result = await (await after.get_workflow("w").create_run("r")).resume({"yes": True})
    assert result.status == "success"
    assert seen == [{"which": "price"}]


# -- when the step has ended -------------------------------------------------------------------


@pytest.mark.parametrize("late", ["set_state", "suspend", "bail"])
async def test_what_a_task_asks_of_a_step_that_has_ended_is_refused(late: str) -> None:
    """It was lost without a word: the state stayed as it was, and nobody was asked."""
    has_ended, tasks = asyncio.Event(), list[asyncio.Task[None]]()

    async def begins(ctx: StepContext[int]) -> int:
        async def afterwards() -> None:
            await has_ended.wait()
            getattr(ctx, late)({"late": True})

        tasks.append(asyncio.create_task(afterwards()))
        return 1

    async def second() -> int:
        has_ended.set()
        with pytest.raises(
            RunStateError, match=f"`{late}` was called when step 'begins' had ended"
        ):
            await tasks[0]
        return 2

    workflow = create_workflow(id="w", input_schema=int, output_schema=int)
    workflow.then(create_step(execute=begins)).then(create_step(execute=second)).commit()
    result = await (await workflow.create_run()).start(1)
    assert result.unwrap() == 2
    assert result.state == {}


@pytest.mark.parametrize("in_thread", [False, True])
async def test_what_is_written_when_the_run_has_ended_is_refused(
    in_thread: bool, sqlite_url: str
) -> None:
    """It stood in the stored log behind the run's end, and that a second time behind it."""
    contexts: list[StepContext[int]] = []
    workflow = of_one(contexts.append)
    async with Mastra(workflows=[workflow], storage=SQLStorage(sqlite_url)) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start(1)
        for write in (
            lambda: contexts[0].writer.write("late"),
            lambda: contexts[0].writer.custom({"type": "data-late", "data": 1}),
        ):
            with pytest.raises(RunStateError, match="had ended or waits"):
                await asyncio.to_thread(write) if in_thread else write()
        told = [event.type async for event in run.observe_stream()]
    assert told.count("workflow-finish") == 1
    assert told[-1] == "workflow-finish"


async def test_what_is_written_by_a_step_that_waits_is_refused_until_it_goes_on() -> None:
    contexts: list[StepContext[int]] = []

    async def ask(ctx: StepContext[int]) -> int:
        contexts.append(ctx)
        if ctx.resume_data is None:
            await ctx.suspend({})
        await ctx.writer.write("on time")
        return 1

    workflow = create_workflow(id="w", input_schema=int, output_schema=int)
    workflow.then(create_step(execute=ask)).commit()
    run = await workflow.create_run()
    await run.start(1)
    with pytest.raises(RunStateError, match="Step 'ask' wrote when run"):
        contexts[0].writer.write("late")
    assert (await run.resume("yes")).unwrap() == 1


# -- functions that yield ----------------------------------------------------------------------


def counts(number: int) -> Iterator[int]:
    yield number
    yield number + 1


async def counts_slowly(number: int) -> AsyncIterator[int]:
    yield number
    await asyncio.sleep(0)
    yield number + 1


def given_as_it_comes(number: int) -> Any:
    return (number + more for more in range(2))


class Counter:
    def __call__(self, number: int) -> Generator[int, None, str]:
        yield from counts(number)
        return "done"

    async def method(self, number: int) -> AsyncGenerator[int]:
        yield number
        yield number + 1


async def total(numbers: list[int]) -> int:
    return sum(numbers)


@pytest.mark.parametrize(
    "function",
    [
        counts,
        counts_slowly,
        Counter(),
        Counter().method,
        partial(counts),
        given_as_it_comes,
    ],
    ids=["plain", "async", "object", "method", "partial", "expression"],
)
async def test_a_step_that_yields_gives_a_list(function: Any) -> None:
    first = create_step(id="first", execute=function)
    workflow = create_workflow(id="w", input_schema=int, output_schema=int, strict=True)
    workflow.then(first).then(create_step(execute=total)).commit()
    assert (await (await workflow.create_run()).start(3)).unwrap() == 7


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_step_that_yields_may_suspend_and_runs_where_such_a_step_runs(
    is_async: bool,
) -> None:
    threads: list[bool] = []

    def ask(ctx: StepContext[int]) -> Iterator[int]:
        threads.append(threading.current_thread() is threading.main_thread())
        yield 1
        if ctx.resume_data is None:
            ctx.suspend({})
        yield 2

    async def ask_slowly(ctx: StepContext[int]) -> AsyncIterator[int]:
        for number in ask(ctx):
            yield number

    step = create_step(id="ask", execute=ask_slowly if is_async else ask)
    workflow = create_workflow(id="w", input_schema=int, output_schema=list[int])
    run = await workflow.then(step).commit().create_run()
    assert (await run.start(1)).status == "suspended"
    assert (await run.resume("yes")).unwrap() == [1, 2]
    assert threads == [is_async, is_async]


@pytest.mark.parametrize("odd", [-1, 1.0, math.nan, "1", None, True])
async def test_an_offset_that_is_no_place_is_refused(odd: Any) -> None:
    """From -1 on, the last event came before all others."""
    run = await of_one(lambda _: None).create_run("r")
    await run.start(1)
    with pytest.raises(ConfigError, match="Run 'r': offset is"):
        run.observe_stream(offset=odd)
    async with run.observe_stream(offset=2**70) as events:
        assert [event async for event in events] == []
