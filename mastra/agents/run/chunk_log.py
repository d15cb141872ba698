"""What an agent has streamed, for readers who come at any time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import overload

from mastra.agents.chunks import AgentChunk, TextPayload

__all__ = ["ChunkLog"]


class ChunkLog(Sequence[AgentChunk]):
    """The chunks of a run, or of a part of it, in their order.

    A piece of text is kept as the text that the message is made of, and what it belongs to only
    where that changes; its chunk is made for whoever reads it. An open stream of ten thousand
    tokens keeps two references for each of them.
    """

    __slots__ = ("_belongs", "_changes", "_items", "_run_id", "first_seq")

    def __init__(self, run_id: str) -> None:
        self.first_seq = 0
        """The seq of the first one: how many the run had streamed before, where it goes on."""
        self._run_id = run_id
        self._items: list[AgentChunk | str] = []
        self._belongs: list[tuple[str, str]] = []
        """The type of chunk that pieces of text are, and the id of their payload."""
        self._changes: list[int] = []
        """From which place on pieces are of each."""

    def append(self, chunk: AgentChunk) -> None:
        """Add a chunk."""
        self._items.append(chunk)

    def append_text(self, kind: str, text_id: str, text: str) -> None:
        """Add a chunk that is a piece of text."""
        belongs = self._belongs
        if not belongs or belongs[-1][1] != text_id or belongs[-1][0] != kind:
            belongs.append((kind, text_id))
            self._changes.append(len(self._items))
        self._items.append(text)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> AgentChunk: ...
    @overload
    def __getitem__(self, index: slice) -> list[AgentChunk]: ...
    def __getitem__(self, index: int | slice) -> AgentChunk | list[AgentChunk]:
        if isinstance(index, slice):
            start, end, step = index.indices(len(self._items))
            return self._between(start, end)[::step]
        place = range(len(self._items))[index]
        return self._between(place, place + 1)[0]

    def __iter__(self) -> Iterator[AgentChunk]:
        return iter(self._between(0, len(self._items)))

    def _between(self, start: int, end: int) -> list[AgentChunk]:
        changes, run_id = self._changes, self._run_id
        found: list[AgentChunk] = []
        place = bisect_right(changes, start)
        while start < end:
            kind, text_id = self._belongs[place - 1] if place else ("", "")
            until = min(end, changes[place]) if place < len(changes) else end
            found += [
                item
                if isinstance(item, AgentChunk)
                else AgentChunk(kind, run_id, TextPayload(text_id, item), seq)
                for seq, item in enumerate(self._items[start:until], self.first_seq + start)
            ]
            start, place = until, place + 1
        return found
