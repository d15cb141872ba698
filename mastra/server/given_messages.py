"""Messages that callers store: as they are stored, as pages have them, and as earlier versions had them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from mastra.errors import InputValidationError
from mastra.jsonable import Json
from mastra.models.message_forms import message_from
from mastra.models.message_wire import part_to_wire
from mastra.models.messages import Message, ToolCallPart, ToolResultPart
from mastra.models.stored_messages import stored_content
from mastra.server.caller_messages import plain_messages
from mastra.server.payloads import GivenMessage

__all__ = ["answered", "read_given"]


def read_given(given: GivenMessage) -> tuple[Message, Mapping[str, Json]]:
    """Return a message, and what is stored of it: what is in the stored form as it came.

    Raises:
        InputValidationError: It is in none of the known forms. What no reader understands would
            take everything listed with it along.
    """
    if given.content is None and given.parts is None:
        raise InputValidationError("A message has content, or parts as pages have them.")
    told: dict[str, Any] = plain_messages(given.said())
    message = message_from(told)
    content: Any = told.get("content")
    if isinstance(content, Mapping):
        return message, cast("Mapping[str, Json]", content)
    if message.role == "tool":
        return message, {"format": 2, "parts": [part_to_wire(part) for part in message.parts]}
    return message, stored_content(message)


def answered(asked: Message | None, message: Message) -> Message | None:
    """Return what a message and its tools' results are together; `None` where they are no such pair."""
    if asked is None or asked.role != "assistant" or message.role != "tool":
        return None
    calls = {part.tool_call_id for part in asked.parts if isinstance(part, ToolCallPart)}
    results = {part.tool_call_id for part in message.parts if isinstance(part, ToolResultPart)}
    if not results or not results <= calls:  # without its call a result would not be stored
        return None
    return replace(asked, content=(*asked.parts, *message.parts))
