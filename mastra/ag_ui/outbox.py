"""What is sent to a page of AG-UI, and the conversation that the page has by then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import jsonpatch
from ag_ui.core import (
    PROTOCOL_VERSION,
    AssistantMessage,
    BaseEvent,
    EventType,
    FunctionCall,
    Message,
    MessagesSnapshotEvent,
    RunErrorEvent,
    RunFinishedCancelledOutcome,
    RunFinishedEvent,
    RunFinishedSuccessOutcome,
    RunStartedEvent,
    StateDeltaEvent,
    StateSnapshotEvent,
    TokenUsage,
    ToolCall,
    ToolCallResultEvent,
    ToolMessage,
    aggregate_token_usage,
)
from ag_ui.encoder import EventEncoder

from mastra.ag_ui.page import RunInput
from mastra.jsonable import Json, dump_wire

__all__ = ["Outbox", "json_text", "tool_call"]


_OPENS: Final[dict[EventType, int]] = {
    EventType.TEXT_MESSAGE_START: 1,
    EventType.TEXT_MESSAGE_END: -1,
    EventType.TOOL_CALL_START: 1,
    EventType.TOOL_CALL_END: -1,
}


class Outbox:
    """Encodes events, and keeps what the page makes of them."""

    def __init__(self, given: RunInput, encoder: EventEncoder) -> None:
        self.given = given
        self.messages: list[Message] = [*given.messages]
        self.is_over = False
        """Whether the run has ended for the page."""
        self.brought: set[str] = set()
        """The calls of which the page has brought the results."""
        self._encoder = encoder
        self._made: list[bytes] = []
        self._open = 0
        """How many texts and calls have begun and not ended: a page drops those that a snapshot of
        its messages leaves out."""
        self._state: dict[str, Json] | None = None

    # -- sending -------------------------------------------------------------------------------

    def put(self, event: BaseEvent) -> None:
        """Send an event."""
        self._open += _OPENS.get(event.type, 0)
        self._made.append(self._encoder.encode(event).encode())

    def put_encoded(self, frame: bytes) -> None:
        """Send an event that is encoded already."""
        self._made.append(frame)

    def taken(self) -> bytes:
        """Return what is to be sent."""
        made, self._made = self._made, []
        return b"".join(made)

    # -- the run -------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the run."""
        given = self.given
        self.put(
            RunStartedEvent(
                thread_id=given.thread_id,
                run_id=given.run_id,
                parent_run_id=given.parent_run_id,
                protocol_version=PROTOCOL_VERSION,
            )
        )

    def finish(
        self, outcome: Any = None, *, usage: Sequence[TokenUsage] = (), result: Json = None
    ) -> None:
        """End the run.

        Args:
            outcome: How it ended; `None` for a success that waits for nothing.
            usage: What its model calls have used.
            result: What it gave.
        """
        if self.is_over:
            return
        self.is_over = True
        given = self.given
        self.put(MessagesSnapshotEvent(messages=self.messages))
        if isinstance(outcome, RunFinishedCancelledOutcome) and not given.knows_outcomes:
            outcome = None
        if isinstance(outcome, RunFinishedSuccessOutcome) and not given.knows_outcomes:
            outcome = RunFinishedSuccessOutcome()
        self.put(
            RunFinishedEvent(
                thread_id=given.thread_id,
                run_id=given.run_id,
                outcome=outcome,
                result=result,
                usage=aggregate_token_usage(usage) or None,
            )
        )

    def fail(self, message: str, code: str | None = None) -> None:
        """End the run with an error."""
        if not self.is_over:
            self.is_over = True
            self.put(RunErrorEvent(message=message, code=code))

    # -- state ---------------------------------------------------------------------------------

    def show_state(self, state: dict[str, Json]) -> None:
        """Show the state: whole the first time, then what has changed."""
        if self._state is None:
            self.put(StateSnapshotEvent(snapshot=state))
        else:
            patch = jsonpatch.make_patch(cast("Any", self._state), cast("Any", state))
            changes = cast("list[Any]", patch.patch)
            if changes:
                self.put(StateDeltaEvent(delta=changes))
        self._state = state

    # -- the conversation ----------------------------------------------------------------------

    def said(self, message_id: str, text: str, subagent: str | None = None) -> None:
        """Add text to an assistant's message."""
        message = self._assistant(message_id, subagent)
        message.content = f"{message.content or ''}{text}"

    def called(self, message_id: str, call: ToolCall, subagent: str | None = None) -> None:
        """Add a call to an assistant's message."""
        message = self._assistant(message_id, subagent)
        message.tool_calls = [*(message.tool_calls or ()), call]

    def result(self, event: ToolCallResultEvent) -> None:
        """Send what came of a call, which the page puts right after the call's message.

        What the page's own tool gave it has as a message of its own. Some models give several calls
        the same id; the page would put the result after the first of them, so it is sent the
        conversation.
        """
        if event.tool_call_id in self.brought:
            self.brought.discard(event.tool_call_id)
            return
        made = ToolMessage(
            id=event.message_id,
            content=event.content,
            tool_call_id=event.tool_call_id,
            subagent_run_id=event.subagent_run_id,
        )
        callers = [
            at
            for at, message in enumerate(self.messages)
            if isinstance(message, AssistantMessage)
            and any(call.id == event.tool_call_id for call in message.tool_calls or ())
        ]
        place = callers[-1] + 1 if callers else len(self.messages)
        while place < len(self.messages) and isinstance(self.messages[place], ToolMessage):
            place += 1
        self.messages.insert(place, made)
        if len(callers) < 2 or self._open:
            self.put(event)
        else:
            self.put(MessagesSnapshotEvent(messages=self.messages))

    def forget(self, message_id: str) -> bool:
        """Take a message back with what came of its calls.

        Returns:
            Whether the page drops it at once; otherwise it does at the end of the run.
        """
        calls = {call.id for call in self._assistant(message_id, None).tool_calls or ()}
        self.messages = [
            message
            for message in self.messages
            if message.id != message_id
            and not (isinstance(message, ToolMessage) and message.tool_call_id in calls)
        ]
        if self._open:
            return False
        self.put(MessagesSnapshotEvent(messages=self.messages))
        return True

    def free_id(self, wanted: str) -> str:
        """Return an id that no message of the conversation has yet: the wanted one, if it is so."""
        taken, found, count = {message.id for message in self.messages}, wanted, 0
        while found in taken:
            count += 1
            found = f"{wanted}-{count}"
        return found

    def _assistant(self, message_id: str, subagent: str | None) -> AssistantMessage:
        for message in reversed(self.messages):
            if message.id == message_id and isinstance(message, AssistantMessage):
                return message
        made = AssistantMessage(id=message_id, subagent_run_id=subagent)
        self.messages.append(made)
        return made


def tool_call(call_id: str, name: str, arguments: str) -> ToolCall:
    """Return a call as a message holds it."""
    return ToolCall(id=call_id, function=FunctionCall(name=name, arguments=arguments))


def json_text(value: Any) -> str:
    """Return a value as text: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else dump_wire(value).decode()
