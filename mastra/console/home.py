"""The first page: what runs, waits and failed, and how it went; and Inngest, where it runs it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from nicegui import ui

from mastra.console.api import at
from mastra.console.frame import Look, console_page
from mastra.console.show import heading, nothing, state_text, table

_WINDOWS: Final = {"hour": (timedelta(hours=1), "1m"), "day": (timedelta(days=1), "1h")}
"""How long it is, and what its plots count by."""
_TOKENS: Final = ["mastra_model_total_input_tokens", "mastra_model_total_output_tokens"]
_TIMES: Final = ["mastra_workflow_duration_ms", "mastra_model_duration_ms"]
_PLOTS: Final = {
    "Runs": (_TIMES[:1], "count", "status", "value"),
    "Time on average, ms": (_TIMES, "avg", "name", "value"),
    "Tokens": (_TOKENS, "sum", "name", "value"),
    "Cost, $": (_TOKENS, "sum", "name", "estimatedCost"),
}
"""Which metrics, how many become one, what there is a line for, and what of each point."""
_LINES: Final = {
    **dict(zip(_TOKENS, ("input", "output"), strict=True)),
    **dict(zip(_TIMES, ("runs", "models"), strict=True)),
    "ok": "✓ went on or ended",
    "error": "✗ failed",
}
_COLOURS: Final = ["#4c83e0", "#d9772b"]
Lines = dict[str, list[list[Any]]]


@console_page("/", "Home")
async def _home_page(look: Look, over: str = "hour") -> None:
    length, interval = _WINDOWS[over if over in _WINDOWS else "hour"]
    times = [(datetime.now(UTC) - length).isoformat(), datetime.now(UTC).isoformat()]
    counts: dict[str, Any] = await look.api.get("/workflows/run-counts")
    waiting = sum(one["suspended"] for one in counts.values())
    for key in await look.api.get("/agents"):
        waiting += (await look.api.get(f"{at('agents', key)}/suspended-runs", perPage=1))["total"]
    with ui.row().classes("items-center gap-4"):
        for name in _WINDOWS:
            link = ui.link(f"Last {name}", look.url(over=name))
            link.classes("font-bold" if name == over else "")
    with ui.row().classes("w-full gap-4"):
        running = sum(one["running"] for one in counts.values())
        _card(state_text("running"), running, look.url("runs", status="running"))
        _card("‖ waiting for somebody", waiting, look.url("inbox"))
        for status in ("failed", "success"):
            asked = {"fromDate": times[0], "status": status, "limit": 1}
            paths = [f"{at('workflows', key)}/runs" for key in counts]
            count = sum([(await look.api.get(path, **asked))["total"] for path in paths])
            _card(f"{state_text(status)}, last {over}", count, look.url("runs", status=status))
    with ui.row().classes("w-full items-stretch gap-4") as plots:
        ui.spinner()
    look.keep(lambda: _plot(look, plots, times, interval))
    engine: Any = look.place.mastra.engine
    if type(engine).__name__ == "InngestEngine":
        await _inngest(look, engine)


def _card(title: str, value: int, target: str) -> None:
    link = ui.link(target=target).classes("no-underline text-inherit grow basis-40")
    with link, ui.card().classes("w-full gap-0"):
        ui.label(str(value)).classes("text-3xl font-semibold")
        ui.label(title).classes("text-sm opacity-80")


async def _plot(look: Look, place: ui.row, times: list[str], interval: str) -> None:
    async def ask(what: str, names: list[str], how: str, *by: str) -> Any:
        during = {"timestamp": dict(zip(("start", "end"), times, strict=True))}
        asked = {"name": names, "aggregation": how, "groupBy": by, "interval": interval}
        return await look.api.post(f"/observability/metrics/{what}", {**asked, "filters": during})

    plots: dict[str, Lines] = {}
    for title, (names, how, by, key) in _PLOTS.items():
        plots[title] = {
            _LINES[one["name"]]: [[at["timestamp"], at[key]] for at in one["points"]]
            for one in (await ask("timeseries", names, how, by))["series"]
        }
    models = (await ask("breakdown", _TOKENS, "sum", "provider", "model"))["groups"]
    unknown = [
        "/".join(filter(None, one["dimensions"].values()))
        for one in models
        if one["estimatedCost"] is None and one["value"]
    ]
    place.clear()
    with place:
        for title, lines in plots.items():
            with ui.card().classes("grow basis-[28rem] min-w-0"):
                heading(title, 3)
                is_unknown = unknown and "Cost" in title
                if is_unknown:
                    nothing(f"unknown for models without a known price: {', '.join(unknown)}")
                if any(point[1] for points in lines.values() for point in points):
                    _chart(title, lines, times)
                elif not is_unknown:
                    nothing("Nothing in this time, as far as traces are kept.")


def _chart(title: str, lines: Lines, times: list[str]) -> None:
    bars: dict[str, Any] = {"type": "bar", "stack": "all", "barWidth": 6}
    kind = {"type": "line"} if "average" in title else bars
    grey = {"color": "#888"}
    x_axis = {"type": "time", "min": times[0], "max": times[1]}
    options: dict[str, Any] = {
        "animation": False,
        "aria": {"enabled": True, "decal": {"show": True}},
        "color": _COLOURS,
        "grid": {"left": 56, "right": 12, "top": 30, "bottom": 24},
        "legend": {"textStyle": grey, "top": 0},
        "tooltip": {"trigger": "axis"},
        "xAxis": {**x_axis, "axisLabel": grey | {"hideOverlap": True}},
        "yAxis": {"type": "value", "min": 0, "axisLabel": grey, "splitLine": {"show": False}},
        "series": [{"name": name, "data": points, **kind} for name, points in lines.items()],
    }
    ui.echart(options).classes("w-full h-56")  # which says in words what it shows


async def _inngest(look: Look, engine: Any) -> None:
    # Where the engine is Inngest's, so is what these import.
    from mastra.inngest.wire.names import function_id  # noqa: PLC0415
    from mastra.inngest.wire.transport import NotReached  # noqa: PLC0415

    client, known = engine.client, None
    origin = str(client.api_origin).rstrip("/")
    told = f"✓ {origin} answers"
    try:
        known = await engine.api.functions()
    except NotReached as error:
        told = f"✗ {origin} does not answer: {error}"
    heading("Inngest")
    ui.label(told).props("role=status")
    cloud = "https://app.inngest.com"
    ui.link("Its dashboard", cloud if origin.endswith(".inngest.com") else origin, new_tab=True)
    rows: list[dict[str, Any]] = []
    for key, wire in (await look.api.get("/workflows")).items():
        name = f"{client.app_id}-{function_id(wire['name'])}"
        state = "unknown" if known is None else "registered" if name in known else "missing there"
        rows.append({"id": key, "name": name, "state": state, "href": look.url("workflows", key)})
    table({"name": "Function", "state": "State"}, rows, name="link", state="state")
