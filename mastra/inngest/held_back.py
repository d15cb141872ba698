"""What workers tell after something that has not arrived here.

Workers that run steps of one run at once each count from where storage was when they began, so that
what one of them tells has no place of its own by which a reader would miss it: another's events
stand there. Each message therefore names what has to come before it. What comes without that is
held back until storage has it, so that a reader sees what each worker tells in its order.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mastra.inngest.kept_events import KeptEvents
from mastra.workflows.events import Event

__all__ = ["HeldBack", "Told", "read_after"]

HELD: Final = 1000
"""Messages of one worker that are held back; older ones are taken from storage, too."""


def read_after(message: dict[str, Any]) -> tuple[tuple[int, str], ...]:
    """Return the seqs and operations of what comes before a message, as it names them."""
    return tuple((int(seq), str(op_id)) for seq, op_id in message.get("after") or ())


@dataclass(frozen=True, slots=True)
class Told:
    """Events of one message."""

    events: Sequence[Event]
    by: str
    """Names the log that their seqs are places in."""
    ops: Sequence[str] | None = None
    """The operation of each, where other processes may run operations beside them."""
    after: Sequence[tuple[int, str]] = ()
    """The seqs and operations of events that come before them."""

    def is_due(self, kept: KeptEvents) -> bool:
        """Return whether all that comes before them is known."""
        return all(kept.knows(seq, self.by, op_id) for seq, op_id in self.after)


class HeldBack:
    """Messages of one run that came too early, by the log that they are of."""

    __slots__ = ("_logs", "_since")

    def __init__(self) -> None:
        self._logs: dict[str, deque[Told]] = {}
        self._since = 0.0

    def __bool__(self) -> bool:
        return bool(self._logs)

    @property
    def waits_s(self) -> float:
        """For how long storage has not been asked for what is missing; 0 if nothing is."""
        return time.monotonic() - self._since if self._logs else 0.0

    def take(self, told: Told, kept: KeptEvents) -> bool:
        """Hold a message back if it came too early; return whether it did."""
        held = self._logs.get(told.by)
        if held is None:
            if told.is_due(kept):
                return False
            if not self._logs:
                self._since = time.monotonic()
            held = self._logs[told.by] = deque(maxlen=HELD)
        held.append(told)
        return True

    def release(self, kept: KeptEvents) -> Iterator[Told]:
        """Yield what is due by now; each is to be taken before the next is asked for."""
        for by, held in list(self._logs.items()):
            while held and held[0].is_due(kept):
                yield held.popleft()
            if not held:
                del self._logs[by]

    def wait_again(self) -> None:
        """Take note that storage has been asked."""
        self._since = time.monotonic()

    def give_up(self) -> list[Told]:
        """Return all that is held back, and hold it no more."""
        held = [told for log in self._logs.values() for told in log]
        self._logs.clear()
        return held
