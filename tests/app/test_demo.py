"""The demo with the real embedded model: a plan on a machine without key, server or network."""

from __future__ import annotations

import time

import pytest

from app.demo import demo_weather
from app.samples import sample_forecast
from tests.support.app_process import NOWHERE, run, running
from tests.support.openmeteo_server import openmeteo_server
from tools.weather import UnknownCityError

HEADINGS = [
    "🌡️ WEATHER SUMMARY",
    "🌅 MORNING ACTIVITIES",
    "🌞 AFTERNOON ACTIVITIES",
    "🏠 INDOOR ALTERNATIVES",
    "⚠️ SPECIAL CONSIDERATIONS",
]


@pytest.mark.every_engine
@pytest.mark.xdist_group("embedded-model")
@pytest.mark.timeout(150)
async def test_without_a_network_a_sample_is_planned_and_streams_within_seconds() -> None:
    begun = time.monotonic()
    async with running("--demo", "New York", env=NOWHERE) as process:
        assert process.stdout is not None
        pieces: list[bytes] = []
        arrivals: list[float] = []
        while piece := await process.stdout.read(4096):
            pieces.append(piece)
            arrivals.append(time.monotonic() - begun)
        _, err = await process.communicate()
        assert process.returncode == 0, err.decode()

        # Most of the pieces were seen while the rest was still to be generated.
        assert len(arrivals) > 20
        assert arrivals[0] < arrivals[len(arrivals) // 2] < arrivals[-1] - 0.2

        plan = b"".join(pieces).decode()
        assert plan.startswith("📅 ")
        assert "• Chance of rain: 10 %" in plan
        places = [plan.index(heading) for heading in HEADINGS]
        assert places == sorted(places)

        # Nothing else, such as what the native library logs, is said.
        started, notice, fetched, planning, planned, branch, result = err.decode().splitlines()
        assert started == "… fetch-weather"
        assert notice == "Open-Meteo cannot be reached: this is a sample forecast, made up."
        assert fetched.startswith("✓ fetch-weather ")
        assert planning == "… plan-activities"
        assert planned.startswith("✓ plan-activities ")
        assert branch.startswith("Branch: plan-activities (10 % chance of rain")
        assert result.startswith(f"Result: success, a plan of {len(plan)} characters")


@pytest.mark.every_engine
@pytest.mark.xdist_group("embedded-model")
@pytest.mark.timeout(150)
async def test_live_weather_goes_first_and_a_wet_day_is_planned_indoors_first() -> None:
    async with openmeteo_server() as weather:
        ended = await run("--demo", "Seattle", env=weather.environment)
    assert ended.code == 0, ended.err
    assert "sample" not in ended.err
    assert "• Temperature: 8 to 12 °C\n• Chance of rain: 85 %" in ended.out
    assert ended.out.index("🏠 INDOOR") < ended.out.index("🌅 MORNING")
    assert "Branch: plan-indoor-activities (85 % chance of rain, over 50 %)" in ended.err


async def test_a_service_that_is_down_gives_a_sample_and_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notices: list[str] = []
    async with openmeteo_server() as weather:
        for name, value in weather.environment.items():
            monkeypatch.setenv(name, value)
        weather.fault = "error"
        forecast = await demo_weather(notices.append)("Seattle")
    assert forecast == sample_forecast("Seattle")
    assert notices == ["Open-Meteo cannot be reached: this is a sample forecast, made up."]


async def test_an_unknown_city_gets_no_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    notices: list[str] = []
    async with openmeteo_server() as weather:
        for name, value in weather.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(UnknownCityError):
            await demo_weather(notices.append)("Nowhereville")
    assert notices == []
