"""Parts of the protocol's messages, from and to those of ours."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any, cast

from a2a.types.a2a_pb2 import Part
from google.protobuf.json_format import MessageToDict, ParseDict

from mastra.jsonable import Json, dump_json
from mastra.models.messages import FilePart, ImagePart, MessagePart, TextPart

__all__ = ["data_in", "data_part", "own_parts", "protocol_parts", "text_in"]

_UNKNOWN = "application/octet-stream"


def text_in(parts: Iterable[Part]) -> str:
    """Return what is said as text."""
    return "".join(part.text for part in parts if part.WhichOneof("content") == "text")


def data_in(parts: Iterable[Part]) -> Any:
    """Return the first piece of data, `None` where there is none."""
    for part in parts:
        if part.WhichOneof("content") == "data":
            return _whole(MessageToDict(part.data))
    return None


def _whole(value: Any) -> Any:
    """Return data with whole numbers as such, sorted: the protocol knows floating ones alone.

    It knows no order either, so that the same data would be another text in another process.
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in sorted(cast("dict[str, Any]", value).items())}
    return [_whole(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


def data_part(data: Json) -> Part:
    """Return data as a part."""
    return ParseDict({"data": data}, Part())


def own_parts(parts: Iterable[Part]) -> tuple[MessagePart, ...]:
    """Return parts as an agent reads them: data as JSON text."""
    return tuple(_own(part) for part in parts)


def _own(part: Part) -> MessagePart:
    kind = part.WhichOneof("content")
    if kind == "text" or kind is None:
        return TextPart(part.text)
    if kind == "data":
        return TextPart(dump_json(_whole(MessageToDict(part.data))).decode())
    url = part.url or None
    data = base64.b64encode(part.raw).decode() if kind == "raw" else None
    media_type = part.media_type or _UNKNOWN
    if media_type.startswith("image/"):
        return ImagePart(url, data, media_type)
    return FilePart(media_type, url, data, part.filename or None)


def protocol_parts(parts: Iterable[MessagePart]) -> list[Part]:
    """Return what is said, shown and attached as the protocol has it."""
    return [_protocol(part) for part in parts if isinstance(part, TextPart | ImagePart | FilePart)]


def _protocol(part: TextPart | ImagePart | FilePart) -> Part:
    if isinstance(part, TextPart):
        return Part(text=part.text)
    name = part.filename if isinstance(part, FilePart) else None
    facts: dict[str, Any] = {"media_type": part.media_type, "filename": name or ""}
    if part.data is None:
        return Part(url=part.url or "", **facts)
    return Part(raw=base64.b64decode(part.data), **facts)
