"""From instructions and input to the messages of a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, cast

from mastra.errors import ConfigError
from mastra.models.message_forms import message_from
from mastra.models.messages import Message, TextPart

__all__ = ["Instructions", "StaticInstructions", "system_messages"]

StaticInstructions: TypeAlias = (
    "str | Message | Mapping[str, Any] | Sequence[str | Message | Mapping[str, Any]]"
)
"""Text, system messages, or a list of those."""

Instructions: TypeAlias = (
    "StaticInstructions | Callable[..., StaticInstructions | Awaitable[StaticInstructions]]"
)
"""The same, or a function of the agent's context that gives it."""


def system_messages(value: StaticInstructions | None, *, cache: bool = False) -> list[Message]:
    """Return instructions as system messages.

    Args:
        value: What the user wrote.
        cache: Whether the provider is asked to keep them, to the last of their text.

    Raises:
        ConfigError: They are neither text nor system messages.
    """
    if value is None or value == "":
        return []
    if isinstance(value, (str, Mapping, Message)):
        made = [_system(value)]
    elif isinstance(value, Sequence):
        made = [_system(item) for item in value if item != ""]
    else:
        raise ConfigError(
            "Instructions are text, a list of texts or system messages, not "
            f"{type(value).__name__}."
        )
    if cache and made:
        made[-1] = _kept(made[-1])
    return made


def _kept(message: Message) -> Message:
    *first, last = cast("tuple[TextPart, ...]", message.parts or (TextPart(""),))
    return replace(message, content=(*first, replace(last, cache=True)))


def _system(value: str | Message | Mapping[str, Any]) -> Message:
    if isinstance(value, str):
        return Message("system", value)
    message = message_from({"role": "system", **value} if isinstance(value, Mapping) else value)
    if message.role != "system":
        raise ConfigError(f"Instructions hold a message of role {message.role!r}, not 'system'.")
    others = [type(part).__name__ for part in message.parts if not isinstance(part, TextPart)]
    if others:
        raise ConfigError(f"Instructions hold a system message with {others[0]}: they are text.")
    return message
