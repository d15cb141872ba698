"""The chunks that a page of the AI SDK is sent, and what of ours they are made of.

A page refuses `null` where a field may be absent, so what is not known is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

from mastra.agents.calls.outcomes import APPROVAL_SCHEMA
from mastra.agents.wire import plain
from mastra.jsonable import Json

__all__ = [
    "StreamOptions",
    "UIChunk",
    "Version",
    "asks_approval",
    "custom_chunk",
    "text_of_error",
]

UIChunk: TypeAlias = "dict[str, Json]"
"""A chunk as the page reads it."""

Version: TypeAlias = Literal["v6", "v7"]
"""Of the AI SDK that the page has."""


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a stream is shown to a page."""

    version: Version = "v7"
    """Which AI SDK the page has."""
    send_start: bool = True
    """Whether the message is opened."""
    send_finish: bool = True
    """Whether it is finished."""
    send_reasoning: bool = False
    """Whether the page sees what the model thinks."""
    send_sources: bool = False
    """Whether it sees what the model drew on."""
    message_id: str | None = None
    """The message of the page that goes on; of a new one `None`."""
    known_calls: Collection[str] | None = None
    """The calls that the message has already; `None` where it has every one that it may go on with."""
    client_tools: Collection[str] | None = None
    """The tools that the page runs. Given, calls that nobody has come to are taken back where the
    run asks for something, since a page sends an answer once all calls that it shows have ended."""
    on_error: Callable[[Mapping[str, Any]], str] | None = None
    """Says what the page is told of an error, given as JSON with `message` and `name`."""
    message_metadata: Callable[[UIChunk], Mapping[str, Any] | None] | None = None
    """Facts for the message, laid over what is known of its usage, by its `start` and `finish`."""
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Facts that the `start` of the message tells."""


def custom_chunk(kind: str, payload: Mapping[str, Any]) -> UIChunk:
    """Return what a step, a tool or a processor wrote as `data-…`."""
    made: UIChunk = {"type": kind, "data": plain(payload.get("data"))}
    if payload.get("id") is not None:
        made["id"] = str(payload["id"])
    if payload.get("transient") is True:
        made["transient"] = True
    return made


def text_of_error(options: StreamOptions, error: Any) -> str:
    """Return what the page is told of an error."""
    known = cast("Mapping[str, Any]", error if isinstance(error, Mapping) else {"message": error})
    if options.on_error is not None:
        return str(options.on_error(known))
    return str(known.get("message") or known.get("name") or "The answer failed.")


def asks_approval(suspended: Any) -> bool:
    """Return whether a tool waits because an agent that it asks, at whatever depth, has to be let.

    Args:
        suspended: What the tool suspended with.
    """
    while isinstance(suspended, Mapping):
        known = cast("Mapping[str, Any]", suspended)
        if "runId" not in known or "suspendPayload" not in known:
            return False
        if known.get("resumeSchema") == APPROVAL_SCHEMA:
            return True
        suspended = known["suspendPayload"]
    return False
