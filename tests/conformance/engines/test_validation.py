"""Schemas at run time: what is refused, where, and how the refusal reads."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from mastra import (
    InputValidationError,
    StepContext,
    StepValidationError,
    WorkflowFailed,
    create_step,
    create_workflow,
)
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding, chain


class Order(BaseModel):
    customer: str
    count: int = 1
    note: str | None = None


def untyped(**options: Any) -> Any:
    return create_workflow(id="w", input_schema=Any, output_schema=Any, **options)


async def echo(order: Order) -> Order:
    return order


async def refused(env: Env, workflow: Any, value: Any) -> InputValidationError:
    run = await env.workflow(workflow).create_run()
    with pytest.raises(InputValidationError) as raised:
        await run.start(value)
    assert await run.status() == "pending"
    return raised.value


async def failed(env: Env, workflow: Any, value: Any = None) -> WorkflowFailed[Any]:
    result = await env.start(workflow, value)
    assert isinstance(result, WorkflowFailed)
    return result


@pytest.mark.parametrize("value", [{}, {"value": "many"}, [], None, "x"])
async def test_bad_input_is_refused_and_nothing_runs(env: Env, calls: Calls, value: Any) -> None:
    await refused(env, chain("w", adding("a", 1, calls)), value)
    assert calls.names == []


async def test_the_refusal_names_workflow_and_field_and_has_a_code(env: Env) -> None:
    error = await refused(env, chain("orders", adding("a")), {"value": "many"})
    assert error.code == "WORKFLOW_SCHEMA_VALIDATION_FAILED"
    assert "'orders'" in error.message
    assert "value" in error.message
    assert [issue["path"] for issue in error.issues] == [["value"]]


async def test_a_nested_field_is_named_by_its_path(env: Env) -> None:
    class Basket(BaseModel):
        orders: list[Order]

    workflow = create_workflow(id="w", input_schema=Basket, output_schema=Any)
    error = await refused(env, workflow.map(lambda ctx: 1).commit(), {"orders": [{"count": 1}]})
    assert "orders.0.customer" in error.message


async def test_a_refused_run_may_be_started_with_better_input(env: Env) -> None:
    run = await env.workflow(chain("w", adding("a"))).create_run()
    with pytest.raises(InputValidationError):
        await run.start({})
    assert (await run.start({"value": 1})).unwrap() == Number(value=2)


async def test_defaults_of_the_input_are_filled(env: Env) -> None:
    workflow = create_workflow(id="w", input_schema=Order, output_schema=Order)
    result = await env.start(workflow.then(create_step(execute=echo)).commit(), {"customer": "A"})
    assert result.unwrap() == Order(customer="A", count=1, note=None)
    assert result.input == {"customer": "A", "count": 1, "note": None}


async def test_defaults_of_a_step_input_are_filled(env: Env) -> None:
    workflow = untyped().map(lambda ctx: {"customer": "A"}).then(create_step(execute=echo)).commit()
    assert (await env.start(workflow)).unwrap() == {"customer": "A", "count": 1, "note": None}


async def test_a_step_may_take_a_part_of_what_the_one_before_gave(env: Env) -> None:
    class Part(BaseModel):
        customer: str

    async def greet(part: Part) -> str:
        return f"Hello {part.customer}"

    workflow = create_workflow(id="w", input_schema=Order, output_schema=str)
    workflow.then(create_step(execute=echo)).then(create_step(execute=greet)).commit()
    assert (await env.start(workflow, {"customer": "A", "count": 2})).unwrap() == "Hello A"


async def test_bad_step_input_fails_the_step_and_the_run(env: Env, calls: Calls) -> None:
    workflow = untyped().map(lambda ctx: {"value": "many"}).then(adding("a", 1, calls)).commit()
    result = await failed(env, workflow)
    assert isinstance(result.error, StepValidationError)
    assert result.error.code == "WORKFLOW_STEP_INPUT_VALIDATION_FAILED"
    assert "'a'" in result.error.message
    assert "'w'" in result.error.message
    assert "value" in result.error.message
    assert [issue["path"] for issue in result.error.issues] == [["value"]]
    assert result.steps["a"].status == "failed"
    assert result.steps["a"].payload == {"value": "many"}
    assert calls.names == []


async def test_bad_step_output_fails_the_step(env: Env) -> None:
    async def execute(ctx: StepContext[Any]) -> Number:
        return {"valeu": 1}  # type: ignore[return-value]

    result = await failed(env, untyped().then(create_step(id="s", execute=execute)).commit())
    assert isinstance(result.error, StepValidationError)
    assert result.error.code == "WORKFLOW_STEP_OUTPUT_VALIDATION_FAILED"
    assert "'s'" in result.error.message
    assert "value" in result.error.message


async def test_output_is_made_to_fit_its_schema(env: Env) -> None:
    async def execute(ctx: StepContext[Any]) -> Order:
        return {"customer": "A", "count": "3"}  # type: ignore[return-value]

    workflow = untyped().then(create_step(id="s", execute=execute)).commit()
    result = await env.start(workflow)
    assert result.steps["s"].output == {"customer": "A", "count": 3, "note": None}


async def test_without_validate_inputs_nothing_is_checked(env: Env) -> None:
    seen: list[Any] = []

    async def look(number: Number) -> int:
        seen.append(number)
        return 1

    workflow = create_workflow(
        id="w", input_schema=Number, output_schema=int, validate_inputs=False
    )
    workflow.then(create_step(execute=look)).commit()
    assert (await env.start(workflow, {"value": "many"})).status == "success"
    assert seen == [{"value": "many"}]


async def test_without_validate_outputs_they_are_not_checked(env: Env) -> None:
    async def execute(ctx: StepContext[Any]) -> Number:
        return {"valeu": 1}  # type: ignore[return-value]

    workflow = untyped(validate_outputs=False).then(create_step(execute=execute)).commit()
    assert (await env.start(workflow)).unwrap() == {"valeu": 1}


async def test_constraints_of_a_type_are_checked(env: Env) -> None:
    async def execute(small: Annotated[int, Field(lt=10)]) -> int:
        return small

    step = create_step(id="s", execute=execute)
    result = await failed(env, untyped().then(step).commit(), 11)
    assert "less than 10" in result.error.message


async def test_aliases_are_what_is_stored_and_taken(env: Env) -> None:
    class Weather(BaseModel):
        max_temp: int = Field(alias="maxTemp")

    async def give() -> Weather:
        return Weather(maxTemp=20)

    async def take(weather: Weather) -> int:
        return weather.max_temp

    workflow = untyped().then(create_step(execute=give)).then(create_step(execute=take)).commit()
    result = await env.start(workflow)
    assert result.steps["give"].output == {"maxTemp": 20}
    assert result.unwrap() == 20


async def test_a_last_value_that_misses_the_output_schema_is_given_as_it_is(env: Env) -> None:
    workflow = create_workflow(id="w", input_schema=None, output_schema=Number)
    workflow.map(lambda ctx: {"valeu": 1}).commit()
    result = await env.start(workflow)
    assert (result.status, result.unwrap()) == ("success", {"valeu": 1})


async def test_with_strict_such_a_value_fails_the_run(env: Env) -> None:
    workflow = create_workflow(id="w", input_schema=None, output_schema=Number, strict=True)
    result = await failed(env, workflow.map(lambda ctx: {"valeu": 1}).commit())
    assert isinstance(result.error, StepValidationError)
    assert result.error.code == "WORKFLOW_OUTPUT_VALIDATION_FAILED"
    assert "'w'" in result.error.message
    assert "value" in result.error.message


async def test_the_result_is_a_value_of_the_output_type(env: Env) -> None:
    workflow = create_workflow(id="w", input_schema=None, output_schema=Order)
    workflow.map(lambda ctx: {"customer": "A"}).commit()
    assert (await env.start(workflow)).unwrap() == Order(customer="A")


async def test_input_that_json_cannot_hold_is_refused(env: Env) -> None:
    run = await env.workflow(untyped().map(lambda ctx: 1).commit()).create_run()
    with pytest.raises(Exception, match=r"rows\.0") as raised:
        await run.start({"rows": [object()]})
    assert getattr(raised.value, "code", None) == "NOT_SERIALIZABLE"
