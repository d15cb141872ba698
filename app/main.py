"""The `Mastra` object of the reference app: one agent, two workflows, one tool."""

from __future__ import annotations

import os
from typing import Any

from agents.planning_agent import DEFAULT_MODEL, build_planning_agent
from mastra import Mastra, ServerConfig
from tools.weather import ForecastSource, get_weather
from workflows.activity_planner import build_activity_planner
from workflows.increment import increment_workflow

__all__ = ["build_mastra", "mastra"]


def build_mastra(
    model: Any = None,
    weather: ForecastSource | None = None,
    engine: Any = None,
    server: ServerConfig | None = None,
) -> Mastra:
    """Return the app.

    Args:
        model: What the agent thinks with: `provider/model`, or whatever else an agent takes.
        weather: Where forecasts come from. Default: Open-Meteo.
        engine: What runs the workflows. Default: this process.
        server: How it is served.
    """
    return Mastra(
        agents={"planningAgent": build_planning_agent(model or DEFAULT_MODEL)},
        workflows={
            "activityPlanningWorkflow": build_activity_planner(weather),
            "incrementWorkflow": increment_workflow,
        },
        tools={"get_weather": get_weather},
        storage=_storage(),
        engine=engine,
        server=server,
    )


def _storage() -> Any:
    """Return the database that the environment names; without one, runs are kept in memory."""
    url = os.environ.get("DATABASE_URL")
    if not url:
        return None
    from mastra import SQLStorage  # noqa: PLC0415 - SQLAlchemy takes a fifth of a second

    return SQLStorage(url)


mastra = build_mastra()
