"""A conversation in Gemini's words: contents of a user and of a model, made of parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from mastra.jsonable import Json
from mastra.models.messages import (
    FilePart,
    ImagePart,
    Message,
    MessagePart,
    ProviderPart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    metadata_of,
)
from mastra.models.openai_request import arguments_object, as_text
from mastra.models.tool_content import ShownPart, content_of

__all__ = ["contents_of"]

_OWN: Final = ("google", "gemini", "vertex", "vertex_ai")
_UNSIGNED: Final = "skip_thought_signature_validator"
"""What Google has one write in place of the signature of a call that another model made."""


def contents_of(messages: Sequence[Message], *, is_third: bool) -> list[Json]:
    """Return the contents of a request; system messages stand elsewhere.

    Args:
        messages: The conversation.
        is_third: Whether the model is of the third generation: it demands that calls are signed,
            and takes pictures in results.
    """
    contents: list[dict[str, Any]] = []
    ids = _given_ids(messages)
    for message in messages:
        match message.role:
            case "system":
                continue
            case "assistant":
                role, parts = "model", _said(message.parts, is_third=is_third)
            case "user":
                role, parts = "user", [*_given(message.parts)]
            case _:  # results of tools
                role, parts = "user", _results(message.parts, ids, is_third=is_third)
        if not parts:
            continue
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": role, "parts": parts})
    if not contents or contents[0]["role"] == "model":
        # The API wants a user to speak first.
        contents.insert(0, {"role": "user", "parts": [{"text": "Go on."}]})
    return [*contents]


def _given_ids(messages: Sequence[Message]) -> dict[str, Json]:
    """Return the ids that Gemini gave its calls, which their results have to name."""
    return {
        call.tool_call_id: own["id"]
        for message in messages
        for call in message.tool_calls
        if "id" in (own := metadata_of(call, *_OWN))
    }


def _given(parts: Iterable[MessagePart]) -> Iterable[dict[str, Json]]:
    for part in parts:
        if isinstance(part, TextPart):
            if part.text:
                yield {"text": part.text}
        elif isinstance(part, (ImagePart, FilePart)):
            yield _file(part)


def _file(part: ImagePart | FilePart) -> dict[str, Json]:
    own = metadata_of(part, *_OWN)
    more: dict[str, Json] = {k: own[k] for k in ("videoMetadata", "mediaResolution") if k in own}
    file_id = part.file_id if isinstance(part, FilePart) else None
    url = part.url or file_id
    if url is not None and url.startswith("data:") and ";base64," in url:
        head, _, data = url.partition(";base64,")
        kind = head.removeprefix("data:")
        return {"inlineData": {"mimeType": kind or part.media_type, "data": data}, **more}
    if url is not None:
        return {"fileData": {"mimeType": part.media_type, "fileUri": url}, **more}
    return {"inlineData": {"mimeType": part.media_type, "data": part.data}, **more}


def _said(parts: Sequence[MessagePart], *, is_third: bool) -> list[dict[str, Json]]:
    found: list[dict[str, Json]] = []
    is_signed = not is_third
    for part in parts:
        own = metadata_of(part, *_OWN)
        wire = _answer_part(part, own)
        if wire is None:
            continue
        signature = own.get("thoughtSignature")
        if signature and "thoughtSignature" not in wire:
            wire["thoughtSignature"] = signature
        if isinstance(part, ToolCallPart) and not part.provider_executed:
            # The first call of an answer is signed; those beside it are not.
            if not is_signed and "thoughtSignature" not in wire:
                wire["thoughtSignature"] = _UNSIGNED
            is_signed = True
        found.append(wire)
    return found


def _answer_part(part: MessagePart, own: Mapping[str, Any]) -> dict[str, Json] | None:
    match part:
        case TextPart():
            return {"text": part.text} if part.text or own.get("thoughtSignature") else None
        case ReasoningPart():
            signature = own.get("thoughtSignature")
            return {"text": part.text, "thought": True} if signature else None
        case ImagePart() | FilePart():
            return _file(part)
        case ToolCallPart() if part.provider_executed:
            return _copy(own.get("part"))
        case ToolCallPart():
            call: dict[str, Json] = {"name": part.tool_name, "args": arguments_object(part)}
            return {"functionCall": {"id": own["id"], **call} if "id" in own else call}
        case ToolResultPart() if part.provider_executed:
            return _copy(own.get("part"))
        case ProviderPart() if part.provider in _OWN:
            return _copy(part.data)
        case _:
            return None


def _copy(value: object) -> dict[str, Json] | None:
    return dict(cast("Mapping[str, Json]", value)) if isinstance(value, Mapping) else None


def _results(
    parts: Iterable[MessagePart], ids: Mapping[str, Json], *, is_third: bool
) -> list[dict[str, Json]]:
    """Return the answers to calls, and after them what is no text of theirs."""
    answers: list[dict[str, Json]] = []
    beside: list[dict[str, Json]] = []
    for part in parts:
        if not isinstance(part, ToolResultPart):
            continue
        answer: dict[str, Json] = {"name": part.tool_name, "response": _response(part)}
        if part.tool_call_id in ids:
            answer["id"] = ids[part.tool_call_id]
        files = [item for item in content_of(part) or () if not isinstance(item, TextPart)]
        if files and is_third:
            answer["parts"] = [*map(_file, files)]
        elif files:
            beside.append({"text": f"From {part.tool_name}:"})
            beside += map(_file, files)
        answers.append({"functionResponse": answer})
    return [*answers, *beside]


def _response(part: ToolResultPart) -> Json:
    """Return a result as an object, which is all that the API takes."""
    content: tuple[ShownPart, ...] | None = content_of(part)
    result: Any = part.result
    if content is not None:
        result = "\n".join(item.text for item in content if isinstance(item, TextPart))
    if part.is_error:
        return {"error": result if content is not None else as_text(part)}
    if isinstance(result, Mapping):
        return dict(cast("Mapping[str, Json]", result))
    return {"output": result}
