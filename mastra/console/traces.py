"""Traces: what was traced, and the waterfall of one of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from nicegui import ui

from mastra.console.api import at, facts
from mastra.console.frame import Look, console_page
from mastra.console.show import (
    STATES,
    ago,
    beside,
    entry,
    heading,
    nothing,
    show_json,
    side,
    table,
    when,
)

_MOST_SPANS: Final = 1000  # how many spans of a trace are drawn: the first


@console_page("/traces", "Traces")
async def _traces_page(look: Look, search: str = "", page: int = 0) -> None:
    text: Any = ui.input("Id of a run, name of what ran, resource, or success, error, running")
    entry(text).set_value(search)
    text.props("type=search")
    text.on("keydown.enter", lambda: ui.navigate.to(look.url("traces", search=text.value)))
    found: dict[str, Any] = {"spans": []}
    for name in ("runId", "entityName", "resourceId", "status") if search else ("",):
        asked = {name: search} if name else {}
        found = await look.api.get("/observability/traces/light", page=page, perPage=50, **asked)
        if found["spans"]:
            break
    if not found["spans"]:
        nothing("None is kept. `mastra dev` keeps traces, and Mastra(observability=...) does.")
        return
    rows: list[dict[str, Any]] = []
    for span in found["spans"]:
        own = {"id": span["traceId"], "state": span["status"], "took": _took(span)}
        own["href"] = look.url("traces", span["traceId"])
        rows.append({**span, **facts(span.get("metadata")), **own})
    columns = {"name": "Trace", "state": "State", "took": "Time", "runId": "Run"}
    columns |= {"resourceId": "Resource", "startedAt": "Began"}
    table(columns, rows, name="link", state="state", startedAt="at")
    more = found["pagination"]["hasMore"]
    for title, there, to in (("Newer", page, page - 1), ("Older", more, page + 1)):
        if there:
            ui.link(title, look.url("traces", search=search, page=to))


def _took(span: dict[str, Any]) -> str:
    return "" if span["endedAt"] is None else ago(_ms(span["endedAt"]) - _ms(span["startedAt"]))


def _ms(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp() * 1000


@console_page("/traces/{trace_id}", "Trace")
async def _trace_page(look: Look, trace_id: str) -> None:
    path = at("observability", "traces", trace_id)
    spans: list[dict[str, Any]] = (await look.api.get(f"{path}/light"))["spans"]
    begins = min(_ms(span["startedAt"]) for span in spans)
    whole = max(_ms(span["endedAt"] or span["startedAt"]) for span in spans) - begins
    heading(spans[0]["name"], 1)
    ui.label(f"{trace_id}: {len(spans)} spans, {ago(whole)}").classes("mono")

    async def show(span_id: str) -> None:
        span = (await look.api.get(f"{path}{at('spans', span_id)}"))["span"]
        logs = await look.api.get("/observability/logs", spanId=span_id, perPage=200)
        detail.clear()
        with detail:
            _show_span(look, span, logs["logs"])

    with beside():
        with side("basis-[36rem]").classes("gap-0"):
            for span, depth in _ordered(spans)[:_MOST_SPANS]:
                _bar(span, depth, begins, max(whole, 0.001), show)
        detail = side()
    await show(spans[0]["spanId"])


def _ordered(spans: list[dict[str, Any]]) -> list[tuple[dict[str, Any], int]]:
    """Return spans below what they belong to, each with how deep that is."""
    known = {span["spanId"] for span in spans}
    below: dict[str | None, list[dict[str, Any]]] = {}
    for span in sorted(spans, key=lambda one: str(one["startedAt"]), reverse=True):
        parent = span["parentSpanId"] if span["parentSpanId"] in known else None
        below.setdefault(parent, []).append(span)
    found: list[tuple[dict[str, Any], int]] = []
    left = [(span, 0) for span in below.get(None, [])]
    while left:
        span, depth = left.pop()
        found.append((span, depth))
        left += [(one, depth + 1) for one in below.get(span["spanId"], [])]
    return found


def _bar(span: dict[str, Any], depth: int, begins: float, whole: float, show: Any) -> None:
    left = (_ms(span["startedAt"]) - begins) / whole * 100
    end = 100.0 if span["endedAt"] is None else (_ms(span["endedAt"]) - begins) / whole * 100
    status = "failed" if span.get("error") else "success" if span["endedAt"] else "running"
    sign, colour = STATES[status]
    row = ui.element("button").classes("w-full flex flex-nowrap items-center text-left gap-2")
    with row.on("click", lambda: show(span["spanId"])):
        label = ui.label(f"{sign} {span['name']}").classes("truncate text-sm shrink-0 w-2/5")
        label.style(f"padding-left: {min(depth, 12) * 0.8}rem").tooltip(span["name"])
        with ui.element("div").classes("grow relative h-4 bg-gray-500/10 rounded"):
            bar = ui.element("div").classes(f"absolute h-4 rounded bg-{colour}")
            bar.style(f"left: {min(left, 99.5):.2f}%; width: {max(end - left, 0.5):.2f}%")
        ui.label(_took(span)).classes("shrink-0 w-16 text-right text-xs")


def _show_span(look: Look, span: dict[str, Any], logs: list[dict[str, Any]]) -> None:
    heading(span["name"])
    with ui.row().classes("gap-3 text-sm"):
        when(span["startedAt"])
        ui.label(_took(span))
        if span.get("runId"):
            ui.link("Its run", look.url("runs", search=span["runId"]))
    if span["spanType"] == "model_generation" and span.get("input") is None:
        nothing("Prompts are kept with Observability(capture_content=True).")
    for key in ("error", "input", "output", "attributes"):
        if span.get(key):
            show_json(span[key], key.capitalize())
    for record in reversed(logs):
        ui.label(f"{record['level']}: {record['message']}").classes("told text-sm")
        ui.label(facts(record["data"]).get("exception", "")).classes("mono json")
