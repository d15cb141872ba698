"""Many items at once: what works through them, and what stores what comes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from mastra.storage.evals import EvalRecord, EvalStore

__all__ = ["RowQueue", "each"]

T = TypeVar("T")


async def each(items: Iterable[T], work: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """Do something with each item, in their order, so many at a time.

    Raises:
        Exception: What the work raised first; the others are stopped then.
    """
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(worker())
    except BaseExceptionGroup as group:
        error: BaseException = group.exceptions[0]
        raise error from None


class RowQueue:
    """Stores rows; those that come while others are being stored are stored together."""

    def __init__(self, store: EvalStore) -> None:
        self._store = store
        self._waiting: list[EvalRecord] = []
        self._turn = asyncio.Lock()

    async def put(self, rows: Sequence[EvalRecord]) -> None:
        """Store rows; they are there when it returns.

        Raises:
            StorageError: They could not be stored.
        """
        self._waiting += rows
        async with self._turn:
            batch, self._waiting = self._waiting, []
            if not batch:
                return  # they went with those of another
            try:
                await self._store.save(batch)
            except BaseException:
                # Whoever waits for rows of this batch too tries it again, and hears of it.
                self._waiting = batch + self._waiting
                raise
