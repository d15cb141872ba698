"""Sample forecasts, for the demo on a machine that cannot reach Open-Meteo.

They are made up and say so: `SAMPLES` is the only place they come from, and only the demo asks.
"""

from __future__ import annotations

import datetime
import zlib
from typing import Final

from tools.weather import Forecast

__all__ = ["SAMPLES", "sample_forecast"]

SAMPLES: Final[dict[str, dict[str, float | str]]] = {
    "new york": {
        "location": "New York",
        "condition": "Mainly clear",
        "min_temp": 14.0,
        "max_temp": 22.0,
        "precipitation_chance": 10.0,
    },
    "seattle": {
        "location": "Seattle",
        "condition": "Moderate rain",
        "min_temp": 8.0,
        "max_temp": 12.0,
        "precipitation_chance": 85.0,
    },
}
"""A dry day and a wet one, by the city's name in lower case."""


def sample_forecast(city: str, date: datetime.date | None = None) -> Forecast:
    """Return a made-up forecast: a city's own sample, or one of the two for any other city.

    Args:
        city: Its name; which of the two another city gets depends on the name alone.
        date: The day it is for. Default: today.
    """
    name = " ".join(city.split())
    values = SAMPLES.get(name.casefold())
    if values is None:
        kinds = sorted(SAMPLES)
        values = SAMPLES[kinds[zlib.crc32(name.casefold().encode()) % len(kinds)]]
        values = {**values, "location": name}
    return Forecast.model_validate(
        {**values, "date": date or datetime.datetime.now().astimezone().date()}
    )
