"""A tool call that a model asks for, and what can come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from mastra.agents.chunks import AgentChunk
from mastra.failures import text_of
from mastra.jsonable import Json
from mastra.models.messages import DataPart, MessagePart, ToolResultPart

__all__ = [
    "Denied",
    "Done",
    "Elsewhere",
    "NeedsApproval",
    "Outcome",
    "Raised",
    "RequestedCall",
    "Suspended",
    "told_of",
]


class RequestedCall:
    """A tool call that the model completed.

    Attributes:
        id: Pairs the call with its result.
        name: What the model wants to run.
        args: With what; the text itself where it is not JSON.
        is_json: Whether it is.
        provider_executed: Whether the provider runs it.
        chunk: Its `tool-call` chunk.
        written: What its tool has written for those who read the conversation.
    """

    __slots__ = ("args", "chunk", "id", "is_json", "name", "provider_executed", "written")

    def __init__(self, id: str, name: str, args: Json, *, is_json: bool = True) -> None:
        self.id = id
        self.name = name
        self.args = args
        self.is_json = is_json
        self.provider_executed = False
        self.chunk: AgentChunk | None = None
        self.written: list[DataPart] = []


@dataclass(frozen=True, slots=True)
class Done:
    """The tool gave a result."""

    result: Json
    """As JSON data."""
    is_error: bool = False
    """Whether it says that the input or the output was not valid."""
    model_output: Json = None
    """What the model sees, where that differs."""


@dataclass(frozen=True, slots=True)
class Raised:
    """The tool raised, or there is none of that name."""

    error: BaseException
    """What it raised."""


@dataclass(frozen=True, slots=True)
class NeedsApproval:
    """A person must agree first."""


@dataclass(frozen=True, slots=True)
class Suspended:
    """The tool waits for somebody's answer."""

    payload: Any
    """What whoever answers needs to know."""


@dataclass(frozen=True, slots=True)
class Denied:
    """A person did not agree."""

    reason: str
    """Why, for the model."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The client, or the provider, runs the tool."""


Outcome: TypeAlias = Done | Raised | NeedsApproval | Suspended | Denied | Elsewhere
"""What came of a call."""


def told_of(call: RequestedCall, outcome: Outcome) -> list[MessagePart]:
    """Return what the conversation is told of a call, where there is something to tell."""
    result = _result_of(call, outcome)
    return [] if result is None else [result, *call.written]


def _result_of(call: RequestedCall, outcome: Outcome) -> ToolResultPart | None:
    match outcome:
        case Done(result, is_error, shown):
            seen: Any = result if shown is None else shown
            return ToolResultPart(call.id, call.name, seen, is_error, call.args)
        case Raised(error):
            return ToolResultPart(call.id, call.name, text_of(error), is_error=True, args=call.args)
        case Denied(reason):
            return ToolResultPart(call.id, call.name, reason, args=call.args)
        case _:
            return None
