"""The chunks that a page of the AI SDK is sent, and what of ours they are made of.

A page refuses `null` where a field may be absent, so what is not known is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, cast

from mastra.agents.chunks import AgentChunk, StepStartPayload, ToolOutputPayload
from mastra.agents.results import FinishPayload
from mastra.agents.wire import plain
from mastra.jsonable import Json, dump_wire

__all__ = [
    "Facts",
    "StreamOptions",
    "UIChunk",
    "Version",
    "approval_id",
    "custom_chunk",
    "facts_of",
    "framed",
    "text_of_error",
    "without_none",
]

UIChunk: TypeAlias = "dict[str, Json]"
"""A chunk as the page reads it."""

Version: TypeAlias = Literal["v6", "v7"]
"""Of the AI SDK that the page has."""

Facts: TypeAlias = "tuple[str, str, Any]"
"""Of a chunk of an agent: its type, its run, and what it carries as JSON data."""

APPROVAL: Final = "::"
"""Stands between a run and a call in the id of an approval."""


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


def facts_of(chunk: Any) -> Facts:
    """Return what is known of a chunk, as an agent streams it or as it was written as JSON.

    Of `step-finish` and `finish` that is why and the usage alone: they carry the conversation.
    """
    if not isinstance(chunk, AgentChunk):
        return _written(chunk if isinstance(chunk, Mapping) else plain(chunk))
    kind, payload = chunk.type, chunk.payload
    match payload:
        case FinishPayload():
            end = {"reason": payload.step_result.reason, "usage": payload.output.usage.to_wire()}
            return kind, chunk.run_id, end
        case StepStartPayload():
            return kind, chunk.run_id, {"messageId": payload.message_id}
        case ToolOutputPayload():
            # What a sub-agent streams is looked at as it is.
            call = {"toolCallId": payload.tool_call_id, "toolName": payload.tool_name}
            return kind, chunk.run_id, {**call, "output": payload.output}
        case _:
            return kind, chunk.run_id, _carried(kind, plain(payload))


def _written(wire: Any) -> Facts:
    if not isinstance(wire, Mapping):
        return "", "", wire
    known = cast("Mapping[str, Any]", wire)
    kind, run_id = str(known.get("type") or ""), str(known.get("runId") or "")
    if kind.startswith("data-"):
        return kind, run_id, {key: item for key, item in known.items() if key != "type"}
    if kind in {"object", "object-result"}:
        return kind, run_id, known.get("object")
    return kind, run_id, _carried(kind, known.get("payload"))


def _carried(kind: str, payload: Any) -> Any:
    if kind in {"step-finish", "finish"}:
        return {"reason": payload["stepResult"]["reason"], "usage": payload["output"]["usage"]}
    return payload


def custom_chunk(kind: str, payload: Mapping[str, Any]) -> UIChunk:
    """Return what a step, a tool or a processor wrote as `data-…`."""
    made: UIChunk = {"type": kind, "data": plain(payload.get("data"))}
    if payload.get("id") is not None:
        made["id"] = str(payload["id"])
    if payload.get("transient") is True:
        made["transient"] = True
    return made


def approval_id(run_id: str, tool_call_id: str) -> str:
    """Return the id of an approval, which leads back to its run."""
    return f"{run_id}{APPROVAL}{tool_call_id}"


def text_of_error(options: StreamOptions, error: Any) -> str:
    """Return what the page is told of an error."""
    known = cast("Mapping[str, Any]", error if isinstance(error, Mapping) else {"message": error})
    if options.on_error is not None:
        return str(options.on_error(known))
    return str(known.get("message") or known.get("name") or "The answer failed.")


def without_none(**fields: Any) -> UIChunk:
    """Return fields without those that are not known."""
    return {key: value for key, value in fields.items() if value is not None}


def framed(chunk: UIChunk) -> bytes:
    """Return a chunk as a server-sent event."""
    return b"data: " + dump_wire(chunk) + b"\n\n"
