"""An answer that comes while something else of the run works: in blocks, and however that ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mastra import ResumeClaimedError, RunStateError, StepContext, create_step, create_workflow
from tests.conformance.engines.test_resume_early import Slow, asked, asking, parallel
from tests.support.engines import Calls, Env

pytestmark = pytest.mark.every_engine


async def answered(run: Any, value: Any, **where: Any) -> Any:
    """Give an answer as soon as it is asked for."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await run.resume(value, **where)
            except RunStateError:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("named", [1, 0])
async def test_a_whole_leg_between_what_an_answer_saw_and_what_it_writes(
    env: Env, calls: Calls, monkeypatch: pytest.MonkeyPatch, named: int
) -> None:
    async def execute(ctx: StepContext[int]) -> Any:
        calls.add(f"item{ctx.input_data}")
        if ctx.resume_data is None:
            await ctx.suspend({})
        return ctx.resume_data

    item = create_step(id="item", input_schema=int, execute=execute)
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=None)
    bound = env.workflow(workflow.foreach(item, concurrency=2).commit())
    run, store = await bound.create_run(), bound.runtime.store
    await run.start([0, 1])
    update, held, may_write = store.update_run, asyncio.Event(), asyncio.Event()

    async def late(*given: Any, **options: Any) -> bool:
        if asyncio.current_task() is slow and not held.is_set():
            held.set()
            await may_write.wait()
        return await update(*given, **options)

    monkeypatch.setattr(store, "update_run", late)
    slow = asyncio.ensure_future(
        (await bound.create_run(run.run_id)).resume("late", for_each_index=named)
    )
    await held.wait()
    await run.resume("first", for_each_index=0)
    may_write.set()
    if named:  # what it is for still waits, so it goes on from what is there now
        assert (await slow).unwrap() == ["first", "late"]
    else:
        with pytest.raises(ResumeClaimedError):
            await slow
        assert (await run.resume("second", for_each_index=1)).unwrap() == ["first", "second"]
    assert (calls["item0"], calls["item1"]) == (2, 2)


async def test_in_a_nested_workflow(env: Env, calls: Calls) -> None:
    slow = Slow()
    nested = create_workflow(id="n", input_schema=None, output_schema=None)
    nested.then(asking("ask", calls)).commit()
    run = await env.workflow(parallel(slow, nested)).create_run()
    await run.start_async()
    answer = asyncio.ensure_future(answered(run, "yes", step=["n", "ask"]))
    await slow.began.wait()
    slow.may_end.set()
    assert (await answer).unwrap() == {"slow": "slow", "n": "yes"}
    assert calls["ask"] == 2


@pytest.mark.parametrize("by", ["index", "label"])
async def test_to_items_while_another_works(env: Env, calls: Calls, by: str) -> None:
    slow = Slow()

    async def execute(ctx: StepContext[int]) -> Any:
        number = ctx.input_data
        calls.add(f"item{number}")
        if number == 0:
            return await slow(ctx)
        if ctx.resume_data is None:
            await ctx.suspend({}, resume_label=f"label{number}")
        return ctx.resume_data

    item = create_step(id="item", input_schema=int, execute=execute)
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=None)
    run = await env.workflow(workflow.foreach(item, concurrency=3).commit()).create_run()
    await run.start_async([0, 1, 2])

    def where(number: int) -> dict[str, Any]:
        return {"for_each_index": number} if by == "index" else {"label": f"label{number}"}

    answers = [asyncio.ensure_future(answered(run, n * 10, **where(n))) for n in (1, 2)]
    await slow.began.wait()
    slow.may_end.set()
    await asyncio.gather(*answers)
    assert (await run.result()).unwrap() == ["slow", 10, 20]
    assert [calls[f"item{number}"] for number in range(3)] == [1, 2, 2]


ENDS = {
    "fail": "failed",
    "bail": "success",
    "abort": "canceled",
    "cancel": "canceled",
    "suspend": "suspended",
}


@pytest.mark.parametrize("how", ENDS)
async def test_the_sibling_ends_otherwise(env: Env, calls: Calls, how: str) -> None:
    began, may_end = asyncio.Event(), asyncio.Event()

    async def sibling(ctx: StepContext[Any]) -> Any:
        began.set()
        await may_end.wait()
        match how:
            case "fail":
                raise ValueError("no")
            case "bail":
                ctx.bail("bailed")
            case "abort":
                ctx.abort()
            case "suspend" if ctx.resume_data is None:
                await ctx.suspend({})
            case _:
                pass
        return ctx.resume_data

    flow = create_workflow(id="w", input_schema=None, output_schema=None)
    flow.parallel([create_step(id="sibling", execute=sibling), asking("ask", calls)])
    workflow = env.workflow(flow.commit())
    run = await workflow.create_run()
    await run.start_async()
    await asked(env, workflow, run, "ask")
    answer = asyncio.ensure_future(run.resume("yes", step="ask"))
    await began.wait()
    if how == "cancel":
        await run.cancel()
    may_end.set()
    async with asyncio.timeout(20):
        await asyncio.gather(answer, return_exceptions=True)
    info = await workflow.get_run(run.run_id)
    assert info is not None
    assert info.status == ENDS[how]
    if how == "suspend":
        result = await run.resume("too", step="sibling")
        assert result.unwrap() == {"sibling": "too", "ask": "yes"}
        assert calls["ask"] == 2
