"""From instructions and input to the messages of a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from mastra.errors import ConfigError
from mastra.models.message_forms import message_from, messages_from
from mastra.models.messages import Message, MessageInput

__all__ = ["Instructions", "StaticInstructions", "input_messages", "system_messages"]

StaticInstructions: TypeAlias = (
    "str | Message | Mapping[str, Any] | Sequence[str | Message | Mapping[str, Any]]"
)
"""Text, system messages, or a list of those."""

Instructions: TypeAlias = (
    "StaticInstructions | Callable[..., StaticInstructions | Awaitable[StaticInstructions]]"
)
"""The same, or a function of the agent's context that gives it."""


def system_messages(value: StaticInstructions | None) -> list[Message]:
    """Return instructions as system messages.

    Raises:
        ConfigError: They are neither text nor system messages.
    """
    if value is None or value == "":
        return []
    if isinstance(value, (str, Mapping, Message)):
        return [_system(value)]
    if isinstance(value, Sequence):
        return [_system(item) for item in value if item != ""]
    raise ConfigError(
        f"Instructions are text, a list of texts or system messages, not {type(value).__name__}."
    )


def _system(value: str | Message | Mapping[str, Any]) -> Message:
    if isinstance(value, str):
        return Message("system", value)
    message = message_from({"role": "system", **value} if isinstance(value, Mapping) else value)
    if message.role != "system":
        raise ConfigError(f"Instructions hold a message of role {message.role!r}, not 'system'.")
    return message


def input_messages(value: MessageInput) -> list[Message]:
    """Return what a caller passed as messages."""
    return messages_from(value)
