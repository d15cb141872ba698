"""Each mistake of a caller has an error class and a stable code, and names what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from mastra import (
    InputValidationError,
    MastraError,
    NotFoundError,
    ResumeValidationError,
    Run,
    RunNotFoundError,
    RunStateError,
    SerializationError,
    StepContext,
    WorkflowFailed,
    create_step,
    create_workflow,
)
from tests.support.engines import Env
from tests.support.flows import Number, adding, chain


class Answer(BaseModel):
    approved: bool


async def ask(ctx: StepContext[Number]) -> Number:
    if ctx.resume_data is None:
        await ctx.suspend({})
    return ctx.input_data


def asking() -> Any:
    return chain("w", create_step(id="ask", execute=ask, resume_schema=Answer), adding("after"))


async def suspended(env: Env) -> Run[Any]:
    run = await env.workflow(asking()).create_run()
    assert (await run.start({"value": 1})).status == "suspended"
    return run


def check(error: MastraError, kind: type[MastraError], code: str, *names: str) -> None:
    assert type(error) is kind
    assert error.code == code
    for name in names:
        assert name in error.message


async def test_bad_input(env: Env) -> None:
    run = await env.workflow(chain("orders", adding("a"))).create_run()
    with pytest.raises(MastraError) as raised:
        await run.start({"value": "many"})
    check(
        raised.value, InputValidationError, "WORKFLOW_SCHEMA_VALIDATION_FAILED", "'orders'", "value"
    )


async def test_bad_resume_data(env: Env) -> None:
    run = await suspended(env)
    with pytest.raises(MastraError) as raised:
        await run.resume({"approved": "perhaps"})
    check(
        raised.value,
        ResumeValidationError,
        "WORKFLOW_RESUME_DATA_VALIDATION_FAILED",
        "'ask'",
        "approved",
    )
    assert await run.status() == "suspended"


async def test_output_that_cannot_be_stored(env: Env) -> None:
    async def give(ctx: StepContext[Any]) -> Any:
        return {"rows": [{"connection": object()}]}

    workflow = create_workflow(id="w", input_schema=Any, output_schema=Any)
    result = await env.start(workflow.then(create_step(id="give", execute=give)).commit())
    assert isinstance(result, WorkflowFailed)
    check(result.error, SerializationError, "NOT_SERIALIZABLE", "'give'", "rows.0.connection")


async def test_an_unknown_step_to_resume(env: Env) -> None:
    run = await suspended(env)
    with pytest.raises(MastraError) as raised:
        await run.resume({"approved": True}, step="nobody")
    check(raised.value, NotFoundError, "STEP_NOT_FOUND", "'nobody'", "'ask'", "'after'")
    assert await run.status() == "suspended"


async def test_a_step_to_resume_that_does_not_wait(env: Env) -> None:
    run = await suspended(env)
    with pytest.raises(MastraError) as raised:
        await run.resume({"approved": True}, step="after")
    check(raised.value, RunStateError, "RESUME_TARGET_NOT_FOUND", "'after'", "'ask'")


async def test_an_unknown_step_to_go_back_to(env: Env) -> None:
    run = await suspended(env)
    with pytest.raises(MastraError) as raised:
        await run.time_travel(step="nobody")
    check(raised.value, NotFoundError, "STEP_NOT_FOUND", "'nobody'", "'ask'")


async def test_an_unknown_step_asked_for_in_a_step(env: Env) -> None:
    async def look(ctx: StepContext[Number]) -> Number:
        return ctx.get_step_result("nobody")

    result = await env.start(chain("w", create_step(id="look", execute=look)), {"value": 1})
    assert isinstance(result, WorkflowFailed)
    check(result.error, NotFoundError, "STEP_NOT_FOUND", "'nobody'", "'look'")


@pytest.mark.parametrize("call", ["resume", "restart", "cancel", "time_travel", "status"])
async def test_a_wrong_run_id(env: Env, call: str) -> None:
    workflow = env.workflow(asking())
    run = await workflow.create_run("mistyped")
    await workflow.delete_run("mistyped")
    with pytest.raises(MastraError) as raised:
        await getattr(run, call)(**({"step": "ask"} if call == "time_travel" else {}))
    check(raised.value, RunNotFoundError, "RUN_NOT_FOUND", "'mistyped'", "'w'")


async def test_resume_of_a_finished_run(env: Env) -> None:
    run = await suspended(env)
    await run.resume({"approved": True})
    with pytest.raises(MastraError) as raised:
        await run.resume({"approved": True})
    check(raised.value, RunStateError, "RUN_NOT_SUSPENDED", run.run_id, "success")


async def test_resume_of_a_run_that_was_not_started(env: Env) -> None:
    run = await env.workflow(asking()).create_run()
    with pytest.raises(MastraError) as raised:
        await run.resume({"approved": True})
    check(raised.value, RunStateError, "RUN_NOT_SUSPENDED", run.run_id, "pending")


async def test_restart_of_a_finished_run(env: Env) -> None:
    run = await env.workflow(chain("w", adding("a"))).create_run()
    await run.start({"value": 1})
    with pytest.raises(MastraError) as raised:
        await run.restart()
    check(raised.value, RunStateError, "RUN_NOT_ACTIVE", run.run_id, "success")
