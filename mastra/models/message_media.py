"""Reads pictures, files and sound in the forms that callers write."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, cast

from mastra.models.messages import FilePart, ImagePart

__all__ = ["attachment", "audio", "detail_of", "file", "image"]


def image(data: Mapping[str, Any]) -> ImagePart | FilePart:
    """Read a picture; one that the provider has is a file, since it is named by its id."""
    if data.get("file_id") is not None:
        return FilePart(_media_type(data, None, "image/png"), file_id=data["file_id"])
    given: Any = data.get("image_url", data.get("image", data.get("url")))
    if isinstance(given, Mapping) and "type" not in cast("Mapping[str, Any]", given):
        given = cast("Any", given)["url"]  # of chat completions
    url, encoded = _located(data["data"] if given is None else cast("Any", given))
    return ImagePart(url, encoded, _media_type(data, url, "image/png"))


def detail_of(data: Mapping[str, Any]) -> str | None:
    """Return how closely OpenAI's models are to look at a part, where that is a picture of theirs."""
    if data.get("type") not in ("image_url", "input_image"):
        return None
    inner: Any = data.get("image_url")
    held = cast("Mapping[str, Any]", inner) if isinstance(inner, Mapping) else data
    detail = held.get("detail")
    return detail if isinstance(detail, str) else None


def file(data: Mapping[str, Any]) -> ImagePart | FilePart:
    """Read a file, which may be a picture."""
    inner: Mapping[str, Any] = data["file"] if isinstance(data.get("file"), Mapping) else data
    found = (inner[key] for key in ("data", "file_data", "file_url", "url") if key in inner)
    source: Any = next(found, None)
    url, encoded = _located(source) if source is not None else (None, None)
    media_type = _media_type(data, url, "application/octet-stream")
    file_id = inner.get("file_id")
    if media_type.startswith("image/") and file_id is None:
        return ImagePart(url, encoded, media_type)
    return FilePart(media_type, url, encoded, inner.get("filename"), file_id)


def audio(data: Mapping[str, Any]) -> FilePart:
    """Read sound, as chat completions have it."""
    inner: Mapping[str, Any] = data["input_audio"]
    kind = str(inner["format"])
    return FilePart({"mp3": "audio/mpeg"}.get(kind, f"audio/{kind}"), data=str(inner["data"]))


def attachment(data: Mapping[str, Any]) -> ImagePart | FilePart:
    """Read what hangs on a message of a page, as version 4 of the AI SDK has it."""
    kind, name, url = data.get("contentType"), data.get("name"), data["url"]
    if not isinstance(url, str):
        raise TypeError("a url is text")
    return file({"mediaType": kind, "url": url, "filename": name})


def _media_type(data: Mapping[str, Any], url: str | None, default: str) -> str:
    for key in ("mediaType", "mimeType", "media_type", "mime_type"):
        if data.get(key):
            return str(data[key])
    told = url[5:].partition(",")[0].partition(";")[0] if url and url.startswith("data:") else ""
    return told or default


def _located(source: object) -> tuple[str | None, str | None]:
    """Return where bytes are: their address, or themselves in base64."""
    if isinstance(source, Mapping):  # of version 7 of the AI SDK, which says what it is
        tagged = cast("Mapping[str, Any]", source)
        if tagged.get("type") == "text":
            source = str(tagged["text"]).encode()
        else:
            source = tagged["url" if tagged.get("type") == "url" else "data"]
    if isinstance(source, (bytes, bytearray)):
        return None, base64.b64encode(source).decode()
    if isinstance(source, int | float | list | tuple):
        raise TypeError("data is bytes or text")
    text = str(source)
    return (text, None) if text.startswith(("http:", "https:", "data:")) else (None, text)
