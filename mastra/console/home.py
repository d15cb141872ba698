"""The first page: what runs, waits and failed, and how it went; and Inngest, where it runs it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from nicegui import ui

from mastra.console.api import at
from mastra.console.frame import Look, console_page
from mastra.console.show import heading, nothing, state_text, table

_WINDOWS: Final = {"hour": (timedelta(hours=1), 30, "5m"), "day": (timedelta(days=1), 24, "1h")}
"""How long it is, in how many parts its runs are counted, and its metrics' interval."""
_TOKENS: Final = {side: f"mastra_model_total_{side}_tokens" for side in ("input", "output")}
_TIMES: Final = {"runs": "mastra_workflow_duration_ms", "models": "mastra_model_duration_ms"}
_METRICS: Final = {
    "Time on average, ms": ("avg", "value", _TIMES),
    "Tokens": ("sum", "value", _TOKENS),
    "Cost, $": ("sum", "estimatedCost", _TOKENS),
}
Lines = dict[str, list[list[Any]]]


@console_page("/", "Home")
async def _home_page(look: Look, over: str = "hour") -> None:
    length, parts, interval = _WINDOWS[over if over in _WINDOWS else "hour"]
    end = datetime.now(UTC)
    counts: dict[str, Any] = await look.api.get("/workflows/run-counts")
    window = _Window(look, list(counts), end - length, end)
    waiting = sum(one["suspended"] for one in counts.values())
    for key in await look.api.get("/agents"):
        waiting += (await look.api.get(f"{at('agents', key)}/suspended-runs", perPage=1))["total"]
    with ui.row().classes("items-center w-full"):
        heading("Home", 1)
        ui.space()
        for name in _WINDOWS:
            link = ui.link(f"Last {name}", look.url(over=name))
            link.classes("font-bold" if name == over else "")
    with ui.row().classes("w-full gap-4"):
        running = sum(one["running"] for one in counts.values())
        _card(state_text("running"), running, look.url("runs", status="running"))
        _card("‖ waiting for somebody", waiting, look.url("inbox"))
        for status in ("failed", "success"):
            count = await window.count(status)
            _card(f"{state_text(status)}, last {over}", count, look.url("runs", status=status))
    with ui.row().classes("w-full items-stretch gap-4") as plots:
        ui.spinner()
    look.keep(lambda: _plot(look, window, plots, parts, interval))
    engine: Any = look.place.mastra.engine
    if type(engine).__name__ == "InngestEngine":
        await _inngest(look, engine.client)


def _card(title: str, value: int, target: str) -> None:
    link = ui.link(target=target).classes("no-underline text-inherit grow basis-40")
    with link, ui.card().classes("w-full gap-0"):
        ui.label(str(value)).classes("text-3xl font-semibold")
        ui.label(title).classes("text-sm opacity-80")


class _Window:
    """A time that is looked back on."""

    def __init__(self, look: Look, keys: list[str], start: datetime, end: datetime) -> None:
        self._api = look.api
        self._keys = keys
        self.start = start
        self.end = end

    async def count(self, status: str | None, part: int = 0, of: int = 1) -> int:
        """Count the runs that were begun in it, or in a part of it, from storage."""
        length = (self.end - self.start) / of
        start = self.start + part * length
        during = {"fromDate": start.isoformat(), "toDate": (start + length).isoformat()}
        paths = [f"{at('workflows', key)}/runs" for key in self._keys]
        found = [await self._api.get(path, status=status, **during, limit=1) for path in paths]
        return sum(one["total"] for one in found)

    async def metric(self, name: str, how: str, interval: str, key: str) -> list[list[Any]]:
        """Return a metric over it."""
        during = {"start": self.start.isoformat(), "end": self.end.isoformat()}
        asked = {"name": [name], "aggregation": how, "interval": interval}
        body = {**asked, "filters": {"timestamp": during}}
        found = await self._api.post("/observability/metrics/timeseries", body)
        points = [point for one in found["series"] for point in one["points"]]
        return [[point["timestamp"], point[key]] for point in points if point[key] is not None]


async def _plot(look: Look, window: _Window, place: ui.row, parts: int, interval: str) -> None:
    runs: Lines = {}
    for name, status in {"all": None, "success": "success", "failed": "failed"}.items():
        for part in range(parts):
            at_part = window.start + (window.end - window.start) / parts * part
            count = await window.count(status, part, parts)
            runs.setdefault(name, []).append([at_part.isoformat(), count])
    plots = {"Runs": runs}
    for title, (how, key, names) in _METRICS.items():
        plots[title] = {n: await window.metric(m, how, interval, key) for n, m in names.items()}
    with look.client:
        place.clear()
        for title, lines in plots.items():
            with place, ui.card().classes("grow basis-[28rem] min-w-0"):
                heading(title, 3)
                if any(point[1] for points in lines.values() for point in points):
                    _chart(title, lines, window)
                else:
                    nothing("Nothing in this time.")


def _chart(title: str, lines: Lines, window: _Window) -> None:
    styles = ("solid", "dashed", "dotted")
    series = [
        {"name": name, "type": "line", "data": points, "lineStyle": {"type": styles[place % 3]}}
        for place, (name, points) in enumerate(lines.items())
    ]
    ends = {"min": window.start.isoformat(), "max": window.end.isoformat()}
    options: dict[str, Any] = {
        "grid": {"left": 56, "right": 12, "top": 30, "bottom": 24},
        "legend": {"textStyle": {"color": "#888"}, "top": 0},
        "tooltip": {"trigger": "axis"},
        "xAxis": {"type": "time", "axisLabel": {"hideOverlap": True}, **ends},
        "yAxis": {"type": "value", "min": 0, "splitLine": {"lineStyle": {"opacity": 0.3}}},
        "series": series,
    }
    ui.echart(options).classes("w-full h-56").props(f'role=img aria-label="Plot: {title}"')


async def _inngest(look: Look, client: Any) -> None:
    import httpx  # noqa: PLC0415 - comes with Inngest

    origin = str(client.api_origin)
    try:
        async with httpx.AsyncClient(timeout=3) as asking:
            await asking.get(origin)
        told = f"✓ {origin} answers"
    except httpx.HTTPError as error:
        told = f"✗ {origin} does not answer: {error!r}"
    heading("Inngest")
    ui.label(told).props("role=status")
    target = "https://app.inngest.com" if client.is_production else origin
    ui.link("Its dashboard", target, new_tab=True)
    rows = [
        {"id": key, "name": f"{client.app_id}-{wire['name']}", "href": look.url("workflows", key)}
        for key, wire in (await look.api.get("/workflows")).items()
    ]
    table({"name": "Function"}, rows, name="link")
