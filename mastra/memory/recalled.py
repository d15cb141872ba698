"""Stored messages as a model sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mastra.errors import InputValidationError
from mastra.logs import get_logger
from mastra.models.message_forms import message_from
from mastra.models.messages import Message
from mastra.storage.conversations import StoredMessage

__all__ = ["message_of", "readable_messages"]


def message_of(stored: StoredMessage) -> Message:
    """Return a stored message as a model sees it, an answer with its tools' results as one.

    Raises:
        InputValidationError: It has parts that no reader understands.
    """
    content = stored.content
    message = message_from({"role": stored.role, "content": content, "id": stored.id})
    return replace(message, created_at=stored.created_at, metadata=content.get("metadata"))


def readable_messages(messages: Sequence[StoredMessage]) -> list[Message]:
    """Return stored messages as a model sees them, without those that nobody can read.

    A conversation goes on without them, and the log says which they are.
    """
    found: list[Message] = []
    for stored in messages:
        reason: object = None if stored.error is None else stored.error.get("message")
        if reason is None:
            try:
                found.append(message_of(stored))
            except InputValidationError as error:
                reason = error
        if reason is not None:
            get_logger({"thread": stored.thread_id}).error(
                "Message %r is left out of what is recalled (ROW_UNREADABLE): %s", stored.id, reason
            )
    return found
