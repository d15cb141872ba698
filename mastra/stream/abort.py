"""Telling running work to stop: a controller that aborts and the signal it is seen through."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

__all__ = ["AbortController", "AbortSignal", "when_set"]


class AbortSignal:
    """Whether the work that holds it should stop.

    Long-running code looks at `aborted`, awaits `wait()`, or is called back.
    """

    __slots__ = ("_listeners", "aborted", "reason")

    def __init__(self) -> None:
        self.aborted = False
        """True from the moment of the abort on."""
        self.reason: Any = None
        """What was given to `abort`, or `None`."""
        self._listeners: list[Callable[[], object]] = []

    async def wait(self) -> None:
        """Return as soon as the signal is aborted."""
        import asyncio  # noqa: PLC0415 - the signal itself needs no event loop

        if self.aborted:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        remove = self.add_listener(lambda: None if future.done() else future.set_result(None))
        try:
            await future
        finally:
            remove()

    def add_listener(self, listener: Callable[[], object]) -> Callable[[], None]:
        """Call a function once, on the abort (at once if it has happened); return its removal."""
        if self.aborted:
            listener()
            return lambda: None
        self._listeners.append(listener)

        def remove() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return remove

    def _abort(self, reason: Any) -> None:
        if self.aborted:
            return
        self.aborted = True
        self.reason = reason
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()


def when_set(
    signal: AbortSignal | asyncio.Event, call: Callable[[], object]
) -> Callable[[], object]:
    """Call a function once, when a signal or an event is set; return what lets go of it.

    It is called at once where that has happened.
    """
    if isinstance(signal, AbortSignal):
        return signal.add_listener(call)
    if signal.is_set():
        call()
        return lambda: None

    async def wait() -> None:
        await signal.wait()
        call()

    import asyncio  # noqa: PLC0415 - the signal itself needs no event loop

    return asyncio.get_running_loop().create_task(wait()).cancel


class AbortController:
    """The side that aborts. Give `signal` to the work."""

    __slots__ = ("signal",)

    def __init__(self) -> None:
        self.signal = AbortSignal()
        """What the work looks at."""

    def abort(self, reason: Any = None) -> None:
        """Abort: once, from the event loop's own thread. Later calls change nothing."""
        self.signal._abort(reason)  # noqa: SLF001
