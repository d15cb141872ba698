"""A real HTTP server on loopback that plays Open-Meteo: both of its services, faults on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

Fault = Literal["error", "flaky", "slow", "not-json", "no-hours", "refused", "empty-hours"]

CITIES: dict[str, dict[str, Any]] = {
    "new york": {
        "place": {"name": "New York", "latitude": 40.71, "longitude": -74.01},
        "code": 1,
        "temperatures": [14.1, 18.4, 22.3, None],
        "chances": [0, 10, None, 5],
    },
    "seattle": {
        "place": {"name": "Seattle", "latitude": 47.61, "longitude": -122.33},
        "code": 63,
        "temperatures": [8.2, 12.4],
        "chances": [40, 85],
    },
    "edge": {
        "place": {"name": "Edge", "latitude": 1.0, "longitude": 1.0},
        "code": 1234,
        "temperatures": [5.0],
        "chances": [50],
    },
}


@dataclass
class OpenMeteoServer:
    """What the server was asked and how it is to behave."""

    url: str = ""
    fault: Fault | None = None
    """Affects forecasts; looking up a city always works."""
    fails: int = 0
    """With the fault `flaky`: how many requests fail before one succeeds."""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Path and query of each request."""

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead the client here."""
        return {"OPEN_METEO_GEOCODING_URL": self.url, "OPEN_METEO_FORECAST_URL": self.url}

    async def search(self, request: web.Request) -> web.Response:
        self.requests.append((request.path, dict(request.query)))
        city = CITIES.get(request.query["name"].casefold())
        if city is None:
            return web.json_response({"generationtime_ms": 0.4})
        return web.json_response({"results": [city["place"]], "generationtime_ms": 0.4})

    async def forecast(self, request: web.Request) -> web.Response:
        self.requests.append((request.path, dict(request.query)))
        match self.fault:
            case "error":
                return web.Response(status=503, text="try later")
            case "flaky" if self.fails > 0:
                self.fails -= 1
                return web.Response(status=500)
            case "slow":
                await asyncio.sleep(30)
            case "not-json":
                return web.Response(text="<html>maintenance</html>")
            case "no-hours":
                return web.json_response({"current": {"time": "2026-05-16T09:00"}})
            case "refused":
                return web.json_response({"error": True, "reason": "no such field"}, status=400)
            case _:
                pass
        latitude = float(request.query["latitude"])
        city = next(c for c in CITIES.values() if c["place"]["latitude"] == latitude)
        temperatures = [None] if self.fault == "empty-hours" else city["temperatures"]
        return web.json_response(
            {
                "latitude": latitude,
                "timezone": "Somewhere/Else",
                "current_units": {"weather_code": "wmo code"},
                "current": {
                    "time": "2026-05-16T09:00",
                    "interval": 900,
                    "weather_code": city["code"],
                },
                "hourly": {
                    "temperature_2m": temperatures,
                    "precipitation_probability": city["chances"],
                },
            }
        )


@asynccontextmanager
async def openmeteo_server() -> AsyncGenerator[OpenMeteoServer]:
    """Run the server on a free port."""
    state = OpenMeteoServer()
    app = web.Application()
    app.router.add_get("/v1/search", state.search)
    app.router.add_get("/v1/forecast", state.forecast)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    state.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield state
    finally:
        await runner.cleanup()
