"""The reference app's workflows in process: what they give, and what a reader sees meanwhile.

Both branches on the embedded model, end to end, are in `test_demo.py`.
"""

from __future__ import annotations

import datetime

from agents.planning_agent import planning_agent
from app.main import build_mastra, mastra
from app.samples import sample_forecast
from mastra.errors import StepError
from mastra.testing import ScriptedModel
from tools.weather import Forecast, get_weather
from workflows.activity_planner import Activities, City, activity_planning_workflow
from workflows.increment import Count, increment_workflow
from workflows.plan_prompt import plan_grammar, plan_messages

DAY = datetime.date(2026, 5, 16)


async def weather(city: str) -> Forecast:
    return sample_forecast(city, DAY)


async def test_the_plan_is_what_the_agent_says_and_is_seen_piece_by_piece() -> None:
    async with ScriptedModel("Go to the park.") as model:
        app = build_mastra(model=model, weather=weather)
        run = await app.get_workflow("activityPlanningWorkflow").create_run()
        async with run.stream(input_data={"city": "New York"}) as stream:
            events = [event async for event in stream]
        result = await stream.result()
    assert result.unwrap() == Activities(activities="Go to the park.")
    written = [
        event.payload.output
        for event in events
        if event.type == "workflow-step-output" and event.payload is not None
    ]
    assert written == ["Go ", "to ", "the ", "park."]
    assert result.steps["fetch-weather"].output == {
        "date": "2026-05-16",
        "maxTemp": 22.0,
        "minTemp": 14.0,
        "precipitationChance": 10.0,
        "condition": "Mainly clear",
        "location": "New York",
    }
    assert "plan-indoor-activities" not in result.steps


async def test_a_wet_day_takes_the_other_branch() -> None:
    async with ScriptedModel("Stay in.") as model:
        app = build_mastra(model=model, weather=weather)
        run = await app.get_workflow("activityPlanningWorkflow").create_run()
        result = await run.start(input_data=City(city="Seattle"))
    assert result.steps["plan-indoor-activities"].output == {"activities": "Stay in."}
    assert "plan-activities" not in result.steps


async def test_a_forecast_that_fails_fails_the_run_with_its_own_message() -> None:
    async def broken(city: str) -> Forecast:
        raise OSError(f"no satellite over {city}")

    app = build_mastra(model=ScriptedModel(), weather=broken)
    run = await app.get_workflow("activityPlanningWorkflow").create_run()
    result = await run.start(input_data={"city": "Oslo"})
    assert result.status == "failed"
    error = result.steps["fetch-weather"].error
    assert isinstance(error, StepError)
    assert error.message == "no satellite over Oslo"


async def test_the_count_stops_at_ten() -> None:
    run = await mastra.get_workflow("incrementWorkflow").create_run()
    result = await run.start(input_data={})
    assert result.unwrap() == Count(value=10)
    assert result.steps["increment"].metadata == {"iterationCount": 10}


def test_the_app_has_what_it_says_under_the_originals_names() -> None:
    assert mastra.get_agent("planningAgent").id == planning_agent.id == "planning-agent"
    assert set(mastra.list_workflows()) == {"activityPlanningWorkflow", "incrementWorkflow"}
    assert mastra.get_workflow_by_id("activity-planning-workflow").id == (
        activity_planning_workflow.id
    )
    assert mastra.get_workflow_by_id("increment-workflow").id == increment_workflow.id
    assert mastra.get_tool("get_weather").description == get_weather.description


def test_the_grammar_holds_every_city_and_keeps_what_is_known() -> None:
    forecast = sample_forecast('Saint "Louis" \\ East\nSide', DAY)
    grammar = plan_grammar(forecast, indoor_first=True)
    assert grammar.count("\n") == 10
    assert "📅 Saturday, May 16, 2026" in grammar
    assert plan_messages(forecast, indoor_first=True)[-1]["role"] == "user"
