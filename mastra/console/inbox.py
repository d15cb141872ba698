"""What waits for a person (steps of workflows, tool calls of agents) and forms that answer it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from nicegui import ui

from mastra.console.api import at, facts
from mastra.console.forms import SchemaForm, schema_of
from mastra.console.frame import Look, console_page
from mastra.console.show import entry, nothing, show_json, when

__all__ = ["answer_step", "answer_tool", "waiting_steps"]

_MOST: Final = 100  # how many runs of each workflow and agent are listed: the latest
_LOOK_S: Final = 3.0
_DECISIONS: Final = ("approved", "approve")
"""Fields of an answer that are a yes or a no, for which there are two buttons."""


@console_page("/inbox", "Inbox")
async def _inbox_page(look: Look) -> None:
    inbox = _Inbox(look)
    await inbox.fill()
    ui.timer(_LOOK_S, inbox.fill, immediate=False)


class _Inbox:
    """The list; a card stays as it is, with what was typed, for as long as it waits."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._cards: dict[tuple[str, ...], ui.column] = {}
        self._none = nothing("Nothing waits.", "check_circle")
        self._list = ui.column().classes("w-full")

    async def fill(self) -> None:
        """Add what waits since, and take away what was answered."""
        found: dict[tuple[str, ...], Any] = {}
        api = self._look.api
        for key, wire in (await api.get("/workflows")).items():
            listed = await api.get(f"{at('workflows', key)}/runs", status="suspended", limit=_MOST)
            for run in listed["runs"]:
                for path, step in waiting_steps(wire, run["snapshot"]["context"]).items():
                    name = (key, run["runId"], path, str(step.get("suspendedAt")))
                    found[name] = (self._step, key, wire, run, path, step)
        for key in await api.get("/agents"):
            listed = await api.get(f"{at('agents', key)}/suspended-runs", perPage=_MOST)
            for run in listed["runs"]:
                for call in run["toolCalls"]:
                    name = (key, run["runId"], call["toolCallId"])
                    found[name] = (self._call, key, run, call)
        for gone in self._cards.keys() - found.keys():
            self._cards.pop(gone).delete()
        for name, (show, *told) in found.items():
            if name not in self._cards:
                with self._list, ui.column().classes("w-full gap-1") as self._cards[name]:
                    show(*told)
        self._none.set_visibility(not self._cards)

    def _head(self, icon: str, title: str, since: Any, target: str, resource: str | None) -> None:
        with ui.row().classes("items-center gap-3 w-full"):
            ui.icon(icon).classes("text-xl")
            ui.link(title, target).classes("text-lg font-semibold")
            ui.label("since")
            when(since)
            if resource:
                ui.label(f"of {resource}")

    def _step(self, key: str, wire: Any, run: dict[str, Any], path: str, step: Any) -> None:
        target = self._look.url("workflows", key, "runs", run["runId"])
        since = step.get("suspendedAt")
        self._head("account_tree", f"Run of {wire['name']}", since, target, run["resourceId"])
        answer_step(self._look, wire, key, run["runId"], path, step)

    def _call(self, key: str, run: dict[str, Any], call: dict[str, Any]) -> None:
        target = self._look.url("agents", key, thread=run.get("threadId"))
        self._head("chat", f"Agent {key}", run["suspendedAt"], target, run.get("resourceId"))

        async def go_on(path: str, body: dict[str, Any]) -> None:
            self._look.keep(lambda: self._drain(path, body))

        answer_tool(key, run["runId"], call, go_on)

    async def _drain(self, path: str, body: dict[str, Any]) -> None:
        """Read what follows an answer to its end: an agent is driven by its reader."""
        async for event in self._look.api.events(path, body):
            if event["type"] == "error":
                ui.notify(str(event["payload"].get("error")), type="negative")


def waiting_steps(wire: dict[str, Any], steps: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the steps of a run that wait for an answer, by their paths, of those of a workflow."""
    own = {path for path, step in wire["allSteps"].items() if not step.get("isWorkflow")}
    known = {path: step for path, step in steps.items() if path in own}
    return {path: step for path, step in known.items() if step.get("status") == "suspended"}


def answer_step(
    look: Look, wire: dict[str, Any], key: str, run_id: str, path: str, step: Any
) -> None:
    """Show what a suspended step (`orders.check`) says, and the form that answers it."""
    with ui.card().classes("w-full") as card:
        ui.label(f"{path} waits for an answer").classes("font-semibold")
        _show_said(step.get("suspendPayload"))

        async def send(answer: Any) -> None:
            body = {"step": path, "resumeData": answer}
            await look.api.post(f"{at('workflows', key)}/resume", body, runId=run_id)
            card.set_visibility(False)

        _answer(schema_of(wire["allSteps"][path].get("resumeSchema")), send)


def answer_tool(
    agent: str, run_id: str, call: dict[str, Any], go_on: Callable[..., Awaitable[None]]
) -> None:
    """Show what a tool call waits for; `go_on` takes the path and body of what answers it."""

    async def send(path: str, **more: Any) -> None:
        card.set_visibility(False)
        body = {"runId": run_id, "toolCallId": call["toolCallId"], **more}
        await go_on(f"{at('agents', agent)}/{path}", body)

    with ui.card().classes("w-full") as card:
        ui.label(f"‖ {call['toolName']} waits for an answer").classes("font-semibold")
        show_json(call.get("args"))
        if "suspendPayload" in call:
            _show_said(call["suspendPayload"], "It says")
            schema = schema_of(call.get("resumeSchema"))
            _answer(schema, lambda answer: send("resume-stream", resumeData=answer))
            return
        reason = entry(ui.input("Reason, where declined"))

        async def decline() -> None:
            await send("decline-tool-call", **{"reason": reason.value} if reason.value else {})

        _two_buttons(lambda: send("approve-tool-call"), decline)


def _show_said(said: Any, what: str = "") -> None:
    """Show what somebody is asked: nothing where the step or tool said nothing."""
    if isinstance(said, dict):
        said = {key: item for key, item in facts(said).items() if key != "__workflow_meta"}
    if said is not None and said != {}:
        show_json(said, what)


def _answer(schema: dict[str, Any], send: Callable[[Any], Awaitable[None]]) -> None:
    fields: dict[str, Any] = schema.get("properties") or {}
    decision = next((name for name in _DECISIONS if name in fields), None)
    rest = {name: one for name, one in fields.items() if name != decision}
    form = SchemaForm(schema if decision is None else {**schema, "properties": rest})

    async def submit(decided: bool | None = None) -> None:
        answer = form.read()
        await send(answer if decision is None else {**answer, decision: decided})

    if decision is None:
        ui.button("Answer", icon="send", on_click=lambda _: submit())
    else:
        _two_buttons(lambda: submit(True), lambda: submit(False))


def _two_buttons(yes: Callable[[], Any], no: Callable[[], Any]) -> None:
    with ui.row():
        ui.button("Approve", icon="check", color="positive", on_click=yes)
        ui.button("Decline", icon="close", color="negative", on_click=no).props("outline")
