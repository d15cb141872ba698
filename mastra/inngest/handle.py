"""A leg, as its caller sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from mastra.inngest.feed import Feed
from mastra.workflows.engines.base import one_by_one
from mastra.workflows.events import Event
from mastra.workflows.results import WorkflowResult

__all__ = ["InngestHandle"]


class InngestHandle:
    """A leg, as its caller sees it."""

    __slots__ = ("_engine", "_feed", "first_seq")
    is_elsewhere = False

    def __init__(self, engine: object, feed: Feed, first_seq: int) -> None:
        self._engine = engine  # lives for as long as somebody waits
        self._feed = feed
        self.first_seq = first_seq

    @property
    def has_given_up(self) -> bool:
        """Whether whoever waits was told that there is nothing to wait for."""
        return self._feed.has_given_up

    async def result(self) -> WorkflowResult[Any]:
        """Return the leg's result, as long as that takes."""
        return await self._feed.result()

    async def events(self, start: int) -> AsyncIterator[Event]:
        """Yield the run's events from a seq on, live, until its leg ends."""
        async for event in self._feed.read(start):
            yield event

    def batches(self, start: int, limit: int) -> AsyncIterator[Sequence[Event]]:
        """Yield what `events` does, one by one."""
        del limit
        return one_by_one(self.events(start))
