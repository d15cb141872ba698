"""What MCP servers answer, as values for tools and messages for models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mastra.errors import ToolError
from mastra.models.messages import Message, MessagePart, TextPart
from mastra.models.tool_content import content_in

if TYPE_CHECKING:
    from mcp import types

__all__ = ["message_of", "result_of"]


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


def _plain(item: Any) -> dict[str, Any]:
    return item.model_dump(mode="json", by_alias=True, exclude_none=True)
