"""The events of a run that a process keeps for its readers, each at a place of its own.

An event is told with a seq, its place in the log of the worker that tells it. Two workers that
run steps of one run at once do not see each other's logs, and so does one that takes the place of
a worker which died: they tell different events with the same seq. Whichever comes first has the
place; the other gets the next that is free. Readers thus see every event once and count without
gaps. Storage counts the same events in the order of their seqs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from mastra.workflows.events import Event

__all__ = ["KEPT", "KeptEvents", "of_operation"]

KEPT: Final = 50_000
"""Events that are kept for readers that are behind; older ones are in storage."""

_OPERATION: Final = "@"
_STORED: Final = "="
_MOVED: Final = "~"
"""At a place whose event was told with another seq."""


def of_operation(op_id: str) -> str:
    """Return the teller of what an operation tells that runs beside others."""
    return _OPERATION + op_id


class KeptEvents:
    """Events by the places that readers see."""

    __slots__ = ("_events", "_moved", "_oldest", "_tellers", "lowest_shared", "newest")

    def __init__(self, first: int) -> None:
        """Begin with none.

        Args:
            first: The lowest place that events are expected at.
        """
        self._oldest = first
        self.newest = first - 1
        """The highest place that is taken."""
        self._events: dict[int, Event] = {}
        self._tellers: dict[int, str] = {}
        """Who told the event whose seq a place is: a worker's log, an operation, or storage."""
        self._moved: dict[tuple[int, str], int] = {}
        """The places of events that were told with the seq of another, and of all that operations
        beside each other tell: by seq and teller."""
        self.lowest_shared: int | None = None
        """The lowest seq that may have been told twice."""

    def __contains__(self, place: int) -> bool:
        return place in self._events

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[int]:
        return iter(self._events)

    def knows(self, seq: int, by: str, op_id: str) -> bool:
        """Return whether an event has a place.

        Args:
            seq: What it was told or stored with.
            by: Names the worker's log.
            op_id: The operation that it is about; empty if none.
        """
        if seq < self._oldest:
            return True
        operation = of_operation(op_id)
        if self._tellers.get(seq) in (by, operation, _STORED + op_id):
            return True
        return (seq, by) in self._moved or (seq, operation) in self._moved

    def get(self, place: int) -> Event | None:
        """Return the event at a place, if there is one."""
        return self._events.get(place)

    def tell(self, event: Event, teller: str) -> Event | None:
        """Take an event as a worker tells it; return it as readers see it, `None` if it is known.

        Args:
            event: The event, with the seq that it was told with.
            teller: Names the worker's log; or `of_operation(…)`.
        """
        seq, holder = event.seq, self._tellers.get(event.seq)
        if holder == teller or (seq, teller) in self._moved:
            return None
        is_operation = teller.startswith(_OPERATION)
        if holder is not None and holder.startswith(_STORED):
            # Storage was read first, and alone knows of one event at this place.
            if not is_operation or holder[1:] == teller[1:]:
                return None
        elif holder not in (None, _MOVED) and self._is_end_of_leg(event):
            return None  # told by a worker that died, and by the one in its place
        return self._put(event, teller, is_shared=is_operation or holder is not None)

    def take_stored(self, event: Event, op_id: str, told: int | None = None) -> Event | None:
        """Take an event as storage has it; return it as readers see it, `None` if it is known.

        Args:
            event: The event, with its place in the stored log.
            op_id: The operation that it is about; empty if none.
            told: The seq that it is stored with, where that is not its place.
        """
        seq, teller = event.seq if told is None else told, of_operation(op_id)
        holder = self._tellers.get(seq)
        if (seq, teller) in self._moved or (seq, "") in self._moved:
            return None
        if holder is not None and holder != _MOVED:
            is_of_operation = holder.startswith((_OPERATION, _STORED))
            if not is_of_operation or holder[1:] == op_id:
                return None  # a worker has told it
        # A process that died may have left gaps, which the stored log has closed.
        floor = replace(event, seq=min(event.seq, seq))
        is_shared = holder is not None or floor.seq != seq
        return self._put(floor, _STORED + op_id, is_shared=is_shared, told=seq)

    def _is_end_of_leg(self, event: Event) -> bool:
        """Return whether an event is the start or the end of a leg, as the known one is."""
        ends = ("workflow-start", "workflow-finish")
        return event.type in ends and self._events[event.seq].type == event.type

    def _put(self, event: Event, teller: str, *, is_shared: bool, told: int | None = None) -> Event:
        place = event.seq
        seq = place if told is None else told
        while place in self._events:
            place += 1
        if is_shared:
            known = _OPERATION + teller[1:] if teller.startswith(_STORED) else teller
            self._moved[seq, known] = place
            if not known.startswith(_OPERATION):
                self._moved[seq, ""] = place
            lowest = self.lowest_shared
            self.lowest_shared = seq if lowest is None else min(lowest, seq)
        if place != event.seq:
            event = replace(event, seq=place)
        self._events[place] = event
        self._tellers[place] = teller if place == seq else _MOVED
        self.newest = max(self.newest, place)
        if len(self._events) > KEPT:
            self._forget()
        return event

    def _forget(self) -> None:
        """Drop the older ones, several at a time."""
        for place in sorted(self._events)[: KEPT // 10]:
            del self._events[place], self._tellers[place]
        oldest = self._oldest = min(self._events)
        self._moved = {key: place for key, place in self._moved.items() if place >= oldest}
