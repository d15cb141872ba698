"""What a mapping's paths and templates lead to."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from mastra import WorkflowFailed, create_step, create_workflow


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str


def given(value: Open) -> Open:
    return value


def mapped(config: dict[str, Any]) -> Any:
    return (
        create_workflow(id="mapped", input_schema=Open, output_schema=Any)
        .then(create_step(id="given", execute=given))
        .map(config)
        .commit()
    )


async def result_of(config: dict[str, Any]) -> Any:
    run = await mapped(config).create_run()
    return await run.start({"name": "Ada", "age": 36})


async def test_a_field_that_a_model_does_not_name() -> None:
    result = await result_of({"age": {"step": "given", "path": "age"}})
    assert result.unwrap() == {"age": 36}


async def test_a_template_names_the_input_of_the_map() -> None:
    for root in ("inputData", "input_data"):
        template = f"${{{root}.name}} is ${{{root}.age}}"
        assert (await result_of({"told": {"template": template}})).unwrap() == {"told": "Ada is 36"}


async def test_there_is_nothing_within_a_number() -> None:
    result = await result_of({"year": {"step": "given", "path": "age.year"}})
    assert isinstance(result, WorkflowFailed)
    assert "'year' is not in the value" in str(result.error)
