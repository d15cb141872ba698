"""`on_start`, `on_finish` and `on_error`: when each is called, and with what."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from pydantic import BaseModel

from mastra import StepContext, create_step, create_workflow
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding, chain, failing


def told(calls: Calls) -> dict[str, Any]:
    """Return callbacks that note their name and the status they are told."""

    def note(name: str) -> Any:
        return lambda info: calls.add(f"{name} {info.status}")

    return {name: note(name) for name in ("on_start", "on_finish", "on_error")}


def keeping(seen: list[Any], name: str) -> dict[str, Any]:
    return {name: seen.append}


async def ask(ctx: StepContext[Number]) -> Number:
    if ctx.resume_data is None:
        await ctx.suspend({"why": "asking"})
    return ctx.input_data


def asking() -> Any:
    return create_step(id="ask", execute=ask)


async def test_success_calls_start_and_finish(env: Env, calls: Calls) -> None:
    await env.start(chain("w", adding("a"), **told(calls)), {"value": 0})
    assert calls.names == ["on_start running", "on_finish success"]


async def test_failure_calls_finish_and_error(env: Env, calls: Calls) -> None:
    await env.start(chain("w", failing("a"), **told(calls)), {"value": 0})
    assert calls.names == ["on_start running", "on_finish failed", "on_error failed"]


async def test_suspension_calls_finish_and_resume_does_not_call_start(
    env: Env, calls: Calls
) -> None:
    run = await env.workflow(chain("w", asking(), **told(calls))).create_run()
    await run.start({"value": 0})
    assert calls.names == ["on_start running", "on_finish suspended"]
    await run.resume({"ok": True})
    assert calls.names[2:] == ["on_finish success"]


async def test_a_pause_calls_nothing(env: Env, calls: Calls) -> None:
    workflow = chain("w", adding("a"), adding("b"), **told(calls))
    await env.start(workflow, {"value": 0}, per_step=True)
    assert calls.names == ["on_start running"]


async def test_abort_calls_finish_as_canceled(env: Env, calls: Calls) -> None:
    async def stop(ctx: StepContext[Number]) -> Number:
        ctx.abort()
        return ctx.input_data

    await env.start(chain("w", create_step(execute=stop), **told(calls)), {"value": 0})
    assert calls.names == ["on_start running", "on_finish canceled"]


async def test_they_may_be_async(env: Env, calls: Calls) -> None:
    async def note(info: Any) -> None:
        await asyncio.sleep(0)
        calls.add(info.status)

    workflow = chain("w", failing("a"), on_start=note, on_finish=note, on_error=note)
    await env.start(workflow, {"value": 0})
    assert calls.names == ["running", "failed", "failed"]


async def test_finish_gets_the_typed_result_and_the_steps(env: Env) -> None:
    seen: list[Any] = []
    await env.start(chain("w", adding("a"), **keeping(seen, "on_finish")), {"value": 0})
    (info,) = seen
    assert info.result == Number(value=1)
    assert info.error is None
    assert info.steps["a"].output == {"value": 1}
    assert info.step_execution_path == ("a",)


async def test_error_gets_the_error_and_the_steps(env: Env) -> None:
    seen: list[Any] = []
    workflow = chain("w", adding("a"), failing("bad"), **keeping(seen, "on_error"))
    await env.start(workflow, {"value": 0})
    (info,) = seen
    assert info.error.message == "no good"
    assert info.result is None
    assert {id: step.status for id, step in info.steps.items()} == {"a": "success", "bad": "failed"}


@pytest.mark.parametrize("name", ["on_start", "on_finish", "on_error"])
async def test_each_gets_the_facts_of_the_run(env: Env, name: str) -> None:
    seen: list[Any] = []
    workflow = chain("w", failing("bad"), **keeping(seen, name))
    mastra = env.mastra(workflows=[workflow])
    run = await mastra.get_workflow("w").create_run(resource_id="user-1")
    await run.start({"value": 7}, initial_state={"n": 1}, request_context={"who": "me"})
    (info,) = seen
    assert (info.run_id, info.workflow_id, info.resource_id) == (run.run_id, "w", "user-1")
    assert info.get_init_data() == Number(value=7)
    assert info.state == {"n": 1}
    assert info.request_context.get("who") == "me"
    assert info.mastra.get_workflow("w").id == "w"
    info.logger.info("can be used")


async def test_finish_gets_the_state_as_it_is_then(env: Env) -> None:
    async def mark(ctx: StepContext[Number]) -> Number:
        await ctx.set_state({"n": 2})
        return ctx.input_data

    seen: list[Any] = []
    workflow = chain("w", create_step(execute=mark), **keeping(seen, "on_finish"))
    await env.start(workflow, {"value": 0}, initial_state={"n": 1})
    assert seen[0].state == {"n": 2}


async def test_start_is_called_before_the_first_step_and_finish_after_the_last(
    env: Env, calls: Calls
) -> None:
    workflow = chain(
        "w",
        adding("a", 1, calls),
        on_start=lambda info: calls.add("start"),
        on_finish=lambda info: calls.add("finish"),
    )
    await env.start(workflow, {"value": 0})
    assert calls.names == ["start", "a", "finish"]


async def test_a_start_that_raises_refuses_the_run(env: Env, calls: Calls) -> None:
    def refuse(info: Any) -> None:
        raise PermissionError("not today")

    run = await env.workflow(
        chain("w", adding("a", 1, calls), **{**told(calls), "on_start": refuse})
    ).create_run()
    with pytest.raises(PermissionError, match="not today"):
        await run.start({"value": 0})
    assert calls.names == []
    assert await run.status() == "pending"


async def test_a_refused_run_may_be_started_again(env: Env, calls: Calls) -> None:
    def refuse_first(info: Any) -> None:
        if calls.add("start") == 0:
            raise PermissionError("not today")

    run = await env.workflow(chain("w", adding("a"), on_start=refuse_first)).create_run()
    with pytest.raises(PermissionError):
        await run.start({"value": 0})
    assert (await run.start({"value": 0})).status == "success"


@pytest.mark.parametrize("name", ["on_finish", "on_error"])
async def test_a_finish_or_error_that_raises_is_logged_and_changes_nothing(
    env: Env, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    def broken(info: Any) -> None:
        raise RuntimeError("mail is down")

    workflow = chain("w", failing("bad"), **{name: broken})
    with caplog.at_level(logging.ERROR, logger="mastra"):
        result = await env.start(workflow, {"value": 0})
    assert result.status == "failed"
    assert "mail is down" in caplog.text


async def test_when_finish_raises_error_is_called_all_the_same(env: Env, calls: Calls) -> None:
    def broken(info: Any) -> None:
        raise RuntimeError("mail is down")

    callbacks = {**told(calls), "on_finish": broken}
    await env.start(chain("w", failing("bad"), **callbacks), {"value": 0})
    assert calls.names == ["on_start running", "on_error failed"]


async def test_when_finish_is_called_the_result_is_stored(env: Env) -> None:
    seen: list[Any] = []

    async def look(info: Any) -> None:
        stored = await info.mastra.get_workflow("w").get_run(info.run_id)
        seen.append((stored.status, stored.result))

    await env.start(chain("w", adding("a"), on_finish=look), {"value": 0})
    assert seen == [("success", Number(value=1))]


async def test_bad_input_calls_nothing(env: Env, calls: Calls) -> None:
    run = await env.workflow(chain("w", adding("a"), **told(calls))).create_run()
    with pytest.raises(Exception, match="value"):
        await run.start({"value": "x"})
    assert calls.names == []


async def test_each_run_is_told_of_by_itself(env: Env) -> None:
    seen: list[Any] = []

    class Named(BaseModel):
        value: int

    workflow = env.workflow(chain("w", adding("a"), **keeping(seen, "on_finish")))
    runs = [await workflow.create_run() for _ in range(3)]
    await asyncio.gather(*(run.start({"value": i}) for i, run in enumerate(runs)))
    assert {(info.run_id, info.result.value) for info in seen} == {
        (run.run_id, i + 1) for i, run in enumerate(runs)
    }


# -- nested workflows ----------------------------------------------------------------------------


def told_as(calls: Calls, who: str) -> dict[str, Any]:
    def note(name: str) -> Any:
        return lambda info: calls.add(f"{who} {name} {info.status}")

    return {name: note(name) for name in ("on_start", "on_finish", "on_error")}


async def test_those_of_a_nested_workflow_are_called_once_each(env: Env, calls: Calls) -> None:
    inner = chain("inner", adding("x"), adding("y"), **told_as(calls, "inner"))
    workflow = chain("w", adding("a"), inner, adding("b"), **told_as(calls, "outer"))
    assert (await env.start(workflow, {"value": 0})).unwrap() == Number(value=4)
    assert calls.names == [
        "outer on_start running",
        "inner on_start running",
        "inner on_finish success",
        "outer on_finish success",
    ]


async def test_a_nested_workflow_that_fails(env: Env, calls: Calls) -> None:
    inner = chain("inner", failing("bad"), **told_as(calls, "inner"))
    await env.start(chain("w", inner, **told_as(calls, "outer")), {"value": 0})
    assert calls.names == [
        "outer on_start running",
        "inner on_start running",
        "inner on_finish failed",
        "inner on_error failed",
        "outer on_finish failed",
        "outer on_error failed",
    ]


async def test_a_nested_workflow_that_suspends_ends_twice(env: Env, calls: Calls) -> None:
    async def execute(ctx: StepContext[Number]) -> Number:
        if ctx.resume_data is None:
            await ctx.suspend({})
        return ctx.input_data

    inner = chain("inner", create_step(id="ask", execute=execute), **told_as(calls, "inner"))
    run = await env.workflow(chain("w", inner, adding("b"))).create_run()
    await run.start({"value": 0})
    await run.resume({"go": True})
    assert calls.names == [
        "inner on_start running",
        "inner on_finish suspended",
        "inner on_finish success",
    ]


async def test_a_nested_workflow_is_told_of_its_own_part_of_the_run(env: Env) -> None:
    seen: list[Any] = []
    inner = chain("inner", adding("x", 5), **keeping(seen, "on_finish"))
    run = await env.workflow(chain("w", adding("a"), inner)).create_run(resource_id="user-1")
    await run.start({"value": 0}, request_context={"who": "me"})
    (info,) = seen
    assert (info.run_id, info.workflow_id, info.resource_id) == (run.run_id, "inner", "user-1")
    assert info.result == Number(value=6)
    assert info.get_init_data() == Number(value=1)
    assert {name: step.status for name, step in info.steps.items()} == {"x": "success"}
    assert info.request_context.get("who") == "me"
    assert info.mastra.get_workflow("w").id == "w"


async def test_a_nested_start_that_raises_fails_the_run(env: Env, calls: Calls) -> None:
    def refuse(_: Any) -> None:
        msg = "not today"
        raise ValueError(msg)

    inner = chain("inner", adding("x", 1, calls), on_start=refuse)
    result = await env.start(chain("w", inner), {"value": 0})
    assert (result.status, result.steps["inner"].status) == ("failed", "failed")
    assert "not today" in str(result.error)
    assert calls.names == []


async def test_a_nested_finish_that_raises_changes_nothing(
    env: Env, caplog: pytest.LogCaptureFixture
) -> None:
    inner = chain("inner", adding("x"), on_finish=lambda info: 1 / 0)
    assert (await env.start(chain("w", inner), {"value": 0})).unwrap() == Number(value=1)
    assert "'inner' raised" in caplog.text


async def test_each_item_and_turn_has_callbacks_of_its_own(env: Env, calls: Calls) -> None:
    seen: list[Any] = []
    inner = chain("inner", adding("x"), on_finish=lambda info: seen.append(info.result.value))
    workflow = create_workflow(id="w", input_schema=list[Number], output_schema=list[Number])
    await env.start(workflow.foreach(inner, concurrency=2).commit(), [{"value": 1}, {"value": 5}])
    assert sorted(seen) == [2, 6]


async def test_going_back_into_a_nested_workflow_does_not_start_it_again(
    env: Env, calls: Calls
) -> None:
    inner = chain("inner", adding("x"), adding("y"), **told_as(calls, "inner"))
    run = await env.workflow(chain("w", inner)).create_run()
    await run.start({"value": 0})
    await run.time_travel(step="inner.y")
    assert calls.names == [
        "inner on_start running",
        "inner on_finish success",
        "inner on_finish success",
    ]
