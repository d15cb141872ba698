"""What the demo does otherwise: the embedded model, and a sample where there is no network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from app.samples import sample_forecast
from tools.weather import Forecast, ForecastSource, OpenMeteo, WeatherUnreachableError

__all__ = ["DEMO_MODEL", "demo_weather"]

DEMO_MODEL: Final = "local/smollm2-135m"


def demo_weather(on_sample: Callable[[str], None]) -> ForecastSource:
    """Return live weather that falls back to a sample when Open-Meteo cannot be reached.

    Args:
        on_sample: Told, in one line, that a sample is used.
    """
    live = OpenMeteo(timeout_s=4.0, attempts=2)

    async def forecast(city: str) -> Forecast:
        try:
            return await live.forecast(city)
        except WeatherUnreachableError:
            on_sample("Open-Meteo cannot be reached: this is a sample forecast, made up.")
            return sample_forecast(city)

    return forecast
