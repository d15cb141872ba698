"""Waiting: for a time, until a moment, as long as a function says."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mastra import (
    RetryConfig,
    StepContext,
    WorkflowDefinitionError,
    WorkflowFailed,
    create_step,
    create_workflow,
)
from mastra.testing import FakeClock
from mastra.workflows.describe import describe_nodes
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding, outline

pytestmark = pytest.mark.time_jumps


def start(id: str = "w", output: Any = Number) -> Any:
    return create_workflow(id=id, input_schema=Number, output_schema=output)


def now(env: Env) -> datetime:
    return datetime.fromtimestamp(env.clock.now(), UTC)


async def timed(env: Env, workflow: Any, value: int = 1) -> tuple[float, Any]:
    run = await env.workflow(workflow).create_run()
    began = env.clock.monotonic()
    result = await run.start({"value": value})
    return env.clock.monotonic() - began, result


@pytest.mark.parametrize("duration", [0.05, timedelta(milliseconds=50)])
async def test_a_sleep_takes_its_time_and_passes_its_input_on(env: Env, duration: Any) -> None:
    seconds, result = await timed(env, start().then(adding("a")).sleep(duration).commit())
    assert 0.049 < seconds < 5
    assert result.unwrap() == Number(value=2)


async def test_a_sleep_of_nothing(env: Env) -> None:
    _, result = await timed(env, start().sleep(0).then(adding("a")).commit())
    assert result.unwrap() == Number(value=2)


async def test_a_function_may_say_how_long(env: Env, calls: Calls) -> None:
    def duration(ctx: StepContext[Number]) -> float:
        calls.add("asked")
        return ctx.input_data.value / 100

    seconds, _ = await timed(env, start().sleep(duration).then(adding("a")).commit(), 5)
    assert 0.049 < seconds < 5
    assert calls["asked"] == 1


async def test_an_async_function_may_give_a_timedelta(env: Env) -> None:
    async def duration(ctx: StepContext[Number]) -> timedelta:
        return timedelta(milliseconds=50)

    seconds, _ = await timed(env, start().sleep(duration).commit())
    assert 0.049 < seconds < 5


async def test_until_a_moment(env: Env) -> None:
    moment = now(env) + timedelta(milliseconds=300)
    _, result = await timed(env, start().sleep_until(moment).commit())
    assert now(env) >= moment
    assert result.unwrap() == Number(value=1)


async def test_until_a_moment_that_a_function_gives(env: Env) -> None:
    def moment(ctx: StepContext[Number]) -> datetime:
        return now(env) + timedelta(milliseconds=50)

    seconds, _ = await timed(env, start().sleep_until(moment).commit())
    assert 0.049 < seconds < 5


async def test_until_a_moment_without_a_zone_is_local_time(env: Env) -> None:
    moment = datetime.fromtimestamp(env.clock.now() + 0.1)  # noqa: DTZ006 - that is the case
    seconds, _ = await timed(env, start().sleep_until(moment).commit())
    assert seconds < 5


async def test_a_moment_that_is_over_does_not_wait(env: Env) -> None:
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    _, result = await timed(env, start().sleep_until(moment).commit())
    assert result.status == "success"


async def test_steps_around_a_sleep_run_once(env: Env, calls: Calls) -> None:
    workflow = start().then(adding("a", 1, calls)).sleep(0.01).then(adding("b", 1, calls))
    workflow.sleep(0.01).then(adding("c", 1, calls)).commit()
    _, result = await timed(env, workflow)
    assert calls.names == ["a", "b", "c"]
    assert result.steps["a"].output == {"value": 2}


async def test_a_sleep_has_a_stable_id_and_a_result(env: Env) -> None:
    workflow = start("orders").sleep(0.01).sleep(0.01, id="nap").sleep_until(now(env))
    _, result = await timed(env, workflow.commit())
    names = ["sleep_orders_0", "nap", "sleep_orders_2"]
    assert list(result.steps) == names
    assert result.step_execution_path == names
    slept = result.steps["nap"]
    assert (slept.status, slept.payload, slept.output) == ("success", {"value": 1}, {"value": 1})
    assert slept.started_at < slept.ended_at


async def test_a_sleep_in_an_arm(env: Env) -> None:
    inner = start("inner").sleep(0.05).then(adding("x")).commit()
    workflow = start(output=Any).branch([(lambda ctx: True, inner)]).commit()
    seconds, result = await timed(env, workflow)
    assert 0.049 < seconds < 5
    assert result.unwrap() == {"inner": {"value": 2}}


async def test_sleeps_side_by_side_take_the_time_of_the_longest(env: Env) -> None:
    def napping(id: str) -> Any:
        return start(id).sleep(0.3).commit()

    one, _ = await timed(env, start(output=Any).parallel([napping("a")]).commit())
    workflow = start(output=Any).parallel([napping(id) for id in "abcd"]).commit()
    four, _ = await timed(env, workflow)
    assert 0.299 < four < one + 3 * 0.3


async def test_a_sleep_in_a_loop_is_slept_each_turn(env: Env) -> None:
    inner = start("inner").sleep(0.02).then(adding("x")).commit()
    workflow = start().dountil(inner, lambda ctx: ctx.input_data.value >= 4).commit()
    seconds, result = await timed(env, workflow)
    assert 0.059 < seconds < 5
    assert result.unwrap() == Number(value=4)


async def test_while_it_sleeps_the_run_waits(env: Env) -> None:
    run = await env.workflow(start().sleep(0.2, id="nap").commit()).create_run()
    env.hold_time()
    async with run.stream({"value": 1}) as stream:
        async for event in stream:
            if event.type == "workflow-step-waiting":
                assert event.payload.id == "nap"
                assert event.payload.status == "waiting"
                while await run.status() != "waiting":
                    await asyncio.sleep(0.001)
                env.let_time_go()
    assert (await stream.result()).status == "success"
    assert await run.status() == "success"


async def test_the_events_of_a_sleep(env: Env) -> None:
    workflow = start().sleep(0.01, id="nap").then(adding("a")).commit()
    events, _ = await env.events(workflow, {"value": 1})
    assert outline(events) == [
        "start",
        "step-waiting:nap",
        "step-result:nap",
        "step-start:a",
        "step-result:a",
        "finish",
    ]


@pytest.mark.parametrize("given", [-1, "soon", None])
async def test_a_function_that_gives_no_duration_fails_the_run(env: Env, given: Any) -> None:
    _, result = await timed(env, start().sleep(lambda ctx: given, id="nap").commit())
    assert isinstance(result, WorkflowFailed)
    assert "'nap'" in result.error.message
    assert result.steps["nap"].status == "failed"


async def test_a_function_that_raises_fails_the_run(env: Env, calls: Calls) -> None:
    def broken(ctx: StepContext[Any]) -> float:
        raise ValueError("no idea")

    workflow = start().sleep(broken, id="nap").then(adding("a", 1, calls)).commit()
    events, result = await env.events(workflow, {"value": 1})
    assert isinstance(result, WorkflowFailed)
    assert result.error.message == "no idea"
    assert calls.names == []
    assert outline(events)[-2:] == ["step-result:nap", "finish"]


@pytest.mark.parametrize(
    "said", [float("inf"), float("nan"), -1, timedelta.max, timedelta(seconds=-1), "soon", None]
)
async def test_what_is_no_length_of_time_fails_the_run_in_plain_words(
    env: Env, calls: Calls, said: Any
) -> None:
    workflow = start().then(adding("a", calls=calls)).sleep(lambda ctx: said, id="pause")
    _, result = await timed(env, workflow.then(adding("b", calls=calls)).commit())
    assert isinstance(result, WorkflowFailed)
    assert "Sleep 'pause'" in result.error.message
    assert result.steps["pause"].status == "failed"
    assert calls.names == ["a"]


@pytest.mark.parametrize("seconds", [float("nan"), -1, timedelta(seconds=-1)])
def test_what_is_never_a_length_of_time_is_refused_where_it_is_written(seconds: Any) -> None:
    with pytest.raises(WorkflowDefinitionError, match="0 or more"):
        start().sleep(seconds)


@pytest.mark.parametrize("seconds", [float("inf"), 10**400, 1e307])
async def test_a_sleep_without_an_end_is_shown_and_fails_in_plain_words(
    env: Env, seconds: float
) -> None:
    workflow = start().sleep(seconds, id="long").commit()
    drawn: Any = describe_nodes(workflow.spec)
    assert drawn[-1]["duration"] is None
    json.dumps(drawn, allow_nan=False)
    if "inngest" in env.name:  # told before anything runs
        with pytest.raises(WorkflowDefinitionError, match="Sleep 'long'"):
            await env.start(workflow, {"value": 1})
        return
    result: Any = await env.start(workflow, {"value": 1})
    assert result.error.code == "SLEEP_TOO_LONG"
    assert "suspend the run" in result.error.message


async def test_weeks_of_sleep_and_days_between_retries_take_no_time(env: Env, calls: Calls) -> None:
    if not isinstance(env.clock, FakeClock):
        pytest.skip("a real server sleeps in real time")

    def flaky(ctx: StepContext[Number]) -> Number:
        if calls.add("flaky") < 2:
            raise ValueError("not yet")
        return ctx.input_data

    workflow = create_workflow(
        id="w",
        input_schema=Number,
        output_schema=Number,
        retry_config=RetryConfig(attempts=2, delay=timedelta(days=1)),
    )
    step = create_step(id="flaky", input_schema=Number, output_schema=Number, execute=flaky)
    workflow.sleep(timedelta(weeks=3)).then(step).commit()
    seconds, result = await timed(env, workflow)
    assert result.unwrap() == Number(value=1)
    assert calls["flaky"] == 3
    assert 23 <= seconds / 86_400 < 23.001
