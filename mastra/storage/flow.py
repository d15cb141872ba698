"""What a store has to do so that several processes keep to one workflow's flow control.

A leg of a run has a ticket: it waits, or is in. Tickets stand at a door. Who lets one in has read
what is in, and writes only if nobody else has let one in since (`version`). A ticket whose driver
has no lease is as if it was not there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from typing import Literal, Protocol, TypeAlias

from mastra.dataclass import dataclass

__all__ = ["UNSHARED", "DoorView", "FlowStore", "InMemoryFlow", "Ticket", "TicketState"]

TicketState: TypeAlias = Literal["waiting", "in", "out"]
"""`out`: another one has come in its place, and it is not to begin."""

UNSHARED = "local"
"""The owner of tickets in a store that no other process sees."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """One leg of a run that waits to begin, or has begun. Times in milliseconds since 1970."""

    workflow_id: str
    run_id: str
    door: str
    owner: str
    rank: int
    """Which goes first: the lowest. When it came, less its priority."""
    due_at: int
    """Before when it does not begin."""
    first_at: int
    """When the first of those came in whose place it is."""
    state: TicketState = "waiting"
    lane_a: str | None = None
    """What it counts in, with at most `limit_a` at once."""
    limit_a: int = 0
    lane_b: str | None = None
    limit_b: int = 0
    lane_s: str | None = None
    """In what it is the only one, until its leg has ended."""
    lane_d: str | None = None
    """With what others it begins only once, for the last of them."""
    lane_t: str | None = None
    """In what it begins no sooner than each `emission_us` microseconds."""
    emission_us: int = 0
    tolerance_us: int = 0

    @property
    def lanes(self) -> list[tuple[str, int]]:
        """What it counts in, and how many may at once."""
        found = ((self.lane_a, self.limit_a), (self.lane_b, self.limit_b), (self.lane_s, 1))
        return [(lane, limit) for lane, limit in found if lane is not None]


@dataclass(frozen=True, slots=True)
class DoorView:
    """What stands at a door."""

    version: int
    tickets: Sequence[Ticket] = field(default_factory=tuple[Ticket, ...])


class FlowStore(Protocol):
    """Keeps tickets. Every call is safe from several processes where the store itself is."""

    async def read(self, door: str, *, lane: str | None = None) -> DoorView:
        """Return the tickets at a door that are in, and all of a lane, whether in or waiting."""
        ...

    async def waiting(
        self, door: str, *, now: int, without: Collection[str], limit: int
    ) -> Sequence[Ticket]:
        """Return tickets that may begin, the first first, of no lane of those to be left out."""
        ...

    async def put(self, ticket: Ticket) -> None:
        """Store a ticket."""
        ...

    async def write(
        self,
        door: str,
        version: int,
        *,
        called: Sequence[Ticket] = (),
        new: Ticket | None = None,
        marks: Mapping[str, int] | None = None,
    ) -> bool:
        """Change what stands at a door, unless it has another version. It gets the next one.

        Args:
            door: The door.
            version: Which it must have.
            called: Tickets that waited, with their state now; those that are gone stay gone.
            new: One to store.
            marks: What is to be noted.
        """
        ...

    async def marks(self, names: Collection[str]) -> dict[str, int]:
        """Return marks by their names, as far as they are there."""
        ...

    async def take(self, name: str, *, now_us: int, emission_us: int, tolerance_us: int) -> bool:
        """Move a mark on by an emission from now or where it is, if it stays within a tolerance.

        One beyond that already, which a clock has left that was ahead, is moved back to there.
        """
        ...

    async def called(self, driver_id: str) -> Sequence[Ticket]:
        """Return the tickets of a driver that do not wait any more."""
        ...

    async def remove(self, workflow_id: str, run_id: str, owner: str) -> None:
        """Remove a leg's ticket."""
        ...

    async def prune(self, before_ms: int) -> None:
        """Remove tickets that came before a time and belong to nobody, and marks as old."""
        ...


class InMemoryFlow:
    """Keeps tickets in a dict."""

    def __init__(self) -> None:
        self._tickets: dict[tuple[str, str], Ticket] = {}
        self._versions: dict[str, int] = {}
        self._marks: dict[str, int] = {}

    def _at(self, door: str) -> list[Ticket]:
        return [one for one in self._tickets.values() if one.door == door]

    async def read(self, door: str, *, lane: str | None = None) -> DoorView:
        """Return the tickets at a door that are in, and all of a lane."""
        return DoorView(
            self._versions.get(door, 0),
            [
                one
                for one in self._at(door)
                if one.state == "in"
                or (
                    lane is not None and one.state == "waiting" and lane in (one.lane_d, one.lane_s)
                )
            ],
        )

    async def waiting(
        self, door: str, *, now: int, without: Collection[str], limit: int
    ) -> Sequence[Ticket]:
        """Return tickets that may begin, the first first."""
        found = [
            one
            for one in self._at(door)
            if one.state == "waiting"
            and one.due_at <= now
            and not {one.lane_a, one.lane_b, one.lane_s, one.lane_t} & set(without)
        ]
        found.sort(key=lambda one: one.rank)
        return found[:limit]

    async def put(self, ticket: Ticket) -> None:
        """Store a ticket."""
        self._tickets[ticket.workflow_id, ticket.run_id] = ticket

    async def write(
        self,
        door: str,
        version: int,
        *,
        called: Sequence[Ticket] = (),
        new: Ticket | None = None,
        marks: Mapping[str, int] | None = None,
    ) -> bool:
        """Change what stands at a door, unless it has another version."""
        if self._versions.get(door, 0) != version:
            return False
        self._versions[door] = version + 1
        for one in called:
            key = (one.workflow_id, one.run_id)
            known = self._tickets.get(key)
            if known is not None and (known.owner, known.state) == (one.owner, "waiting"):
                self._tickets[key] = one
        if new is not None:
            await self.put(new)
        self._marks.update(marks or {})
        return True

    async def marks(self, names: Collection[str]) -> dict[str, int]:
        """Return marks by their names."""
        return {name: self._marks[name] for name in names if name in self._marks}

    async def take(self, name: str, *, now_us: int, emission_us: int, tolerance_us: int) -> bool:
        """Move a mark on, if it stays within a tolerance."""
        latest = now_us + tolerance_us
        moved = max(self._marks.get(name, 0), now_us) + emission_us
        if moved > latest:
            if self._marks.get(name, 0) > latest:
                self._marks[name] = latest
            return False
        self._marks[name] = moved
        return True

    async def called(self, driver_id: str) -> Sequence[Ticket]:
        """Return the tickets that do not wait any more."""
        del driver_id
        return [one for one in self._tickets.values() if one.state != "waiting"]

    async def remove(self, workflow_id: str, run_id: str, owner: str) -> None:
        """Remove a leg's ticket."""
        del owner
        self._tickets.pop((workflow_id, run_id), None)

    async def prune(self, before_ms: int) -> None:
        """Remove old marks."""
        self._marks = {name: at for name, at in self._marks.items() if at >= before_ms * 1000}
