"""A conversation as every provider takes it: each call with its result, nothing that is empty.

Whatever is stored or passed in (a page that was left in the middle, a tool of the client's whose
answer came two messages later, a model that said nothing) is put in order as a request is made; what
is stored stays as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from mastra.models.messages import (
    DataPart,
    FilePart,
    ImagePart,
    Message,
    MessagePart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["Conversation", "History", "acceptable"]

NOT_RUN: Final = "The tool was not run: the conversation went on without it."


def acceptable(messages: Sequence[Message]) -> list[Message]:
    """Return a conversation in which every call of ours has one result, right after it.

    A result that comes later is moved to its call; a call without one gets a result that says so;
    a result without a call, and a message of which nothing is left, are left out.
    """
    return _ordered(messages)[0]


class Conversation(list[Message]):
    """The messages of a request, in order, and the names of the tools that they speak of."""

    __slots__ = ("tool_names",)

    def __init__(self, messages: Sequence[Message], tool_names: set[str]) -> None:
        super().__init__(messages)
        self.tool_names = tool_names


class History:
    """A conversation that grows: what is in order already is not looked at again."""

    __slots__ = ("_count", "_messages", "_names", "_out")

    def __init__(self) -> None:
        self._messages: Sequence[Message] = ()
        self._count = 0
        self._out: list[Message] = []
        self._names: set[str] = set()

    def conversation(self, system: Sequence[Message], messages: list[Message]) -> Conversation:
        """Return what is sent of a conversation, after the system's messages."""
        if messages is not self._messages or len(messages) < self._count:
            self._count, self._out, self._names = 0, [], set()
        found, is_whole = _ordered(messages[self._count :])
        if self._count and not is_whole:
            self._out, (found, _) = [], _ordered(messages)
        self._out += found
        for message in found:
            self._names.update(tool_names(message))
        self._messages, self._count = messages, len(messages)
        return Conversation([*system, *self._out], self._names)


def tool_names(message: Message) -> Iterator[str]:
    """Yield the names of the tools of ours that a message speaks of."""
    content = message.content
    if isinstance(content, str) or message.role == "user":
        return
    for part in content:
        if isinstance(part, (ToolCallPart, ToolResultPart)) and not part.provider_executed:
            yield part.tool_name


def _ordered(messages: Sequence[Message]) -> tuple[list[Message], bool]:
    """Return messages in order, and whether each result among them is that of a call there."""
    if not any(_is_mended(message) for message in messages):
        return [*messages], True
    results = _Results(messages)
    out: list[Message] = []
    for place, message in enumerate(messages):
        if message.role == "tool":
            continue
        kept = [part for part in message.parts if _is_said(part, message.role)]
        if not kept:
            continue
        same = len(kept) == len(message.parts)
        answers: list[ToolResultPart] = []
        taken: set[str] = set()
        for at, part in enumerate(kept):
            if isinstance(part, ToolCallPart) and not part.provider_executed:
                result = results.take(part, place)
                if part.tool_call_id in taken:
                    # Two calls at once under one id: providers take each id once in a message.
                    own_id = f"{part.tool_call_id}_{at}"
                    kept[at] = replace(part, tool_call_id=own_id)
                    result = replace(result, tool_call_id=own_id)
                    same = False
                taken.add(part.tool_call_id)
                answers.append(result)
        out.append(message if same else replace(message, content=tuple(kept)))
        if answers:
            out.append(results.message(answers))
    return out, not results.left


def _is_mended(message: Message) -> bool:
    """Return whether a message may need mending: most say something and call nothing."""
    if message.role == "tool":
        return True
    if isinstance(message.content, str):
        return not message.content
    parts = message.content
    return not (parts and all(isinstance(part, TextPart) and part.text for part in parts))


def _is_said(part: MessagePart, role: Role) -> bool:
    """Return whether a part stands in a message of its role, and says something."""
    if role != "assistant" and not isinstance(part, (FilePart, ImagePart, TextPart)):
        return False
    if isinstance(part, ToolResultPart):
        return part.provider_executed
    if isinstance(part, DataPart):
        return False
    return not isinstance(part, TextPart) or bool(part.text or part.provider_metadata)


class _Results:
    """The results of a conversation's calls, to be taken by their calls in order."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._by_id: dict[str, deque[tuple[int, ToolResultPart]]] = {}
        self._is_early = False
        """Whether a result came before its call, where none takes it."""
        self._homes: dict[int, Message] = {}
        for place, message in enumerate(messages):
            for part in message.parts:
                if isinstance(part, ToolResultPart) and not part.provider_executed:
                    self._by_id.setdefault(part.tool_call_id, deque()).append((place, part))
                    if message.role == "tool":
                        self._homes[id(part)] = message

    @property
    def left(self) -> bool:
        """Whether there are results that no call has taken."""
        return self._is_early or any(self._by_id.values())

    def take(self, call: ToolCallPart, place: int) -> ToolResultPart:
        """Return the first result of a call's id that comes with it or after it.

        Calls ask in their order, so what came before one comes before all that follow.
        """
        waiting = self._by_id.get(call.tool_call_id)
        while waiting:
            where, part = waiting.popleft()
            if where >= place:
                return part
            self._is_early = True
        return ToolResultPart(call.tool_call_id, call.tool_name, NOT_RUN, args=call.args)

    def message(self, answers: Sequence[ToolResultPart]) -> Message:
        """Return the message that holds results: the one they came in, where that holds no others."""
        homes = {id(self._homes.get(id(part))): self._homes.get(id(part)) for part in answers}
        home = next(iter(homes.values())) if len(homes) == 1 else None
        if home is not None and home.content == tuple(answers):
            return home
        return Message("tool", tuple(answers))
