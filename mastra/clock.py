"""The only place that reads the time.

A `Clock` is handed to storage and engines, so that a test can move a week ahead.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final, Protocol

__all__ = [
    "Clock",
    "SystemClock",
    "datetime_from_ms",
    "iso_from_ms",
    "ms_from_iso",
    "now_ms",
    "steady_s",
]

_STEADY: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """Tells the time."""

    def time(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def time(self) -> float:
        """Return seconds since 1970-01-01 UTC."""
        return time.time()


def now_ms() -> int:
    """Return milliseconds since 1970-01-01 UTC, the unit of every time on the wire."""
    return int(time.time() * 1000)


def steady_s() -> float:
    """Return seconds on a clock that nobody sets: it goes on while the process is stopped."""
    return time.clock_gettime(_STEADY)


def datetime_from_ms(ms: float) -> datetime:
    """Return a time in milliseconds as a date and time in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def ms_from_iso(stamp: str) -> int:
    """Return the milliseconds that `iso_from_ms` was given."""
    return round(datetime.fromisoformat(stamp).timestamp() * 1000)


def iso_from_ms(ms: float) -> str:
    """Return a time in milliseconds as ISO 8601 in UTC with milliseconds, as Mastra writes it."""
    stamp = datetime_from_ms(ms)
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.") + f"{stamp.microsecond // 1000:03d}Z"
