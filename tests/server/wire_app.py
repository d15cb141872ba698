"""The application that the recorded calls were made of, in Python."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mastra import (
    Agent,
    Mastra,
    StepContext,
    create_step,
    create_tool,
    create_workflow,
)
from mastra.observability import Observability
from mastra.testing import FunctionModel, ToolCall


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class City(Closed):
    city: str = Field(description="City name", strict=True)


class Forecast(Closed):
    date: str
    max_temp: float = Field(alias="maxTemp")
    min_temp: float = Field(alias="minTemp")
    precipitation_chance: float = Field(alias="precipitationChance")
    condition: str
    location: str


class Activities(Closed):
    activities: str


class Value(Closed):
    value: float


class Add(Closed):
    add: float


class Reason(Closed):
    reason: str


class Weather(Closed):
    temperature: float
    condition: str


class Sent(Closed):
    sent: bool


async def weather(city: City) -> Weather:
    return Weather(temperature=18, condition=f"fine in {city.city}")


async def send(city: City) -> Sent:
    return Sent(sent=True)


def answer(request: Any) -> Any:
    last = request.messages[-1]
    if last.role == "user" and "use tool" in last.text:
        return [ToolCall(request.tools[0].name, {"city": "Paris"})]
    if request.response_format is not None:
        return '{"a":"tok"}'
    return ["tok0 ", "tok1 ", "tok2 "]


weather_tool = create_tool(
    "get-weather", "Get the current weather of a city", City, Weather, weather
)
mail_tool = create_tool(
    "send-mail", "Sends a mail (needs approval)", City, Sent, send, require_approval=True
)
INSTRUCTIONS = "You are a local activities and travel expert."


def planning_agent(answering: Any = answer, **options: Any) -> Agent:
    return Agent(
        id="planningAgent",
        name="planningAgent",
        description="Plans activities by the weather",
        instructions=INSTRUCTIONS,
        model=FunctionModel(answering),
        tools={"weatherTool": weather_tool},
        **options,
    )


def mail_agent() -> Agent:
    return Agent(
        id="mailAgent",
        name="Mail agent",
        instructions=INSTRUCTIONS,
        model=FunctionModel(answer),
        tools={"approveTool": mail_tool},
    )


async def fetch(ctx: StepContext[City]) -> Forecast:
    is_wet = ctx.input_data.city == "Rainytown"
    return Forecast(
        date="2026-01-01",
        maxTemp=18,
        minTemp=2,
        precipitationChance=90 if is_wet else 20,
        condition="rain" if is_wet else "fine",
        location=ctx.input_data.city,
    )


async def plan(ctx: StepContext[Forecast]) -> Activities:
    return Activities(activities="tok0 tok1 tok2 ")


def activity_workflow() -> Any:
    def planner(name: str) -> Any:
        return create_step(
            id=name, description=name, input_schema=Forecast, output_schema=Activities, execute=plan
        )

    return (
        create_workflow(
            id="activity-planning-workflow-step2-if-else",
            input_schema=City,
            output_schema=dict[str, Activities],
        )
        .then(
            create_step(
                id="fetch-weather",
                description="Fetches weather forecast for a given city",
                input_schema=City,
                output_schema=Forecast,
                execute=fetch,
            )
        )
        .branch(
            [
                (
                    lambda c: c.input_data.precipitation_chance > 50,
                    planner("plan-indoor-activities"),
                ),
                (lambda c: c.input_data.precipitation_chance <= 50, planner("plan-activities")),
            ]
        )
        .commit()
    )


def adder(name: str, amount: float = 1) -> Any:
    async def execute(ctx: StepContext[Value]) -> Value:
        return Value(value=ctx.input_data.value + amount)

    return create_step(id=name, input_schema=Value, output_schema=Value, execute=execute)


async def approve(ctx: StepContext[Value]) -> Any:
    if ctx.resume_data is None:
        return await ctx.suspend(Reason(reason="need a number"))
    return Value(value=ctx.input_data.value + ctx.resume_data.add)


async def boom(ctx: StepContext[Value]) -> Value:
    raise RuntimeError("boom")


async def write(ctx: StepContext[Value]) -> Value:
    await ctx.writer.write({"hello": 1})
    await ctx.writer.custom({"type": "data-note", "data": {"n": 1}})
    return ctx.input_data


async def nap(ctx: StepContext[Value]) -> Value:
    await asyncio.sleep(0.01)
    return ctx.input_data


def simple(name: str, *steps: Any) -> Any:
    workflow: Any = create_workflow(id=name, input_schema=Value, output_schema=Value)
    for step in steps:
        workflow = workflow.then(step)
    return workflow


def kitchen_workflow() -> Any:
    inner = simple("inner", adder("in1")).commit()
    writer = create_step(id="writer", input_schema=Value, output_schema=Value, execute=write)
    return (
        create_workflow(id="kitchen-sink", input_schema=Value, output_schema=Any)
        .parallel([adder("p1"), adder("p2")])
        .map(lambda c: [c.input_data["p1"], c.input_data["p2"]])
        .foreach(adder("each"), concurrency=2)
        .map(lambda c: {"value": sum(item.value for item in c.input_data)})
        .then(inner)
        .sleep(0.01)
        .dowhile(adder("dw"), lambda c: c.input_data.value < 10)
        .then(writer)
        .commit()
    )


def build(*, memory: Any = None, answering: Any = answer, **options: Any) -> Mastra:
    """Return the application.

    Args:
        memory: What the planning agent remembers with.
        answering: The function that is its model.
        options: What else `Mastra` takes.
    """
    remembering = {} if memory is None else {"memory": memory}
    agent = planning_agent(answering, **remembering)
    mail = mail_agent()
    approval = create_step(
        id="approve",
        input_schema=Value,
        output_schema=Value,
        resume_schema=Add,
        suspend_schema=Reason,
        execute=approve,
    )
    fail = create_step(id="boom", input_schema=Value, output_schema=Value, execute=boom)
    increment = (
        create_workflow(id="increment-workflow", input_schema=Value, output_schema=Value)
        .dountil(adder("increment"), lambda c: c.input_data.value >= 10)
        .then(adder("final", 0))
        .commit()
    )
    slow = simple("slow-workflow", adder("one")).sleep(0.3).then(adder("two")).commit()
    return Mastra(
        agents={"planningAgent": agent, "mailAgent": mail},
        workflows={
            "activityPlanningWorkflow": activity_workflow(),
            "incrementWorkflow": increment,
            "approvalWorkflow": simple(
                "approval-workflow", adder("prepare"), approval, adder("after")
            ).commit(),
            "slowWorkflow": slow,
            "failWorkflow": simple("fail-workflow", fail).commit(),
            "kitchenWorkflow": kitchen_workflow(),
            "agentStepWorkflow": create_workflow(
                id="agent-step-workflow", input_schema=Any, output_schema=Any
            )
            .then(create_step(mail))
            .commit(),
        },
        tools={"weatherTool": weather_tool, "send-mail": mail_tool},
        observability=Observability(),
        **options,
    )
