"""The only place that reads the time, and that waits for it.

Runs, agents and stores go by the clock that they were given: `Mastra(clock=…)`, an engine's own, or
the one around them; else by the machine's. What only looks again in a moment, such as a poll of
a storage, does not wait by it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, Protocol

__all__ = [
    "Clock",
    "SystemClock",
    "Timer",
    "current_clock",
    "datetime_from_ms",
    "iso_from_ms",
    "ms_from_datetime",
    "ms_from_iso",
    "now_ms",
    "now_s",
    "sleep",
    "sleep_until",
    "steady_s",
    "timeout",
]

_STEADY: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

LOOK_S: Final = 30.0
"""How often a long sleep looks at the machine's clocks: an event loop's stands still with the
machine, and knows nothing of the time of day being set."""


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> object:
        """Make it not come."""
        ...


class Clock(Protocol):
    """Tells the time, and waits for it."""

    def now(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds from no moment in particular, which never go back."""
        ...

    def sleep(self, seconds: float, /) -> Awaitable[object]:
        """Wait for so long."""
        ...

    def call_later(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Call a function after so long, on the running event loop, unless it is cancelled.

        It guards something, such as with a time-out; a clock that jumps to what is waited for does
        not jump to it.
        """
        ...


class SystemClock:
    """The machine's clock."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float, /) -> None:
        """Wait for so long, whatever the time of day is set to; a machine's standstill counts."""
        until = steady_s() + seconds
        while seconds > LOOK_S:
            await asyncio.sleep(LOOK_S)
            seconds = until - steady_s()
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Call a function after so long, unless it is cancelled."""
        return asyncio.get_running_loop().call_later(seconds, call)


_SYSTEM: Final[Clock] = SystemClock()

current_clock: ContextVar[Clock] = ContextVar("mastra_clock", default=_SYSTEM)
"""The clock that whatever is started from here goes by."""


def now_s() -> float:
    """Return seconds since 1970-01-01 UTC."""
    return current_clock.get().now()


def now_ms() -> int:
    """Return milliseconds since 1970-01-01 UTC, the unit of every time on the wire."""
    clock = current_clock.get()
    return time.time_ns() // 1_000_000 if clock is _SYSTEM else int(clock.now() * 1000)


async def sleep(seconds: float) -> None:
    """Wait for so long."""
    await current_clock.get().sleep(seconds)


async def sleep_until(moment_s: float) -> None:
    """Wait until the clock shows a time, in seconds since 1970, also where it is set meanwhile."""
    clock = current_clock.get()
    while (left := moment_s - clock.now()) > 0:
        if clock is not _SYSTEM:  # it is as good as it is made
            await clock.sleep(left)
            return
        await asyncio.sleep(min(left, LOOK_S))


class timeout:  # noqa: N801 - named as the standard library's, which it stands for
    """Ends what is inside the block after some seconds with a `TimeoutError`; `None` for never."""

    __slots__ = ("_scope", "_seconds", "_timer")

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._scope = asyncio.timeout(None)
        self._timer: Timer | None = None

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()
        if self._seconds is not None:
            self._timer = current_clock.get().call_later(self._seconds, self._expire)

    def _expire(self) -> None:
        self._scope.reschedule(asyncio.get_running_loop().time())

    async def __aexit__(self, *exc: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._scope.__aexit__(*exc)


def steady_s() -> float:
    """Return seconds on a clock that nobody sets: it goes on while the process is stopped.

    For what processes tell each other, such as leases; it is always the machine's.
    """
    return time.clock_gettime(_STEADY)


def datetime_from_ms(ms: float) -> datetime:
    """Return a time in milliseconds as a date and time in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def ms_from_datetime(moment: datetime) -> int:
    """Return a date and time in milliseconds since 1970; one without a zone is of this machine's.

    At the ends of the calendar, where the machine's time is in no year, it is taken for UTC.
    """
    try:
        return int(moment.timestamp() * 1000)
    except (OverflowError, ValueError, OSError):
        return int(moment.replace(tzinfo=UTC).timestamp() * 1000)


def ms_from_iso(stamp: str) -> int:
    """Return the milliseconds that `iso_from_ms` was given."""
    return round(datetime.fromisoformat(stamp).timestamp() * 1000)


def iso_from_ms(ms: float) -> str:
    """Return a time in milliseconds as ISO 8601 in UTC with milliseconds, as Mastra writes it."""
    stamp = datetime_from_ms(ms)
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.") + f"{stamp.microsecond // 1000:03d}Z"
