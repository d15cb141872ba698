"""Vectors of messages: how they are kept, and how the nearest are found without an extension.

A vector has length one, so the cosine of two is their product. A search first goes through
sketches (one bit a number) and then through the vectors of the most promising: that reads and
multiplies a tenth of what ten thousand messages hold, and is exact for short lists.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Protocol

from mastra.errors import InputValidationError

__all__ = [
    "InMemoryVectors",
    "MessageMatch",
    "MessageVector",
    "MessageVectors",
    "packed",
    "ranked",
    "shortlist",
    "sketch_of",
]

_EXACT_PRODUCTS = 1_500_000
"""How many products of two numbers a search may make; at some 60 ns each."""


@dataclass(frozen=True, slots=True)
class MessageVector:
    """What a message means, to one model."""

    message_id: str
    model: str
    """Which model said so; vectors of two models are never compared."""
    digest: str
    """Tells whether the text has changed since."""
    vector: bytes
    """From `packed`."""


@dataclass(frozen=True, slots=True)
class MessageMatch:
    """A message near to what was looked for."""

    message_id: str
    score: float
    """The cosine of the two: 1 for the same direction, 0 for nothing in common."""


class MessageVectors(Protocol):
    """Keeps vectors of messages, for as long as the messages are there."""

    async def save(self, vectors: Sequence[MessageVector]) -> None:
        """Store vectors, in place of older ones; those of unknown messages are dropped."""
        ...

    async def digests(self, message_ids: Sequence[str], *, model: str) -> dict[str, str]:
        """Return the digests of those messages that have a vector of this model."""
        ...

    async def search(
        self,
        vector: bytes,
        *,
        model: str,
        top_k: int,
        thread_id: str | None = None,
        resource_id: str | None = None,
        threshold: float | None = None,
    ) -> list[MessageMatch]:
        """Return the messages that are nearest, the nearest first.

        Args:
            vector: From `packed`.
            model: Which model made it.
            top_k: How many, at most.
            thread_id: In which thread.
            resource_id: Whose.
            threshold: The least score.
        """
        ...


def packed(values: Sequence[float]) -> bytes:
    """Return a vector of length one, as four bytes a number.

    Raises:
        InputValidationError: It has no direction: it is empty, zero or not finite.
    """
    length = math.hypot(*values)
    if not length or not math.isfinite(length):
        raise InputValidationError(
            f"A vector of {len(values)} numbers and of length {length} has no direction, so "
            "nothing can be compared with it."
        )
    numbers = array("f", [value / length for value in values])
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _numbers(vector: bytes) -> array[float]:
    numbers = array("f")
    numbers.frombytes(vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def sketch_of(vector: bytes) -> bytes:
    """Return the signs of a vector's numbers, eight a byte."""
    bits = "".join("1" if number > 0 else "0" for number in _numbers(vector))
    return int(bits, 2).to_bytes((len(bits) + 7) // 8, "big")


def shortlist(vector: bytes, sketches: Sequence[tuple[str, bytes]]) -> list[str]:
    """Return the ids of the sketches that are worth a closer look."""
    count = _EXACT_PRODUCTS * 4 // len(vector)
    if len(sketches) <= count:
        return [name for name, _ in sketches]
    wanted = int.from_bytes(sketch_of(vector), "big")
    distances = [
        ((int.from_bytes(sketch, "big") ^ wanted).bit_count(), name) for name, sketch in sketches
    ]
    return [name for _, name in heapq.nsmallest(count, distances)]


def ranked(
    vector: bytes,
    candidates: Iterable[tuple[str, bytes]],
    *,
    top_k: int,
    threshold: float | None = None,
) -> list[MessageMatch]:
    """Return the nearest of some vectors. Takes up to a tenth of a second: use a thread."""
    wanted = _numbers(vector)
    scored = (
        (sum(map(mul, wanted, _numbers(found))), name)
        for name, found in candidates
        if len(found) == len(vector)
    )
    near = (pair for pair in scored if threshold is None or pair[0] >= threshold)
    return [MessageMatch(name, score) for score, name in heapq.nlargest(top_k, near)]


class InMemoryVectors:
    """Keeps vectors in this process.

    Args:
        owner_of: Returns the thread and the resource of a message, or `None` where it is gone.
    """

    def __init__(self, owner_of: Callable[[str], tuple[str, str] | None]) -> None:
        self._owner_of = owner_of
        self._kept: dict[str, dict[str, tuple[MessageVector, bytes]]] = {}

    def forget(self, message_ids: Iterable[str]) -> None:
        """Drop the vectors of messages that are deleted."""
        for message_id in message_ids:
            for vectors in self._kept.values():
                vectors.pop(message_id, None)

    async def save(self, vectors: Sequence[MessageVector]) -> None:
        """Store vectors."""
        for vector in vectors:
            if self._owner_of(vector.message_id) is not None:
                kept = self._kept.setdefault(vector.model, {})
                kept[vector.message_id] = (vector, sketch_of(vector.vector))

    async def digests(self, message_ids: Sequence[str], *, model: str) -> dict[str, str]:
        """Return the digests of those messages that have a vector of this model."""
        kept = self._kept.get(model, {})
        return {name: kept[name][0].digest for name in message_ids if name in kept}

    async def search(
        self,
        vector: bytes,
        *,
        model: str,
        top_k: int,
        thread_id: str | None = None,
        resource_id: str | None = None,
        threshold: float | None = None,
    ) -> list[MessageMatch]:
        """Return the messages that are nearest."""
        found: dict[str, tuple[MessageVector, bytes]] = {}
        for name, kept in self._kept.get(model, {}).items():
            thread, resource = self._owner_of(name) or (None, None)
            if thread_id in {None, thread} and resource_id in {None, resource}:
                found[name] = kept

        def search() -> list[MessageMatch]:
            names = shortlist(vector, [(name, sketch) for name, (_, sketch) in found.items()])
            pairs = [(name, found[name][0].vector) for name in names]
            return ranked(vector, pairs, top_k=top_k, threshold=threshold)

        return await asyncio.to_thread(search)
