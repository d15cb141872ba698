"""Writes messages and their parts as Mastra's JSON, which `message_forms` reads again."""

from __future__ import annotations

from typing import Any, Final, assert_never

from mastra.jsonable import Json, to_jsonable
from mastra.models.messages import (
    DataPart,
    FilePart,
    ImagePart,
    Message,
    MessagePart,
    ProviderPart,
    ReasoningPart,
    SourcePart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["ANSWERED", "PROVIDER_ITEM", "content_to_wire", "message_to_wire", "part_to_wire"]

ANSWERED: Final = frozenset(("result", "output-error", "output-denied"))
"""States of a stored call that has its result."""
PROVIDER_ITEM = "data-provider-item"
"""The type of a part that only its provider reads: a `data-` part, which every reader may skip."""


def part_to_wire(part: MessagePart) -> dict[str, Json]:
    """Return a part as Mastra's JSON."""
    wire = _part(part)
    if isinstance(part, ProviderPart | DataPart):
        return wire
    if part.provider_metadata:
        wire["providerMetadata"] = to_jsonable(
            dict(part.provider_metadata), what="What a provider says of a message's part"
        )
    if getattr(part, "cache", False):
        wire["cache"] = True
    return wire


def _part(part: MessagePart) -> dict[str, Json]:  # noqa: C901, PLR0912 - one arm a kind
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
            return _file(part)
        case ReasoningPart():
            wire: dict[str, Json] = {"type": "reasoning", "text": part.text}
            if part.signature is not None:
                wire["signature"] = part.signature
            if part.provider is not None:
                wire["provider"] = part.provider
            return wire
        case SourcePart():
            return _source(part)
        case ProviderPart():
            return {
                "type": PROVIDER_ITEM,
                "data": {"provider": part.provider, "item": part.data},
            }
        case DataPart():
            return {"type": part.type, "data": part.data}
        case ToolCallPart():
            wire = {
                "type": "tool-call",
                "toolCallId": part.tool_call_id,
                "toolName": part.tool_name,
                "input": part.args,
            }
            if part.provider_executed:
                wire["providerExecuted"] = True
            return wire
        case ToolResultPart():
            return _result(part)
        case _:
            assert_never(part)


def _file(part: FilePart) -> dict[str, Json]:
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


def _source(part: SourcePart) -> dict[str, Json]:
    wire: dict[str, Json] = {"type": f"source-{part.source_type}", "sourceId": part.id}
    more = {
        "url": part.url,
        "title": part.title,
        "mediaType": part.media_type,
        "filename": part.filename,
    }
    wire.update({key: value for key, value in more.items() if value is not None})
    return wire


def _result(part: ToolResultPart) -> dict[str, Json]:
    wire: dict[str, Json] = {
        "type": "tool-result",
        "toolCallId": part.tool_call_id,
        "toolName": part.tool_name,
        "input": part.args,
        "output": {
            "type": ("error-" if part.is_error else "") + _form_of(part.result),
            "value": to_jsonable(part.result),
        },
    }
    if part.content is not None:
        wire["content"] = content_to_wire(part)
    if part.provider_executed:
        wire["providerExecuted"] = True
    return wire


def _form_of(result: object) -> str:
    return "text" if isinstance(result, str) else "json"


def content_to_wire(part: ToolResultPart) -> list[Json]:
    """Return what the model is shown of a tool's result, where that is parts."""
    return [part_to_wire(item) for item in part.content or ()]


def message_to_wire(message: Message) -> dict[str, Any]:
    """Return a message as Mastra's JSON: role and a list of parts."""
    return {"role": message.role, "content": [part_to_wire(part) for part in message.parts]}
