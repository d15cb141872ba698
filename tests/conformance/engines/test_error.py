"""Steps that raise: what the run's result tells, and what else still runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mastra import (
    NotFoundError,
    StepContext,
    StepError,
    WorkflowFailed,
    WorkflowFailedError,
    create_step,
    create_workflow,
)
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding, chain, failing, outline


async def failed(env: Env, workflow: Any, value: Any = None) -> WorkflowFailed[Any]:
    result = await env.start(workflow, {"value": 0} if value is None else value)
    assert isinstance(result, WorkflowFailed)
    return result


async def test_a_step_that_raises_fails_the_run(env: Env) -> None:
    result = await failed(env, chain("w", failing("bad")))
    assert result.status == "failed"
    assert result.error.message == "no good"


async def test_later_steps_do_not_run_and_earlier_results_stay(env: Env, calls: Calls) -> None:
    workflow = chain("w", adding("a"), failing("bad"), adding("after", 1, calls))
    result = await failed(env, workflow)
    assert calls.names == []
    assert list(result.steps) == ["a", "bad"]
    assert result.steps["a"].output == {"value": 1}


async def test_the_failed_step_has_its_input_error_and_end(env: Env) -> None:
    step = (await failed(env, chain("w", adding("a"), failing("bad")))).steps["bad"]
    assert step.status == "failed"
    assert step.payload == {"value": 1}
    assert step.output is None
    assert step.error is not None
    assert step.error.message == "no good"
    assert step.ended_at is not None


async def test_an_error_of_ones_own_is_a_step_error_that_names_its_class(env: Env) -> None:
    result = await failed(env, chain("w", failing("bad", KeyError("price"))))
    assert isinstance(result.error, StepError)
    assert result.error.code == "STEP_FAILED"
    assert result.error.details["name"] == "KeyError"


async def test_an_error_of_the_framework_keeps_its_class_and_code(env: Env) -> None:
    async def look(ctx: StepContext[Number]) -> Number:
        return ctx.mastra.get_agent("nobody")

    result = await failed(env, chain("w", create_step(execute=look)))
    assert isinstance(result.error, NotFoundError)
    assert result.error.code == "NOT_FOUND"
    assert "'nobody'" in result.error.message


async def test_code_and_details_of_an_exception_are_kept_and_nothing_else(env: Env) -> None:
    class ApiError(Exception):
        def __init__(self, message: str) -> None:
            super().__init__(message)
            self.code = "rate_limit"
            self.details = {"retryAfter": 60, "connection": object()}
            self.headers = {"authorization": "Bearer secret"}
            self.request = {"apiKey": "secret"}

    result = await failed(env, chain("w", failing("bad", ApiError("slow down"))))
    wire = result.to_wire()["error"]
    assert wire == {
        "message": "slow down",
        "name": "ApiError",
        "code": "rate_limit",
        "details": {"retryAfter": 60},
    }


async def test_the_chain_of_causes_is_kept(env: Env) -> None:
    error = ValueError("no weather")
    error.__cause__ = TimeoutError("no answer")
    error.__cause__.__cause__ = OSError("no network")
    result = await failed(env, chain("w", failing("bad", error)))
    wire = result.to_wire()["error"]
    assert (wire["message"], wire["name"]) == ("no weather", "ValueError")
    assert (wire["cause"]["message"], wire["cause"]["name"]) == ("no answer", "TimeoutError")
    assert wire["cause"]["cause"] == {"message": "no network", "name": "OSError"}


async def test_an_error_without_a_message_is_named_by_its_class(env: Env) -> None:
    assert (
        await failed(env, chain("w", failing("bad", ValueError())))
    ).error.message == "ValueError"


async def test_unwrap_raises_with_the_error_as_cause(env: Env) -> None:
    result = await failed(env, chain("w", failing("bad")))
    with pytest.raises(WorkflowFailedError, match="no good") as raised:
        result.unwrap()
    assert raised.value.__cause__ is result.error
    assert raised.value.code == "WORKFLOW_FAILED"


async def test_a_plain_function_that_raises(env: Env) -> None:
    def execute(number: Number) -> Number:
        raise ValueError("in a thread")

    assert (
        await failed(env, chain("w", create_step(execute=execute)))
    ).error.message == "in a thread"


async def test_a_task_group_of_the_step_that_fails(env: Env) -> None:
    async def fail() -> None:
        raise ValueError("in a task")

    async def execute(number: Number) -> Number:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
        return number

    result = await failed(env, chain("w", create_step(id="s", execute=execute)))
    assert result.steps["s"].status == "failed"
    assert result.error.details["name"] == "ExceptionGroup"


async def test_something_cancelled_inside_a_step_fails_it(env: Env) -> None:
    async def execute(number: Number) -> Number:
        other: asyncio.Future[Number] = asyncio.get_running_loop().create_future()
        other.cancel()
        return await other

    result = await failed(env, chain("w", create_step(id="s", execute=execute)))
    assert result.error.code == "STEP_CANCELED"
    assert "'s'" in result.error.message


async def test_a_map_that_raises_fails_under_its_id(env: Env) -> None:
    def broken(ctx: StepContext[Any]) -> Any:
        raise ValueError("no mapping")

    workflow = create_workflow(id="w", input_schema=Number, output_schema=Number)
    result = await failed(env, workflow.map(broken, id="turn").commit())
    assert result.error.message == "no mapping"
    assert result.steps["turn"].status == "failed"


async def test_a_path_that_is_not_there_fails_the_run(env: Env) -> None:
    first = adding("first")
    workflow = create_workflow(id="w", input_schema=Number, output_schema=Any)
    workflow.then(first).map({"price": {"step": first, "path": "total.net"}}, id="turn").commit()
    result = await failed(env, workflow)
    assert result.error.code == "MAP_PATH_NOT_FOUND"
    assert "'total.net'" in result.error.message
    assert "'turn'" in result.error.message


async def test_a_step_that_the_workflow_does_not_have_is_named(env: Env) -> None:
    async def execute(ctx: StepContext[Number]) -> Number:
        return ctx.get_step_result("nobody")

    result = await failed(env, chain("w", create_step(id="s", execute=execute)))
    assert isinstance(result.error, NotFoundError)
    assert "'nobody'" in result.error.message
    assert "'s'" in result.error.message


async def test_output_that_json_cannot_hold_names_step_and_path(env: Env, calls: Calls) -> None:
    async def execute(ctx: StepContext[Any]) -> Any:
        calls.add("s")
        return {"rows": [1, object()]}

    workflow = create_workflow(
        id="w", input_schema=Any, output_schema=Any, retry_config={"attempts": 3}
    )
    result = await failed(env, workflow.then(create_step(id="s", execute=execute)).commit())
    assert result.error.code == "NOT_SERIALIZABLE"
    assert "'s'" in result.error.message
    assert "rows.1" in result.error.message
    assert calls["s"] == 1


async def test_bail_in_a_condition_counts_as_raising(env: Env) -> None:
    def leave(ctx: StepContext[Any]) -> bool:
        ctx.bail(1)

    workflow = create_workflow(id="w", input_schema=Number, output_schema=Any)
    result = await env.start(workflow.branch([(leave, adding("a"))]).commit(), {"value": 0})
    assert (result.status, result.unwrap()) == ("success", {})


async def test_bail_in_the_condition_of_a_loop_fails_the_run(env: Env) -> None:
    def leave(ctx: StepContext[Any]) -> bool:
        ctx.bail(1)

    workflow = create_workflow(id="w", input_schema=Number, output_schema=Any)
    result = await failed(env, workflow.dountil(adding("a"), leave).commit())
    assert "bail" in result.error.message


async def test_events_tell_of_the_failure(env: Env) -> None:
    events, _ = await env.events(chain("w", failing("bad"), adding("after")), {"value": 0})
    assert outline(events) == ["start", "step-start:bad", "step-result:bad", "finish"]
    told, end = events[2].payload, events[3].payload
    assert told is not None
    assert end is not None
    assert (told.status, told.error) == ("failed", {"message": "no good", "name": "ValueError"})
    assert end.workflow_status == "failed"
    assert end.metadata["errorMessage"] == "no good"


async def test_the_stored_run_has_the_error(env: Env) -> None:
    run = await env.workflow(chain("w", failing("bad", ValueError("kept")))).create_run()
    await run.start({"value": 0})
    mastra = await env.new_process()
    stored = await mastra.get_workflow("w").get_run(run.run_id)
    assert stored is not None
    assert stored.status == "failed"
    assert stored.error is not None
    assert stored.error.message == "kept"
    assert stored.steps["bad"].error is not None


async def test_a_failed_run_leaves_others_alone(env: Env) -> None:
    async def picky(number: Number) -> Number:
        if number.value == 1:
            raise ValueError("not one")
        return number

    workflow = env.workflow(chain("w", create_step(execute=picky)))
    runs = [await workflow.create_run() for _ in range(3)]
    results = await asyncio.gather(*(run.start({"value": i}) for i, run in enumerate(runs)))
    assert [result.status for result in results] == ["success", "failed", "success"]


async def test_the_error_is_an_exception_with_the_steps_own_as_cause(env: Env) -> None:
    result = await failed(env, chain("w", failing("bad", KeyError("price"))))
    # A run that another process drives has the data of its cause, not the object.
    cause = result.error.__cause__
    assert cause is None or isinstance(cause, KeyError)


@pytest.mark.parametrize("waits", [True, False])
async def test_a_step_that_cancels_its_own_task_fails(env: Env, waits: bool) -> None:
    """The run stayed `running` for good: it was taken for one whose process ends."""
    tries: list[int] = []

    async def execute(number: Number) -> Number:
        tries.append(1)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if waits:
            await asyncio.sleep(0)
        return number

    step = create_step(id="s", execute=execute, retries=1)
    result = await failed(env, chain("w", step, create_step(id="t", execute=never)))
    assert result.error.code == "STEP_CANCELED"
    assert result.steps["s"].status == "failed"
    assert len(tries) == 2


def never(number: Number) -> Number:
    raise AssertionError(number)
