"""Schedules: what is started by itself, when next, and how that went."""

from __future__ import annotations

from typing import Any, Final

from nicegui import ui

from mastra.console.api import at, facts
from mastra.console.frame import Look, console_page
from mastra.console.show import heading, nothing, show_json, state_text, table, when

_FIRES: Final = 100  # how many moments of a schedule are listed: the latest
_GIVEN: Final = {"inputData": "With", "prompt": "With", "initialState": "State", "metadata": "More"}


def _target(look: Look, one: dict[str, Any]) -> tuple[str, str]:
    """Return the name of what a schedule starts, and its address."""
    kind = "workflow" if one.get("workflowId") else "agent"
    return one[f"{kind}Id"], look.url(f"{kind}s", one[f"{kind}Id"])


@console_page("/schedules", "Schedules")
async def _schedules_page(look: Look) -> None:
    found: list[dict[str, Any]] = (await look.api.get("/schedules"))["schedules"]
    if not found:
        nothing("None. create_workflow(schedule=...) and mastra.schedules.create(...) make them.")
        return
    rows: list[dict[str, Any]] = []
    for one in found:
        own = {"target": _target(look, one)[0], "href": look.url("schedules", one["id"])}
        own |= {"state": one["status"], "last": facts(one.get("lastRun")).get("status")}
        own |= {"next": one["nextFireAt"]} if one["status"] == "active" else {}
        rows.append({**one, **own})
    columns = {"target": "Starts", "cron": "When", "timezone": "Time zone", "state": "State"}
    columns |= {"next": "Next", "lastFireAt": "Last", "last": "It is", "resourceId": "Resource"}
    table(columns, rows, target="link", state="state", next="at", lastFireAt="at")


@console_page("/schedules/{schedule_id}", "Schedule")
async def _schedule_page(look: Look, schedule_id: str) -> None:
    path = at("schedules", schedule_id)
    one: dict[str, Any] = await look.api.get(path)
    fires = (await look.api.get(f"{path}/triggers", limit=_FIRES))["triggers"]
    is_active = one["status"] == "active"
    name, target = _target(look, one)

    async def do(what: str) -> None:
        await look.api.post(f"{path}/{what}")
        ui.navigate.to(look.url("schedules", schedule_id))

    with ui.row().classes("w-full items-center gap-4"):
        heading(f"Schedule of {name}", 1)
        ui.label(state_text(one["status"])).props("role=status")
        ui.space()
        for text, icon, what in (
            ("Run now", "play_arrow", "run"),
            ("Pause", "pause", "pause") if is_active else ("Resume", "play_circle", "resume"),
        ):
            button = ui.button(text, icon=icon, on_click=lambda _, what=what: do(what))
            button.props("outline dense no-caps")
    with ui.row().classes("gap-4 items-center text-sm"):
        ui.label(f"{one['cron']} {one.get('timezone') or 'UTC'}").classes("mono")
        if is_active:
            ui.label("next")
            when(one["nextFireAt"])
        ui.label(f"of {one['resourceId']}" if one.get("resourceId") else "")
        ui.link(name, target)
    for key, title in _GIVEN.items():
        if one.get(key) is not None:
            show_json(one[key], title)
    heading("What it started")
    rows: list[dict[str, Any]] = []
    for fire in fires:
        own = {"name": fire["runId"] or "no run", "href": look.url("runs", search=fire["runId"])}
        own["state"] = facts(fire.get("run")).get("status", fire["outcome"])
        own["what"] = "by hand" if fire["triggerKind"] == "manual" else ""
        rows.append({**fire, **own})
    columns = {"actualFireAt": "Began", "state": "State", "name": "Run", "what": "How"}
    columns |= {"error": "Error"}
    table(columns, rows, actualFireAt="at", name="link", state="state")
