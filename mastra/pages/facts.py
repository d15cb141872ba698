"""What is known of a chunk of an agent, as pages of every protocol are told of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, cast

from mastra.agents.chunks import AgentChunk, StepStartPayload, ToolOutputPayload
from mastra.agents.results import FinishPayload
from mastra.agents.wire import plain
from mastra.jsonable import Json, dump_wire

__all__ = ["APPROVAL", "Facts", "approval_id", "facts_of", "framed", "is_same", "without_none"]

Facts: TypeAlias = "tuple[str, str, Any]"
"""Of a chunk of an agent: its type, its run, and what it carries as JSON data."""

APPROVAL: Final = "::"
"""Stands between a run and a call in the id of an approval."""


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


def approval_id(run_id: str, tool_call_id: str) -> str:
    """Return the id of an approval, which leads back to its run."""
    return f"{run_id}{APPROVAL}{tool_call_id}"


def without_none(**fields: Any) -> dict[str, Json]:
    """Return fields without those that are not known."""
    return {key: value for key, value in fields.items() if value is not None}


def framed(chunk: dict[str, Json]) -> bytes:
    """Return a chunk as a server-sent event."""
    return b"data: " + dump_wire(chunk) + b"\n\n"


def is_same(stored: Any, shown: Any) -> bool:
    """Return whether two JSON values are the same to a page, for which 1 and 1.0 are, 1 and true not."""
    match stored, shown:
        case (bool(), _) | (_, bool()):
            return stored is shown
        case int() | float(), int() | float():
            return _double(stored) == _double(shown)
        case dict(), dict():
            one, other = cast("dict[str, Any]", stored), cast("dict[str, Any]", shown)
            return one.keys() == other.keys() and all(is_same(one[k], other[k]) for k in one)
        case list(), list():
            items, others = cast("list[Any]", stored), cast("list[Any]", shown)
            return len(items) == len(others) and all(map(is_same, items, others))
        case _:
            return type(stored) is type(shown) and stored == shown


def _double(number: float) -> float:
    """Return a number as a page has it."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
