"""What the planning steps ask of the agent: the layout of a plan, and the forecast.

The layout is shown by one finished plan rather than described, which every model follows, and
the smallest follow nothing else.
"""

from __future__ import annotations

import datetime
from typing import Final

from tools.weather import Forecast

__all__ = ["plan_grammar", "plan_messages"]

_EXAMPLE: Final = Forecast(
    date=datetime.date(2026, 5, 9),
    condition="Partly cloudy",
    min_temp=15,
    max_temp=23,
    precipitation_chance=20,
    location="Lisbon",
)
_RAINY_EXAMPLE: Final = Forecast(
    date=datetime.date(2026, 11, 14),
    condition="Moderate rain",
    min_temp=11,
    max_temp=15,
    precipitation_chance=80,
    location="Lisbon",
)

_MORNING: Final = "\n🌅 MORNING ACTIVITIES\nOutdoor:\n"
_AFTERNOON: Final = "\n🌞 AFTERNOON ACTIVITIES\nOutdoor:\n"
_INDOOR: Final = "\n🏠 INDOOR ALTERNATIVES\n"
_SPECIAL: Final = "\n⚠️ SPECIAL CONSIDERATIONS\n"

_PLAN: Final = (
    _MORNING
    + "• Walk through Alfama - Old lanes up to the view of Graça\n"
    + "  Best time: 9:00 - 11:00\n"
    + "  Note: Cool air for the climb\n"
    + _AFTERNOON
    + "• Riverside of Belém - The tower and the monastery garden\n"
    + "  Best time: 14:00 - 16:30\n"
    + "  Note: The warmest hours of the day\n"
    + _INDOOR
    + "• National Tile Museum - Painted tiles from five centuries\n"
    + "  Ideal for: A passing shower\n"
    + _SPECIAL
    + "• Bring a light jacket for the breeze\n"
)
_RAINY_PLAN: Final = (
    _INDOOR
    + "• National Tile Museum - Painted tiles from five centuries\n"
    + "  Ideal for: A morning of steady rain\n"
    + "• Time Out Market - Lunch under one roof\n"
    + "  Ideal for: Warming up around noon\n"
    + _MORNING
    + "• Arcades of the Rossio - A walk under cover\n"
    + "  Best time: 9:00 - 10:30\n"
    + "  Note: The arches keep you dry\n"
    + _AFTERNOON
    + "• Ride on tram 28 - The old town through the window\n"
    + "  Best time: 15:00 - 16:30\n"
    + "  Note: A short walk between showers\n"
    + _SPECIAL
    + "• Bring an umbrella and good shoes\n"
)


def plan_messages(forecast: Forecast, *, indoor_first: bool) -> list[dict[str, str]]:
    """Return the conversation that asks for a plan: an example of one, then the request."""
    example, plan = (_RAINY_EXAMPLE, _RAINY_PLAN) if indoor_first else (_EXAMPLE, _PLAN)
    return [
        {"role": "user", "content": _request(example, indoor_first=indoor_first)},
        {"role": "assistant", "content": _head(example) + plan},
        {"role": "user", "content": _request(forecast, indoor_first=indoor_first)},
    ]


def _request(forecast: Forecast, *, indoor_first: bool) -> str:
    first = "Begin with the indoor activities. " if indoor_first else ""
    return (
        f"Plan one day in {forecast.location} for visitors. "
        f"The weather on {_day(forecast.date)}: {forecast.condition.lower()}, "
        f"{_temperature(forecast)}, {forecast.precipitation_chance:.0f} % chance of rain. "
        f"{first}Only places in {forecast.location}."
    )


def _head(forecast: Forecast) -> str:
    return (
        f"📅 {_day(forecast.date)}\n"
        "\n"
        "🌡️ WEATHER SUMMARY\n"
        f"• Conditions: {forecast.condition}\n"
        f"• Temperature: {_temperature(forecast)}\n"
        f"• Chance of rain: {forecast.precipitation_chance:.0f} %\n"
    )


def _day(date: datetime.date) -> str:
    return f"{date:%A, %B} {date.day}, {date.year}"


def _temperature(forecast: Forecast) -> str:
    return f"{forecast.min_temp:.0f} to {forecast.max_temp:.0f} °C"


def plan_grammar(forecast: Forecast, *, indoor_first: bool) -> str:
    """Return the layout as a grammar, for the embedded model, which would lose it on the way.

    It fixes the headings and the weather summary, which are known; the activities are the
    model's own.
    """
    morning = f"{_literal(_MORNING)} morning"
    afternoon = f"{_literal(_AFTERNOON)} afternoon"
    indoor = f"{_literal(_INDOOR)} indoor"
    parts = [indoor, morning, afternoon] if indoor_first else [morning, afternoon, indoor]
    root = " ".join([_literal(_head(forecast)), *parts, f'{_literal(_SPECIAL)} "• " text "\\n"'])
    return f"""\
root ::= {root}
morning ::= "• " name " - " text "\\n  Best time: " am " - " noon "\\n  Note: " text "\\n"
afternoon ::= "• " name " - " text "\\n  Best time: " pm " - " evening "\\n  Note: " text "\\n"
indoor ::= "• " name " - " text "\\n  Ideal for: " text "\\n"
name ::= [A-Z] [A-Za-zÀ-ÿ0-9' ]{{5,45}}
text ::= [A-Z] [^\\n•]{{15,100}}
am ::= ("8" | "9" | "10") ":" ("00" | "30")
noon ::= ("11" | "12") ":" ("00" | "30")
pm ::= ("13" | "14" | "15") ":" ("00" | "30")
evening ::= ("16" | "17" | "18") ":" ("00" | "30")
"""


def _literal(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
