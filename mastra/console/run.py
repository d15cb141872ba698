"""One run: its graph while it goes, what each step took and gave, and what can be done with it."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from nicegui import ui

from mastra.console import show
from mastra.console.api import Refused, at, facts
from mastra.console.forms import LEFT_OUT, SchemaForm, schema_of
from mastra.console.frame import Look, console_page
from mastra.console.inbox import answer_step, waiting_steps
from mastra.console.run_state import ENDED, RunState

_DRAW_S: Final = (0.15, 1.0)
"""How often what has changed is drawn, at most; where steps are many all of them are sent."""
_MANY: Final = 200
_LOOK_S: Final = 1.0
"""How often a run that waits is looked at: it may be resumed in another process."""
_FIELDS: Final = "result,error,payload,steps,serializedStepGraph"
_ENDS: Final = {"payload": "Input of the run", "result": "Result", "error": "Error of the run"}
_PARTS: Final = {"payload": "Input", "output": "Output", "suspendPayload": "It said"}


@console_page("/workflows/{workflow_id}/runs/{run_id}", "Run")
async def _run_page(look: Look, workflow_id: str, run_id: str) -> None:
    path = at("workflows", workflow_id)
    wire = await look.api.get(path)
    found = await look.api.get(f"{path}{at('runs', run_id)}", fields=_FIELDS)
    view = _RunView(look, workflow_id, wire, found)
    view.draw()
    look.keep(view.follow)
    look.keep(view.redraw)


class _RunView:
    """The page of one run, which is drawn anew where something changed."""

    def __init__(self, look: Look, key: str, wire: dict[str, Any], found: dict[str, Any]) -> None:
        self._look = look
        self._key = key
        self._path = at("workflows", key)
        self._run_id: str = found["runId"]
        self._wire = wire
        self._steps: dict[str, Any] = wire["allSteps"]
        self._found = found
        self._state = RunState(found["status"], facts(found.get("steps")))
        self._selected = ""
        self._is_chosen = False
        self._changed = asyncio.Event()
        self._shown: dict[str, int] = {}
        self._sent = 0
        self._build()

    def _build(self) -> None:
        with ui.row().classes("w-full items-center gap-4"):
            show.heading(f"Run of {self._wire['name']}", 1)
            self._status = ui.badge().classes("text-sm q-pa-sm").props("role=status")
            ui.space()
            cancel = lambda: self._do(f"{at('runs', self._run_id)}/cancel")  # noqa: E731
            restart = lambda: self._do("/restart", runId=self._run_id)  # noqa: E731
            self._cancel = ui.button("Cancel", icon="cancel", on_click=cancel)
            self._restart = ui.button("Restart", icon="restart_alt", on_click=restart)
            for button in (self._cancel, self._restart):
                button.props("outline dense no-caps")
        with ui.row().classes("gap-4 items-center text-sm"):
            ui.label(self._run_id).classes("mono")
            show.when(self._found["createdAt"])
            ui.label(f"of {self._found['resourceId']}" if self._found["resourceId"] else "")
            ui.link("Workflow", self._look.url("workflows", self._key))
            ui.link("Traces", self._look.url("traces", search=self._run_id))
        self._waiting = ui.column().classes("w-full")
        with show.beside():
            with show.side():
                nodes = self._found.get("serializedStepGraph") or self._wire["stepGraph"]
                self._graph = show.Graph(nodes, self._choose)
                columns = {"step": "Step", "state": "State", "took": "Time", "attempt": "Attempt"}
                self._table: Any = show.table(columns, [], step="choice", state="state")
                self._table.on("rowClick", self._choose, [[], ["id"], None])
                if len(self._steps) > _MANY:
                    self._table.props("virtual-scroll").classes("max-h-96")
            with show.side():
                self._title = show.heading("")
                self._text = ui.element("div").classes("told rounded bg-gray-500/10 q-pa-sm w-full")
                self._text.classes("max-h-96 overflow-auto")
                self._text.props('aria-label="Written by the step" tabindex=0')
                self._detail = ui.column().classes("w-full")
        self._end = show.beside()

    # -- following -----------------------------------------------------------------------------

    async def follow(self) -> None:
        while True:
            try:
                async for event in self._look.api.events(
                    f"{self._path}/observe", runId=self._run_id, offset=self._state.seq
                ):
                    self._state.take(event)
                    if self._found["status"] not in ENDED:  # else it is told once more, of old
                        self._changed.set()
            except Refused as refused:
                if refused.status != 410:  # too far behind to read what was written
                    raise
            await self._ask()
            seen = self._found["updatedAt"]
            while self._found["updatedAt"] == seen:
                await asyncio.sleep(_LOOK_S)
                # A run at work whose events end is too far ahead of this page: no more are to come.
                is_ahead = self._found["status"] == "running"
                await self._ask(_FIELDS if is_ahead else "result")

    async def _ask(self, fields: str = _FIELDS) -> None:
        """Ask what is stored of the run: that is what counts, whatever events told."""
        path = f"{self._path}{at('runs', self._run_id)}"
        found = await self._look.api.get(path, fields=fields)
        seen = self._found["updatedAt"]
        self._found = {**self._found, **found}
        if fields == _FIELDS:
            self._state.know(facts(found.get("steps")))
            asked = {"runId": self._run_id, "perPage": 1000, "direction": "ASC"}
            self._state.logs = (await self._look.api.get("/observability/logs", **asked))["logs"]
        if fields == _FIELDS or found["updatedAt"] != seen:
            self._state.status = found["status"]
            self._changed.set()

    async def redraw(self) -> None:
        await show.keep_drawn(self._changed, self.draw, _DRAW_S[len(self._steps) > _MANY])

    def draw(self) -> None:
        state = self._state
        if not self._is_chosen:
            self._selected = self._worth_seeing()
        if self._is_new("status", state.status):
            self._status.props(f"color={show.STATES.get(state.status, ('', 'grey'))[1]}")
            self._status.set_text(show.state_text(state.status))
            self._cancel.set_visibility(state.status not in ENDED)
            self._restart.set_visibility(state.status in {"running", "waiting"})
        rows = [self._row(path, step) for path, step in state.steps.items()]
        if self._is_new("rows", rows):
            self._table.rows[:] = rows
            self._table.update()
            notes = [(row["is"], f"{row['took']} {row['attempt']}".strip()) for row in rows]
            self._graph.show(dict(zip(state.steps, notes, strict=True)))
        self._draw_written()
        step, raised = state.steps.get(self._selected, {}), state.raised_in(self._selected)
        if self._is_new("detail", [self._selected, step, raised]):
            self._draw_detail(step, raised)
        is_waiting = state.status == "suspended"
        waiting = waiting_steps(self._wire, state.steps) if is_waiting else {}
        if self._is_new("waiting", waiting):
            self._waiting.clear()
            with self._waiting:
                for path, one in waiting.items():
                    answer_step(self._look, self._wire, self._key, self._run_id, path, one)
        told = {title: self._found.get(key) for key, title in _ENDS.items()}
        if self._is_new("end", told):
            self._end.clear()
            for title, value in told.items():
                if value is not None:
                    with self._end, show.side():
                        show.show_json(value, title)

    def _is_new(self, what: str, value: Any) -> bool:
        told = hash(json.dumps(value))
        is_new = self._shown.get(what) != told
        self._shown[what] = told
        return is_new

    def _worth_seeing(self) -> str:
        """Return the step that most want to see: one that failed or waits, or the one at work."""
        steps = self._state.steps
        leaves = [path for path in steps if not self._steps.get(path, {}).get("isWorkflow")]
        for status in ("failed", "suspended", "running"):
            found = [path for path in leaves if steps[path].get("status") == status]
            if found:
                return found[-1]
        said = [path for path in leaves if self._state.written.get(path)]
        return [*leaves, *said][-1] if leaves else ""

    def _row(self, path: str, step: dict[str, Any]) -> dict[str, Any]:
        status, attempt = step.get("status", "pending"), self._state.attempt_of(path)
        took = show.span_of(step.get("startedAt"), step.get("endedAt"))
        row = {"id": path, "step": path, "is": status, "took": took, "attempt": attempt}
        return row | show.state_cell(status)

    def _choose(self, what: Any) -> None:
        self._selected = what if isinstance(what, str) else what.args[1]["id"]
        self._is_chosen = True
        self._changed.set()

    def _draw_written(self) -> None:
        pieces = self._state.written.get(self._selected, [])
        element = f"getHtmlElement({self._text.id})"
        if self._is_new("writer", self._selected) or len(pieces) < self._sent:
            self._sent = 0
            ui.run_javascript(f"{element}.replaceChildren()")
        self._text.set_visibility(bool(pieces))
        if self._sent < len(pieces):
            # Only what is new is sent: a step may write for minutes.
            text = json.dumps("".join(pieces[self._sent :]))
            self._sent = len(pieces)
            ui.run_javascript(f"const at = {element}; at.append({text}); at.scrollTop = 1e9")

    def _draw_detail(self, step: dict[str, Any], raised: tuple[str, str]) -> None:
        path = self._selected
        status = show.state_text(step.get("status", "pending"))
        self._title.set_text(f"{path}: {status}" if path else "")
        self._detail.clear()
        with self._detail:
            if step.get("error"):
                _show_error(step["error"], *raised)
            if step.get("startedAt"):
                with ui.row().classes("text-sm gap-2"):
                    show.when(step["startedAt"])
                    ui.label(show.span_of(step["startedAt"], step.get("endedAt")))
            for key, title in (_PARTS | {"resumePayload": "It was answered"}).items():
                if key in step:
                    show.show_json(step[key], title)
            if path in self._steps:
                again = ui.button("Run again from here …", icon="history")
                again.on_click(lambda: self._travel(path)).props("outline no-caps")

    # -- what can be done ----------------------------------------------------------------------

    async def _do(self, path: str, body: Any = None, **query: Any) -> None:
        await self._look.api.post(f"{self._path}{path}", body, **query)
        await self._ask()

    def _travel(self, path: str) -> None:
        schema = schema_of(self._steps[path].get("inputSchema"))
        with ui.dialog(value=True) as dialog, ui.card().classes("w-full max-w-2xl"):
            show.heading(f"Run again from {path}")
            ui.label("What ran before it stays as it is; it and what follows run anew.")
            edited = ui.switch("with another input", value=False)
            with ui.column().classes("w-full").bind_visibility_from(edited, "value"):
                form = SchemaForm(schema, self._state.steps.get(path, {}).get("payload", LEFT_OUT))

            async def go() -> None:
                more = {"inputData": form.read()} if edited.value else {}
                dialog.close()
                self._is_chosen = False
                body = {"step": path.split("."), **more}
                await self._do("/time-travel", body, runId=self._run_id)

            with ui.row():
                ui.button("Run again", icon="history", on_click=go)
                ui.button("Leave it", on_click=dialog.close).props("flat")


def _show_error(error: dict[str, Any], trace: str, place: str) -> None:
    with ui.column().classes("w-full rounded q-pa-sm gap-1 border border-red-700"):
        title = f"✗ {error.get('name', 'Error')}: {error.get('message', '')}"
        ui.label(title).classes("font-semibold told").props("role=alert")
        ui.label(place).classes("mono")
        if trace:
            with ui.expansion("Traceback").classes("w-full"):
                ui.label(trace).classes("mono json")
        if error.keys() > {"message", "name"}:
            show.show_json(error)


@console_page("/workflows/{workflow_id}/compare", "Compare runs")
async def _compare_page(look: Look, workflow_id: str, left: str = "", right: str = "") -> None:
    path = at("workflows", workflow_id)
    runs = [await look.api.get(f"{path}{at('runs', run_id)}") for run_id in (left, right)]
    show.heading(f"Two runs of {workflow_id}", 1)
    with show.beside():
        for run in runs:
            with show.side():
                here = look.url("workflows", workflow_id, "runs", run["runId"])
                ui.link(f"{run['runId']} {show.state_text(run['status'])}", here)
                show.when(run["createdAt"])
                show.show_json(run.get("payload"), "Input")
    for name in dict.fromkeys(name for run in runs for name in facts(run.get("steps"))):
        steps = [facts(facts(run.get("steps")).get(name)) for run in runs]
        gave: list[Any] = [step.get("error") or step.get("output") for step in steps]
        is_same = gave[0] == gave[1] and steps[0].get("status") == steps[1].get("status")
        title = f"{'= the same' if is_same else '≠ different'}: {name}"
        with ui.expansion(title, value=not is_same).classes("w-full"), show.beside():
            for step, value in zip(steps, gave, strict=True):
                with show.side():
                    took = show.span_of(step.get("startedAt"), step.get("endedAt"))
                    ui.label(f"{show.state_text(step.get('status', 'not run'))} {took}")
                    show.show_json(value)
