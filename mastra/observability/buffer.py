"""Spans and log records on their way to the storage: off the way of what is traced, in batches."""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections import deque
from typing import Any, Final

from mastra.clock import now_ms
from mastra.errors import StorageError
from mastra.failures import text_of
from mastra.logs import get_logger
from mastra.observability.records import LogRecord, SpanRecord
from mastra.observability.spans import Span

__all__ = ["TelemetryBuffer"]

WRITE_AFTER_S: Final = 1.0
"""For how long what was traced waits for more, in seconds."""
BATCH: Final = 250
"""How many go into one transaction: others write between two of them."""
MAX_WAITING: Final = 20_000
"""How many wait at most, while the storage cannot be reached; the oldest go first."""
PRUNE_EVERY_MS: Final = 600_000


class TelemetryBuffer:
    """Takes spans and log records at once, from any thread, and has them stored a little later.

    A task writes, in the event loop in which something ended; it is there only while something
    waits. Where the loop ends before its time, as with `asyncio.run`, it writes what there is.

    Args:
        storage: The application's; it has the store as `observability`.
        retention_s: For how long what was written is kept, in seconds; `None` for ever.
    """

    def __init__(self, storage: Any, *, retention_s: float | None) -> None:
        self._storage = storage
        self._retention_s = retention_s
        self._waiting: deque[Span | LogRecord] = deque(maxlen=MAX_WAITING)
        self._writer: asyncio.Task[None] | None = None
        self._locks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            weakref.WeakKeyDictionary()
        )
        self._pruned_ms = 0
        self._is_failing = False

    def add(self, item: Span | LogRecord) -> None:
        """Take a span that has ended, or a log record."""
        if isinstance(item, Span):
            item.mirror = None
        self._waiting.append(item)
        writer = self._writer
        if writer is None or writer.done() or writer.get_loop().is_closed():
            self._begin()

    def _begin(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # in a thread: what ends next in an event loop takes it along
        self._writer = loop.create_task(
            self._write_later(), name="store spans and logs", context=contextvars.Context()
        )

    async def _write_later(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(WRITE_AFTER_S)
                await self.flush()
                await self._prune()
        except asyncio.CancelledError:
            await self.flush()
            raise

    async def flush(self) -> None:
        """Store what waits, and come back when it is stored. It never raises for the storage."""
        lock = self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        async with lock:
            # What comes meanwhile is for the next time: this ends.
            left = len(self._waiting)
            while left > 0 and (batch := self._next(min(left, BATCH))):
                left -= len(batch)
                if not await self._write(batch):
                    return

    async def aclose(self) -> None:
        """Store what waits, and end what would store more."""
        writer, self._writer = self._writer, None
        if writer is not None and writer.get_loop() is asyncio.get_running_loop():
            writer.cancel()
            await asyncio.wait([writer])
        await self.flush()

    def _next(self, count: int) -> list[Span | LogRecord]:
        batch: list[Span | LogRecord] = []
        while self._waiting and len(batch) < count:
            batch.append(self._waiting.popleft())
        return batch

    async def _write(self, batch: list[Span | LogRecord]) -> bool:
        ended = [item for item in batch if isinstance(item, Span)]
        if any(span.cost_usd is not None for span in ended):
            # The price list takes long to import, and a little for each answer.
            spans = await asyncio.to_thread(lambda: [SpanRecord.of(span) for span in ended])
        else:
            spans = [SpanRecord.of(span) for span in ended]
        logs = [item for item in batch if isinstance(item, LogRecord)]
        try:
            await self._storage.observability.save(spans, logs)
        except Exception as error:  # noqa: BLE001 - no fault of a storage ends what is traced
            is_passing = isinstance(error, StorageError) and not error.is_lasting
            if is_passing:
                room = MAX_WAITING - len(self._waiting)
                self._waiting.extendleft(reversed(batch[-room:] if room else []))
            follows = "tried again" if is_passing else f"{len(batch)} of them are lost"
            self._failed("stored", error, follows)
            return not is_passing
        self._is_failing = False
        return True

    def _failed(self, what: str, error: Exception, follows: str) -> None:
        # Once until it works again: this is logged into the same storage.
        if not self._is_failing:
            self._is_failing = True
            get_logger().warning(
                "Spans and logs could not be %s (%s): %s", what, follows, text_of(error)
            )

    async def _prune(self) -> None:
        now = now_ms()
        if self._retention_s is None or now - self._pruned_ms < PRUNE_EVERY_MS:
            return
        self._pruned_ms = now
        try:
            await self._storage.observability.delete_before(now - int(self._retention_s * 1000))
        except Exception as error:  # noqa: BLE001 - as above
            self._failed("deleted when their time was over", error, "tried again later")
