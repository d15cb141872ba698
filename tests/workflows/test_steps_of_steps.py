"""Steps that are made of what is a step already, or of a function given in its place."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from mastra import (
    MastraError,
    ResumeValidationError,
    StepContext,
    WorkflowDefinitionError,
    create_step,
    create_workflow,
)

Big = Annotated[int, Field(ge=100)]


class By(BaseModel):
    by: int


make: Any = create_step
"""As a program without types calls it."""


def more(value: int) -> int:
    return value + 1


async def test_a_step_of_a_step_has_another_id_and_leaves_that_one_as_it_is() -> None:
    one = create_step(id="one", execute=more)
    two = make(one, id="two", description="Again")
    assert (one.id, two.id, two.description) == ("one", "two", "Again")
    assert make(one) is one
    workflow = create_workflow(id="both", input_schema=int, output_schema=int)
    run = await workflow.then(one).then(two).commit().create_run()
    assert (await run.start(1)).unwrap() == 3


async def test_a_step_of_a_step_checks_by_the_schemas_that_it_is_given() -> None:
    async def ask(ctx: StepContext[int]) -> int:
        if ctx.resume_data is None:
            await ctx.suspend({"why": "?"})
        return ctx.input_data + ctx.resume_data.by

    step = create_step(
        create_step(id="ask", execute=ask), id="ask-2", output_schema=Big, resume_schema=By
    )
    workflow: Any = create_workflow(id="asks", input_schema=int, output_schema=Any)
    run = await workflow.then(step).commit().create_run()
    assert (await run.start(1)).status == "suspended"
    with pytest.raises(ResumeValidationError, match="by"):
        await run.resume({"over": 1})
    result = await run.resume({"by": 1})
    assert (result.status, "100" in str(result.error)) == ("failed", True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"retires": 2}, "no option 'retires'"),
        ({"id": "a.b"}, "must be text without"),
        ({"retries": -1}, "retries"),
        ({"output_schema": {"type": "object"}}, "no schema"),
    ],
)
def test_a_step_of_a_step_refuses_what_a_step_does(options: dict[str, Any], says: str) -> None:
    with pytest.raises(MastraError, match=says):
        make(create_step(id="one", execute=more), **options)


async def test_a_step_of_a_function_given_first() -> None:
    step = make(more, id="given")
    assert step.id == "given"
    workflow = create_workflow(id="given-first", input_schema=int, output_schema=int)
    assert (await (await workflow.then(step).commit().create_run()).start(1)).unwrap() == 2


def test_a_number_is_no_step() -> None:
    with pytest.raises(WorkflowDefinitionError, match="cannot make a step of 'int'"):
        make(5)
