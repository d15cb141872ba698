"""Results that come after the message of their call was stored: a client ran the tool meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from mastra.jsonable import Json
from mastra.models.message_wire import ANSWERED
from mastra.models.messages import (
    DataPart,
    Message,
    MessagePart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from mastra.models.stored_messages import result_to_stored

__all__ = ["apart", "called", "with_results", "without_repeats"]


def apart(messages: Sequence[Message]) -> tuple[list[Message], list[ToolResultPart]]:
    """Return messages without the results of calls that none of them makes, and those results."""
    open_calls: dict[str, int] = {}
    kept: list[Message] = []
    late: list[ToolResultPart] = []
    for message in messages:
        parts: list[MessagePart] = []
        for part in message.parts:
            if isinstance(part, ToolCallPart):
                open_calls[part.tool_call_id] = open_calls.get(part.tool_call_id, 0) + 1
            elif isinstance(part, ToolResultPart):
                if not open_calls.get(part.tool_call_id):
                    late.append(part)
                    continue
                open_calls[part.tool_call_id] -= 1
            parts.append(part)
        if len(parts) == len(message.parts):
            kept.append(message)
        elif parts:
            kept.append(replace(message, content=tuple(parts)))
    return kept, late


def called(result: ToolResultPart) -> Message:
    """Return the result of a call that nobody knows as it is stored: with its call."""
    args: Json = {} if result.args is None else result.args
    call = ToolCallPart(result.tool_call_id, result.tool_name, args)
    return Message("assistant", (call, result))


def with_results(
    content: Mapping[str, Json], results: Sequence[ToolResultPart]
) -> tuple[dict[str, Json] | None, list[ToolResultPart]]:
    """Put results beside their calls in a message as it is stored.

    Returns:
        The content with them, or `None` where it has none of their calls, and the results left.
    """
    left = [*results]
    parts: list[Json] = []
    is_changed = False
    for part in cast("Sequence[Json]", content.get("parts") or ()):
        invocation = _open_call(part)
        found = None
        if invocation is not None:
            found = next((r for r in left if r.tool_call_id == invocation["toolCallId"]), None)
        if invocation is None or found is None:
            parts.append(part)
            continue
        left.remove(found)
        is_changed = True
        answered = {**invocation, **result_to_stored(found)}
        parts.append({**cast("dict[str, Json]", part), "toolInvocation": answered})
    return ({**content, "parts": parts} if is_changed else None), left


def _open_call(part: Json) -> Mapping[str, Any] | None:
    known = cast("Mapping[str, Any]", part if isinstance(part, Mapping) else {})
    invocation = known.get("toolInvocation")
    if known.get("type") != "tool-invocation" or not isinstance(invocation, Mapping):
        return None
    call = cast("Mapping[str, Any]", invocation)
    return None if call.get("state") in ANSWERED or "toolCallId" not in call else call


def without_repeats(known: Sequence[Message], given: Sequence[Message]) -> list[Message]:
    """Return what a client gives without answers that are remembered and whose calls are open.

    Clients repeat the answer that asked for a tool in front of the tool's result.
    """
    answered = {
        part.tool_call_id
        for message in known
        for part in message.parts
        if isinstance(part, ToolResultPart)
    }
    waiting = [
        call
        for message in known
        for call in message.tool_calls
        if call.tool_call_id not in answered
    ]
    return [message for message in given if not _repeats(message, waiting)]


def _repeats(message: Message, waiting: Sequence[ToolCallPart]) -> bool:
    calls = message.tool_calls
    if message.role != "assistant" or not calls:
        return False
    if not all(isinstance(part, (TextPart, DataPart, ToolCallPart)) for part in message.parts):
        return False
    return all(any(_is_same(call, other) for other in waiting) for call in calls)


def _is_same(one: ToolCallPart, other: ToolCallPart) -> bool:
    return (one.tool_call_id, one.tool_name, one.args) == (
        other.tool_call_id,
        other.tool_name,
        other.args,
    )
