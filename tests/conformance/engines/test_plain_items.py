"""Plain functions for the items of a foreach, many at once: each in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from mastra import StepContext, create_step, create_workflow
from tests.support.engines import Calls, Env

pytestmark = pytest.mark.every_engine


def items(execute: Any, at_once: int = 4, **options: Any) -> Any:
    step = create_step(id="item", input_schema=int, execute=execute, **options)
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=None)
    return workflow.foreach(step, concurrency=at_once).commit()


async def test_some_suspend(env: Env, calls: Calls) -> None:
    def execute(ctx: StepContext[int]) -> Any:
        calls.add(f"item{ctx.input_data}")
        if ctx.input_data % 2 and ctx.resume_data is None:
            ctx.suspend({})
        return ctx.resume_data or ctx.input_data

    run = await env.workflow(items(execute, 8)).create_run()
    assert (await run.start(list(range(6)))).status == "suspended"
    assert (await run.resume("a", for_each_index=3)).status == "suspended"
    assert (await run.resume("b")).unwrap() == [0, "b", 2, "a", 4, "b"]
    assert [calls[f"item{number}"] for number in range(6)] == [1, 2, 1, 2, 1, 2]


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), StopIteration(3), SystemExit(2), KeyboardInterrupt(), GeneratorExit()],
    ids=lambda error: type(error).__name__,
)
async def test_one_raises_while_others_work(env: Env, error: BaseException) -> None:
    def execute(value: int) -> int:
        if value == 2:
            raise error
        return value

    assert (await env.start(items(execute), list(range(4)))).status == "failed"


@pytest.mark.parametrize(("how", "status"), [("abort", "canceled"), ("bail", "success")])
async def test_one_ends_the_run(env: Env, how: str, status: str) -> None:
    def execute(ctx: StepContext[int]) -> int:
        if ctx.input_data == 1:
            ctx.abort() if how == "abort" else ctx.bail("all")
        return ctx.input_data

    assert (await env.start(items(execute), list(range(4)))).status == status


async def test_what_they_do_after_the_run_was_cancelled_is_nothing(env: Env) -> None:
    began, may_end, late = threading.Event(), threading.Event(), threading.Semaphore(0)

    def execute(ctx: StepContext[int]) -> int:
        began.set()
        may_end.wait(20)
        try:
            ctx.set_state({"late": ctx.input_data})
            ctx.writer.write("late")
            if ctx.input_data == 1:
                ctx.suspend({})
        finally:
            late.release()
        return ctx.input_data

    workflow = env.workflow(items(execute))
    run = await workflow.create_run()
    await run.start_async(list(range(4)))
    await asyncio.to_thread(began.wait, 20)
    await run.cancel()
    assert (await run.result()).status == "canceled"
    may_end.set()
    assert await asyncio.to_thread(late.acquire, timeout=20)
    info = await workflow.get_run(run.run_id)
    assert info is not None
    assert info.status == "canceled"


async def test_each_is_tried_again_and_adds_to_the_state(env: Env, calls: Calls) -> None:
    def execute(ctx: StepContext[int]) -> int:
        if calls.add(f"item{ctx.input_data}") < 2:
            raise ValueError("x")
        ctx.set_state({f"key{ctx.input_data}": ctx.retry_count})
        return ctx.input_data

    result = await env.start(items(execute, retries=3), list(range(8)))
    assert result.unwrap() == list(range(8))
    assert result.state == {f"key{number}": 2 for number in range(8)}
