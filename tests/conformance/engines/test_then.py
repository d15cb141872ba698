"""Steps one after the other."""

from __future__ import annotations

from pydantic import BaseModel

from mastra import WorkflowSuccess, create_step, create_workflow, step
from tests.support.engines import Calls, Env


class Number(BaseModel):
    value: int


@step
async def add_one(number: Number) -> Number:
    return Number(value=number.value + 1)


async def test_one_step_gives_the_result(env: Env) -> None:
    workflow = create_workflow(id="w", input_schema=Number, output_schema=Number)
    result = await env.start(workflow.then(add_one).commit(), Number(value=1))
    assert isinstance(result, WorkflowSuccess)
    assert result.result == Number(value=2)
