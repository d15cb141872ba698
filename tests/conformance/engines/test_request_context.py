"""The request context: values of one request, seen by everything that runs for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from mastra import InputValidationError, RequestContext, StepContext, create_step, create_workflow
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding, chain


def looking(id: str, seen: list[Any], key: str = "who") -> Any:
    async def execute(ctx: StepContext[Number]) -> Number:
        seen.append(ctx.request_context.get(key))
        return ctx.input_data

    return create_step(id=id, execute=execute)


def setting(id: str, **values: Any) -> Any:
    async def execute(ctx: StepContext[Number]) -> Number:
        for key, value in values.items():
            ctx.request_context.set(key, value)
        return ctx.input_data

    return create_step(id=id, execute=execute)


def asking(id: str, seen: list[Any]) -> Any:
    async def execute(ctx: StepContext[Number]) -> Number:
        if ctx.resume_data is None:
            await ctx.suspend({})
        seen.append(ctx.request_context.to_dict())
        return ctx.input_data

    return create_step(id=id, execute=execute)


@pytest.mark.parametrize("given", [{"who": "me"}, RequestContext({"who": "me"})])
async def test_every_step_sees_it(env: Env, given: Any) -> None:
    seen: list[Any] = []
    workflow = chain("w", looking("a", seen), looking("b", seen))
    await env.start(workflow, {"value": 0}, request_context=given)
    assert seen == ["me", "me"]


async def test_without_one_it_is_empty(env: Env) -> None:
    seen: list[Any] = []
    await env.start(chain("w", looking("a", seen)), {"value": 0})
    assert seen == [None]


async def test_conditions_maps_and_nested_steps_see_it(env: Env) -> None:
    seen: list[Any] = []

    def note(ctx: StepContext[Any]) -> Any:
        seen.append(ctx.request_context.get("who"))
        return True

    workflow = create_workflow(id="w", input_schema=Number, output_schema=Any)
    workflow.then(chain("inner", looking("x", seen))).branch([(note, adding("a"))])
    workflow.map(note).commit()
    await env.start(workflow, {"value": 0}, request_context={"who": "me"})
    assert seen == ["me", "me", "me"]


async def test_what_a_step_sets_later_steps_see(env: Env) -> None:
    seen: list[Any] = []
    workflow = chain("w", setting("a", who="you"), looking("b", seen))
    await env.start(workflow, {"value": 0}, request_context={"who": "me"})
    assert seen == ["you"]


async def test_what_a_step_removes_later_steps_do_not_see(env: Env) -> None:
    seen: list[Any] = []

    async def remove(ctx: StepContext[Number]) -> Number:
        ctx.request_context.delete("who")
        return ctx.input_data

    workflow = chain("w", create_step(execute=remove), looking("b", seen))
    await env.start(workflow, {"value": 0}, request_context={"who": "me"})
    assert seen == [None]


async def test_a_run_does_not_see_that_of_another(env: Env) -> None:
    seen: list[Any] = []
    workflow = env.workflow(chain("w", looking("a", seen)))
    runs = [await workflow.create_run() for _ in range(4)]
    async with asyncio.TaskGroup() as group:
        for i, run in enumerate(runs):
            group.create_task(run.start({"value": 0}, request_context={"who": i}))
    assert sorted(seen) == [0, 1, 2, 3]


async def test_a_dict_that_was_given_is_not_changed(env: Env) -> None:
    given = {"who": "me"}
    await env.start(chain("w", setting("a", who="you")), {"value": 0}, request_context=given)
    assert given == {"who": "me"}


async def test_a_resumed_run_has_what_it_was_started_with(env: Env) -> None:
    seen: list[Any] = []
    run = await env.workflow(chain("w", asking("ask", seen))).create_run()
    await run.start({"value": 0}, request_context={"who": "me", "lang": "nl"})
    elsewhere = await env.again(run)
    await elsewhere.resume({"ok": True})
    assert seen == [{"who": "me", "lang": "nl"}]


async def test_what_a_resume_gives_is_laid_over_it(env: Env) -> None:
    seen: list[Any] = []
    run = await env.workflow(chain("w", asking("ask", seen))).create_run()
    await run.start({"value": 0}, request_context={"who": "me", "lang": "nl"})
    elsewhere = await env.again(run)
    await elsewhere.resume({"ok": True}, request_context={"who": "you"})
    assert seen == [{"who": "you", "lang": "nl"}]


async def test_what_a_step_set_before_a_suspension_is_there_after_it(env: Env) -> None:
    seen: list[Any] = []
    workflow = chain("w", setting("a", who="you", more=1), asking("ask", seen))
    run = await env.workflow(workflow).create_run()
    await run.start({"value": 0}, request_context={"who": "me"})
    elsewhere = await env.again(run)
    await elsewhere.resume({"ok": True})
    assert seen == [{"who": "you", "more": 1}]


async def test_what_json_cannot_hold_is_not_stored(env: Env) -> None:
    seen: list[Any] = []
    run = await env.workflow(chain("w", asking("ask", seen))).create_run()
    await run.start({"value": 0}, request_context={"who": object(), "lang": "nl"})
    elsewhere = await env.again(run)
    await elsewhere.resume({"ok": True})
    assert seen == [{"lang": "nl"}]


async def test_what_a_step_set_is_there_after_a_crash(env: Env) -> None:
    seen: list[Any] = []
    reached = asyncio.Event()

    async def wait(ctx: StepContext[Number]) -> Number:
        seen.append(ctx.request_context.get("who"))
        if len(seen) == 1:
            reached.set()
            await asyncio.Event().wait()
        return ctx.input_data

    workflow = chain("w", setting("a", who="you"), create_step(id="wait", execute=wait))
    run = await env.workflow(workflow).create_run()
    await run.start_async({"value": 0}, request_context={"who": "me"})
    await reached.wait()
    mastra = await env.crash()
    again = await mastra.get_workflow("w").create_run(run.run_id)
    assert (await again.restart()).status == "success"
    assert seen == ["you", "you"]


async def test_it_is_checked_against_its_schema(env: Env, calls: Calls) -> None:
    class Who(BaseModel):
        who: str

    workflow = env.workflow(chain("w", adding("a", 1, calls), request_context_schema=Who))
    run = await workflow.create_run()
    with pytest.raises(InputValidationError, match="who") as raised:
        await run.start({"value": 0}, request_context={"lang": "nl"})
    assert raised.value.code == "WORKFLOW_SCHEMA_VALIDATION_FAILED"
    assert calls.names == []
    assert (await run.start({"value": 0}, request_context={"who": "me"})).status == "success"
