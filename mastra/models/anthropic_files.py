"""Pictures and files as Anthropic's blocks."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from mastra.errors import ModelError
from mastra.models.messages import FilePart, ImagePart

__all__ = ["block_of"]

_STARTS: Final = (
    (re.compile("/9j/"), "image/jpeg"),
    (re.compile("iVBORw0KGgo"), "image/png"),
    (re.compile("R0lGOD"), "image/gif"),
    (re.compile("UklGR.{7}RUJQ"), "image/webp"),  # sound begins with RIFF too
    (re.compile("JVBERi0"), "application/pdf"),
)
"""How the base64 of a file begins: a wrong media type is refused, and users write wrong ones."""

_TEXT: Final = frozenset(
    ("application/json", "application/xml", "application/javascript", "application/x-yaml")
)


def block_of(part: ImagePart | FilePart, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a picture or a file as a block.

    Args:
        part: What is shown.
        own: What it says to the provider: `citations`, `title`, `context`, `containerUpload`.

    Raises:
        ModelError: It is of a kind that Anthropic does not take.
    """
    url, data, media_type = part.url, part.data, part.media_type.partition(";")[0].lower()
    file_id = own.get("fileId") or getattr(part, "file_id", None)
    if file_id is not None:
        return _by_id(file_id, media_type, part, own)
    if url is not None and url.startswith("data:"):
        told, data = _from_data_url(url)
        url, media_type = None, told or media_type
    if data is not None:
        media_type = next((kind for start, kind in _STARTS if start.match(data)), media_type)
    if isinstance(part, ImagePart) or media_type.startswith("image/"):
        source = _source(url, data, media_type)
        return {"type": "image", "source": source}
    if url is not None:
        return _document({"type": "url", "url": url}, part, own)
    if media_type == "application/pdf":
        return _document(_source(None, data, media_type), part, own)
    if media_type.startswith("text/") or media_type in _TEXT:
        text = {"type": "text", "media_type": "text/plain", "data": _decoded(data)}
        return _document(text, part, own)
    raise ModelError(
        f"Anthropic takes no files of the kind {part.media_type!r}: it takes pictures, PDF and "
        "text. Send what the file says as text, or upload it and give its file_id.",
        code="MODEL_FILE_UNSUPPORTED",
        details={"media_type": part.media_type},
    )


def _by_id(
    file_id: str, media_type: str, part: ImagePart | FilePart, own: Mapping[str, Any]
) -> dict[str, Any]:
    if own.get("containerUpload"):
        return {"type": "container_upload", "file_id": file_id}
    source = {"type": "file", "file_id": file_id}
    if isinstance(part, ImagePart) or media_type.startswith("image/"):
        return {"type": "image", "source": source}
    return _document(source, part, own)


def _source(url: str | None, data: str | None, media_type: str) -> dict[str, Any]:
    if url is not None:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": media_type, "data": data or ""}


def _document(
    source: dict[str, Any], part: ImagePart | FilePart, own: Mapping[str, Any]
) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "document", "source": source}
    title = own.get("title") or getattr(part, "filename", None)
    if title:
        block["title"] = title
    if own.get("context"):
        block["context"] = own["context"]
    if own.get("citations"):
        block["citations"] = own["citations"]
    return block


def _from_data_url(url: str) -> tuple[str, str]:
    head, _, body = url.removeprefix("data:").partition(",")
    media_type, *rest = head.split(";")
    if "base64" in rest:
        return media_type, body
    return media_type, base64.b64encode(unquote_to_bytes(body)).decode()


def _decoded(data: str | None) -> str:
    try:
        return base64.b64decode(data or "", validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        # Text that was given as it is.
        return data or ""
