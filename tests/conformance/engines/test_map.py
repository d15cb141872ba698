"""Maps: values of earlier steps, of the input, of constants, turned into the next input."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, RootModel

from mastra import StepContext, WorkflowFailed, create_step, create_workflow
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding, chain, text_step


class Line(BaseModel):
    name: str
    prices: list[int]


class Order(BaseModel):
    customer: str
    lines: list[Line]


class Cell(BaseModel):
    """What one name is on the wire is another field's own."""

    amount: int = Field(alias="total")
    total: int = Field(alias="amount")
    net: int = Field(default=0, validation_alias="sum")
    gross: int = Field(default=0, serialization_alias="sum")


@dataclass
class Sheet:
    cells: Annotated[list[Cell], Field(alias="rows")]
    by_day: dict[str, Cell]
    on: dt.date
    tags: RootModel[list[str]]

    @property
    def size(self) -> int:
        return len(self.cells)


ORDER = {
    "customer": "Ann",
    "lines": [{"name": "tea", "prices": [1, 2]}, {"name": "pot", "prices": [30]}],
}


async def load(order: Order) -> Order:
    return order


def start(id: str = "w") -> Any:
    return create_workflow(id=id, input_schema=Order, output_schema=Any)


async def mapped(env: Env, source: Any, **options: Any) -> Any:
    """Return what a map gives after a step `load` that gives the order back."""
    workflow = start().then(create_step(execute=load)).map(source).commit()
    return (await env.start(workflow, ORDER, **options)).unwrap()


async def test_a_function_of_the_context(env: Env) -> None:
    assert await mapped(env, lambda ctx: [ctx.input_data.customer, "!"]) == ["Ann", "!"]


async def test_an_async_function(env: Env) -> None:
    async def later(ctx: StepContext[Order]) -> int:
        await asyncio.sleep(0)
        return len(ctx.input_data.lines)

    assert await mapped(env, later) == 2


async def test_a_function_may_give_a_model(env: Env) -> None:
    assert await mapped(env, lambda ctx: Number(value=3)) == {"value": 3}


async def test_a_function_sees_earlier_results_and_the_input(env: Env) -> None:
    workflow = start().then(create_step(id="load", execute=load)).then(text_step("hi", "hello"))
    workflow.map(
        lambda ctx: [
            ctx.input_data,
            ctx.get_step_result("hi"),
            ctx.get_step_result("load").lines[1].name,
            ctx.get_init_data().customer,
        ]
    ).commit()
    assert (await env.start(workflow, ORDER)).unwrap() == ["hello", "hello", "pot", "Ann"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".", ORDER),
        ("customer", "Ann"),
        ("lines.0.name", "tea"),
        ("lines.0.prices", [1, 2]),
        ("lines.1.prices.0", 30),
    ],
)
async def test_a_path_into_a_step(env: Env, path: str, value: Any) -> None:
    assert await mapped(env, {"x": {"step": "load", "path": path}}) == {"x": value}


def sheet() -> Sheet:
    cell = Cell.model_validate({"total": 1, "amount": 2, "sum": 3})
    cell.gross = 4
    return Sheet([cell], {"mon": cell}, dt.date(2026, 1, 2), RootModel[list[str]](["a", "b"]))


CELL = {"amount": 1, "total": 2, "net": 3, "gross": 4}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("cells.0.amount", 1),
        ("cells.0.total", 2),
        ("cells.0", CELL),
        ("cells", [CELL]),
        ("rows.0.amount", 1),
        ("by_day.mon.total", 2),
        ("by_day", {"mon": CELL}),
        ("on", "2026-01-02"),
        ("on.year", 2026),
        ("tags.1", "b"),
        ("size", 1),
    ],
)
async def test_a_path_goes_by_the_names_of_fields_and_then_by_what_the_wire_calls_them(
    env: Env, path: str, value: Any
) -> None:
    async def give(order: Order) -> Sheet:
        return sheet()

    step = create_step(id="give", execute=give, output_schema=Sheet)
    workflow = start().then(step).map({"x": {"step": step, "path": path}}).commit()
    assert (await env.start(workflow, ORDER)).unwrap() == {"x": value}


@pytest.mark.parametrize("path", ["cells.0.sum", "cells.1", "cells.0.copy", "_x", "by_day.tue"])
async def test_a_path_that_leads_nowhere_or_to_two_fields_fails_its_step(
    env: Env, path: str
) -> None:
    async def give(order: Order) -> Sheet:
        return sheet()

    step = create_step(id="give", execute=give, output_schema=Sheet)
    workflow = start().then(step).map({"x": {"step": step, "path": path}}).commit()
    result = await env.start(workflow, ORDER)
    assert isinstance(result, WorkflowFailed)
    assert result.error.code == "MAP_PATH_NOT_FOUND"
    assert repr(path) in result.error.message


async def test_what_a_path_finds_reaches_the_next_step_as_a_value_of_its_type(env: Env) -> None:
    async def give(order: Order) -> Sheet:
        return sheet()

    class Taken(BaseModel):
        cell: Cell

    async def take(taken: Taken) -> list[int]:
        return [taken.cell.amount, taken.cell.total]

    step = create_step(id="give", execute=give, output_schema=Sheet)
    workflow = start().then(step).map({"cell": {"step": step, "path": "cells.0"}})
    workflow.then(create_step(id="take", execute=take, input_schema=Taken)).commit()
    assert (await env.start(workflow, ORDER)).unwrap() == [1, 2]


async def test_a_step_may_be_named_or_given(env: Env) -> None:
    step = create_step(id="load", execute=load)
    workflow = start().then(step)
    workflow.map(
        {"a": {"step": step, "path": "customer"}, "b": {"step": "load", "path": "customer"}}
    ).commit()
    assert (await env.start(workflow, ORDER)).unwrap() == {"a": "Ann", "b": "Ann"}


async def test_without_a_path_the_whole_is_taken(env: Env) -> None:
    assert await mapped(env, {"x": {"step": "load"}}) == {"x": ORDER}


async def test_a_step_that_gave_no_object(env: Env) -> None:
    workflow = start().then(text_step("hi", "hello")).map({"x": {"step": "hi", "path": "."}})
    assert (await env.start(workflow.commit(), ORDER)).unwrap() == {"x": "hello"}


async def test_of_several_steps_the_first_with_a_result(env: Env) -> None:
    yes, no = text_step("yes", "Y"), text_step("no", "N")
    workflow = start().branch([(lambda ctx: False, yes), (lambda ctx: True, no)])
    workflow.map({"x": {"step": [yes, no], "path": "."}}).commit()
    assert (await env.start(workflow, ORDER)).unwrap() == {"x": "N"}


async def test_a_step_that_did_not_run_gives_none(env: Env) -> None:
    yes = text_step("yes", "Y")
    workflow = start().branch([(lambda ctx: False, yes)]).map({"x": {"step": yes}}).commit()
    assert (await env.start(workflow, ORDER)).unwrap() == {"x": None}


async def test_a_path_into_the_input(env: Env) -> None:
    workflow = start()
    workflow.then(text_step("hi", "hello")).map({"x": {"init_data": workflow, "path": "customer"}})
    assert (await env.start(workflow.commit(), ORDER)).unwrap() == {"x": "Ann"}


async def test_a_constant(env: Env) -> None:
    assert await mapped(env, {"x": {"value": [1, {"a": None}]}}) == {"x": [1, {"a": None}]}


async def test_a_constant_of_a_schema(env: Env) -> None:
    assert await mapped(env, {"x": {"value": "7", "schema": int}}) == {"x": 7}


async def test_a_path_into_the_request_context(env: Env) -> None:
    source = {"x": {"request_context_path": "user.name"}}
    context = {"user": {"name": "Bea"}}
    assert await mapped(env, source, request_context=context) == {"x": "Bea"}


async def test_a_template(env: Env) -> None:
    text = "${load.customer} buys ${load.lines.0.name}, in ${requestContext.lang}; ${initData.customer}"
    found = await mapped(env, {"x": {"template": text}}, request_context={"lang": "nl"})
    assert found == {"x": "Ann buys tea, in nl; Ann"}


async def test_a_function_for_one_key(env: Env) -> None:
    async def later(ctx: StepContext[Order]) -> int:
        return len(ctx.input_data.lines)

    source = {"a": {"fn": lambda ctx: ctx.input_data.customer.upper()}, "b": {"fn": later}}
    assert await mapped(env, source) == {"a": "ANN", "b": 2}


async def test_all_kinds_of_sources_together(env: Env) -> None:
    workflow = start().then(create_step(execute=load)).then(text_step("hi", "hello"))
    workflow.map(
        {
            "hi": {"step": "hi", "path": "."},
            "name": {"step": "load", "path": "customer"},
            "who": {"init_data": workflow, "path": "customer"},
            "one": {"value": 1},
            "lang": {"request_context_path": "lang"},
            "size": {"fn": lambda ctx: len(ctx.input_data)},
        }
    ).commit()
    result = await env.start(workflow, ORDER, request_context={"lang": "nl"})
    assert result.unwrap() == {
        "hi": "hello",
        "name": "Ann",
        "who": "Ann",
        "one": 1,
        "lang": "nl",
        "size": 5,
    }


async def test_camel_case_names_of_sources_are_known(env: Env) -> None:
    source = {"a": {"initData": None, "path": "customer"}, "b": {"requestContextPath": "lang"}}
    assert await mapped(env, source, request_context={"lang": "nl"}) == {"a": "Ann", "b": "nl"}


async def test_a_map_has_a_stable_id_and_a_result(env: Env) -> None:
    workflow = start("orders").map(lambda ctx: 1).map(lambda ctx: 2, id="mine").map(lambda ctx: 3)
    result = await env.start(workflow.commit(), ORDER)
    names = ["mapping_orders_0", "mine", "mapping_orders_2"]
    assert list(result.steps) == names
    assert result.step_execution_path == names
    assert result.steps["mapping_orders_0"].output == 1


async def test_a_map_runs_once(env: Env, calls: Calls) -> None:
    workflow = create_workflow(id="w", input_schema=Number, output_schema=Number)
    workflow.map(lambda ctx: calls.add("map") or ctx.input_data).then(adding("a")).sleep(0)
    await env.start(workflow.then(adding("b")).commit(), {"value": 0})
    assert calls["map"] == 1


async def test_the_next_step_checks_what_a_map_gives(env: Env) -> None:
    workflow = start().map(lambda ctx: {"value": "many"}).then(adding("a")).commit()
    result = await env.start(workflow, ORDER)
    assert isinstance(result, WorkflowFailed)
    assert result.error.code == "WORKFLOW_STEP_INPUT_VALIDATION_FAILED"
    assert "'a'" in result.error.message


async def test_get_step_result_gives_a_value_of_the_steps_type(env: Env) -> None:
    seen: list[Any] = []

    async def look(ctx: StepContext[Any]) -> int:
        seen.append(ctx.get_step_result("load"))
        return 0

    workflow = start().then(create_step(execute=load)).then(create_step(execute=look)).commit()
    await env.start(workflow, ORDER)
    assert seen == [Order.model_validate(ORDER)]


async def test_get_step_result_of_a_step_that_has_not_run_is_none(env: Env) -> None:
    seen: list[Any] = []

    async def look(ctx: StepContext[Any]) -> Any:
        seen.append(ctx.get_step_result("later"))
        return ctx.input_data

    step = create_step(id="look", execute=look)
    await env.start(start().then(step).then(text_step("later", "x")).commit(), ORDER)
    assert seen == [None]


async def test_a_path_into_a_nested_workflow(env: Env) -> None:
    inner = chain("inner", adding("x", 5))
    workflow = create_workflow(id="w", input_schema=Number, output_schema=Any)
    workflow.then(inner).map({"x": {"step": inner, "path": "value"}}).commit()
    assert (await env.start(workflow, {"value": 1})).unwrap() == {"x": 6}
