"""What runs wait for, as interrupts, and the answers of a page to them.

An interrupt's id leads back to the run, and every answer is checked against what is stored before
anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from ag_ui.core import Interrupt, ResumeEntry
from jsonschema import Draft202012Validator
from jsonschema.exceptions import (
    best_match,  # pyright: ignore[reportUnknownVariableType]
)
from jsonschema.validators import validator_for

from mastra.agents.calls.outcomes import APPROVAL_SCHEMA
from mastra.agents.waiting.suspended import SuspendedRun, WaitingCall
from mastra.ids import stable_id
from mastra.jsonable import Json
from mastra.pages.chats import Chat
from mastra.pages.facts import APPROVAL, approval_id, is_same
from mastra.server.context import load_strict
from mastra.server.leftovers import LEFT, forget_old
from mastra.storage.base import RunChanges, RunHead

__all__ = [
    "Answers",
    "Open",
    "RefusedAnswer",
    "answered_opens",
    "call_interrupt",
    "step_interrupt",
]

_EDITED_ARGS: Final = {
    "type": "object",
    "description": "In place of the arguments, whole, where the call is approved",
}


class RefusedAnswer(Exception):  # noqa: N818 - told to the page as the end of its run
    """Ends a page's run, in which nothing has run.

    Args:
        code: What is wrong, for programs.
        message: What is wrong, for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = f"{message} Nothing was run."


@dataclass(frozen=True, slots=True)
class Open:
    """Something that a run waits for."""

    interrupt: Interrupt
    run_id: str
    name: str
    """The call, or the step, that waits."""
    is_approval: bool = False

    @property
    def place(self) -> str:
        """What waits, and for which time, within its run."""
        return self.interrupt.id.removeprefix(self.run_id + APPROVAL)


def call_interrupt(run: SuspendedRun, call: WaitingCall) -> Open:
    """Return what a call waits for."""
    is_approval = call.kind == "approval"
    facts: dict[str, Any] = {"toolName": call.tool_name, "args": call.args}
    payload, text = _asked(call.suspend_payload, call.resume_schema)
    schema: Any = None if text is None else load_strict(text)
    asks_leave = text == APPROVAL_SCHEMA
    if not is_approval:
        facts["suspendPayload"] = payload
    if is_approval:
        schema["properties"]["editedArgs"] = _EDITED_ARGS
    name = call.tool_name
    if asks_leave and isinstance(payload, Mapping):
        name = str(cast("Mapping[str, Any]", payload).get("toolName", name))
    told = f"May {name} be called?" if asks_leave else _message(payload)
    return Open(
        Interrupt(
            id=approval_id(run.run_id, call.tool_call_id),
            reason="tool_call" if asks_leave else "mastra:tool_suspend",
            message=told,
            tool_call_id=call.tool_call_id,
            response_schema=schema,
            metadata=facts,
        ),
        run.run_id,
        call.tool_call_id,
        is_approval,
    )


def _asked(payload: Json, schema: str | None) -> tuple[Json, str | None]:
    """Return what is asked in the end, and the schema of the answer: of a sub-agent its own."""
    asked: Any = payload
    while schema is None and isinstance(asked, Mapping):
        known = cast("Mapping[str, Any]", asked)
        if "subAgentThreadId" not in known or "suspendPayload" not in known:
            break
        asked, schema = known["suspendPayload"], known.get("resumeSchema")
    return cast("Json", asked), schema


def step_interrupt(run_id: str, name: str, payload: Json, schema: dict[str, Any]) -> Open:
    """Return what a step of a workflow waits for."""
    interrupt = Interrupt(
        id=f"{run_id}{APPROVAL}{name}",
        reason="input_required",
        message=_message(payload),
        response_schema=schema,
        metadata={"stepId": name, "suspendPayload": payload},
    )
    return Open(interrupt, run_id, name)


def _message(payload: Json) -> str | None:
    """Return what a suspension says to people, where it says it under the usual name."""
    if isinstance(payload, str):
        return payload
    known = cast("Mapping[str, Any]", payload if isinstance(payload, Mapping) else {})
    said = known.get("message")
    return said if isinstance(said, str) else None


# -- answers -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Answers:
    """The answers that a thread's interrupts were given.

    They are kept, so that the same answer again is harmless, and another one is not.
    """

    chat: Chat
    given: dict[str, Json] = field(default_factory=dict[str, Any])
    """By interrupt: of this request."""

    def _place(self, interrupt_id: str) -> tuple[str, str]:
        chat = self.chat
        return f"{chat.kind}:answers", stable_id(chat.owner or "", chat.id, interrupt_id)

    async def number(self, opens: Sequence[Open]) -> list[Open]:
        """Return what waits, each with an id that no answer has been taken for.

        A call or a step may wait several times in one run.
        """
        store = self.chat.server.mastra.storage.workflows
        for one in opens:
            first, count = one.interrupt.id, 0
            while True:
                head = await store.get_run(*self._place(one.interrupt.id))
                if head is None or not head.data["isTaken"]:
                    break
                count += 1
                one.interrupt.id = f"{first}{APPROVAL}{count}"
        return [*opens]

    async def keep(self, *, is_taken: bool) -> None:
        """Keep this request's answers.

        Args:
            is_taken: Whether they were; otherwise they are about to be, and what is kept stays.
        """
        store = self.chat.server.mastra.storage.workflows
        for interrupt_id, answer in self.given.items():
            workflow_id, run_id = self._place(interrupt_id)
            data: dict[str, Json] = {"answer": answer, "isTaken": is_taken}
            head = RunHead(workflow_id, run_id, LEFT, self.chat.owner, data=data)
            if not await store.create_run(head) and is_taken:
                await store.update_run(workflow_id, run_id, RunChanges(data=data))
            await forget_old(self.chat.server, workflow_id)

    async def check_given_before(self, interrupt_ids: Sequence[str]) -> None:
        """Refuse answers to what no longer waits, unless they are those that were given.

        Raises:
            RefusedAnswer: There was no such interrupt on this thread, or its answer was another.
        """
        store = self.chat.server.mastra.storage.workflows
        for interrupt_id in interrupt_ids:
            head = await store.get_run(*self._place(interrupt_id))
            if head is None:
                raise RefusedAnswer(
                    "UNKNOWN_INTERRUPT",
                    "resume answers an interrupt that this thread does not have.",
                )
            if not is_same(head.data["answer"], self.given[interrupt_id]):
                raise RefusedAnswer(
                    "INTERRUPT_ANSWERED",
                    "An interrupt that resume answers was given another answer before.",
                )


async def answered_opens(
    answers: Answers, opens: Sequence[Open], resume: Sequence[ResumeEntry]
) -> list[tuple[Open, ResumeEntry]]:
    """Return what waits with the answers to it; nothing where all were given before.

    Raises:
        RefusedAnswer: Something waits that has no answer, or an answer is not one to it.
    """
    entries: dict[str, ResumeEntry] = {}
    for entry in resume:
        if entry.interrupt_id in entries:
            raise RefusedAnswer("INTERRUPT_ANSWERED", "resume answers an interrupt twice.")
        entries[entry.interrupt_id] = entry
        payload = entry.payload if entry.status == "resolved" else None
        answers.given[entry.interrupt_id] = {"status": entry.status, "payload": payload}
    waiting = {one.interrupt.id: one for one in opens}
    await answers.check_given_before([key for key in entries if key not in waiting])
    left_out = [key for key in waiting if key not in entries]
    if left_out:
        raise RefusedAnswer(
            "OPEN_INTERRUPTS",
            f"This thread waits for answers to {', '.join(map(repr, left_out))}: resume must have "
            "one for each.",
        )
    for key, one in waiting.items():
        _check(one, entries[key])
    return [(one, entries[key]) for key, one in waiting.items()]


def _check(one: Open, entry: ResumeEntry) -> None:
    schema = one.interrupt.response_schema
    if entry.status == "cancelled" or schema is None:
        return
    kind: Any = validator_for(schema, Draft202012Validator)
    error = cast("Any", best_match(kind(schema).iter_errors(entry.payload)))
    if error is not None:
        raise RefusedAnswer(
            "INVALID_ANSWER",
            f"The payload for interrupt {one.interrupt.id!r} does not fit its schema: "
            f"{cast('str', error.message)[:300]}.",
        )
