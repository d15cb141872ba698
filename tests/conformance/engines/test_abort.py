"""`abort` in a step, and `cancel` from outside while steps run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mastra import StepContext, WorkflowCanceled, WorkflowFailedError, create_step, create_workflow
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding, chain, outline


def aborting(id: str = "stop") -> Any:
    async def execute(ctx: StepContext[Number]) -> Number:
        ctx.abort()
        return Number(value=ctx.input_data.value + 1)

    return create_step(id=id, execute=execute)


class Gate:
    """A step that tells when it has begun and waits until it is let go, or cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.was_cut_off = False

    def step(self, id: str = "gate") -> Any:
        async def execute(number: Number) -> Number:
            self.begun.set()
            try:
                await self.may_end.wait()
            except asyncio.CancelledError:
                self.was_cut_off = True
                raise
            return number

        return create_step(id=id, execute=execute)


async def test_abort_cancels_the_run_after_the_step(env: Env, calls: Calls) -> None:
    workflow = chain("w", adding("a", 1, calls), aborting(), adding("b", 1, calls))
    result = await env.start(workflow, {"value": 0})
    assert isinstance(result, WorkflowCanceled)
    assert result.status == "canceled"
    assert calls.names == ["a"]


async def test_the_step_that_aborted_keeps_its_output(env: Env) -> None:
    result = await env.start(chain("w", aborting(), adding("b")), {"value": 0})
    assert result.steps["stop"].status == "success"
    assert result.steps["stop"].output == {"value": 1}
    assert "b" not in result.steps


async def test_abort_in_the_last_step_cancels_all_the_same(env: Env) -> None:
    assert (await env.start(chain("w", aborting()), {"value": 0})).status == "canceled"


async def test_abort_in_a_nested_workflow_cancels_the_whole(env: Env, calls: Calls) -> None:
    inner = chain("inner", aborting(), adding("x", 1, calls))
    result = await env.start(chain("w", inner, adding("b", 1, calls)), {"value": 0})
    assert result.status == "canceled"
    assert calls.names == []


async def test_abort_ends_a_loop(env: Env) -> None:
    workflow = create_workflow(id="w", input_schema=Number, output_schema=Number)
    workflow.dowhile(aborting(), lambda ctx: True).commit()
    result = await env.start(workflow, {"value": 0})
    assert result.status == "canceled"
    assert result.steps["stop"].output == {"value": 1}


async def test_unwrap_of_a_cancelled_run_raises(env: Env) -> None:
    result = await env.start(chain("w", aborting()), {"value": 0})
    with pytest.raises(WorkflowFailedError, match="canceled"):
        result.unwrap()


async def test_a_step_has_an_abort_signal_that_is_not_set(env: Env) -> None:
    seen: list[bool] = []

    async def execute(ctx: StepContext[Number]) -> Number:
        seen.append(ctx.abort_signal.aborted)
        return ctx.input_data

    await env.start(chain("w", create_step(execute=execute)), {"value": 0})
    assert seen == [False]


async def test_cancel_cuts_off_a_step_that_does_not_look(env: Env, calls: Calls) -> None:
    gate = Gate()
    run = await env.workflow(chain("w", gate.step(), adding("b", 1, calls))).create_run()
    await run.start_async({"value": 0})
    await gate.begun.wait()
    await run.cancel()
    assert (await run.result()).status == "canceled"
    assert gate.was_cut_off
    assert calls.names == []


async def test_a_step_that_looks_at_the_signal_may_end_by_itself(env: Env, calls: Calls) -> None:
    begun = asyncio.Event()

    async def execute(ctx: StepContext[Number]) -> Number:
        begun.set()
        await ctx.abort_signal.wait()
        calls.add("tidied up")
        return ctx.input_data

    step = create_step(id="look", execute=execute)
    run = await env.workflow(chain("w", step, adding("b", 1, calls))).create_run()
    await run.start_async({"value": 0})
    await begun.wait()
    await run.cancel()
    assert (await run.result()).status == "canceled"
    assert calls.names == ["tidied up"]


async def test_the_signal_reaches_a_nested_workflow(env: Env) -> None:
    gate = Gate()
    inner = chain("inner", gate.step(), adding("x"))
    run = await env.workflow(chain("w", inner)).create_run()
    await run.start_async({"value": 0})
    await gate.begun.wait()
    await run.cancel()
    assert (await run.result()).status == "canceled"
    assert gate.was_cut_off


async def test_cancel_stops_every_parallel_step(env: Env) -> None:
    gates = [Gate(), Gate()]
    workflow = create_workflow(id="w", input_schema=Number, output_schema=Any)
    workflow.parallel([gate.step(f"g{i}") for i, gate in enumerate(gates)]).commit()
    run = await env.workflow(workflow).create_run()
    await run.start_async({"value": 0})
    for gate in gates:
        await gate.begun.wait()
    await run.cancel()
    assert (await run.result()).status == "canceled"
    assert [gate.was_cut_off for gate in gates] == [True, True]


async def test_cancel_ends_a_sleep(env: Env) -> None:
    workflow = create_workflow(id="w", input_schema=Number, output_schema=Number)
    run = await env.workflow(workflow.sleep(60).commit()).create_run()
    async with run.stream({"value": 0}) as stream:
        async for event in stream:
            if event.type == "workflow-step-waiting":
                await run.cancel()
    assert (await stream.result()).status == "canceled"


async def test_cancel_ends_the_wait_before_a_retry(env: Env, calls: Calls) -> None:
    tried = asyncio.Event()

    async def execute(number: Number) -> Number:
        calls.add("try")
        tried.set()
        raise ValueError("again")

    step = create_step(id="s", execute=execute)
    workflow = chain("w", step, retry_config={"attempts": 3, "delay": 60})
    run = await env.workflow(workflow).create_run()
    await run.start_async({"value": 0})
    await tried.wait()
    await run.cancel()
    assert (await run.result()).status == "canceled"
    assert calls["try"] == 1


async def test_a_cancelled_run_is_stored_as_such(env: Env) -> None:
    gate = Gate()
    run = await env.workflow(chain("w", adding("a"), gate.step())).create_run()
    await run.start_async({"value": 0})
    await gate.begun.wait()
    await run.cancel()
    mastra = await env.new_process()
    stored = await mastra.get_workflow("w").get_run(run.run_id)
    assert stored is not None
    assert stored.status == "canceled"
    assert stored.steps["a"].status == "success"


async def test_a_run_cancelled_before_its_start_does_not_start(env: Env, calls: Calls) -> None:
    run = await env.workflow(chain("w", adding("a", 1, calls))).create_run()
    await run.cancel()
    assert (await run.start({"value": 0})).status == "canceled"
    assert calls.names == []


async def test_a_suspended_run_can_be_cancelled(env: Env) -> None:
    async def ask(ctx: StepContext[Number]) -> Number:
        await ctx.suspend({})

    run = await env.workflow(chain("w", create_step(execute=ask))).create_run()
    await run.start({"value": 0})
    await run.cancel()
    assert await run.status() == "canceled"


async def test_cancel_of_a_finished_run_changes_nothing(env: Env) -> None:
    run = await env.workflow(chain("w", adding("a"))).create_run()
    await run.start({"value": 0})
    await run.cancel()
    assert await run.status() == "success"


async def test_cancel_twice_is_the_same_as_once(env: Env) -> None:
    gate = Gate()
    run = await env.workflow(chain("w", gate.step())).create_run()
    await run.start_async({"value": 0})
    await gate.begun.wait()
    await asyncio.gather(run.cancel(), run.cancel())
    assert (await run.result()).status == "canceled"


async def test_a_step_that_fails_because_of_the_signal_does_not_fail_the_run(env: Env) -> None:
    begun = asyncio.Event()

    async def execute(ctx: StepContext[Number]) -> Number:
        begun.set()
        await ctx.abort_signal.wait()
        raise RuntimeError("I was told to stop")

    run = await env.workflow(chain("w", create_step(id="s", execute=execute))).create_run()
    await run.start_async({"value": 0})
    await begun.wait()
    await run.cancel()
    assert (await run.result()).status == "canceled"


async def test_the_events_end_with_canceled(env: Env) -> None:
    events, _ = await env.events(chain("w", aborting(), adding("b")), {"value": 0})
    assert outline(events) == [
        "start",
        "step-start:stop",
        "step-result:stop",
        "canceled",
        "finish",
    ]
    assert events[-1].payload is not None
    assert events[-1].payload.workflow_status == "canceled"
