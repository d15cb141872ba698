"""What a model is shown of a tool's result where that is more than JSON: text, pictures, files.

Read in the forms in which tools give it: the AI SDK's `{"type": "content", "value": [...]}` and
lists of content blocks as MCP servers, the AI SDK, OpenAI and Anthropic write them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from mastra.models.messages import FilePart, ImagePart, TextPart, ToolResultPart

__all__ = ["ShownPart", "content_in", "content_of"]

ShownPart: TypeAlias = TextPart | ImagePart | FilePart

_MEDIA: Final = frozenset((
    "audio", "document", "file", "file-data", "file-id", "file-url", "image", "image-data",
    "image-url", "image_url", "input_file", "input_image", "media", "resource", "resource_link",
))  # fmt: skip
_TEXT: Final = frozenset(("input_text", "text"))


def content_of(part: ToolResultPart) -> tuple[ShownPart, ...] | None:
    """Return what a model is shown of a result as parts, or `None` where that is plain JSON."""
    return part.content if part.content is not None else content_in(part.result)


def content_in(result: Any) -> tuple[ShownPart, ...] | None:
    """Return the parts in a result, or `None` where it is plain JSON."""
    is_wrapped = False
    if isinstance(result, Mapping):
        known = cast("Mapping[str, Any]", result)
        value: Any = known.get("value")
        if known.get("type") == "content" and isinstance(value, list):
            is_wrapped = True
            result = cast("list[Any]", value)
        elif _is_block(known) and known["type"] in _MEDIA:
            result = [known]
    if not isinstance(result, list) or not result:
        return None
    blocks = cast("list[Any]", result)
    if not all(map(_is_block, blocks)):
        return None
    if not is_wrapped and all(block["type"] in _TEXT for block in blocks):
        return None
    return tuple(_part(block) for block in blocks)


def _is_block(value: Any) -> bool:
    """Return whether a value is a content block, and not data that happens to have a type."""
    if not isinstance(value, Mapping):
        return False
    block = cast("Mapping[str, Any]", value)
    kind = block.get("type")
    if not isinstance(kind, str):
        return False  # data, such as a JSON Schema that takes several types
    if kind in _TEXT:
        return isinstance(block.get("text"), str)
    if kind == "resource":
        return isinstance(block.get("resource"), Mapping)
    if kind == "resource_link":
        return isinstance(block.get("uri"), str)
    return kind in _MEDIA and any(_located(block))


def _part(block: Mapping[str, Any]) -> ShownPart:
    kind: str = block["type"]
    if kind in _TEXT:
        return TextPart(block["text"])
    if kind == "resource_link":
        return TextPart(f"{block.get('name') or 'Resource'}: {block['uri']}")
    if kind == "resource":
        return _resource(block["resource"])
    url, data, file_id, media_type = _located(block)
    if media_type is None:
        media_type = "image/png" if "image" in kind else "application/octet-stream"
    if media_type.startswith("image/") and file_id is None:
        return ImagePart(url, data, media_type)
    name = block.get("filename") or block.get("title")
    return FilePart(media_type, url, data, name, file_id)


def _resource(resource: Mapping[str, Any]) -> ShownPart:
    """Return a resource that an MCP server put into a result."""
    media_type = str(resource.get("mimeType") or "application/octet-stream")
    blob = resource.get("blob")
    if not isinstance(blob, str):
        return TextPart(str(resource.get("text") or resource.get("uri") or ""))
    if media_type.startswith("image/"):
        return ImagePart(data=blob, media_type=media_type)
    name = str(resource.get("uri") or "").rpartition("/")[2]
    return FilePart(media_type, data=blob, filename=name or None)


def _located(
    block: Mapping[str, Any],
) -> tuple[str | None, str | None, str | None, str | None]:
    """Return where a block's bytes are (address, base64, id at the provider), and their kind."""
    source: Any = block.get("source")
    inner = cast("Mapping[str, Any]", source) if isinstance(source, Mapping) else block
    media_type = _text_at(inner, ("mediaType", "mimeType", "media_type", "mime_type"))
    file_id = _text_at(inner, ("file_id", "fileId"))
    found = _text_at(inner, ("data", "url", "image", "image_url", "file_data", "file_url"))
    nested: Any = inner.get("image_url")
    if found is None and isinstance(nested, Mapping):
        found = _text_at(cast("Mapping[str, Any]", nested), ("url",))
    if found is None:
        return None, None, file_id, media_type
    if found.startswith("data:") and ";base64," in found:
        head, _, data = found.partition(";base64,")
        return None, data, file_id, media_type or head.removeprefix("data:")
    if found.startswith(("http:", "https:")):
        return found, None, file_id, media_type
    return None, found, file_id, media_type


def _text_at(block: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((block[name] for name in names if isinstance(block.get(name), str)), None)
