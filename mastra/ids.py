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
    number = bytearray(raw)
    number[6] = (number[6] & 0x0F) | (version << 4)
    number[8] = (number[8] & 0x3F) | 0x80
    text = number.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_BATCH: Final = 64
"""How many ids' random bytes are asked of the system at once: a call takes as long as making ten ids."""

_drawn: list[bytes] = []


def _draw() -> bytes:
    """Return 16 random bytes that nobody else gets, in any thread."""
    while True:
        try:
            return _drawn.pop()
        except IndexError:
            raw = os.urandom(16 * _BATCH)
            _drawn.extend(raw[place : place + 16] for place in range(0, len(raw), 16))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drawn.clear)  # else both processes would use the same


class RandomIds:
    """Random version 4 UUIDs, as strings."""

    def new_id(self) -> str:
        """Return a random UUID as a string."""
        return _as_uuid(_draw(), 4)


_RANDOM: Final = RandomIds()

current_ids: ContextVar[IdSource] = ContextVar("mastra_ids", default=_RANDOM)
"""What makes the ids of whatever is started from here."""


def new_id() -> str:
    """Return an id for something that people may see: a random UUID, unless other ids were given."""
    return current_ids.get().new_id()


def random_id() -> str:
    """Return a random UUID, whatever ids were given: for what tells processes from each other."""
    return _as_uuid(_draw(), 4)


def stable_id(*parts: str) -> str:
    """Return the UUID that belongs to these parts: the same parts give the same id anywhere."""
    import hashlib  # noqa: PLC0415 - only where a stream is read

    digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).digest()
    return _as_uuid(digest, 8)
