"""The activity planner: fetch the weather, then plan a day outdoors or indoors.

Both planning steps stream what the agent says while it says it, to whoever reads the run.
"""

from __future__ import annotations

from pydantic import BaseModel

from mastra import StepContext, Workflow, create_step, create_workflow, step
from tools.weather import Forecast, ForecastSource, OpenMeteo
from workflows.plan_prompt import plan_grammar, plan_messages

__all__ = ["Activities", "City", "activity_planning_workflow", "build_activity_planner"]


class City(BaseModel):
    """What the workflow is given."""

    city: str
    """Its name, as a person writes it."""


class Activities(BaseModel):
    """What the workflow gives."""

    activities: str
    """The plan, as text."""


async def _stream_plan(ctx: StepContext[Forecast], *, indoor_first: bool) -> Activities:
    forecast = ctx.input_data
    agent = ctx.mastra.get_agent("planningAgent")
    async with agent.stream(
        plan_messages(forecast, indoor_first=indoor_first),
        provider_options={"local": {"grammar": plan_grammar(forecast, indoor_first=indoor_first)}},
    ) as stream:
        async for text in stream.text_stream:
            await ctx.writer.write(text)
        return Activities(activities=await stream.text())


@step(id="plan-activities", description="Plans a day outdoors")
async def plan_activities(ctx: StepContext[Forecast]) -> Activities:
    """Stream a plan for a dry day."""
    return await _stream_plan(ctx, indoor_first=False)


@step(id="plan-indoor-activities", description="Plans a day under a roof")
async def plan_indoor_activities(ctx: StepContext[Forecast]) -> Activities:
    """Stream a plan for a wet day."""
    return await _stream_plan(ctx, indoor_first=True)


def build_activity_planner(weather: ForecastSource | None = None) -> Workflow[City, Activities]:
    """Return the workflow.

    Args:
        weather: Where forecasts come from. Default: Open-Meteo.
    """

    async def fetch(data: City) -> Forecast:
        source = weather or OpenMeteo().forecast
        return await source(data.city)

    fetch_weather = create_step(
        id="fetch-weather",
        description="Fetches the weather forecast of a city",
        input_schema=City,
        output_schema=Forecast,
        execute=fetch,
    )
    return (
        create_workflow(
            id="activity-planning-workflow",
            description="Plans a day in a city to fit the weather",
            input_schema=City,
            output_schema=Activities,
        )
        .then(fetch_weather)
        .branch(
            [
                (lambda ctx: ctx.input_data.precipitation_chance > 50, plan_indoor_activities),
                (lambda ctx: ctx.input_data.precipitation_chance <= 50, plan_activities),
            ]
        )
        # A branch gives what ran, by step id; here that is always one.
        .map(lambda ctx: next(iter(ctx.input_data.values())))
        .commit()
    )


activity_planning_workflow = build_activity_planner()
