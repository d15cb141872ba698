"""A conversation with an agent, as it is streamed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

from nicegui import ui

from mastra.console.api import at, facts
from mastra.console.frame import Look
from mastra.console.inbox import answer_tool
from mastra.console.show import ago, keep_drawn, nothing, show_json
from mastra.models import Usage, cost_usd

__all__ = ["Chat"]

_DRAW_S: Final = 0.1  # how often a text that grows is drawn, at most


class Chat:
    """The messages, and a field for the next one.

    Where the agent remembers nothing (`memory` is `None`), all that was said is sent each time.
    """

    def __init__(self, look: Look, agent: str, memory: dict[str, str] | None) -> None:
        self.options: Callable[[], dict[str, Any]] = dict
        """What else is said with the next message."""
        self.on_end: Callable[[], Awaitable[None]] | None = None
        self._look = look
        self._agent = agent
        self._memory = memory
        self._said: list[dict[str, Any]] = []
        self._answers: set[ui.timer] = set()
        self._messages = ui.column().classes("w-full gap-3").props('role=log aria-label="Messages"')
        with ui.row().classes("w-full items-end no-wrap"):
            self._field = ui.textarea(placeholder="Say something").classes("grow")
            self._field.props('outlined autogrow dense aria-label="Message"')
            self._field.on("keydown.enter.exact.prevent", self._send)
            self._button = ui.button(icon="send", on_click=self._send).props('aria-label="Send"')
            self._stop = ui.button(icon="stop", on_click=self._cut).props('aria-label="Stop"')
            self._stop.set_visibility(False)

    def show(self, messages: list[dict[str, Any]], waiting: list[dict[str, Any]]) -> None:
        """Show what a thread holds, and what runs of it wait for."""
        for message in messages:
            turn = self._turn(message["role"])
            for part in message["content"].get("parts", []):
                turn.show_part(part)
        for run in waiting:
            turn = self._turn("assistant")
            for call in run["toolCalls"]:
                turn.take({"type": "tool-call", "payload": call})
                self._ask(turn, run["runId"], call)

    def _turn(self, role: str) -> _Turn:
        with self._messages:
            return _Turn(is_mine=role == "user")

    def _send(self) -> None:
        text = str(self._field.value).strip()
        if not text or self._answers:
            return
        self._field.set_value("")
        self._turn("user").show_part({"type": "text", "text": text})
        self._said.append({"role": "user", "content": text})
        body: dict[str, Any] = {**self.options(), "messages": self._said}
        if self._memory is not None:
            body |= {"messages": text, "memory": self._memory}
        self._go_on(f"{at('agents', self._agent)}/stream", body, self._turn("assistant"))

    def _cut(self) -> None:
        for answer in [*self._answers]:
            answer.cancel(with_current_invocation=True)

    def _go_on(self, path: str, body: dict[str, Any], turn: _Turn) -> None:
        async def read() -> None:
            try:
                await self._read(path, body, turn)
            finally:
                self._answers.discard(answer)
                self._show_buttons()
            if self.on_end is not None:
                await self.on_end()

        answer = self._look.keep(read)
        self._answers.add(answer)
        self._show_buttons()

    def _show_buttons(self) -> None:
        """Show what may be done: stop what is said, what several runs say at once too, or say more."""
        if not self._look.client.is_deleted:
            self._stop.set_visibility(bool(self._answers))
            self._button.set_visibility(not self._answers)

    async def _read(self, path: str, body: dict[str, Any], turn: _Turn) -> None:
        run_id = ""
        drawing = self._look.keep(turn.keep_drawn)
        try:
            async with aclosing(self._look.api.events(path, body)) as events:
                async for event in events:
                    run_id = event.get("runId") or run_id
                    turn.take(event)
                    if event["type"] in {"tool-call-approval", "tool-call-suspended"}:
                        self._ask(turn, run_id, event["payload"])
        finally:
            drawing.cancel(with_current_invocation=True)
            if not self._look.client.is_deleted:
                turn.end()
            # A turn that waited for an answer goes on where it was: it is one message all the same.
            turn.said["content"] = turn.text
            if turn.text and all(one is not turn.said for one in self._said):
                self._said.append(turn.said)

    def _ask(self, turn: _Turn, run_id: str, call: dict[str, Any]) -> None:
        async def go_on(path: str, body: dict[str, Any]) -> None:
            self._go_on(path, body, turn)

        with turn.box:
            answer_tool(self._agent, run_id, call, go_on)


class _Turn:
    """What one side said, or says."""

    def __init__(self, *, is_mine: bool) -> None:
        self.text: str = ""
        self.said = {"role": "assistant", "content": ""}
        """The message that it is for an agent without memory."""
        self.box = ui.column().classes("rounded q-pa-md gap-2 max-w-full")
        self.box.classes("self-end bg-blue-500/15" if is_mine else "w-full bg-gray-500/10")
        self._in = self._out = 0
        self._cost: float | None = 0.0
        self._began = time.monotonic()
        self._open: dict[str, tuple[Any, list[str]]] = {}
        """What is being said: its element, and its pieces."""
        self._calls: dict[str, ui.expansion] = {}
        self._grown = asyncio.Event()
        with self.box:
            ui.label("You" if is_mine else "Agent").classes("text-xs font-semibold opacity-80")

    def take(self, event: dict[str, Any]) -> None:
        kind, payload = event["type"], facts(event.get("payload"))
        with self.box:
            match kind:
                case "text-delta" | "reasoning-delta":
                    is_text = kind == "text-delta"
                    if kind not in self._open:
                        fold = ui.element() if is_text else ui.expansion("Reasoning")
                        with fold.classes("w-full"):
                            self._open[kind] = (ui.markdown().classes("w-full"), [])
                    self._open[kind][1].append(payload["text"])
                    self.text += payload["text"] if is_text else ""
                    self._grown.set()
                case "text-end" | "reasoning-end":
                    self._close()
                case "tool-call":
                    self._close()
                    fold = ui.expansion(f"▶ {payload['toolName']}", icon="build").classes("w-full")
                    self._calls[payload["toolCallId"]] = fold
                    with fold:
                        show_json(payload.get("args"), "With")
                case "tool-result" | "tool-error" | "tool-output-denied":
                    fold = self._calls[payload["toolCallId"]]
                    sign = {"tool-result": "✓", "tool-error": "✗"}.get(kind, "⊘ declined:")
                    with fold.set_text(f"{sign} {payload['toolName']}") or fold:
                        show_json(payload.get("result", payload.get("error")), "It gave")
                case "step-finish":
                    self._count(payload)
                case "error" | "tripwire":
                    self._close()
                    error = payload.get("error") or payload
                    nothing(str(facts(error).get("message", error)), "error")
                case _:
                    pass

    def show_part(self, part: dict[str, Any]) -> None:
        if part["type"] in {"text", "reasoning"}:
            said = {"text": part.get("text") or part.get("reasoning") or ""}
            self.take({"type": f"{part['type']}-delta", "payload": said})
        elif part["type"] == "tool-invocation":
            call = part["toolInvocation"]
            self.take({"type": "tool-call", "payload": call})
            if call.get("state") in {"result", "output-error"}:
                kind = "tool-error" if call.get("isError") else "tool-result"
                self.take({"type": kind, "payload": call})
        elif part["type"] == "file":
            with self.box:
                ui.label(f"A file: {part.get('mimeType') or part.get('mediaType')}")
        self._close()

    async def keep_drawn(self) -> None:
        await keep_drawn(self._grown, self._draw, _DRAW_S)

    def _draw(self) -> None:
        for element, pieces in self._open.values():
            element.set_content("".join(pieces))

    def _close(self) -> None:
        self._draw()
        self._open.clear()

    def end(self) -> None:
        self._close()
        if self._in or self._out:
            took = ago((time.monotonic() - self._began) * 1000)
            cost = "cost unknown" if self._cost is None else f"${self._cost:.4f}"
            with self.box:
                told = f"{self._in} tokens in, {self._out} out, {took}, {cost}"
                ui.label(told).classes("text-xs opacity-80")

    def _count(self, payload: dict[str, Any]) -> None:
        model = facts(payload["metadata"].get("modelMetadata"))
        usage = Usage.from_wire(payload["output"]["usage"])
        self._in += usage.input_tokens or 0
        self._out += usage.output_tokens or 0
        cost = cost_usd(f"{model.get('modelProvider')}/{model.get('modelId')}", usage)
        self._cost = None if cost is None or self._cost is None else self._cost + cost
