"""The weather client against a real HTTP server that plays Open-Meteo."""

from __future__ import annotations

import datetime
import socket
from collections.abc import AsyncIterator

import pytest

from app.samples import SAMPLES, sample_forecast
from tests.support.openmeteo_server import OpenMeteoServer, openmeteo_server
from tools.weather import (
    Forecast,
    OpenMeteo,
    UnknownCityError,
    WeatherAnswerError,
    WeatherError,
    WeatherUnreachableError,
    condition_of,
)


@pytest.fixture
async def server() -> AsyncIterator[OpenMeteoServer]:
    async with openmeteo_server() as running:
        yield running


def client(server: OpenMeteoServer, *, timeout_s: float = 5, attempts: int = 3) -> OpenMeteo:
    return OpenMeteo(
        geocoding_url=server.url,
        forecast_url=server.url + "/",
        timeout_s=timeout_s,
        attempts=attempts,
        pause_s=0.01,
    )


async def test_a_forecast_is_the_extremes_of_the_day(server: OpenMeteoServer) -> None:
    forecast = await client(server).forecast(" New York ")
    assert forecast == Forecast(
        date=datetime.date(2026, 5, 16),
        max_temp=22.3,
        min_temp=14.1,
        precipitation_chance=10,
        condition="Mainly clear",
        location="New York",
    )


async def test_json_names_are_the_originals(server: OpenMeteoServer) -> None:
    forecast = await client(server).forecast("Seattle")
    assert forecast.model_dump(mode="json") == {
        "date": "2026-05-16",
        "maxTemp": 12.4,
        "minTemp": 8.2,
        "precipitationChance": 85,
        "condition": "Moderate rain",
        "location": "Seattle",
    }


async def test_the_service_is_asked_for_one_day_in_the_places_own_time(
    server: OpenMeteoServer,
) -> None:
    await client(server).forecast("Seattle")
    (search, found), (forecast, asked) = server.requests
    assert (search, found) == ("/v1/search", {"name": "Seattle", "count": "1"})
    assert forecast == "/v1/forecast"
    assert asked["current"] == "weather_code"
    assert asked["hourly"] == "temperature_2m,precipitation_probability"
    assert asked["timezone"] == "auto"
    assert asked["forecast_days"] == "1"


async def test_addresses_come_from_the_environment(
    server: OpenMeteoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    assert (await OpenMeteo().forecast("Edge")).precipitation_chance == 50


async def test_an_unknown_code_is_said_to_be_unknown(server: OpenMeteoServer) -> None:
    assert (await client(server).forecast("Edge")).condition == "Unknown"
    assert condition_of(95) == "Thunderstorm"


async def test_an_unknown_city_is_named(server: OpenMeteoServer) -> None:
    with pytest.raises(UnknownCityError, match="no city called 'Nowhereville'"):
        await client(server).forecast("Nowhereville")
    assert len(server.requests) == 1


async def test_an_empty_city_asks_nobody(server: OpenMeteoServer) -> None:
    with pytest.raises(UnknownCityError, match="empty"):
        await client(server).forecast("  ")
    assert server.requests == []


async def test_a_passing_fault_is_tried_again(server: OpenMeteoServer) -> None:
    server.fault, server.fails = "flaky", 2
    assert (await client(server).forecast("Seattle")).location == "Seattle"
    assert len(server.requests) == 4


async def test_a_service_that_is_down_is_unreachable(server: OpenMeteoServer) -> None:
    server.fault = "error"
    with pytest.raises(WeatherUnreachableError, match="it answered 503"):
        await client(server, attempts=2).forecast("Seattle")
    assert len(server.requests) == 3


async def test_no_answer_in_time_is_unreachable(server: OpenMeteoServer) -> None:
    server.fault = "slow"
    with pytest.raises(WeatherUnreachableError, match=r"within 0\.1 s"):
        await client(server, timeout_s=0.1, attempts=1).forecast("Seattle")


async def test_a_dead_network_is_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(WeatherUnreachableError, match="cannot be reached"):
        await OpenMeteo(geocoding_url=url, attempts=2, pause_s=0.01).forecast("Seattle")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("not-json", "cannot be read: Invalid JSON"),
        ("no-hours", r"cannot be read: current\.weather_code: Field required"),
        ("refused", "answered 400, .*no such field"),
        ("empty-hours", "no temperatures for Seattle"),
    ],
)
async def test_a_bad_answer_is_not_tried_again(
    server: OpenMeteoServer, fault: str, message: str
) -> None:
    server.fault = fault  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(WeatherAnswerError, match=message) as caught:
        await client(server).forecast("Seattle")
    assert isinstance(caught.value, WeatherError)
    assert len(server.requests) == 2


def test_samples_cover_a_dry_and_a_wet_city() -> None:
    day = datetime.date(2026, 5, 16)
    assert sample_forecast(" new  york ", day).precipitation_chance <= 50
    assert sample_forecast("SEATTLE", day).precipitation_chance > 50
    assert sample_forecast("Seattle", day).location == "Seattle"


def test_any_other_city_gets_one_of_the_samples_and_always_the_same() -> None:
    day = datetime.date(2026, 5, 16)
    chances = {values["precipitation_chance"] for values in SAMPLES.values()}
    seen = {sample_forecast(city, day).precipitation_chance for city in ("Oslo", "Rome", "Lima")}
    assert seen <= chances
    assert (
        sample_forecast("oslo", day).precipitation_chance
        == sample_forecast("Oslo", day).precipitation_chance
    )
    assert sample_forecast("Oslo").location == "Oslo"
