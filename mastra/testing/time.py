"""Time and ids for tests: a clock that jumps to what is waited for, ids that count."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from contextvars import Token
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

from mastra.clock import Clock, current_clock
from mastra.given import FLAG, SECONDS, Form, check_given
from mastra.ids import IdSource, current_ids

__all__ = ["FakeClock", "FakeIds", "fake_ids"]

_LOOKS: Final = 5
"""How often, in the time that a clock takes to see that nothing goes on, it looks."""

_FORMS: Final = {
    "start": Form(
        "a datetime, or seconds since 1970",
        lambda value: isinstance(value, datetime) or SECONDS.holds(value),
    ),
    "auto": FLAG,
    "settle": SECONDS,
}


@dataclass(slots=True, eq=False)
class _Wait:
    """Somebody waits for a time, or is to be told of one."""

    at: float
    number: int
    is_sleep: bool
    call: Callable[[], object]
    loop: asyncio.AbstractEventLoop
    waits: set[_Wait]

    def cancel(self) -> None:
        """Wait no longer."""
        self.waits.discard(self)


class FakeClock:
    """A clock that stands still, and jumps to whatever is slept for when nothing else goes on.

    Hand it to `Mastra(clock=…)` or to an engine, or enter it, and everything inside the block that
    waits for time goes by it: sleeps, the delays of retries, time-outs, what a scripted model waits.
    A sleep of weeks then takes milliseconds. A time-out alone does not make it jump, so that work
    that really takes its time is not cut off; move it by hand for that, with `advance`.

    Args:
        start: What time it is at first, as a moment or in seconds since 1970; left out, the
            machine's, without what is less than a millisecond: dates would lose a part of it.
        auto: Whether it jumps by itself. Otherwise only `advance` moves it.
        settle: For how many seconds of the machine's nothing must have asked it for anything before
            it jumps. Give more where steps really wait beside a sleep, such as for a network.

    Raises:
        ConfigError: One of them is of another kind.
    """

    def __init__(
        self,
        start: datetime | float | None = None,
        *,
        auto: bool = True,
        settle: float = 0.005,
    ) -> None:
        given = {"start": start, "auto": auto, "settle": settle}
        check_given("FakeClock", given, _FORMS)
        seconds = start.timestamp() if isinstance(start, datetime) else start
        self._now = round(time.time(), 3) if seconds is None else float(seconds)
        self._begun = self._now
        self._auto = auto
        self._settle_s = settle
        self._waits: set[_Wait] = set()
        self._numbers = itertools.count()
        self._questions = 0
        self._jumper: asyncio.Task[None] | None = None
        self._is_advancing = False
        self._before: list[Token[Clock]] = []

    def __repr__(self) -> str:
        return f"FakeClock({self._now!r}, sleeping={self.sleeping})"

    def __enter__(self) -> Self:
        self._before.append(current_clock.set(self))
        return self

    def __exit__(self, *exc: object) -> None:
        current_clock.reset(self._before.pop())

    @property
    def auto(self) -> bool:
        """Whether it jumps by itself. May be set at any time, on the event loop."""
        return self._auto

    @auto.setter
    def auto(self, jumps: bool) -> None:
        self._auto = jumps
        if self.sleeping:
            self._begin_jumping()

    @property
    def sleeping(self) -> int:
        """How many sleeps it has to end."""
        return sum(wait.is_sleep for wait in self._waits)

    # -- as a clock ------------------------------------------------------------------------------

    def now(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        self._questions += 1
        return self._now

    def monotonic(self) -> float:
        """Return seconds since it was made."""
        return self.now() - self._begun

    async def sleep(self, seconds: float) -> None:
        """Wait until so much time has gone by on this clock."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        over = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not over.done():
                over.set_result(None)

        wait = self._add(seconds, wake, is_sleep=True)
        self._begin_jumping()
        try:
            await over
        finally:
            wait.cancel()

    def call_later(self, seconds: float, call: Callable[[], object]) -> _Wait:
        """Call a function when so much time has gone by, unless it is cancelled."""
        return self._add(seconds, call, is_sleep=False)

    def _add(self, seconds: float, call: Callable[[], object], *, is_sleep: bool) -> _Wait:
        loop = asyncio.get_running_loop()
        at = self.now() + max(0.0, seconds)
        wait = _Wait(at, next(self._numbers), is_sleep, call, loop, self._waits)
        self._waits.add(wait)
        return wait

    # -- moving ----------------------------------------------------------------------------------

    async def advance(self, by: float | timedelta) -> None:
        """Let time go by: whatever was to happen until then happens, each at its own time.

        Args:
            by: How much, in seconds or as a `timedelta`.
        """
        seconds = by.total_seconds() if isinstance(by, timedelta) else by
        if seconds < 0:
            msg = f"A clock does not go back: {by!r}."
            raise ValueError(msg)
        until = self._now + seconds
        self._is_advancing = True
        try:
            await self._settle()
            while (wait := self._first()) is not None and wait.at <= until:
                self._fire(wait)
                await self._settle()
            self._now = max(self._now, until)
        finally:
            self._is_advancing = False
        await self._settle()

    async def _settle(self) -> None:
        """Return once nothing has asked for anything for a while."""
        quiet = 0
        while quiet < _LOOKS:
            before = self._questions
            await asyncio.sleep(self._settle_s / _LOOKS)
            quiet = quiet + 1 if before == self._questions else 0

    def _first(self) -> _Wait | None:
        for stranded in [wait for wait in self._waits if wait.loop.is_closed()]:
            stranded.cancel()
        return min(self._waits, key=lambda wait: (wait.at, wait.number), default=None)

    def _fire(self, wait: _Wait) -> None:
        wait.cancel()
        self._now = max(self._now, wait.at)
        self._questions += 1
        if wait.loop is asyncio.get_running_loop():
            wait.call()
        else:
            wait.loop.call_soon_threadsafe(wait.call)

    def _begin_jumping(self) -> None:
        jumper = self._jumper
        if self.auto and (jumper is None or jumper.done() or jumper.get_loop().is_closed()):
            self._jumper = asyncio.get_running_loop().create_task(
                self._jump(), name="mastra fake clock"
            )

    async def _jump(self) -> None:
        while self.auto and self.sleeping:
            await self._settle()
            wait = self._first()
            # What is guarded until then is cut off on the way, as it would be.
            if wait is not None and self.sleeping and self.auto and not self._is_advancing:
                self._fire(wait)


class FakeIds:
    """Ids that count: the same program gives the same ids each time. Make it with `fake_ids`."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._before: list[Token[IdSource]] = []

    def new_id(self) -> str:
        """Return the next id, in the form of a UUID."""
        return f"00000000-0000-4000-8000-{next(self._numbers):012d}"

    def __enter__(self) -> Self:
        self._before.append(current_ids.set(self))
        return self

    def __exit__(self, *exc: object) -> None:
        current_ids.reset(self._before.pop())


def fake_ids() -> FakeIds:
    """Return ids that count from 1, for `Mastra(ids=…)` or a `with` block.

    Runs, messages and calls are then named `00000000-0000-4000-8000-000000000001` and so on. What
    processes tell each other apart by stays random.
    """
    return FakeIds()
