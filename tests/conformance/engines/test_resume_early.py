"""An answer that comes while a sibling of the step that asked still works."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mastra import (
    ResumeClaimedError,
    ResumeValidationError,
    RunStateError,
    StepContext,
    create_step,
    create_workflow,
)
from tests.support.engines import Calls, Env


class Slow:
    """A step that works until it is told to end."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()

    async def __call__(self, ctx: StepContext[Any]) -> str:
        self.began.set()
        await self.may_end.wait()
        return "slow"


def asking(step_id: str, calls: Calls, **options: Any) -> Any:
    async def ask(ctx: StepContext[Any]) -> Any:
        calls.add(step_id)
        if ctx.resume_data is None:
            await ctx.suspend({"question": step_id})
        return ctx.resume_data

    return create_step(id=step_id, execute=ask, **options)


async def asked(env: Env, workflow: Any, run: Any, step_id: str) -> None:
    """Wait until storage knows that a step waits."""
    while True:
        info = await workflow.get_run(run.run_id)
        step = None if info is None else info.steps.get(step_id)
        if step is not None and step.status == "suspended":
            return
        await asyncio.sleep(0.01)


def parallel(slow: Slow, *steps: Any) -> Any:
    flow = create_workflow(id="w", input_schema=None, output_schema=None)
    return flow.parallel([create_step(id="slow", execute=slow), *steps]).commit()


async def test_it_is_taken_when_the_sibling_has_ended(env: Env, calls: Calls) -> None:
    slow = Slow()
    workflow = env.workflow(parallel(slow, asking("ask", calls)))
    run = await workflow.create_run()
    await run.start_async()
    await asked(env, workflow, run, "ask")
    answer = asyncio.ensure_future(run.resume("yes", step="ask"))
    await slow.began.wait()
    assert not answer.done()
    slow.may_end.set()
    result = await asyncio.wait_for(answer, 20)
    assert result.unwrap() == {"slow": "slow", "ask": "yes"}
    assert calls["ask"] == 2


async def test_of_two_answers_one_is_taken(env: Env, calls: Calls) -> None:
    slow = Slow()
    workflow = env.workflow(parallel(slow, asking("ask", calls)))
    run = await workflow.create_run()
    await run.start_async()
    await asked(env, workflow, run, "ask")
    answers = [asyncio.ensure_future(run.resume(text, step="ask")) for text in ("a", "b")]
    # One that comes to look only after the run has ended is told of just that.
    await asyncio.wait(answers, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    slow.may_end.set()
    given = await asyncio.wait_for(asyncio.gather(*answers, return_exceptions=True), 20)
    refused = [one for one in given if isinstance(one, ResumeClaimedError)]
    taken = [one for one in given if not isinstance(one, BaseException)]
    assert (len(refused), len(taken)) == (1, 1), given
    assert calls["ask"] == 2


async def test_answers_for_two_steps_are_both_taken(env: Env, calls: Calls) -> None:
    slow = Slow()
    workflow = env.workflow(parallel(slow, asking("one", calls), asking("two", calls)))
    run = await workflow.create_run()
    await run.start_async()
    await asked(env, workflow, run, "one")
    await asked(env, workflow, run, "two")
    answers = [asyncio.ensure_future(run.resume(name, step=name)) for name in ("one", "two")]
    await slow.began.wait()
    slow.may_end.set()
    results = await asyncio.wait_for(asyncio.gather(*answers), 20)
    # Whoever comes to look only after both were taken sees how the run has ended.
    assert {result.status for result in results} in ({"success", "suspended"}, {"success"})
    info = await workflow.get_run(run.run_id)
    assert info is not None
    assert info.result == {"slow": "slow", "one": "one", "two": "two"}


async def test_one_that_does_not_fit_is_refused_at_once(env: Env, calls: Calls) -> None:
    slow = Slow()
    workflow = env.workflow(parallel(slow, asking("ask", calls, resume_schema=int)))
    run = await workflow.create_run()
    await run.start_async()
    await asked(env, workflow, run, "ask")
    with pytest.raises(ResumeValidationError):
        await run.resume("no number", step="ask")
    slow.may_end.set()
    assert (await asyncio.wait_for(run.resume(7, step="ask"), 20)).status == "success"


async def test_a_step_that_has_not_asked_takes_none(env: Env, calls: Calls) -> None:
    slow = Slow()
    workflow = env.workflow(parallel(slow, asking("ask", calls)))
    run = await workflow.create_run()
    await run.start_async()
    await slow.began.wait()
    with pytest.raises(RunStateError, match=r"no step of it .* is suspended") as refused:
        await run.resume("yes", step="slow")
    assert refused.value.code == "RUN_NOT_SUSPENDED"
    slow.may_end.set()
    assert (await run.start()).status == "suspended"


async def kept(env: Env, run_id: str, count: int = 1) -> None:
    """Wait until storage has so many answers for a run."""
    while True:
        head = await env.storage.workflows.get_run("w", run_id)
        if head is not None and len(head.answers) == count:
            return
        await asyncio.sleep(0.01)


async def ended(workflow: Any, run_id: str) -> Any:
    """Wait until a run has ended, whoever goes on with it."""
    async with asyncio.timeout(20):
        while (info := await workflow.get_run(run_id)) is None or info.status != "success":
            await asyncio.sleep(0.01)
    return info


async def test_one_whose_caller_is_gone_is_taken(env: Env, calls: Calls) -> None:
    slow = Slow()
    workflow = env.workflow(parallel(slow, asking("ask", calls)))
    run = await workflow.create_run()
    await run.start_async(request_context={"kept": "before"})
    await asked(env, workflow, run, "ask")
    answer = asyncio.ensure_future(run.resume("yes", step="ask", request_context={"tenant": "t"}))
    await kept(env, run.run_id)
    answer.cancel()
    with pytest.raises(ResumeClaimedError):
        await run.resume("no", step="ask")
    slow.may_end.set()
    info = await ended(workflow, run.run_id)
    assert info.result == {"slow": "slow", "ask": "yes"}
    assert calls["ask"] == 2
    head = await env.storage.workflows.get_run("w", run.run_id)
    assert head is not None
    assert head.answers == []
    assert head.request_context == {"kept": "before", "tenant": "t"}


async def test_one_outlives_the_process_that_was_told(env: Env, calls: Calls) -> None:
    slow = Slow()
    flow = parallel(slow, asking("ask", calls), asking("other", calls))
    workflow = env.workflow(flow)
    run = await workflow.create_run()
    await run.start_async()
    await asked(env, workflow, run, "ask")
    await asked(env, workflow, run, "other")
    answers = [asyncio.ensure_future(run.resume(name, step=name)) for name in ("ask", "other")]
    await kept(env, run.run_id, 2)
    for answer in answers:
        answer.cancel()
    slow.began.clear()
    mastra = await env.crash()
    await mastra.restart_all_active_workflow_runs()
    workflow = mastra.get_workflow("w")
    async with asyncio.timeout(20):
        await slow.began.wait()
    again = await workflow.create_run(run.run_id)
    with pytest.raises(ResumeClaimedError):
        await again.resume("no", step="ask")
    slow.may_end.set()
    info = await ended(workflow, run.run_id)
    assert info.result == {"slow": "slow", "ask": "ask", "other": "other"}
    assert (calls["ask"], calls["other"]) == (2, 2)
