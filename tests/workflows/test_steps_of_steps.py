"""Steps that are made of what is a step already, or of a function given in its place."""

from __future__ import annotations

from typing import Any

import pytest

from mastra import WorkflowDefinitionError, create_step, create_workflow

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


async def test_a_step_of_a_function_given_first() -> None:
    step = make(more, id="given")
    assert step.id == "given"
    workflow = create_workflow(id="given-first", input_schema=int, output_schema=int)
    assert (await (await workflow.then(step).commit().create_run()).start(1)).unwrap() == 2


def test_a_number_is_no_step() -> None:
    with pytest.raises(WorkflowDefinitionError, match="cannot make a step of 'int'"):
        make(5)
