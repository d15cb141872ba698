"""What MCP servers answer, as values for tools and messages for models."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from mastra.errors import ToolError
from mastra.models.messages import FilePart, ImagePart, Message, MessagePart, TextPart
from mastra.models.tool_content import ShownPart, content_in

if TYPE_CHECKING:
    from mcp import types

__all__ = ["block_of", "blocks_of", "message_of", "result_of"]


def result_of(server: str, name: str, result: types.CallToolResult) -> Any:
    """Return what a call gave: pictures and files as content blocks, else structured content, else text.

    Raises:
        ToolError: The server says that the tool failed.
    """
    texts = [item.text for item in result.content if item.type == "text"]
    if result.is_error:
        raise ToolError(
            "\n".join(texts) or f"Tool {name!r} of MCP server {server!r} failed.",
            details={"server": server, "tool": name},
        )
    if len(texts) != len(result.content):
        return [_plain(item) for item in result.content]
    if result.structured_content is not None:
        structured: Any = result.structured_content
        # A value that is no object is wrapped by servers, under this one name.
        return structured["result"] if set(structured) == {"result"} else structured
    return "\n".join(texts)


def message_of(role: str, content: types.ContentBlock) -> Message:
    """Return a message of a prompt, or of a server that asks for a model's answer."""
    parts: tuple[MessagePart, ...]
    if content.type == "text":
        parts = (TextPart(content.text),)
    else:
        parts = content_in([_plain(content)]) or ()
    return Message("assistant" if role == "assistant" else "user", parts)


def blocks_of(result: Any) -> list[types.ContentBlock] | None:
    """Return what a tool of ours gave as content blocks; `None` where it is plain data."""
    parts = content_in(result)
    return None if parts is None else _as_written(result) or [block_of(part) for part in parts]


def _as_written(result: Any) -> list[types.ContentBlock] | None:
    """Return blocks that are in the protocol's own form already."""
    from mcp import types  # noqa: PLC0415 - an optional package
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - as late as that

    blocks: Any = result
    if isinstance(result, Mapping):
        known = cast("Mapping[str, Any]", result)
        blocks = known["value"] if known.get("type") == "content" else [known]
    try:
        return TypeAdapter(list[types.ContentBlock]).validate_python(blocks)
    except ValidationError:
        return None


def block_of(part: ShownPart) -> types.ContentBlock:
    """Return a text, picture or file as a content block."""
    from mcp import types  # noqa: PLC0415 - an optional package

    if isinstance(part, TextPart):
        return types.TextContent(type="text", text=part.text)
    kind = part.media_type or "application/octet-stream"
    if part.data is None:
        address = part.url or ""
        name = (part.filename if isinstance(part, FilePart) else None) or "file"
        return types.ResourceLink(type="resource_link", name=name, uri=address, mime_type=kind)
    data = part.data if isinstance(part.data, str) else base64.b64encode(part.data).decode()
    if isinstance(part, ImagePart):
        return types.ImageContent(type="image", data=data, mime_type=kind)
    if kind.startswith("audio/"):
        return types.AudioContent(type="audio", data=data, mime_type=kind)
    blob = types.BlobResourceContents(
        uri=f"file:///{quote(part.filename or 'file')}", blob=data, mime_type=kind
    )
    return types.EmbeddedResource(type="resource", resource=blob)


def _plain(item: Any) -> dict[str, Any]:
    return item.model_dump(mode="json", by_alias=True, exclude_none=True)
