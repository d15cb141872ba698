"""A tool that a person must agree to, as a step: it runs when somebody agreed, and not before."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from mastra import (
    Tool,
    ToolContext,
    WorkflowFailed,
    WorkflowSuccess,
    WorkflowSuspended,
    create_step,
    create_tool,
    create_workflow,
)
from tests.support.engines import Calls, Env


class Payment(BaseModel):
    to: str
    amount: int = 1


class Code(BaseModel):
    code: str


def paying(calls: Calls, require_approval: Any = True, **options: Any) -> Tool[Any, Any]:
    async def pay(payment: Payment) -> str:
        calls.add("pay")
        return f"paid {payment.to}"

    return create_tool("pay", "Pay.", execute=pay, require_approval=require_approval, **options)


def flow(step: Any) -> Any:
    return create_workflow(id="w", input_schema=Payment, output_schema=Any).then(step).commit()


async def test_the_run_waits_and_goes_on_when_somebody_agrees(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow(paying(calls))).create_run()
    waits = await run.start({"to": "ann"})
    assert isinstance(waits, WorkflowSuspended)
    asked = waits.suspend_payload["pay"]["requireToolApproval"]
    assert asked == {"toolName": "pay", "args": {"to": "ann", "amount": 1}}
    assert calls["pay"] == 0
    result = await run.resume({"approved": True})
    assert (result.unwrap(), calls["pay"]) == ("paid ann", 1)


async def test_the_step_fails_when_somebody_does_not_agree(env: Env, calls: Calls) -> None:
    step = create_step(paying(calls), retries=3)
    run = await env.workflow(flow(step)).create_run()
    await run.start({"to": "ann"})
    result = await run.resume({"approved": False, "reason": "too much"})
    assert isinstance(result, WorkflowFailed)
    assert (result.error.message, result.error.code) == ("too much", "TOOL_NOT_APPROVED")
    assert calls["pay"] == 0


@pytest.mark.parametrize("answer", [{}, {"approved": "yes"}, {"approved": 1}, "yes", True, None])
async def test_what_is_no_answer_leaves_the_question_open(
    env: Env, calls: Calls, answer: Any
) -> None:
    run = await env.workflow(flow(paying(calls))).create_run()
    await run.start({"to": "ann"})
    assert (await run.resume(answer)).status == "suspended"
    assert calls["pay"] == 0
    assert (await run.resume({"approved": True})).unwrap() == "paid ann"


async def test_a_policy_looks_at_the_input(env: Env, calls: Calls) -> None:
    async def large(payment: Payment, context: ToolContext) -> bool:
        assert context.workflow is not None
        return payment.amount > 10

    workflow = env.workflow(flow(paying(calls, large)))
    small = await (await workflow.create_run()).start({"to": "ann", "amount": 1})
    assert isinstance(small, WorkflowSuccess)
    much = await (await workflow.create_run()).start({"to": "ann", "amount": 11})
    assert (much.status, calls["pay"]) == ("suspended", 1)


async def test_a_policy_that_raises_asks(env: Env, calls: Calls) -> None:
    result = await env.start(flow(paying(calls, lambda payment: 1 / 0)), {"to": "ann"})
    assert (result.status, calls["pay"]) == ("suspended", 0)


async def test_a_tool_that_then_suspends_by_itself(env: Env, calls: Calls) -> None:
    seen: list[Any] = []

    async def pay(payment: Payment, ctx: ToolContext) -> str:
        calls.add("pay")
        if ctx.resume_data is None:
            return await ctx.suspend({"for": payment.to})
        seen.append(ctx.suspend_data)
        return f"paid with {ctx.resume_data.code}"

    described = create_tool(
        "pay",
        "Pay.",
        execute=pay,
        require_approval=True,
        suspend_schema=dict[str, str],
        resume_schema=Code,
    )
    run = await env.workflow(flow(described)).create_run()
    await run.start({"to": "ann"})
    # The answer to the question is not the tool's: it asks its own.
    again = await run.resume({"approved": True})
    assert isinstance(again, WorkflowSuspended)
    assert (again.suspend_payload["pay"], calls["pay"]) == ({"for": "ann"}, 1)
    assert (await run.resume({"code": "77"})).unwrap() == "paid with 77"
    assert seen[-1] == {"for": "ann"}


async def test_each_item_of_a_foreach_is_asked_for(env: Env, calls: Calls) -> None:
    workflow = create_workflow(id="w", input_schema=list[Payment], output_schema=Any)
    run = await env.workflow(workflow.foreach(paying(calls)).commit()).create_run()
    result = await run.start([{"to": "ann"}, {"to": "bob"}])
    assert (result.status, calls["pay"]) == ("suspended", 0)
    while result.status == "suspended":
        result = await run.resume({"approved": True})
    assert (result.unwrap(), calls["pay"]) == (["paid ann", "paid bob"], 2)


async def test_going_back_to_the_step_asks_again(env: Env, calls: Calls) -> None:
    run = await env.workflow(flow(paying(calls))).create_run()
    await run.start({"to": "ann"})
    assert (await run.resume({"approved": True})).status == "success"
    again = await run.time_travel(step="pay", input_data={"to": "bob"})
    assert (again.status, calls["pay"]) == ("suspended", 1)
