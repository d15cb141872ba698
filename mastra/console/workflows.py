"""Workflows: what there are, one of them with a form to start it, and all runs."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from nicegui import ui

from mastra.console import show
from mastra.console.api import Refused, at
from mastra.console.forms import SchemaForm, schema_of
from mastra.console.frame import Look, console_page
from mastra.ids import new_id

_PAGE: Final = 100
_STATUSES: Final = {"": "any state"} | {
    name: show.state_text(name) for name in show.STATES if name not in {"completed", "error"}
}


def _run_rows(look: Look, runs: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Return rows of a table of runs of one workflow."""
    urls = [look.url("workflows", key, "runs", run["runId"]) for run in runs]
    return [
        {**run, "id": run["runId"], "state": run["snapshot"]["status"], "href": url}
        for run, url in zip(runs, urls, strict=True)
    ]


@console_page("/workflows", "Workflows")
async def _list_page(look: Look) -> None:
    found: dict[str, Any] = await look.api.get("/workflows")
    counts: dict[str, Any] = await look.api.get("/workflows/run-counts")
    rows = [
        {**wire, **counts[key], "id": key, "href": look.url("workflows", key)}
        for key, wire in found.items()
    ]
    columns = {"name": "Workflow", "description": "What it is for", "running": "Running"}
    show.table({**columns, "suspended": "Suspended", "version": "Version"}, rows, name="link")


@console_page("/workflows/{workflow_id}", "Workflow")
async def _workflow_page(look: Look, workflow_id: str) -> None:
    path = at("workflows", workflow_id)
    wire: dict[str, Any] = await look.api.get(path)
    runs: dict[str, Any] = await look.api.get(f"{path}/runs", limit=20)
    show.heading(wire["name"], 1)
    ui.label(wire.get("description", ""))
    if "versions" in wire:
        kept = ", ".join(map(str, wire["versions"]))
        ui.label(f"New runs take version {wire['version']}; each run goes on by its own of {kept}.")
    with show.beside():
        with show.side():
            show.Graph(wire["stepGraph"])
        with show.side():
            show.heading("Start a run")
            _starter(look, path, workflow_id, wire)
    show.heading(f"Latest runs ({runs['total']} in all)")
    _latest(look, workflow_id, runs["runs"])


def _starter(look: Look, path: str, key: str, wire: dict[str, Any]) -> None:
    forms = {"inputData": SchemaForm(schema_of(wire["inputSchema"]))}
    with ui.expansion("More").classes("w-full"):
        resource = show.entry(ui.input("Whose run it is (resource)"))
        if "stateSchema" in wire:
            forms["initialState"] = SchemaForm(schema_of(wire["stateSchema"]))

    async def start() -> None:
        body: dict[str, Any] = {name: form.read() for name, form in forms.items()}
        owned = {"resourceId": resource.value} if resource.value else {}
        run_id = new_id()
        # Made and begun in one call, so that a start that is refused leaves no run behind.
        await look.api.post(f"{path}/start", {**body, **owned}, runId=run_id)
        ui.navigate.to(look.url("workflows", key, "runs", run_id))

    ui.button("Start", icon="play_arrow", on_click=start)


def _latest(look: Look, key: str, runs: list[dict[str, Any]]) -> None:
    columns = {"id": "Run", "state": "State", "resourceId": "Resource", "createdAt": "Created"}
    rows = _run_rows(look, runs, key)
    made = show.table(columns, rows, id="link", state="state", createdAt="at")
    with ui.row().classes("items-center"):
        show.compare_two(made, lambda a, b: look.url("workflows", key, "compare", left=a, right=b))
        ui.link("All runs", look.url("runs", workflow=key))


@console_page("/runs", "Runs")
async def _runs_page(
    look: Look,
    workflow: str = "",
    status: str = "",
    search: str = "",
    before: str = "",
    skip: int = 0,
) -> None:
    """List runs, the newest first.

    A page goes on where the last one ended: at a moment, after so many of that moment. So the last
    of ten thousand costs what the first does, and a run that is added moves nothing.
    """
    known = list(look.place.mastra.list_workflows())
    filters = {"workflow": workflow, "status": status, "search": search}
    _fields(look, known, filters, before)
    asked = [workflow] if workflow else known
    rows, total = await _by_id(look, asked, search) if search else ([], 0)
    if not rows:
        query = {"status": status or None, "resourceId": search or None, "toDate": before or None}
        for key in asked:
            path = f"{at('workflows', key)}/runs"
            listed = await look.api.get(path, **query, limit=_PAGE + skip + 1)
            rows += _run_rows(look, listed["runs"], key)
            total += listed["total"]
        rows.sort(key=lambda row: str(row["createdAt"]), reverse=True)
    rows, total = rows[skip:], total - skip
    columns = {"id": "Run", "state": "State", "workflowName": "Workflow", "resourceId": "Resource"}
    shown = rows[:_PAGE]
    show.table({**columns, "createdAt": "Created"}, shown, id="link", state="state", createdAt="at")
    with ui.row():
        ui.label(f"{len(shown)} of {total}{' that are as old' if before else ''}")
        if before:
            ui.link("Newest", look.url("runs", **filters))
        if len(rows) > _PAGE:
            last = shown[-1]["createdAt"]
            same = sum(row["createdAt"] == last for row in shown) + (skip if last == before else 0)
            ui.link("Older", look.url("runs", **filters, before=last, skip=same))


async def _by_id(look: Look, keys: list[str], run_id: str) -> tuple[list[dict[str, Any]], int]:
    """Return the runs with an id, of whichever workflow."""
    rows: list[dict[str, Any]] = []
    for key in keys:
        with suppress(Refused):  # where there is none, all runs are asked for, with the same right
            run = await look.api.get(f"{at('workflows', key)}{at('runs', run_id)}", fields="result")
            rows += _run_rows(look, [{**run, "snapshot": run}], key)
    return rows, len(rows)


def _fields(look: Look, known: list[str], filters: dict[str, str], before: str) -> None:
    workflows = {"": "all workflows", **{key: key for key in known}}
    with ui.row().classes("items-center w-full gap-3"):
        fields: dict[str, Any] = {
            "workflow": ui.select(workflows, value=filters["workflow"], label="Workflow"),
            "status": ui.select(_STATUSES, value=filters["status"], label="State"),
            "search": ui.input("Id of a run, or resource", value=filters["search"]),
            "before": ui.input("Before", value=before[:10]).props("type=date stack-label"),
        }

        def go() -> None:
            ui.navigate.to(look.url("runs", **{name: one.value for name, one in fields.items()}))

        for name, field in fields.items():
            field.props("outlined dense")
            if name != "search":
                field.on_value_change(go)
        fields["search"].props("type=search").classes("grow").on("keydown.enter", go)
