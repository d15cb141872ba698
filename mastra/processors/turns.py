"""A conversation in pieces that may be left out: no call is ever parted from its result."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from mastra.models.messages import Message, MessagePart, ToolResultPart
from mastra.processors.tokens import RequestSize, result_text, shortened

__all__ = ["fitted", "last_asked", "units_of"]


def units_of(messages: Sequence[Message]) -> list[list[Message]]:
    """Return messages in units: an answer with the results of its calls, or one message.

    Results without a call before them, which no provider takes, are left out.
    """
    units: list[list[Message]] = []
    for message in messages:
        if message.role != "tool":
            units.append([message])
        elif units and units[-1][0].role == "assistant":
            units[-1].append(message)
    return units


def last_asked(messages: Sequence[Message]) -> int:
    """Return where the last turn begins: at the last words of the user; 0 where there are none."""
    place = max((at for at, message in enumerate(messages) if message.role == "user"), default=0)
    while place and messages[place - 1].role == "user":
        place -= 1
    return place


def fitted(
    messages: Sequence[Message], limit: int, size: RequestSize, pinned: Collection[str] = ()
) -> list[Message]:
    """Return the latest of a conversation that take so many tokens at most.

    The system's messages, the user's last message and those that are pinned stay, whatever they
    take. So does the latest answer with its results, which are cut where they are too long.

    Args:
        messages: The conversation.
        limit: How many tokens.
        size: Counts them.
        pinned: The ids of messages that stay.
    """
    system = [message for message in messages if message.role == "system"]
    units = units_of([message for message in messages if message.role != "system"])
    asked = max((at for at, unit in enumerate(units) if unit[0].role == "user"), default=-1)
    stays = {at for at, unit in enumerate(units) if at == asked or unit[0].id in pinned}
    left = limit - size.messages(system)
    left -= sum(size.messages(units[at]) for at in stays)
    kept = set(stays)
    for at in range(len(units) - 1, -1, -1):
        if at in stays:
            continue
        takes = size.messages(units[at])
        if takes > left and at == len(units) - 1:
            units[at] = _cut(units[at], left, size)
            takes = size.messages(units[at])
        if takes > left:
            break
        left -= takes
        kept.add(at)
    # What comes before any words of the user answers a question that is gone.
    while (first := min(kept, default=asked)) < asked and units[first][0].role != "user":
        kept.discard(first)
    return [*system, *(message for at in sorted(kept) for message in units[at])]


def _cut(unit: list[Message], limit: int, size: RequestSize) -> list[Message]:
    """Return an answer with its results cut, so that it takes so many tokens at most."""
    count = sum(isinstance(part, ToolResultPart) for message in unit for part in message.parts)
    if not count:
        return unit
    held = [_with_results(message, "") for message in unit]
    room = (limit - size.messages(held)) // count
    while room > 0:
        cut = [_with_results(message, None, room, size) for message in unit]
        if size.messages(cut) <= limit:
            return cut
        room = room * 9 // 10
    return held


def _with_results(
    message: Message, text: str | None, room: int = 0, size: RequestSize | None = None
) -> Message:
    parts: list[MessagePart] = []
    for part in message.parts:
        if isinstance(part, ToolResultPart):
            told = text
            if told is None and size is not None:
                told = shortened(result_text(part), room, size.count)
            parts.append(replace(part, result=told, content=None))
        else:
            parts.append(part)
    return replace(message, content=tuple(parts))
