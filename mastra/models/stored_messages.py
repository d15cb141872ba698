"""Messages as Mastra's storage keeps them: a tool's result beside its call, in one message."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

from mastra.clock import iso_from_ms
from mastra.jsonable import Json, to_jsonable
from mastra.models.message_wire import content_to_wire, part_to_wire
from mastra.models.messages import (
    DataPart,
    Message,
    MessagePart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = [
    "feedback_message",
    "is_feedback",
    "is_ours",
    "merged_messages",
    "result_to_stored",
    "split_results",
    "stored_content",
    "to_stored_wire",
]


def feedback_message(text: str, *, is_hidden: bool) -> Message:
    """Return what a check or a hook tells the model, as Mastra's clients know it.

    Args:
        text: What it is told.
        is_hidden: Whether it is not for showing to people.
    """
    result = {"passed": False, "suppressFeedback": is_hidden}
    return Message("assistant", text, metadata={"mode": "stream", "completionResult": result})


def is_feedback(message: Message) -> bool:
    """Return whether a message is such feedback, and no answer of the model."""
    return "completionResult" in (message.metadata or ())


def merged_messages(messages: Iterable[Message]) -> list[Message]:
    """Return messages with each answer, its tools' results and what follows as one message."""
    groups: list[list[Message]] = []
    for message in messages:
        if message.role == "system":
            continue
        first = groups[-1][0] if groups else None
        goes_on = (
            first is not None
            and first.role == "assistant"
            and message.role in {"assistant", "tool"}
            and not is_feedback(message)
            and not is_feedback(groups[-1][-1])
        )
        if goes_on:
            groups[-1].append(message)
        else:
            groups.append([message])
    return [_merged(group) for group in groups]


def _merged(group: list[Message]) -> Message:
    """Return an answer and what follows it as one message."""
    first = group[0]
    if len(group) == 1:
        return first
    metadata: dict[str, Any] = {}
    for message in group:
        metadata.update(message.metadata or {})
    return Message(
        "assistant",
        tuple(part for message in group for part in message.parts),
        id=first.id,
        created_at=first.created_at,
        metadata=metadata or None,
    )


def stored_content(message: Message) -> dict[str, Json]:
    """Return the content of a merged message."""
    results = _results([part for part in message.parts if isinstance(part, ToolResultPart)])
    parts: list[Json] = []
    is_answered = False
    for part in message.parts:
        if isinstance(part, ToolResultPart):
            is_answered = is_answered or not part.provider_executed
            continue
        if is_answered and not isinstance(part, DataPart):
            # The next answer of the model: readers put what came of the calls before it.
            parts.append({"type": "step-start"})
            is_answered = False
        match part:
            case ToolCallPart():
                parts.append(_invocation(part, results))
            case ReasoningPart():
                parts.append(_thought(part))
            case _:
                parts.append(part_to_wire(part))
    content: dict[str, Json] = {"format": 2, "parts": parts, "content": message.text}
    if message.metadata:
        content["metadata"] = to_jsonable(dict(message.metadata), what="A message's metadata")
    return content


def _thought(part: ReasoningPart) -> Json:
    """Return a thought as the original's readers know it: they drop one that has only a text."""
    wire = part_to_wire(part)
    detail = {"type": "text", "text": wire.pop("text")}
    if part.signature is not None:
        detail["signature"] = part.signature
    return wire | {"reasoning": part.text, "details": [detail]}


def _results(parts: Iterable[ToolResultPart]) -> dict[str, deque[ToolResultPart]]:
    """Return results by the ids of their calls; a provider may count from 0 in each answer."""
    found: dict[str, deque[ToolResultPart]] = {}
    for part in parts:
        found.setdefault(part.tool_call_id, deque()).append(part)
    return found


def _invocation(call: ToolCallPart, results: Mapping[str, deque[ToolResultPart]]) -> Json:
    """Return a call with its result: the first of its id that no earlier call has taken."""
    of_its_id = results.get(call.tool_call_id)
    found = of_its_id.popleft() if of_its_id else None
    invocation: dict[str, Json] = {
        "state": "call",
        "toolCallId": call.tool_call_id,
        "toolName": call.tool_name,
        "args": call.args,
    }
    if call.provider_executed:
        invocation["providerExecuted"] = True
    if found is not None:
        invocation |= result_to_stored(found)
    wire: dict[str, Json] = {"type": "tool-invocation", "toolInvocation": invocation}
    if call.provider_metadata:
        wire["providerMetadata"] = to_jsonable(
            dict(call.provider_metadata), what="What a provider says of a tool's call"
        )
    return wire


def result_to_stored(result: ToolResultPart) -> dict[str, Json]:
    """Return what a stored call has of its result.

    A failure that is told in words has the original's state for it, which pages show as one.
    """
    given = to_jsonable(result.result, what="A tool's result")
    stored: dict[str, Json] = {"state": "result", "result": given}
    if result.is_error:
        stored["isError"] = True
        if isinstance(given, str):
            stored |= {"state": "output-error", "errorText": given}
    if result.content is not None:
        stored["resultContent"] = content_to_wire(result)
    if result.provider_metadata:
        stored["resultProviderMetadata"] = to_jsonable(
            dict(result.provider_metadata), what="What a provider says of a tool's result"
        )
    return stored


def to_stored_wire(messages: Iterable[Message], **owner: str | None) -> list[dict[str, Json]]:
    """Return messages as Mastra's storage, and `generate()` over HTTP, write them."""
    named = {key: value for key, value in owner.items() if value is not None}
    return [
        {
            "id": message.id,
            "role": message.role,
            "createdAt": iso_from_ms(message.created_at),
            "content": stored_content(message),
            **named,
        }
        for message in merged_messages(messages)
    ]


def split_results(messages: Sequence[Message]) -> list[Message]:
    """Return messages with tools' results in messages of their own, as providers want them."""
    out: list[Message] = []
    for message in messages:
        parts = message.parts
        if message.role != "assistant" or not any(map(is_ours, parts)):
            out.append(message)
        else:
            out += _split(message, parts)
    return out


def is_ours(part: MessagePart) -> TypeGuard[ToolResultPart]:
    """Return whether a part is the result of a tool that did not run at the provider."""
    return isinstance(part, ToolResultPart) and not part.provider_executed


def _split(message: Message, parts: Sequence[MessagePart]) -> list[Message]:
    """Cut after each group of calls: their results come before what the model said next."""
    answered = _results([part for part in parts if is_ours(part)])
    out: list[Message] = []
    said: list[MessagePart] = []
    results: list[ToolResultPart] = []

    def close() -> None:
        if said:
            message_id = f"{message.id}-{len(out)}" if out else message.id
            out.append(
                Message("assistant", tuple(said), id=message_id, created_at=message.created_at)
            )
        if results:
            out.append(
                Message(
                    "tool",
                    tuple(results),
                    id=f"{message.id}-{len(out)}",
                    created_at=message.created_at,
                )
            )
        said.clear()
        results.clear()

    for part in parts:
        if is_ours(part):
            continue
        if results and isinstance(part, (TextPart, ReasoningPart)):
            close()
        said.append(part)
        of_its_id = answered.get(part.tool_call_id) if isinstance(part, ToolCallPart) else None
        if of_its_id:
            results.append(of_its_id.popleft())
    close()
    return out
