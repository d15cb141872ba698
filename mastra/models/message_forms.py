"""Reads messages in the forms callers write and writes them in Mastra's.

Understood: text, `Message`, and dicts as the AI SDK, its user interface, the OpenAI API and
Mastra's storage write them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from mastra.clock import now_ms
from mastra.errors import InputValidationError
from mastra.ids import new_id
from mastra.jsonable import Json, load_json, to_jsonable
from mastra.models.messages import (
    FilePart,
    ImagePart,
    Message,
    MessageInput,
    MessagePart,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    is_message_like,
)

__all__ = ["message_from", "message_to_wire", "messages_from", "part_to_wire"]

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


def messages_from(value: MessageInput) -> list[Message]:
    """Return messages for anything a caller may pass.

    Raises:
        InputValidationError: It is in none of the known forms.
    """
    if is_message_like(value):
        return [message_from(value)]
    if isinstance(value, Sequence):
        return [message_from(item) for item in cast("Sequence[Any]", value)]
    raise _unknown("messages", value)


def message_from(value: object) -> Message:
    """Return one message; text is the user's.

    Raises:
        InputValidationError: It is in none of the known forms.
    """
    if isinstance(value, Message):
        return value
    if isinstance(value, str):
        return Message("user", value)
    if not isinstance(value, Mapping):
        raise _unknown("A message", value)
    data = cast("Mapping[str, Any]", value)
    role = _ROLES.get(str(data.get("role")))
    if role is None:
        raise InputValidationError(
            f"A message has role {data.get('role')!r}; known are {', '.join(_ROLES)}.",
            issues=[{"path": ["messages"], "message": "unknown role"}],
        )
    return Message(
        role,
        _content(data, role),
        id=str(data.get("id") or new_id()),
        created_at=data["createdAt"] if isinstance(data.get("createdAt"), int) else now_ms(),
        metadata=data.get("metadata"),
    )


def _content(data: Mapping[str, Any], role: Role) -> str | tuple[MessagePart, ...]:
    content: Any = data.get("content")
    if isinstance(content, Mapping) and "parts" in cast("Mapping[str, Any]", content):
        content = cast("Any", content)["parts"]  # Mastra's stored form
    elif data.get("parts") is not None:  # the user interface's form
        content = data["parts"]
    if role == "tool" and "tool_call_id" in data:  # the OpenAI API's form
        return (ToolResultPart(data["tool_call_id"], str(data.get("name") or ""), content),)
    parts: list[MessagePart] = []
    if isinstance(content, str):
        if "tool_calls" not in data:
            return content
        parts += [TextPart(content)] if content else []
    elif isinstance(content, Sequence):
        for item in cast("Sequence[Any]", content):
            parts += _parts(item)
    elif content is not None or "tool_calls" not in data:
        raise _unknown("A message's content", cast("object", content))
    parts += [_openai_call(call) for call in data.get("tool_calls") or ()]
    return tuple(parts)


def _openai_call(call: Mapping[str, Any]) -> ToolCallPart:
    function = call["function"]
    return ToolCallPart(call["id"], function["name"], load_json(function["arguments"] or "{}"))


def _parts(item: object) -> list[MessagePart]:
    if isinstance(item, str):
        return [TextPart(item)]
    if isinstance(item, Mapping):
        data = cast("Mapping[str, Any]", item)
        kind = str(data.get("type"))
        if kind == "tool-invocation":
            return _invocation(data["toolInvocation"])
        if kind.startswith("tool-") and kind not in _READERS:
            return _interface_tool(data, kind.removeprefix("tool-"))
        reader = _READERS.get(kind)
        if reader is not None:
            part = reader(data)
            return [] if part is None else [part]
    elif isinstance(
        item, (TextPart, ImagePart, FilePart, ReasoningPart, ToolCallPart, ToolResultPart)
    ):
        return [item]
    raise _unknown("A message's part", cast("object", item))


def _invocation(call: Mapping[str, Any]) -> list[MessagePart]:
    call_id, name, args = str(call["toolCallId"]), str(call["toolName"]), call.get("args")
    found: list[MessagePart] = [ToolCallPart(call_id, name, args)]
    if call.get("state") == "result":
        is_error = bool(call.get("isError"))
        found.append(ToolResultPart(call_id, name, call.get("result"), is_error, args))
    return found


def _interface_tool(data: Mapping[str, Any], name: str) -> list[MessagePart]:
    call_id = str(data["toolCallId"])
    found: list[MessagePart] = [ToolCallPart(call_id, name, data.get("input"))]
    if data.get("errorText") is not None:
        found.append(ToolResultPart(call_id, name, data["errorText"], is_error=True))
    elif data.get("output") is not None:
        found.append(ToolResultPart(call_id, name, data["output"], args=data.get("input")))
    return found


def _text(data: Mapping[str, Any]) -> MessagePart:
    return TextPart(str(data["text"]))


def _reasoning(data: Mapping[str, Any]) -> MessagePart:
    return ReasoningPart(
        str(data.get("text") or data.get("reasoning") or ""), data.get("signature")
    )


def _image(data: Mapping[str, Any]) -> MessagePart:
    image: Any = data.get("image_url", data.get("image", data.get("url")))
    if isinstance(image, Mapping):
        image = cast("Any", image)["url"]
    media_type = _media_type(data, "image/png")
    url, encoded = _located(data.get("data") if image is None else image)
    return ImagePart(url, encoded, media_type)


def _file(data: Mapping[str, Any]) -> MessagePart:
    inner: Mapping[str, Any] = data["file"] if isinstance(data.get("file"), Mapping) else data
    source: Any = inner.get("data", inner.get("file_data", inner.get("url")))
    url, encoded = _located(source) if source is not None else (None, None)
    media_type = _media_type(data, "application/octet-stream")
    if media_type.startswith("image/"):
        return ImagePart(url, encoded, media_type)
    return FilePart(media_type, url, encoded, inner.get("filename"), inner.get("file_id"))


def _media_type(data: Mapping[str, Any], default: str) -> str:
    for key in ("mediaType", "mimeType", "media_type", "mime_type"):
        if data.get(key):
            return str(data[key])
    return default


def _located(source: object) -> tuple[str | None, str | None]:
    if isinstance(source, (bytes, bytearray)):
        return None, base64.b64encode(source).decode()
    text = str(source)
    return (text, None) if text.startswith(("http:", "https:", "data:")) else (None, text)


def _call(data: Mapping[str, Any]) -> MessagePart:
    args = data.get("input", data.get("args"))
    return ToolCallPart(str(data["toolCallId"]), str(data["toolName"]), args)


def _result(data: Mapping[str, Any]) -> MessagePart:
    output: Any = data.get("output", data.get("result"))
    is_error = bool(data.get("isError"))
    if isinstance(output, Mapping) and set(cast("Any", output)) == {"type", "value"}:
        wrapped = cast("Mapping[str, Any]", output)
        is_error = is_error or str(wrapped["type"]).startswith("error")
        output = wrapped["value"]
    return ToolResultPart(
        str(data["toolCallId"]), str(data["toolName"]), output, is_error, data.get("input")
    )


def _skip(_data: Mapping[str, Any]) -> None:
    return None


_READERS: dict[str, Callable[[Mapping[str, Any]], MessagePart | None]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "reasoning": _reasoning,
    "image": _image,
    "image_url": _image,
    "input_image": _image,
    "file": _file,
    "input_file": _file,
    "tool-call": _call,
    "tool-result": _result,
    "step-start": _skip,
    "source-url": _skip,
}


def part_to_wire(part: MessagePart) -> dict[str, Json]:
    """Return a part as Mastra's JSON."""
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            return {
                "type": "image",
                "image": part.url or part.data,
                "mediaType": part.media_type,
            }
        case FilePart():
            wire: dict[str, Json] = {
                "type": "file",
                "data": part.url or part.data,
                "mediaType": part.media_type,
            }
            if part.filename is not None:
                wire["filename"] = part.filename
            if part.file_id is not None:
                wire["file"] = {"file_id": part.file_id}
            return wire
        case ReasoningPart():
            wire = {"type": "reasoning", "text": part.text}
            if part.signature is not None:
                wire["signature"] = part.signature
            return wire
        case ToolCallPart():
            return {
                "type": "tool-call",
                "toolCallId": part.tool_call_id,
                "toolName": part.tool_name,
                "input": part.args,
            }
        case ToolResultPart():
            return {
                "type": "tool-result",
                "toolCallId": part.tool_call_id,
                "toolName": part.tool_name,
                "input": part.args,
                "output": {
                    "type": "error-json" if part.is_error else "json",
                    "value": to_jsonable(part.result),
                },
            }


def message_to_wire(message: Message) -> dict[str, Json]:
    """Return a message as Mastra's JSON: role and a list of parts."""
    return {"role": message.role, "content": [part_to_wire(part) for part in message.parts]}


def _unknown(what: str, value: object) -> InputValidationError:
    return InputValidationError(
        f"{what} cannot be read from {type(value).__name__}: give text, a Message, a dict with "
        "'role' and 'content', or a list of those.",
        issues=[{"path": ["messages"], "message": f"not a message: {type(value).__name__}"}],
    )
