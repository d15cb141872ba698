"""Today's weather in a city, from Open-Meteo: geocoding, then the forecast.

What can go wrong has three names: `UnknownCityError`, `WeatherUnreachableError` (no network, no
answer in time, the service is down) and `WeatherAnswerError` (an answer that makes no sense).
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, TypeVar

import httpx
import tenacity
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from mastra import tool

__all__ = [
    "Forecast",
    "ForecastSource",
    "OpenMeteo",
    "UnknownCityError",
    "WeatherAnswerError",
    "WeatherError",
    "WeatherUnreachableError",
    "condition_of",
    "get_weather",
]

Answer = TypeVar("Answer", bound=BaseModel)

_GEOCODING_URL: Final = "https://geocoding-api.open-meteo.com"
_FORECAST_URL: Final = "https://api.open-meteo.com"

_CONDITIONS: Final = {
    0: "Clear sky",
    1: "Mainly clear",
    2: "Partly cloudy",
    3: "Overcast",
    45: "Foggy",
    48: "Depositing rime fog",
    51: "Light drizzle",
    53: "Moderate drizzle",
    55: "Dense drizzle",
    56: "Light freezing drizzle",
    57: "Dense freezing drizzle",
    61: "Slight rain",
    63: "Moderate rain",
    65: "Heavy rain",
    66: "Light freezing rain",
    67: "Heavy freezing rain",
    71: "Slight snow fall",
    73: "Moderate snow fall",
    75: "Heavy snow fall",
    77: "Snow grains",
    80: "Slight rain showers",
    81: "Moderate rain showers",
    82: "Violent rain showers",
    85: "Slight snow showers",
    86: "Heavy snow showers",
    95: "Thunderstorm",
    96: "Thunderstorm with slight hail",
    99: "Thunderstorm with heavy hail",
}
"""Codes of the World Meteorological Organization, table 4677, as far as Open-Meteo uses them."""


class WeatherError(Exception):
    """The weather could not be had. Base of the three reasons."""


class UnknownCityError(WeatherError):
    """Open-Meteo knows no place of that name."""


class WeatherUnreachableError(WeatherError):
    """Open-Meteo could not be reached, or said that it cannot serve for the moment."""


class WeatherAnswerError(WeatherError):
    """Open-Meteo answered something that is not a forecast."""


class Forecast(BaseModel):
    """One day's weather in one place; snake_case here, camelCase in JSON."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True, frozen=True
    )

    date: datetime.date
    """The day, in the place's own time zone."""
    max_temp: float
    """In degrees Celsius."""
    min_temp: float
    """In degrees Celsius."""
    precipitation_chance: float
    """In percent: the highest of the day."""
    condition: str
    """The weather at the moment, in a few words."""
    location: str
    """The place, as Open-Meteo spells it."""


ForecastSource: TypeAlias = Callable[[str], Awaitable[Forecast]]
"""Gives the forecast for a city's name."""


class _Place(BaseModel):
    name: str
    latitude: float
    longitude: float


class _Places(BaseModel):
    results: list[_Place] = []


class _Current(BaseModel):
    time: datetime.datetime
    weather_code: int


class _Hourly(BaseModel):
    # The service fills hours that a weather model does not cover with null.
    temperature_2m: list[float | None] = Field(min_length=1)
    precipitation_probability: list[float | None] = Field(min_length=1)


class _Weather(BaseModel):
    current: _Current
    hourly: _Hourly


class OpenMeteo:
    """A client of Open-Meteo.

    Args:
        geocoding_url: Where cities are looked up. Default: `OPEN_METEO_GEOCODING_URL`, or
            Open-Meteo's own.
        forecast_url: Where forecasts are read. Default: `OPEN_METEO_FORECAST_URL`, or
            Open-Meteo's own.
        timeout_s: The longest wait for one answer.
        attempts: How often to try when the service cannot be reached.
        pause_s: The wait before the second try; it doubles with each.
    """

    def __init__(
        self,
        *,
        geocoding_url: str | None = None,
        forecast_url: str | None = None,
        timeout_s: float = 10.0,
        attempts: int = 3,
        pause_s: float = 0.3,
    ) -> None:
        self.geocoding_url = (
            geocoding_url or os.environ.get("OPEN_METEO_GEOCODING_URL") or _GEOCODING_URL
        ).rstrip("/")
        self.forecast_url = (
            forecast_url or os.environ.get("OPEN_METEO_FORECAST_URL") or _FORECAST_URL
        ).rstrip("/")
        self.timeout_s = timeout_s
        self.attempts = attempts
        self.pause_s = pause_s

    async def forecast(self, city: str) -> Forecast:
        """Return today's weather in a city.

        Raises:
            UnknownCityError: There is no such place.
            WeatherUnreachableError: The service could not be reached, after all attempts.
            WeatherAnswerError: The answer is not a forecast.
        """
        if not city.strip():
            raise UnknownCityError("The name of the city is empty.")
        async with httpx.AsyncClient(timeout=self.timeout_s) as http:
            place = await self._find(http, city.strip())
            weather = await self._get(
                http,
                f"{self.forecast_url}/v1/forecast",
                {
                    "latitude": place.latitude,
                    "longitude": place.longitude,
                    "current": "weather_code",
                    "hourly": "temperature_2m,precipitation_probability",
                    "timezone": "auto",
                    "forecast_days": 1,
                },
                _Weather,
            )
        temperatures = [value for value in weather.hourly.temperature_2m if value is not None]
        if not temperatures:
            raise WeatherAnswerError(f"Open-Meteo has no temperatures for {place.name}.")
        chances = [value or 0.0 for value in weather.hourly.precipitation_probability]
        return Forecast(
            date=weather.current.time.date(),
            max_temp=max(temperatures),
            min_temp=min(temperatures),
            precipitation_chance=max(chances),
            condition=condition_of(weather.current.weather_code),
            location=place.name,
        )

    async def _find(self, http: httpx.AsyncClient, city: str) -> _Place:
        found = await self._get(
            http, f"{self.geocoding_url}/v1/search", {"name": city, "count": 1}, _Places
        )
        if not found.results:
            raise UnknownCityError(
                f"Open-Meteo knows no city called {city!r}. Check the spelling, or try a larger "
                "place nearby."
            )
        return found.results[0]

    async def _get(
        self, http: httpx.AsyncClient, url: str, params: dict[str, Any], kind: type[Answer]
    ) -> Answer:
        trying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(WeatherUnreachableError),
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=tenacity.wait_exponential(self.pause_s, max=5.0)
            + tenacity.wait_random(0, self.pause_s),
            reraise=True,
        )
        response: httpx.Response = await trying(self._send, http, url, params)
        try:
            return kind.model_validate_json(response.content)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise WeatherAnswerError(
                f"Open-Meteo's answer cannot be read: {where + ': ' if where else ''}"
                f"{first['msg']}."
            ) from error

    async def _send(
        self, http: httpx.AsyncClient, url: str, params: dict[str, Any]
    ) -> httpx.Response:
        try:
            response = await http.get(url, params=params)
        except httpx.TimeoutException as error:
            raise WeatherUnreachableError(
                f"Open-Meteo did not answer within {self.timeout_s:g} s."
            ) from error
        except httpx.TransportError as error:
            raise WeatherUnreachableError(
                f"Open-Meteo cannot be reached: {error or type(error).__name__}."
            ) from error
        status = response.status_code
        if status >= 500 or status == 429:
            raise WeatherUnreachableError(f"Open-Meteo cannot serve now: it answered {status}.")
        if status != 200:
            raise WeatherAnswerError(
                f"Open-Meteo refused the request: it answered {status}, {_reason(response)!r}."
            )
        return response


def _reason(response: httpx.Response) -> str:
    return " ".join(response.text[:200].split())


def condition_of(code: int) -> str:
    """Return a WMO weather code in words."""
    return _CONDITIONS.get(code, "Unknown")


@tool
async def get_weather(city: str) -> Forecast:
    """Get today's weather forecast for a city."""
    return await OpenMeteo().forecast(city)
