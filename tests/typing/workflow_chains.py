"""What the type checker takes and refuses of workflows. Read by basedpyright, never run.

An expected refusal carries the name of its rule; one that stops being refused fails the check.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from pydantic import BaseModel

from mastra import (
    Agent,
    Run,
    Step,
    StepContext,
    StructuredOutput,
    Workflow,
    WorkflowResult,
    WorkflowSuccess,
    clone_step,
    clone_workflow,
    create_step,
    create_workflow,
    step,
    tool,
)
from mastra.workflows.run_stream import RunStream
from mastra.workflows.step import FunctionStep


class City(BaseModel):
    city: str


class Forecast(BaseModel):
    rain: int


class Plan(BaseModel):
    text: str


# -- steps -------------------------------------------------------------------------------------


@step
async def fetch(city: City) -> Forecast:
    return Forecast(rain=len(city.city))


@step(id="plan-activities", retries=2)
async def plan(ctx: StepContext[Forecast]) -> Plan:
    return Plan(text=str(ctx.input_data.rain))


@step
def blocking(forecast: Forecast) -> Plan:
    return Plan(text=str(forecast.rain))


@step
async def nothing() -> Plan:
    return Plan(text="")


@step
async def both(ctx: StepContext[Forecast], forecast: Forecast) -> Plan:
    return Plan(text=f"{ctx.run_id} {forecast.rain}")


async def plan_function(ctx: StepContext[Forecast]) -> Plan:
    return Plan(text=str(ctx.input_data.rain))


async def fetch_function(city: City) -> Forecast:
    return Forecast(rain=len(city.city))


assert_type(fetch, FunctionStep[City, Forecast, [City], Awaitable[Forecast]])
assert_type(plan, FunctionStep[Forecast, Plan, [StepContext[Forecast]], Awaitable[Plan]])
assert_type(blocking, FunctionStep[Forecast, Plan, [Forecast], Plan])
assert_type(nothing, FunctionStep[Any, Plan, [], Awaitable[Plan]])
assert_type(both, FunctionStep[Forecast, Plan, [StepContext[Forecast], Forecast], Awaitable[Plan]])
assert_type(create_step(execute=fetch_function), Step[City, Forecast])
assert_type(create_step(id="plan", execute=plan_function), Step[Forecast, Plan])
assert_type(
    create_step(id="plan", input_schema=Forecast, output_schema=Plan, execute=plan_function),
    Step[Forecast, Plan],
)
assert_type(create_step("plan", Forecast, Plan, plan_function), Step[Forecast, Plan])
assert_type(clone_step(fetch, id="again"), Step[City, Forecast])


# -- chains that are taken ---------------------------------------------------------------------

begun = create_workflow(id="w", input_schema=City, output_schema=Plan)
assert_type(begun, Workflow[City, Plan, City])
assert_type(create_workflow("w", City, Plan), Workflow[City, Plan, City])
assert_type(begun.then(fetch), Workflow[City, Plan, Forecast])
assert_type(begun.then(fetch).then(plan), Workflow[City, Plan, Plan])
assert_type(begun.then(fetch).then(plan).commit(), Workflow[City, Plan, Plan])
assert_type(begun.then(fetch).sleep(1).then(plan).commit(), Workflow[City, Plan, Plan])
assert_type(begun.then(fetch).sleep(timedelta(seconds=1)), Workflow[City, Plan, Forecast])
assert_type(
    begun.then(fetch).sleep_until(lambda ctx: datetime.now(UTC)), Workflow[City, Plan, Forecast]
)

whole = begun.then(fetch).then(plan).commit()
nested = create_workflow(id="outer", input_schema=City, output_schema=Plan)
assert_type(nested.then(whole), Workflow[City, Plan, Plan])
assert_type(whole.as_step(), Step[City, Plan])
assert_type(clone_workflow(whole, id="again"), Workflow[City, Plan, Plan])

# After a map anything may flow.
begun.then(fetch).map(lambda ctx: Plan(text=str(ctx.input_data))).then(fetch)

# After a block its outputs flow by id, and any step may take them.
assert_type(
    begun.parallel([fetch, clone_step(fetch, id="b")]), Workflow[City, Plan, dict[str, Any]]
)
begun.parallel([fetch]).then(plan)
begun.branch([(lambda ctx: ctx.input_data.city == "Rome", fetch)]).then(plan)
begun.branch([(lambda ctx: True, fetch)], first_match=True)

# A loop's condition sees the output.
loop = create_workflow(id="l", input_schema=Forecast, output_schema=Forecast)


@step
async def more(forecast: Forecast) -> Forecast:
    return Forecast(rain=forecast.rain + 1)


assert_type(
    loop.dountil(more, lambda ctx: ctx.input_data.rain >= 10),
    Workflow[Forecast, Forecast, Forecast],
)
assert_type(loop.dowhile(more, lambda ctx: True), Workflow[Forecast, Forecast, Forecast])

# A foreach takes a list and gives one.
items = create_workflow(id="f", input_schema=list[City], output_schema=list[Forecast])
assert_type(items.foreach(fetch), Workflow[list[City], list[Forecast], list[Forecast]])
assert_type(items.foreach(fetch, concurrency=3).commit().id, str)


# A step that takes less than it is given is taken.


class DetailedForecast(Forecast):
    wind: int


@step
async def fetch_detailed(city: City) -> DetailedForecast:
    return DetailedForecast(rain=1, wind=len(city.city))


assert_type(begun.then(fetch_detailed).then(plan), Workflow[City, Plan, Plan])
begun.then(fetch_detailed).parallel([plan, blocking])
begun.then(fetch_detailed).dountil(more, lambda ctx: ctx.input_data.rain > 1)

# Agents and tools stand where steps do.


@tool
async def get_rain(city: str) -> int:
    return len(city)


@step
async def half(rain: int) -> float:
    return rain / 2


def mixed(agent: Agent) -> None:
    begun.then(agent).then(plan)
    begun.then(get_rain).then(half)
    begun.parallel([agent, get_rain, fetch])
    begun.branch([(lambda ctx: True, agent), (lambda ctx: False, get_rain)])
    assert_type(create_step(agent, structured_output=Plan), Step[Any, Plan])
    assert_type(agent.as_step(structured_output=Plan, durable=True), Step[Any, Plan])
    assert_type(agent.as_step(structured_output=StructuredOutput(Plan)), Step[Any, Plan])
    assert_type(agent.as_step(id="asks"), Step[Any, Any])
    assert_type(create_step(agent), Step[Any, Any])
    assert_type(create_step(get_rain), Step[Any, int])
    assert_type(get_rain.as_step(id="rain"), Step[Any, int])


# A step is made of what is one, under another id or with other options.

assert_type(create_step(plan, id="again", retries=1), Step[Forecast, Plan])
assert_type(create_step(fetch), Step[City, Forecast])
assert_type(create_step(fetch, output_schema=DetailedForecast), Step[City, DetailedForecast])
assert_type(create_step(whole), Step[City, Plan])
assert_type(create_step(fetch_function, id="again"), Step[Any, Any])
begun.then(create_step(fetch, id="again")).then(create_step(plan))
begun.then(create_step(plan))  # pyright: ignore[reportArgumentType]
create_step(fetch, retires=2)  # pyright: ignore[reportCallIssue, reportArgumentType]


# What the checker knows too little of is taken, and checked when it is there.
anything = create_workflow(id="a", input_schema=City | None, output_schema=None)
assert_type(anything, Workflow[Any, Any, Any])
anything.then(fetch).parallel([plan]).parallel([fetch]).branch([(lambda ctx: True, plan)])
create_workflow(id="t", input_schema=tuple[City, ...], output_schema=Plan).foreach(fetch)


# -- chains that are refused -------------------------------------------------------------------

begun.then(plan)  # pyright: ignore[reportArgumentType]
begun.then(fetch).then(fetch)  # pyright: ignore[reportArgumentType]
begun.then(fetch).then(whole)  # pyright: ignore[reportArgumentType]
begun.then(7)  # pyright: ignore[reportArgumentType]
begun.dountil(plan, lambda ctx: True)  # pyright: ignore[reportArgumentType]
begun.foreach(fetch)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
begun.branch([(lambda ctx: "yes", fetch)])  # pyright: ignore[reportArgumentType]
begun.then(fetch).parallel([plan, fetch])  # pyright: ignore[reportArgumentType]
begun.then(fetch).branch([(lambda ctx: True, fetch)])  # pyright: ignore[reportArgumentType]
begun.then(fetch).branch(
    [(lambda ctx: ctx.input_data.rian > 1, plan)]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownLambdaType, reportUnknownMemberType]
)
loop.dountil(
    more,
    lambda ctx: ctx.input_data.text == "",  # pyright: ignore[reportAttributeAccessIssue, reportUnknownLambdaType, reportUnknownMemberType]
)
items.foreach(plan)  # pyright: ignore[reportArgumentType]
begun.sleep("a while")  # pyright: ignore[reportArgumentType]


# -- runs --------------------------------------------------------------------------------------


async def runs() -> None:
    run = await whole.create_run()
    assert_type(run, Run[Plan, City])
    result = await run.start(City(city="Rome"))
    assert_type(result, WorkflowResult[Plan])
    assert_type(result.unwrap(), Plan)
    if result.status == "success":
        assert_type(result, WorkflowSuccess[Plan])
        assert_type(result.result, Plan)
    if isinstance(result, WorkflowSuccess):
        assert_type(result.result, Plan)
    match result.status:
        case "failed":
            assert_type(result.error.code, str)
        case "suspended":
            assert_type(result.suspended, list[list[str]])
        case _:
            pass
    async with run.stream(City(city="Rome")) as stream:
        assert_type(stream, RunStream[Plan])
        async for event in stream:
            assert_type(event.type, str)
            assert_type(event.seq, int)
    assert_type((await stream.result()).unwrap(), Plan)
    assert_type((await run.resume({"ok": True})).unwrap(), Plan)
