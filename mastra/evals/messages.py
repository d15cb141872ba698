"""What scorers read out of messages in the form that storage has them in, and out of looser forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard, cast

from mastra.ids import new_id

__all__ = [
    "agent_texts",
    "assistant_text",
    "conversation_history",
    "create_agent_test_run",
    "create_test_message",
    "create_tool_invocation",
    "input_texts",
    "is_agent_input",
    "is_agent_output",
    "message_text",
    "output_texts",
    "system_prompt",
    "tool_calls",
    "tool_invocations",
    "tool_results",
    "user_text",
]

Fields = Mapping[str, Any]


def _is_fields(value: Any) -> TypeGuard[Fields]:
    return isinstance(value, Mapping)


def _items(value: Any) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, (list, tuple)) else ()


def _last_text(parts: Any) -> str | None:
    """Return the text of the last part that is text."""
    texts = [part for part in _items(parts) if _is_fields(part) and part.get("type") == "text"]
    return None if not texts else str(texts[-1].get("text") or "")


def message_text(message: Any) -> str:
    """Return the text of one message."""
    if isinstance(message, str):
        return message
    content = message.get("content") if _is_fields(message) else None
    if isinstance(content, str):
        return content
    if isinstance(content, (list, tuple)):
        return _last_text(cast("Any", content)) or ""
    if not _is_fields(content):
        return ""
    for key in ("content", "text"):
        if isinstance(content.get(key), str) and content[key]:
            return content[key]
    return _last_text(content.get("parts")) or ""


def _text_in(value: Any) -> str | None:
    """Return the text in a message of any form, or `None`."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, (list, tuple)):
        return _last_text(cast("Any", value))
    if not _is_fields(value):
        return None
    within = _text_in(value.get("content"))
    if within is not None:
        return within
    for key in ("text", "body"):
        if isinstance(value.get(key), str) and value[key]:
            return value[key]
    return _last_text(value.get("parts"))


def _role(message: Fields) -> str | None:
    """Return the role, of a signal that of what it carries."""
    role = message.get("role")
    if role != "signal":
        return role if isinstance(role, str) else None
    content: Any = message.get("content")
    metadata: Any = content.get("metadata") if _is_fields(content) else None
    signal: Any = metadata.get("signal") if _is_fields(metadata) else None
    told: Fields = signal if _is_fields(signal) else {}
    for found in (told.get("tagName"), told.get("type"), message.get("type")):
        if isinstance(found, str):
            return found
    return None


def user_text(given: Any) -> str | None:
    """Return what the user said: the first message of theirs in an input of any form."""
    if isinstance(given, str):
        return given
    if not _is_fields(given):
        return None
    for key in ("inputMessages", "messages"):
        for message in _items(given.get(key)):
            if _is_fields(message) and _role(message) == "user":
                found = _text_in(message)
                if found is not None:
                    return found
                break
    for key in ("prompt", "text"):
        if isinstance(given.get(key), str):
            return given[key]
    found = (_text_in(given.get(key)) for key in ("content", "input", "user"))
    return next((text for text in found if text is not None), None)


def assistant_text(output: Any) -> str | None:
    """Return the answer: the last text of the assistant in an output of any form."""
    if isinstance(output, str):
        return output
    if isinstance(output, (list, tuple)):
        for message in reversed(cast("Sequence[Any]", output)):
            if _is_fields(message) and _role(message) == "assistant":
                text = _text_in(message)
                if text:
                    return text
        return None
    if not _is_fields(output) or output.get("role", "assistant") != "assistant":
        return None
    for key in ("text", "content"):
        if isinstance(output.get(key), str):
            return output[key]
    content: Any = output.get("content")
    if isinstance(content, (Mapping, list, tuple)):
        return message_text(output) or message_text({"content": content}) or None
    return message_text(output) or None


def system_prompt(given: Any) -> str:
    """Return all that the system said in an agent's input."""
    if not _is_fields(given):
        return ""
    found = [_system_text(message) for message in _items(given.get("systemMessages"))]
    for key in ("inputMessages", "messages"):
        found += [
            _text_in(message)
            for message in _items(given.get(key))
            if _is_fields(message) and message.get("role") == "system"
        ]
    tagged: Any = given.get("taggedSystemMessages")
    if _is_fields(tagged):
        found += [_text_in(message) for group in tagged.values() for message in _items(group)]
    return "\n\n".join(text for text in found if text)


def _system_text(message: Any) -> str:
    content: Any = message.get("content") if _is_fields(message) else None
    if isinstance(content, str):
        return content
    texts = [part for part in _items(content) if _is_fields(part) and part.get("type") == "text"]
    return " ".join(str(part.get("text") or "") for part in texts)


def conversation_history(given: Any, most: int = 10) -> str | None:
    """Return the remembered messages of an agent's input as `role: text`, or `None`."""
    if not is_agent_input(given) or most <= 0:
        return None
    lines: list[str] = []
    for message in _items(given["rememberedMessages"])[-most:]:
        role = _role(message) if _is_fields(message) else None
        text = message_text(message).strip()
        if role and text:
            lines.append(f"{role}: {text}")
    return "\n".join(lines) or None


def is_agent_input(given: Any) -> TypeGuard[Fields]:
    """Return whether an input is that of an agent."""
    lists = ("inputMessages", "rememberedMessages", "systemMessages")
    return (
        _is_fields(given)
        and all(isinstance(given.get(key), (list, tuple)) for key in lists)
        and _is_fields(given.get("taggedSystemMessages"))
    )


def is_agent_output(output: Any) -> TypeGuard[Sequence[Fields]]:
    """Return whether an output is the messages of an agent's answer."""
    needed = ("id", "role", "content", "createdAt")
    return isinstance(output, (list, tuple)) and all(
        _is_fields(message) and all(key in message for key in needed)
        for message in cast("Sequence[Any]", output)
    )


def input_texts(given: Any) -> list[str]:
    """Return the texts of the messages that were given to an agent."""
    if isinstance(given, str):
        return [given]
    messages: Any = given.get("inputMessages") if _is_fields(given) else None
    if messages is None:
        text = user_text(given)
        return [] if text is None else [text]
    return [message_text(message) for message in _items(messages)]


def output_texts(output: Any) -> list[str]:
    """Return the texts of the messages of an answer."""
    if isinstance(output, (list, tuple)):
        return [message_text(message) for message in cast("Sequence[Any]", output)]
    text = assistant_text(output)
    return [] if text is None else [text]


def agent_texts(output: Any) -> list[str]:
    """Return the texts of the assistant's messages in an answer."""
    if isinstance(output, (list, tuple)):
        return [
            message_text(message)
            for message in cast("Sequence[Any]", output)
            if _is_fields(message) and message.get("role") == "assistant"
        ]
    return output_texts(output)


# -- tools -----------------------------------------------------------------------------------------


def tool_invocations(message: Any) -> list[Fields]:
    """Return the tool calls of a message, in order, each once, whichever form they are kept in."""
    content: Any = message.get("content") if _is_fields(message) else None
    if not _is_fields(content):
        return []
    from_parts = [
        part["toolInvocation"]
        for part in _items(content.get("parts"))
        if _is_fields(part) and part.get("type") == "tool-invocation" and part.get("toolInvocation")
    ]
    legacy = _items(content.get("toolInvocations"))
    known = {call.get("toolCallId") for call in from_parts} - {None, ""}
    places = {call.get("toolCallId"): place for place, call in enumerate(legacy) if call}
    found: list[Fields] = []
    reached = 0
    for call in from_parts:
        place = places.get(call["toolCallId"]) if call.get("toolCallId") else None
        if place is not None and place >= reached:
            found += _unknown(legacy[reached:place], known)
            reached = place + 1
        found.append(call)
    return found + _unknown(legacy[reached:], known)


def _unknown(calls: Sequence[Any], known: set[Any]) -> list[Fields]:
    return [call for call in calls if call and call.get("toolCallId") not in known]


def invocations(output: Any) -> Iterator[tuple[int, int, Fields]]:
    """Yield every tool call of an answer with the places of its message and in it."""
    for at, message in enumerate(_items(output)):
        for place, call in enumerate(tool_invocations(message)):
            yield at, place, call


def is_called(call: Fields) -> bool:
    """Return whether a call was made, and not only begun."""
    return bool(call.get("toolName")) and call.get("state") in ("result", "call", "output-error")


def tool_calls(output: Any) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the names of the tools that an answer called, and where each call is."""
    made = [found for found in invocations(output) if is_called(found[2])]
    return [call["toolName"] for _, _, call in made], [
        {
            "toolName": call["toolName"],
            "toolCallId": call.get("toolCallId") or f"{at}-{place}",
            "messageIndex": at,
            "invocationIndex": place,
        }
        for at, place, call in made
    ]


def tool_results(output: Any) -> list[dict[str, Any]]:
    """Return what the tools that an answer called have given."""
    return [
        {
            "toolName": call.get("toolName"),
            "toolCallId": call.get("toolCallId") or "",
            "args": call.get("args") or {},
            "result": call["result"],
        }
        for _, _, call in invocations(output)
        if call.get("state") == "result" and "result" in call
    ]


# -- for tests of scorers --------------------------------------------------------------------------


def create_tool_invocation(
    *,
    tool_call_id: str,
    tool_name: str,
    args: Any = None,
    result: Any = None,
    state: str = "result",
    error_text: str | None = None,
    is_error: bool | None = None,
) -> dict[str, Any]:
    """Return a tool call as messages have it."""
    found: dict[str, Any] = {
        "toolCallId": tool_call_id,
        "toolName": tool_name,
        "args": {} if args is None else args,
        "state": state,
    }
    optional = {"result": result, "errorText": error_text, "isError": is_error}
    return found | {key: value for key, value in optional.items() if value is not None}


def create_test_message(
    *,
    content: str = "",
    role: str = "assistant",
    id: str | None = None,
    tool_invocations: Sequence[Fields] = (),
) -> dict[str, Any]:
    """Return a message as storage has it, to score in a test."""
    parts: list[Any] = [
        {"type": "tool-invocation", "toolInvocation": call} for call in tool_invocations
    ]
    return {
        "id": id or new_id(),
        "role": role,
        "createdAt": "1970-01-01T00:00:00.000Z",
        "content": {
            "format": 2,
            "parts": [*parts, {"type": "text", "text": content}],
            "content": content,
        },
    }


def create_agent_test_run(
    *,
    input_messages: Sequence[Any] = (),
    output: Sequence[Any] = (),
    remembered_messages: Sequence[Any] = (),
    system_messages: Sequence[Any] = (),
    tagged_system_messages: Fields | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """Return what `scorer.run` takes for an answer of an agent, to score in a test."""
    return {
        "input": {
            "inputMessages": [*input_messages],
            "rememberedMessages": [*remembered_messages],
            "systemMessages": [*system_messages],
            "taggedSystemMessages": dict(tagged_system_messages or {}),
        },
        "output": [*output],
        **fields,
    }
