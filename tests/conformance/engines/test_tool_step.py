"""Tools, workflows and plain functions in one workflow."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel

from mastra import (
    Step,
    ToolContext,
    WorkflowFailed,
    create_step,
    create_tool,
    create_workflow,
    tool,
)
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding, chain


class City(BaseModel):
    city: str


class Forecast(BaseModel):
    city: str
    rain: int


@tool
async def get_forecast(city: City) -> Forecast:
    """Tell the chance of rain."""
    return Forecast(city=city.city, rain=len(city.city) * 10)


def start(output: Any = Any) -> Any:
    return create_workflow(id="w", input_schema=City, output_schema=output)


async def test_a_tool_is_a_step(env: Env) -> None:
    workflow = start(Forecast).then(create_step(get_forecast)).commit()
    result = await env.start(workflow, {"city": "Rome"})
    assert result.unwrap() == Forecast(city="Rome", rain=40)
    assert list(result.steps) == ["get_forecast"]


async def test_then_takes_a_tool_as_it_is(env: Env) -> None:
    workflow = start(Forecast).then(get_forecast).commit()
    assert (await env.start(workflow, {"city": "Rome"})).unwrap().rain == 40


def test_a_tool_step_has_the_tools_id_description_and_schemas() -> None:
    step = create_step(get_forecast)
    assert isinstance(step, Step)
    assert (step.id, step.description) == ("get_forecast", "Tell the chance of rain.")
    assert step.input_schema.type is City
    assert step.output_schema.type is Forecast
    assert step.component == "TOOL"


async def test_a_tool_step_may_have_another_id(env: Env) -> None:
    workflow = start().then(create_step(get_forecast, id="weather")).commit()
    assert list((await env.start(workflow, {"city": "Rome"})).steps) == ["weather"]


async def test_a_tool_in_every_kind_of_block(env: Env) -> None:
    workflow = create_workflow(id="w", input_schema=list[City], output_schema=Any)
    inner = create_workflow(id="inner", input_schema=City, output_schema=Any)
    inner.parallel([get_forecast]).commit()
    workflow.foreach(get_forecast).map(lambda ctx: {"city": ctx.input_data[0].city})
    workflow.branch([(lambda ctx: True, get_forecast)])
    workflow.map(lambda ctx: {"city": ctx.input_data["get_forecast"].city}).then(inner).commit()
    result = await env.start(workflow, [{"city": "Rome"}, {"city": "Bonn"}])
    assert result.unwrap() == {"get_forecast": {"city": "Rome", "rain": 40}}


async def test_a_tool_sees_the_run_through_its_context(env: Env) -> None:
    seen: list[Any] = []

    async def look(city: City, ctx: ToolContext) -> str:
        assert ctx.workflow is not None
        seen.append((ctx.workflow.workflow_id, ctx.workflow.run_id, ctx.request_context.get("who")))
        return city.city

    described = create_tool(id="look", description="Look.", execute=look)
    run = await env.workflow(start().then(described).commit()).create_run()
    await run.start({"city": "Rome"}, request_context={"who": "me"})
    assert seen == [("w", run.run_id, "me")]


async def test_a_tool_that_raises_fails_the_step(env: Env) -> None:
    async def broken(city: City) -> str:
        raise ValueError("no forecast")

    described = create_tool(id="broken", description="Break.", execute=broken)
    result = await env.start(start().then(described).commit(), {"city": "Rome"})
    assert isinstance(result, WorkflowFailed)
    assert result.error.message == "no forecast"
    assert result.steps["broken"].status == "failed"


async def test_bad_input_of_a_tool_step_names_step_and_field(env: Env) -> None:
    workflow = create_workflow(id="w", input_schema=Any, output_schema=Any)
    result = await env.start(workflow.then(get_forecast).commit(), {"town": "Rome"})
    assert isinstance(result, WorkflowFailed)
    assert result.error.code == "WORKFLOW_STEP_INPUT_VALIDATION_FAILED"
    assert "'get_forecast'" in result.error.message
    assert "city" in result.error.message


async def test_bad_output_of_a_tool_step_fails_it(env: Env) -> None:
    async def execute(city: City) -> Any:
        return {"city": city.city}

    described = create_tool(id="t", description="T.", output_schema=Forecast, execute=execute)
    result = await env.start(start().then(described).commit(), {"city": "Rome"})
    assert isinstance(result, WorkflowFailed)
    assert "rain" in result.error.message


async def test_a_tool_may_suspend_the_run(env: Env) -> None:
    async def ask(city: City, ctx: ToolContext) -> str:
        if ctx.resume_data is None:
            await ctx.suspend({"really": city.city})
        return f"{city.city}: {ctx.resume_data['answer']}"

    described = create_tool(id="ask", description="Ask.", execute=ask)
    run = await env.workflow(start().then(described).commit()).create_run()
    result = await run.start({"city": "Rome"})
    assert result.status == "suspended"
    assert (await run.resume({"answer": "yes"})).unwrap() == "Rome: yes"


async def test_a_tool_step_may_be_retried(env: Env, calls: Calls) -> None:
    async def flaky(city: City) -> str:
        if calls.add("flaky") == 0:
            raise ConnectionError("no network")
        return city.city

    described = create_tool(id="flaky", description="Flaky.", execute=flaky)
    workflow = start().then(create_step(described, retries=1)).commit()
    assert (await env.start(workflow, {"city": "Rome"})).unwrap() == "Rome"
    assert calls["flaky"] == 2


async def test_every_kind_of_step_in_one_workflow(env: Env, calls: Calls) -> None:
    """A function, a plain function, a tool, a workflow, a map, a callable object."""

    async def function(city: City) -> City:
        calls.add("function")
        return city

    def plain(forecast: Forecast) -> Number:
        calls.add("plain")
        return Number(value=forecast.rain)

    class Doubler:
        __name__ = "doubler"

        async def __call__(self, number: Number) -> Number:
            await asyncio.sleep(0)
            calls.add("object")
            return Number(value=number.value * 2)

    workflow = start(int)
    workflow.then(create_step(execute=function)).then(get_forecast).then(create_step(execute=plain))
    workflow.then(chain("inner", adding("x", 1, calls)))
    workflow.then(create_step(id="doubler", execute=Doubler()))
    workflow.map(lambda ctx: ctx.input_data.value).commit()
    result = await env.start(workflow, {"city": "Rome"})
    assert result.unwrap() == 82
    assert calls.names == ["function", "plain", "x", "object"]
