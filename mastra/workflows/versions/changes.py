"""What differs between the definition that a run began with and the one at hand."""

from __future__ import annotations

from dataclasses import field

from mastra.dataclass import dataclass
from mastra.jsonable import Json

__all__ = ["Changes"]


@dataclass(slots=True)
class Changes:
    """What differs in what a run has passed, by the ids of steps as results name them."""

    added: list[str] = field(default_factory=list[str])
    removed: list[str] = field(default_factory=list[str])
    moved: list[str] = field(default_factory=list[str])
    changed: dict[str, str] = field(default_factory=dict[str, str])
    """How, by id."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.moved or self.changed)

    def __str__(self) -> str:
        told: list[str] = []
        for what, ids in (("added", self.added), ("removed", self.removed), ("moved", self.moved)):
            if ids:
                told.append(f"{what} {', '.join(map(repr, ids))}")
        told += [f"changed {name!r} ({how})" for name, how in self.changed.items()]
        return "; ".join(told)

    def find_moved(self, before: dict[str, str], now: dict[str, str]) -> None:
        """Tell of what went into a nested workflow, or came out of one, as moved.

        Args:
            before: The ids of steps by how results named them.
            now: The same of the definition at hand.
        """
        gone = {name: id for name, id in before.items() if name not in now}
        come = {name: id for name, id in now.items() if name not in before}
        for name in [name for name in self.removed if gone.get(name) in come.values()]:
            self.removed.remove(name)
            self._note_moved(name)
        for name in [name for name in self.added if come.get(name) in gone.values()]:
            self.added.remove(name)
            self._note_moved(next(old for old, id in gone.items() if id == come[name]))

    def _note_moved(self, name: str) -> None:
        if name not in self.moved:
            self.moved.append(name)

    def to_json(self) -> dict[str, Json]:
        """Return the ids as JSON data."""
        return {
            "added": [*self.added],
            "removed": [*self.removed],
            "moved": [*self.moved],
            "changed": [*self.changed],
        }
