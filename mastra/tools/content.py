"""Pictures and files that a tool gives, for the model to look at."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from mastra.errors import ConfigError
from mastra.jsonable import Json
from mastra.models.message_wire import part_to_wire
from mastra.models.messages import FilePart, ImagePart, TextPart

__all__ = ["File", "Image", "content_to_json"]


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that a tool gives: `return Image(png_bytes)`.

    Alone or in a list with text and further parts. The model sees the picture, where its API can
    show it one; the application sees `{"type": "content", "value": [...]}`, with base64.
    """

    data: bytes | str | None = None
    """Its bytes, or those in base64."""
    media_type: str = "image/png"
    """The kind of picture."""
    url: str | None = None
    """In place of the bytes: where it is."""

    def __post_init__(self) -> None:
        """Check that there is one of the two."""
        _check_source(self)


@dataclass(frozen=True, slots=True)
class File:
    """A file that a tool gives, as `Image` is given."""

    data: bytes | str | None = None
    """Its bytes, or those in base64."""
    media_type: str = "application/octet-stream"
    """The kind of file, such as `application/pdf`."""
    filename: str | None = None
    """The name to show the model."""
    url: str | None = None
    """In place of the bytes: where it is."""

    def __post_init__(self) -> None:
        """Check that there is one of the two."""
        _check_source(self)


def _check_source(shown: Image | File) -> None:
    if (shown.data is None) == (shown.url is None):
        what = "neither" if shown.data is None else "both"
        raise ConfigError(
            f"{type(shown).__name__} takes its bytes as `data`, or the `url` where it is, and was "
            f"given {what}."
        )


_SHOWN = (Image, File, ImagePart, FilePart, TextPart)


def content_to_json(result: object) -> Json | None:
    """Return what a tool gave as content, as JSON data; `None` where it is no content."""
    if isinstance(result, _SHOWN):
        return {"type": "content", "value": [_block(result)]}
    if not isinstance(result, (list, tuple)):
        return None
    items = cast("Sequence[Any]", result)
    if not any(isinstance(item, _SHOWN) for item in items):
        return None
    if not all(isinstance(item, (str, *_SHOWN)) for item in items):
        return None
    return {"type": "content", "value": [_block(item) for item in items]}


def _block(item: str | Image | File | ImagePart | FilePart | TextPart) -> Json:
    match item:
        case str():
            return {"type": "text", "text": item}
        case Image() | File():
            block: dict[str, Json] = {"type": "media", "mediaType": item.media_type}
            if isinstance(item, File) and item.filename is not None:
                block["filename"] = item.filename
            if item.data is None:
                return {**block, "url": item.url}
            data = item.data
            return {
                **block,
                "data": data if isinstance(data, str) else base64.b64encode(data).decode(),
            }
        case _:
            return part_to_wire(item)
