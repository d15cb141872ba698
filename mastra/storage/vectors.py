"""Vectors of messages: what keeps them, and how the nearest are found without an extension.

`Vectors` is the port; `Memory(vectors=…)` takes whatever has its four methods. The stores have one of
their own. A vector has length one, so the cosine of two is their product. A search first goes through
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
    "Vectors",
    "packed",
    "ranked",
    "shortlist",
    "sketch_of",
    "unit",
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
    vector: Sequence[float]
    """Of length one."""
    thread_id: str = ""
    """Which conversation the message belongs to."""
    resource_id: str = ""
    """Whose it is."""


@dataclass(frozen=True, slots=True)
class MessageMatch:
    """A message near to what was looked for."""

    message_id: str
    score: float
    """The cosine of the two: 1 for the same direction, 0 for nothing in common."""


class Vectors(Protocol):
    """Keeps vectors of messages and finds the nearest. A message has one vector a model."""

    async def upsert(self, vectors: Sequence[MessageVector]) -> None:
        """Store vectors, in place of older ones of the same message and model."""
        ...

    async def digests(self, message_ids: Sequence[str], *, model: str) -> dict[str, str]:
        """Return the digests of those messages that have a vector of this model."""
        ...

    async def query(
        self,
        vector: Sequence[float],
        *,
        model: str,
        top_k: int,
        thread_id: str | None = None,
        resource_id: str | None = None,
        threshold: float | None = None,
    ) -> list[MessageMatch]:
        """Return the messages that are nearest, the nearest first.

        Args:
            vector: Of length one.
            model: Which model made it.
            top_k: How many, at most.
            thread_id: In which thread.
            resource_id: Whose.
            threshold: The least score.
        """
        ...

    async def delete(
        self,
        *,
        message_ids: Sequence[str] = (),
        thread_id: str | None = None,
        resource_id: str | None = None,
    ) -> None:
        """Forget the vectors of some messages, of all of a thread, of all of a resource."""
        ...


def unit(values: Sequence[float]) -> array[float]:
    """Return a vector of the same direction and of length one.

    Raises:
        InputValidationError: It has no direction: it is empty, zero or not finite.
    """
    length = math.hypot(*values)
    if not length or not math.isfinite(length):
        raise InputValidationError(
            f"A vector of {len(values)} numbers and of length {length} has no direction, so "
            "nothing can be compared with it."
        )
    return array("f", [value / length for value in values])


def packed(values: Sequence[float]) -> bytes:
    """Return a vector of length one, as four bytes a number.

    Raises:
        InputValidationError: It has no direction.
    """
    numbers = unit(values)
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
        self._kept: dict[str, dict[str, tuple[str, bytes, bytes]]] = {}
        """Digest, vector and sketch by model and message."""

    def forget(self, message_ids: Iterable[str]) -> None:
        """Drop the vectors of messages that are deleted."""
        for message_id in message_ids:
            for vectors in self._kept.values():
                vectors.pop(message_id, None)

    async def upsert(self, vectors: Sequence[MessageVector]) -> None:
        """Store vectors; those of messages that are not there are dropped."""
        for vector in vectors:
            if self._owner_of(vector.message_id) is not None:
                kept, stored = self._kept.setdefault(vector.model, {}), packed(vector.vector)
                kept[vector.message_id] = (vector.digest, stored, sketch_of(stored))

    async def digests(self, message_ids: Sequence[str], *, model: str) -> dict[str, str]:
        """Return the digests of those messages that have a vector of this model."""
        kept = self._kept.get(model, {})
        return {name: kept[name][0] for name in message_ids if name in kept}

    async def query(
        self,
        vector: Sequence[float],
        *,
        model: str,
        top_k: int,
        thread_id: str | None = None,
        resource_id: str | None = None,
        threshold: float | None = None,
    ) -> list[MessageMatch]:
        """Return the messages that are nearest."""
        found: dict[str, tuple[str, bytes, bytes]] = {}
        wanted = packed(vector)
        for name, kept in self._kept.get(model, {}).items():
            thread, resource = self._owner_of(name) or (None, None)
            if thread_id in {None, thread} and resource_id in {None, resource}:
                found[name] = kept

        def search() -> list[MessageMatch]:
            names = shortlist(wanted, [(name, kept[2]) for name, kept in found.items()])
            pairs = [(name, found[name][1]) for name in names]
            return ranked(wanted, pairs, top_k=top_k, threshold=threshold)

        return await asyncio.to_thread(search)

    async def delete(
        self,
        *,
        message_ids: Sequence[str] = (),
        thread_id: str | None = None,
        resource_id: str | None = None,
    ) -> None:
        """Forget vectors. Those of messages that are deleted go by themselves."""
        self.forget(message_ids)
        names = {name for kept in self._kept.values() for name in kept}
        owners = {name: self._owner_of(name) or (None, None) for name in names}
        self.forget(
            name
            for name, (thread, resource) in owners.items()
            if (thread_id is not None and thread == thread_id)
            or (resource_id is not None and resource == resource_id)
        )
