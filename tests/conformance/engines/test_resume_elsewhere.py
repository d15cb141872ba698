"""Resume from another process through storage alone; what is kept across; one winner."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from pydantic import BaseModel

from mastra import (
    RequestContext,
    ResumeClaimedError,
    RetryConfig,
    RunStateError,
    StepContext,
    WorkflowFailed,
    WorkflowSuspended,
    create_step,
    create_workflow,
)
from mastra.workflows.run import Run
from tests.support.engines import Calls, Env
from tests.support.waiting import Gate, asking, blocking, failing, plus


class City(BaseModel):
    name: str


class Tally(BaseModel):
    count: int = 0
    names: list[str] = []


def flow(output: Any = int, **options: Any) -> Any:
    return create_workflow(id="w", input_schema=int, output_schema=output, **options)


async def test_a_run_made_from_storage_alone_is_resumed(env: Env, calls: Calls) -> None:
    workflow = flow().then(plus(calls, "a")).then(asking(calls, "ask")).then(plus(calls, "b"))
    run = await env.workflow(workflow.commit()).create_run()
    await run.start(1)
    elsewhere = await env.again(run)
    assert (await elsewhere.resume({"add": 10})).unwrap() == 13
    assert calls.names == ["a", "ask", "ask", "ask:done", "b"]


async def test_each_resume_may_be_in_another_process(env: Env, calls: Calls) -> None:
    workflow = flow().then(asking(calls, "one")).then(asking(calls, "two")).commit()
    run = await env.workflow(workflow).create_run()
    await run.start(1)
    second = await env.again(run)
    assert (await second.resume({"add": 1})).status == "suspended"
    third = await env.again(run)
    assert (await third.resume({"add": 2})).unwrap() == 4


async def test_steps_of_earlier_processes_are_in_the_result(env: Env, calls: Calls) -> None:
    workflow = flow().then(plus(calls, "a")).then(asking(calls, "ask")).commit()
    run = await env.workflow(workflow).create_run()
    await run.start(1)
    result = await (await env.again(run)).resume({"add": 1})
    assert result.steps["a"].output == 2
    assert result.input == 1
    assert result.step_execution_path == ["a", "ask"]


async def test_typed_values_come_back_as_their_type(env: Env) -> None:
    seen: list[Any] = []

    async def make(name: str) -> City:
        return City(name=name)

    async def look(ctx: StepContext[City]) -> str:
        if ctx.resume_data is None:
            await ctx.suspend({})
        seen.extend([ctx.input_data, ctx.get_step_result("make"), ctx.get_init_data()])
        return "done"

    workflow = create_workflow(id="w", input_schema=str, output_schema=str)
    workflow.then(create_step(id="make", execute=make)).then(create_step(id="look", execute=look))
    run = await env.workflow(workflow.commit()).create_run()
    await run.start("Rome")
    await (await env.again(run)).resume({"go": 1})
    assert seen == [City(name="Rome"), City(name="Rome"), "Rome"]


async def test_parallel_arms_are_resumed_elsewhere_one_by_one(env: Env, calls: Calls) -> None:
    arms = [asking(calls, "a"), plus(calls, "b"), asking(calls, "c")]
    run = await env.workflow(flow(dict).parallel(arms).commit()).create_run()
    await run.start(1)
    await (await env.again(run)).resume({"add": 1}, step="c")
    result = await (await env.again(run)).resume({"add": 2}, step="a")
    assert result.unwrap() == {"a": 3, "b": 2, "c": 2}
    assert calls["b"] == 1


async def test_foreach_items_are_resumed_elsewhere_by_index(env: Env, calls: Calls) -> None:
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=list[int])
    workflow = workflow.foreach(asking(calls, "ask"), concurrency=2).commit()
    run = await env.workflow(workflow).create_run()
    await run.start([1, 2, 3])
    await (await env.again(run)).resume({"add": 1}, for_each_index=1)
    third = await (await env.again(run)).resume({"add": 1}, for_each_index=0)
    assert isinstance(third, WorkflowSuspended)
    assert (await (await env.again(run)).resume({"add": 1})).unwrap() == [2, 3, 4]


async def test_nested_steps_in_a_foreach_are_resumed_elsewhere(env: Env, calls: Calls) -> None:
    inner = create_workflow(id="inner", input_schema=int, output_schema=int)
    inner.then(plus(calls, "a")).then(asking(calls, "ask")).commit()
    workflow = create_workflow(id="w", input_schema=list[int], output_schema=list[int])
    run = await env.workflow(workflow.foreach(inner, concurrency=3).commit()).create_run()
    await run.start([1, 2, 3])
    for index in (2, 0):
        await (await env.again(run)).resume({"add": 1}, for_each_index=index)
    assert (await (await env.again(run)).resume({"add": 1})).unwrap() == [3, 4, 5]
    assert calls["a"] == 3


async def test_loops_go_on_elsewhere(env: Env, calls: Calls) -> None:
    workflow = flow().dountil(asking(calls, "ask"), lambda ctx: ctx.input_data > 3).commit()
    run = await env.workflow(workflow).create_run()
    await run.start(1)
    for _ in range(2):
        result = await (await env.again(run)).resume({"add": 1})
        assert isinstance(result, WorkflowSuspended)
    assert (await (await env.again(run)).resume({"add": 1})).unwrap() == 4


async def test_a_branch_keeps_its_choice_elsewhere(env: Env, calls: Calls) -> None:
    answers = iter([True, False, False])

    async def condition(ctx: StepContext[int]) -> bool:
        return next(answers)

    workflow = flow(dict).branch([(condition, asking(calls, "ask"))]).commit()
    run = await env.workflow(workflow).create_run()
    await run.start(1)
    assert (await (await env.again(run)).resume({"add": 1})).unwrap() == {"ask": 2}


# -- what is kept ------------------------------------------------------------------------------


async def test_state_is_kept(env: Env, calls: Calls) -> None:
    async def count(ctx: StepContext[int]) -> int:
        await ctx.set_state({"count": ctx.state.count + 1, "names": [*ctx.state.names, "x"]})
        return ctx.input_data

    step = create_step(id="count", input_schema=int, output_schema=int, execute=count)
    workflow = flow(state_schema=Tally).then(step).then(asking(calls, "ask")).then(step).commit()
    run = await env.workflow(workflow).create_run()
    suspended = await run.start(1, initial_state={"count": 5})
    assert suspended.state == {"count": 6, "names": ["x"]}
    result = await (await env.again(run)).resume({"add": 1})
    assert result.state == {"count": 7, "names": ["x", "x"]}


async def test_state_set_before_suspending_is_there_after_resume(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> int:
        await ctx.set_state({"tries": ctx.state.get("tries", 0) + 1})
        if ctx.resume_data is None:
            await ctx.suspend({})
        return ctx.input_data

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute)
    run = await env.workflow(flow().then(step).commit()).create_run()
    await run.start(1)
    result = await (await env.again(run)).resume({"go": 1})
    assert result.state == {"tries": 2}


async def test_the_retry_policy_is_kept(env: Env, calls: Calls) -> None:
    retry = RetryConfig(attempts=2)
    workflow = (
        flow(retry_config=retry).then(asking(calls, "ask")).then(failing(calls, "f", times=2))
    )
    run = await env.workflow(workflow.commit()).create_run()
    await run.start(1)
    assert (await (await env.again(run)).resume({"add": 1})).unwrap() == 2
    assert calls["f"] == 3


async def test_a_resumed_step_has_its_own_retries(env: Env) -> None:
    tries: list[int] = []

    async def execute(ctx: StepContext[int]) -> int:
        if ctx.resume_data is None:
            await ctx.suspend({})
        tries.append(ctx.retry_count)
        if len(tries) < 3:
            raise ValueError("not yet")
        return ctx.resume_data["n"]

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute, retries=2)
    run = await env.workflow(flow().then(step).commit()).create_run()
    await run.start(1)
    assert (await run.resume({"n": 9})).unwrap() == 9
    assert tries == [0, 1, 2]


async def test_a_resumed_step_keeps_its_resume_data_on_each_try(env: Env) -> None:
    seen: list[Any] = []

    async def execute(ctx: StepContext[int]) -> int:
        if ctx.resume_data is None:
            await ctx.suspend({"why": "x"})
        seen.append((ctx.resume_data, ctx.suspend_data))
        raise ValueError("never")

    step = create_step(id="s", input_schema=int, output_schema=int, execute=execute, retries=1)
    run = await env.workflow(flow().then(step).commit()).create_run()
    await run.start(1)
    assert isinstance(await run.resume({"n": 9}), WorkflowFailed)
    assert seen == [({"n": 9}, {"why": "x"})] * 2


async def test_the_request_context_is_kept(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> str:
        if ctx.resume_data is None:
            await ctx.suspend({})
        return ctx.request_context["tenant"]

    step = create_step(id="s", input_schema=int, output_schema=str, execute=execute)
    run = await env.workflow(flow(str).then(step).commit()).create_run()
    await run.start(1, request_context={"tenant": "acme"})
    assert (await (await env.again(run)).resume({"go": 1})).unwrap() == "acme"


async def test_the_callers_request_context_lies_over_the_stored_one(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> list[str]:
        if ctx.resume_data is None:
            await ctx.suspend({})
        return [ctx.request_context["tenant"], ctx.request_context["user"]]

    step = create_step(id="s", input_schema=int, output_schema=list[str], execute=execute)
    run = await env.workflow(flow(list[str]).then(step).commit()).create_run()
    await run.start(1, request_context={"tenant": "acme", "user": "ann"})
    elsewhere = await env.again(run)
    result = await elsewhere.resume({"go": 1}, request_context=RequestContext({"user": "bob"}))
    assert result.unwrap() == ["acme", "bob"]


async def test_the_resource_id_is_kept(env: Env) -> None:
    async def execute(ctx: StepContext[int]) -> str:
        if ctx.resume_data is None:
            await ctx.suspend({})
        return ctx.resource_id or ""

    step = create_step(id="s", input_schema=int, output_schema=str, execute=execute)
    run = await env.workflow(flow(str).then(step).commit()).create_run(resource_id="user-1")
    await run.start(1)
    elsewhere = await env.again(run)
    assert elsewhere.resource_id == "user-1"
    assert (await elsewhere.resume({"go": 1})).unwrap() == "user-1"


async def test_suspend_data_is_kept(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow().then(asking(calls, "ask", times=3)).commit()).create_run()
    await run.start(1)
    payloads = []
    for _ in range(2):
        result = await (await env.again(run)).resume({"add": 1})
        assert isinstance(result, WorkflowSuspended)
        payloads.append(result.suspend_payload["ask"]["asked"])
    assert payloads == [1, 2]


# -- one winner --------------------------------------------------------------------------------


async def resume_at_once(runs: list[Any]) -> tuple[list[Any], list[BaseException]]:
    answers = await asyncio.gather(
        *[run.resume({"add": n}) for n, run in enumerate(runs)], return_exceptions=True
    )
    won = [answer for answer in answers if not isinstance(answer, BaseException)]
    lost = [answer for answer in answers if isinstance(answer, BaseException)]
    return won, lost


async def test_of_concurrent_resumes_one_wins(env: Env, calls: Calls) -> None:
    workflow = env.workflow(flow().then(asking(calls, "ask")).commit())
    run = await workflow.create_run()
    await run.start(1)
    runs = [await workflow.create_run(run.run_id) for _ in range(5)]
    won, lost = await resume_at_once(runs)
    assert len(won) == 1
    assert {type(error) for error in lost} <= {ResumeClaimedError, RunStateError}
    assert calls["ask:done"] == 1


async def test_the_loser_of_a_resume_has_the_originals_code(env: Env, calls: Calls) -> None:
    gate = Gate()
    workflow = flow().then(asking(calls, "ask")).then(blocking(calls, "block", gate)).commit()
    registered = env.workflow(workflow)
    run = await registered.create_run()
    await run.start(1)
    await run.resume_async({"add": 1})
    await gate.reached.wait()
    other = await registered.create_run(run.run_id)
    with pytest.raises(ResumeClaimedError) as caught:
        await other.resume({"add": 2})
    gate.opened.set()
    assert caught.value.code == "WORKFLOW_RESUME_ALREADY_CLAIMED"
    assert (await run.result()).unwrap() == 3


async def test_the_loser_of_a_resume_is_told_so_where_the_run_has_ended_since(
    env: Env, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, has_looked = Gate(), asyncio.Event()
    workflow = flow().then(asking(calls, "ask")).then(blocking(calls, "block", gate)).commit()
    registered = env.workflow(workflow)
    run = await registered.create_run()
    await run.start(1)
    await run.resume_async({"add": 1})
    await gate.reached.wait()
    other = await registered.create_run(run.run_id)
    load = cast("Any", Run)._loaded

    async def look(self: Any) -> Any:
        loaded = await load(self)
        has_looked.set()
        return loaded

    monkeypatch.setattr(Run, "_loaded", look)
    losing = asyncio.ensure_future(other.resume({"add": 2}))
    await has_looked.wait()
    gate.opened.set()
    with pytest.raises(ResumeClaimedError):
        await losing
    assert (await run.result()).unwrap() == 3


async def test_a_run_object_of_before_sees_that_another_resumed_it(env: Env, calls: Calls) -> None:
    registered = env.workflow(flow().then(asking(calls, "ask")).commit())
    run = await registered.create_run()
    await run.start(1)
    other = await registered.create_run(run.run_id)
    await other.resume({"add": 1})
    with pytest.raises(RunStateError, match="success, not suspended"):
        await run.resume({"add": 2})
    assert calls["ask:done"] == 1
