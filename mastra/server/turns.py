"""Turns: many streams with something to send, and a loop that others need as well."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["Turns"]

_AT_ONCE = 2
"""How many streams go in one round of the loop. One batch takes some 0.2 ms to encode and send."""


class Turns:
    """Lets a few streams go in each round of the event loop; the others wait in line.

    Hundreds of streams that all have something to send would else make one round of the loop last
    for as long as all of them take together, and a request needs several rounds.
    """

    def __init__(self) -> None:
        self.streams = 0
        """How many streams are open that ask only where there are others: see `among`."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._left = _AT_ONCE
        self._is_counting = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextmanager
    def among(self) -> Generator[Turns]:
        """Count a stream that asks for turns only while `is_crowded`, which costs it nothing else."""
        self.streams += 1
        try:
            yield self
        finally:
            self.streams -= 1

    @property
    def is_crowded(self) -> bool:
        """Whether more streams are open than go in one round of the loop."""
        return self.streams > _AT_ONCE

    async def next(self) -> None:
        """Wait for a turn. Where nobody is in line it is given at once."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._left, self._is_counting = loop, _AT_ONCE, False
            self._waiting.clear()
        if not self._is_counting:
            self._is_counting = True
            loop.call_soon(self._round, loop)
        if self._left and not self._waiting:
            self._left -= 1
            return
        mine: asyncio.Future[None] = loop.create_future()
        self._waiting.append(mine)
        await mine

    def _round(self, loop: asyncio.AbstractEventLoop) -> None:
        self._left = _AT_ONCE
        while self._left and self._waiting:
            first = self._waiting.popleft()
            if not first.done():
                first.set_result(None)
                self._left -= 1
        # One more round after the last, so that who comes in it does not begin another.
        self._is_counting = bool(self._waiting) or self._left < _AT_ONCE
        if self._is_counting:
            loop.call_soon(self._round, loop)
