"""What was said in a run: its messages and its steps, and how much that came to."""

from __future__ import annotations

from collections.abc import Iterable

from mastra.agents.results import StepResult
from mastra.ids import new_id
from mastra.models.chunks import Usage
from mastra.models.history import History
from mastra.models.messages import Message

__all__ = ["Transcript"]


class Transcript:
    """A run's conversation. A durable run hands it from one operation to the next."""

    __slots__ = (
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
        self.steps: list[StepResult] = []
        self.usage = Usage()
        self.text = ""
        self.retry_count = 0
        """How often processors have asked the model again."""
        self.told: Message | None = None
        """The message with what came of the last calls."""
        self.history = History()
        """The messages as they are sent."""

    def count(self, steps: Iterable[StepResult]) -> None:
        """Count in what steps have said and used."""
        for step in steps:
            self.usage = self.usage + step.usage
            if step.finish_reason != "retry":  # a processor did not let it stand
                self.text += step.text

    def retell(self, steps: list[StepResult], messages: list[Message], usage: Usage) -> None:
        """Take over what was streamed at the end of the run."""
        self.text = ""
        self.steps, self.messages = steps, messages
        self.count(steps)
        self.usage = usage
