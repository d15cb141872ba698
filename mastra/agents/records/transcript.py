"""What was said in a run: its messages and its steps, and how much that came to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from mastra.agents.results import FinishOutput, FinishPayload, LLMStepResult, StepOutcome
from mastra.ids import new_id
from mastra.jsonable import Json
from mastra.models.chunks import Usage
from mastra.models.history import History
from mastra.models.messages import DataPart, Message
from mastra.models.stored_messages import to_stored_wire

__all__ = ["Transcript"]


class Transcript:
    """A run's conversation. A durable run hands it from one operation to the next."""

    __slots__ = (
        "cut",
        "history",
        "input_count",
        "message_id",
        "messages",
        "remembered",
        "retry_count",
        "said",
        "shown",
        "steps",
        "system",
        "text",
        "told",
        "usage",
        "written",
    )

    def __init__(self) -> None:
        self.message_id = new_id()
        """The id of the message being made."""
        self.system: list[Message] = []
        self.messages: list[Message] = []
        self.remembered: list[Message] = []
        """Those of the messages that came from memory."""
        self.said: list[Message] = []
        """What the user said while tools waited; it follows what comes of them."""
        self.shown: set[str] = set()
        """The ids of messages that were given as context: they are nobody's turn to keep."""
        self.input_count = 0
        """How many of the messages were there before the first step."""
        self.steps: list[LLMStepResult] = []
        self.usage = Usage()
        self.text = ""
        self.cut = ""
        """What the step that was cut off has said, while it is none of the steps."""
        self.retry_count = 0
        """How often processors have asked the model again."""
        self.told: Message | None = None
        """The message with what came of the last calls."""
        self.history = History()
        """The messages as they are sent."""
        self.written: list[DataPart] = []
        """What processors have written that no message has yet."""

    def take_written(self) -> list[DataPart]:
        """Return what processors have written since, for the next message of the model."""
        taken, self.written = self.written, []
        return taken

    def keep_written(self) -> None:
        """Add what processors have written since to the last message of the model."""
        for place in reversed(range(self.input_count, len(self.messages))):
            message = self.messages[place]
            if self.written and message.role == "assistant":
                parts = (*message.parts, *self.take_written())
                self.messages = [*self.messages]
                self.messages[place] = replace(message, content=parts)

    def add(self, step: LLMStepResult) -> None:
        """Add a step that has ended, unless it is there."""
        if not self.has(step):
            self.steps.append(step)
            self.count([step])
            self.cut = ""

    def has(self, step: LLMStepResult) -> bool:
        """Return whether a step, which is the latest there can be, is among the steps."""
        return bool(self.steps) and self.steps[-1] is step

    def count(self, steps: Iterable[LLMStepResult]) -> None:
        """Count in what steps have said and used."""
        for step in steps:
            self.usage = self.usage + step.usage
            if step.finish_reason != "retry":  # a processor did not let it stand
                self.text += step.text

    def retell(self, steps: list[LLMStepResult], messages: list[Message], usage: Usage) -> None:
        """Take over what was streamed at the end of the run."""
        self.text = ""
        self.steps, self.messages = steps, messages
        self.count(steps)
        self.usage = usage

    def finish_payload(
        self, outcome: StepOutcome, metadata: dict[str, Any], value: Any
    ) -> FinishPayload:
        """Return what is streamed at the end of a run."""
        steps = [*self.steps]
        last = steps[-1] if steps else None
        text, calls = ("", []) if last is None else (last.text, last.tool_calls)
        return FinishPayload(
            self.message_id,
            outcome,
            FinishOutput(text, calls, self.usage, steps, value),
            metadata,
            [*self.messages],
            {} if last is None else {**metadata, "messages": last.response_messages()},
            self.input_count,
        )

    def to_scoring(self, thread_id: str | None, resource_id: str | None) -> dict[str, Json]:
        """Return what a scorer sees of the run: `input` and `output`, in the original's form."""
        owner = {"threadId": thread_id, "resourceId": resource_id}
        known = self.shown | {message.id for message in self.remembered}
        given = [
            message for message in self.messages[: self.input_count] if message.id not in known
        ]
        return {
            "input": {
                "inputMessages": to_stored_wire(given, **owner),
                "rememberedMessages": to_stored_wire(self.remembered, **owner),
                "systemMessages": [
                    {"role": "system", "content": part.text} for part in self.system
                ],
                "taggedSystemMessages": {},
            },
            "output": to_stored_wire(self.messages[self.input_count :], **owner),
        }
