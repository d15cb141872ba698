"""Retries: how often a step is tried, how long is waited, and what it is told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mastra import (
    NonRetryableError,
    RetryConfig,
    StepContext,
    WorkflowFailed,
    create_step,
    create_workflow,
)
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding, chain, failing, outline

pytestmark = pytest.mark.time_jumps


def failing_times(times: int, calls: Calls, id: str = "s", **options: Any) -> Any:
    async def execute(number: Number) -> Number:
        if calls.add(id) < times:
            raise ValueError(f"try {calls[id]}")
        return number

    return create_step(id=id, execute=execute, **options)


async def test_by_default_a_step_is_tried_once(env: Env, calls: Calls) -> None:
    result = await env.start(chain("w", failing("s", calls=calls)), {"value": 0})
    assert result.status == "failed"
    assert calls["s"] == 1


async def test_the_workflow_says_how_often(env: Env, calls: Calls) -> None:
    workflow = chain("w", failing("s", calls=calls), retry_config=RetryConfig(attempts=3))
    await env.start(workflow, {"value": 0})
    assert calls["s"] == 4


@pytest.mark.parametrize("retries", [0, 1, 5])
async def test_the_step_overrides_the_workflow(env: Env, calls: Calls, retries: int) -> None:
    step = failing("s", calls=calls, retries=retries)
    await env.start(chain("w", step, retry_config={"attempts": 2}), {"value": 0})
    assert calls["s"] == retries + 1


async def test_a_step_that_succeeds_at_last_lets_the_run_go_on(env: Env, calls: Calls) -> None:
    workflow = chain("w", failing_times(2, calls, retries=2), adding("after", 1, calls))
    result = await env.start(workflow, {"value": 0})
    assert result.unwrap() == Number(value=1)
    assert calls.names == ["s", "s", "s", "after"]
    assert result.steps["s"].status == "success"
    assert result.steps["s"].error is None


async def test_of_several_failures_the_last_is_told(env: Env, calls: Calls) -> None:
    result = await env.start(chain("w", failing_times(9, calls, retries=2)), {"value": 0})
    assert isinstance(result, WorkflowFailed)
    assert result.error.message == "try 3"


async def test_only_the_failed_step_is_tried_again(env: Env, calls: Calls) -> None:
    workflow = chain(
        "w", adding("a", 1, calls), failing_times(1, calls), retry_config={"attempts": 1}
    )
    await env.start(workflow, {"value": 0})
    assert calls["a"] == 1


async def test_the_retry_count_grows_from_zero(env: Env) -> None:
    counts: list[int] = []

    async def execute(ctx: StepContext[Number]) -> Number:
        counts.append(ctx.retry_count)
        if len(counts) < 3:
            raise ValueError
        return ctx.input_data

    await env.start(chain("w", create_step(execute=execute, retries=5)), {"value": 0})
    assert counts == [0, 1, 2]


async def test_each_step_has_a_retry_count_of_its_own(env: Env) -> None:
    counts: list[Any] = []

    def counting(id: str) -> Any:
        async def execute(ctx: StepContext[Number]) -> Number:
            counts.append((id, ctx.retry_count))
            if ctx.retry_count == 0:
                raise ValueError
            return ctx.input_data

        return create_step(id=id, execute=execute, retries=1)

    await env.start(chain("w", counting("a"), counting("b")), {"value": 0})
    assert counts == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


async def test_each_turn_of_a_loop_has_a_retry_count_of_its_own(env: Env) -> None:
    counts: list[Any] = []

    async def execute(ctx: StepContext[Number]) -> Number:
        counts.append((ctx.iteration_count, ctx.retry_count))
        if ctx.retry_count == 0:
            raise ValueError
        return ctx.input_data

    workflow = create_workflow(id="w", input_schema=Number, output_schema=Number)
    step = create_step(id="s", execute=execute, retries=1)
    await env.start(workflow.dountil(step, lambda c: c.iteration_count == 2).commit(), {"value": 0})
    assert counts == [(1, 0), (1, 1), (2, 0), (2, 1)]


async def test_in_parallel_each_step_is_retried_by_itself(env: Env, calls: Calls) -> None:
    workflow = create_workflow(id="w", input_schema=Number, output_schema=Any)
    workflow.parallel([failing_times(2, calls, "a", retries=2), adding("b", 1, calls)]).commit()
    result = await env.start(workflow, {"value": 0})
    assert result.status == "success"
    assert (calls["a"], calls["b"]) == (3, 1)


async def test_a_non_retryable_error_ends_the_tries(env: Env, calls: Calls) -> None:
    class CardRefusedError(NonRetryableError):
        code = "CARD_REFUSED"

    step = failing("s", CardRefusedError("no money"), calls, retries=5)
    result = await env.start(chain("w", step), {"value": 0})
    assert isinstance(result, WorkflowFailed)
    assert result.error.message == "no money"
    assert result.error.code == "CARD_REFUSED"
    assert calls["s"] == 1


async def test_bad_input_is_not_tried_again(env: Env, calls: Calls) -> None:
    workflow = create_workflow(
        id="w", input_schema=Any, output_schema=Any, retry_config={"attempts": 5, "delay": 60}
    )
    workflow.then(adding("a", 1, calls)).commit()
    assert (await env.start(workflow, {"value": "x"})).status == "failed"
    assert calls["a"] == 0


async def test_bad_output_is_tried_again(env: Env, calls: Calls) -> None:
    async def execute(number: Number) -> Number:
        good = {"value": 1}
        return {"value": "x"} if calls.add("s") == 0 else good  # type: ignore[return-value]

    result = await env.start(
        chain("w", create_step(id="s", execute=execute, retries=1)), {"value": 0}
    )
    assert result.unwrap() == Number(value=1)
    assert calls["s"] == 2


async def test_state_set_by_a_failed_try_is_forgotten(env: Env, calls: Calls) -> None:
    async def execute(ctx: StepContext[Number]) -> Number:
        await ctx.set_state({f"try{ctx.retry_count}": True})
        if ctx.retry_count == 0:
            raise ValueError
        return ctx.input_data

    result = await env.start(chain("w", create_step(execute=execute, retries=1)), {"value": 0})
    assert result.state == {"try1": True}


async def test_a_try_that_spoils_its_input_does_not_spoil_the_next(env: Env) -> None:
    seen: list[Any] = []

    async def execute(data: dict[str, Any]) -> dict[str, Any]:
        seen.append(dict(data))
        data.clear()
        if len(seen) == 1:
            raise ValueError
        return data

    workflow = create_workflow(id="w", input_schema=dict[str, Any], output_schema=dict[str, Any])
    workflow.then(create_step(id="s", execute=execute, retries=1)).commit()
    result = await env.start(workflow, {"a": 1})
    assert seen == [{"a": 1}, {"a": 1}]
    assert result.steps["s"].payload == {"a": 1}


@pytest.mark.parametrize("delay", [0.08, timedelta(milliseconds=80)])
async def test_the_delay_is_waited_before_each_retry(env: Env, calls: Calls, delay: Any) -> None:
    config = RetryConfig(attempts=2, delay=delay)
    began = env.clock.monotonic()
    result = await env.start(chain("w", failing_times(2, calls), retry_config=config), {"value": 0})
    assert result.status == "success"
    assert calls["s"] == 3
    assert 0.155 < env.clock.monotonic() - began < 5


async def test_the_delay_may_grow(env: Env, calls: Calls) -> None:
    config = RetryConfig(attempts=3, delay=0.02, backoff="exponential", max_delay=0.06)
    began = env.clock.monotonic()
    await env.start(chain("w", failing_times(3, calls), retry_config=config), {"value": 0})
    assert calls["s"] == 4
    assert 0.115 < env.clock.monotonic() - began < 5


async def test_a_retry_after_a_wait_counts_on(env: Env) -> None:
    counts: list[int] = []

    async def execute(ctx: StepContext[Number]) -> Number:
        counts.append(ctx.retry_count)
        if len(counts) < 4:
            raise ValueError
        return ctx.input_data

    config = RetryConfig(attempts=4, delay=0.06)
    result = await env.start(
        chain("w", create_step(execute=execute), retry_config=config), {"value": 0}
    )
    assert result.status == "success"
    assert counts == [0, 1, 2, 3]


async def test_a_retried_step_after_a_wait_has_one_result(env: Env, calls: Calls) -> None:
    config = RetryConfig(attempts=2, delay=0.06)
    workflow = chain("w", adding("a"), failing_times(2, calls), adding("b"), retry_config=config)
    result = await env.start(workflow, {"value": 0})
    assert list(result.steps) == ["a", "s", "b"]
    assert result.steps["s"].status == "success"
    assert result.unwrap() == Number(value=2)


@pytest.mark.parametrize("delay", [0.0, 0.06])
async def test_a_retried_step_is_told_of_once(env: Env, calls: Calls, delay: float) -> None:
    config = RetryConfig(attempts=2, delay=delay)
    workflow = chain("w", failing_times(2, calls), retry_config=config)
    events, _ = await env.events(workflow, {"value": 0})
    assert outline(events) == ["start", "step-start:s", "step-result:s", "finish"]
    assert events[2].payload is not None
    assert events[2].payload.status == "success"
