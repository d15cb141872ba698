"""How a run is told to stop before its end, and how all that works for it sees that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mastra.clock import Timer, current_clock
from mastra.stream.abort import AbortController, AbortSignal, when_set

__all__ = ["Interrupted", "StopSwitch"]


class Interrupted(Exception):  # noqa: N818 - caught inside the loop; never seen by users
    """The run was told to stop: aborted, out of time, or closed by its readers."""


class StopSwitch:
    """One run's. What throws it (a caller's signal, a time-out) is let go of at the run's end."""

    __slots__ = ("_controller", "_timers", "_unlisten", "is_seen", "reason")

    def __init__(self) -> None:
        self.reason: str | None = None
        """`abort`, `closed`, or a time-out's name, once the run was told to stop."""
        self.is_seen = False
        """Whether the loop has seen that it is over, by itself or because it was stopped."""
        self._controller = AbortController()
        self._timers: list[Timer] = []
        self._unlisten: Callable[[], object] | None = None

    @property
    def signal(self) -> AbortSignal:
        """What tools see: the caller's abort, a time-out and a closed stream alike."""
        return self._controller.signal

    def listen(self, signal: AbortSignal | asyncio.Event, call: Callable[[], object]) -> None:
        """Call a function when a caller's signal is set, until the run ends."""
        self._unlisten = when_set(signal, call)

    def start_timer(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Call a function after some seconds, unless the run ends or the timer is cancelled."""
        timer = current_clock.get().call_later(seconds, call)
        self._timers.append(timer)
        return timer

    def throw(self, reason: str) -> bool:
        """Set the signal; return whether nobody had."""
        if self.reason is not None:
            return False
        self.reason = reason
        self._controller.abort(reason)
        return True

    def check(self) -> None:
        """Raise where the run was told to stop.

        Raises:
            Interrupted: It was.
        """
        if self.reason is not None:
            raise Interrupted(self.reason)

    def release(self) -> None:
        """Forget timers and the caller's signal."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
