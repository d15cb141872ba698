"""The only place that makes random ids."""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import Final, Protocol

__all__ = ["IdSource", "RandomIds", "current_ids", "new_id", "random_id", "stable_id"]


class IdSource(Protocol):
    """Makes ids of runs, messages and calls; `Mastra(ids=…)` takes another one."""

    def new_id(self) -> str:
        """Return an id that no other call returns."""
        ...


def _as_uuid(raw: bytes, version: int) -> str:
    # uuid.uuid4 costs four times as much, and an id is made for each run.
    text = raw.hex()
    variant = _VARIANTS[text[16]]
    return f"{text[:8]}-{text[8:12]}-{version}{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


_VARIANTS: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""The digit that says which variant a UUID is, by the random one in its place."""


_BATCH: Final = 64
"""How many ids are made at once: to ask the system for random bytes takes as long as making ten."""

_made: list[str] = []


def random_id() -> str:
    """Return a random UUID, whatever ids were given: for what tells processes from each other.

    Nobody else gets it, in any thread.
    """
    while True:
        try:
            return _made.pop()
        except IndexError:
            raw = os.urandom(16 * _BATCH)
            _made.extend(_as_uuid(raw[place : place + 16], 4) for place in range(0, len(raw), 16))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_made.clear)  # else both processes would use the same


class RandomIds:
    """Random version 4 UUIDs, as strings."""

    def new_id(self) -> str:
        """Return a random UUID as a string."""
        return random_id()


_RANDOM: Final = RandomIds()

current_ids: ContextVar[IdSource] = ContextVar("mastra_ids", default=_RANDOM)
"""What makes the ids of whatever is started from here."""


def new_id() -> str:
    """Return an id for something that people may see: a random UUID, unless other ids were given."""
    return current_ids.get().new_id()


def stable_id(*parts: str) -> str:
    """Return the UUID that belongs to these parts: the same parts give the same id anywhere."""
    import hashlib  # noqa: PLC0415 - only where a stream is read

    digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).digest()
    return _as_uuid(digest, 8)
