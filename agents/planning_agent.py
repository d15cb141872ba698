"""The agent that plans a day in a city to fit the weather."""

from __future__ import annotations

from typing import Any, Final

from mastra import Agent

__all__ = ["DEFAULT_MODEL", "INSTRUCTIONS", "build_planning_agent", "planning_agent"]

DEFAULT_MODEL: Final = "openai/gpt-4o"

INSTRUCTIONS: Final = """\
You are a local guide. You plan a visitor's day in a city to fit the weather. \
Suggest two or three outdoor activities, each with its time of day, and one or two indoor ones; \
where the chance of rain is over 50 %, the indoor ones come first. \
Name real places of that city and keep each description short.

A plan has the date (📅) and the headings 🌡️ WEATHER SUMMARY, 🌅 MORNING ACTIVITIES, \
🌞 AFTERNOON ACTIVITIES, 🏠 INDOOR ALTERNATIVES and ⚠️ SPECIAL CONSIDERATIONS."""


def build_planning_agent(model: Any = DEFAULT_MODEL) -> Agent:
    """Return the agent, on a model of choice."""
    return Agent(
        id="planning-agent",
        name="planningAgent",
        description="Plans a day in a city to fit the weather",
        instructions=INSTRUCTIONS,
        model=model,
    )


planning_agent = build_planning_agent()
