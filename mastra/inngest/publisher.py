"""Sends what happens in runs to whoever reads it: here, in another process, or elsewhere.

One task a process looks at the logs of all runs that it drives. What runs never waits for it: the
log of a run is all that both know. What nobody reads is not even put into words.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from mastra.ids import random_id
from mastra.inngest.outbox import Outbox, Place
from mastra.inngest.watch import to_watch
from mastra.inngest.wire.names import OUR_TOPIC, TOPIC, channel
from mastra.jsonable import Json
from mastra.logs import get_logger
from mastra.workflows.active import ActiveRun
from mastra.workflows.engines.journal import LogRow
from mastra.workflows.events import Entry, Event, Kind, to_event
from mastra.workflows.records import Journal, StepRecord

__all__ = [
    "EVENTS",
    "ROWS",
    "WRITTEN",
    "Listener",
    "Publisher",
    "Readers",
    "Rounds",
    "message_of",
    "rows_of",
]

EVENTS: Final = "workflow-events"
"""Several events in one message, with the seq of the first."""

ROWS: Final = "workflow-run-rows"
"""A whole run, for a process that cannot see the worker's storage."""

_OF_RECORD: Final = (Kind.STEP_START, Kind.WAITING, Kind.STEP_END)
WRITTEN: Final = (Kind.OUTPUT, Kind.CUSTOM)
"""What a step writes: as much as it likes, so that only readers of ours get it."""

ROUND_S: Final = 0.01
"""How often the logs are looked at."""

HELD_S: Final = 0.3
"""How soon after its beginning those who have begun a leg and subscribe only then, as the original
does, are told of its end: they have no other way to hear of it."""


class Listener(Protocol):
    """A reader in this process."""

    def push(self, events: Sequence[Event], by: str, ops: Sequence[str] | None = None) -> None:
        """Take events.

        Args:
            events: The events.
            by: Names the log that their seqs are places in.
            ops: The operation of each, where other processes may run operations beside them.
        """
        ...


@dataclass(slots=True)
class Readers:
    """Who hears of a run."""

    here: Callable[[], Sequence[Listener]]
    """Returns those in this process."""
    take_here: Callable[[dict[str, Any]], Awaitable[None]]
    """Takes what is otherwise sent to an inbox."""
    inboxes: set[str] = field(default_factory=set[str])
    """The channels of other processes that read it."""
    is_watched: bool = False
    """Whether readers of the original's packages may be among them."""
    come_late: bool = False
    """Whether they have begun the run, and subscribe only then."""

    @property
    def are_elsewhere(self) -> bool:
        """Whether any may be in another process."""
        return self.is_watched or bool(self.inboxes)


class Publisher:
    """Follows the log of one run."""

    def __init__(self, run: ActiveRun, readers: Readers, outbox: Outbox, start: int) -> None:
        """Prepare.

        Args:
            run: The run.
            readers: Who hears of it.
            outbox: Sends what goes elsewhere.
            start: The seq of the first event to send.
        """
        self._run = run
        self.readers = readers
        self._outbox = outbox
        self._next = start
        self._by = random_id()
        self._after: dict[str, tuple[int, str]] = {}
        """The seqs and operations of what comes before the next event: what was told last, and
        what other processes told last of all that is known of here."""
        self._sent: dict[Place, asyncio.Future[None]] = {}
        self._rows_for_here: dict[str, Json] | None = None
        self._begun = time.monotonic()
        self._held: Event | None = None
        self.names_ops = False
        """Whether events say which operations they are of: several processes send them at once."""
        self.needs_rows: Callable[[], dict[str, Json] | None] = lambda: None
        """Returns the head of the run where a reader needs the whole run with its end."""

    def skip(self, record: StepRecord) -> None:
        """Leave out events that another process has sent, of an operation that has ended."""
        seq = record.end_seq
        self._next = max(self._next, seq + 1)
        if seq > self._after.get("theirs", (-1,))[0]:
            self._after["theirs"] = (seq, record.op_id)

    async def flush(self) -> None:
        """Send every event up to here, and wait until that is done."""
        self.collect()
        rows, self._rows_for_here = self._rows_for_here, None
        if rows is not None:
            await self.readers.take_here(rows)
        while self._held is not None:
            await asyncio.sleep(self._begun + HELD_S - time.monotonic())
            self._tell_watchers([self._held], [])
        sent, self._sent = self._sent, {}
        for one in sent.values():
            await one

    def collect(self) -> None:
        """Give every event up to here to those who read it here, and to the outbox."""
        run, entries, readers = self._run, self._run.log.entries, self.readers
        start, end = self._next, len(entries)
        if start >= end:
            return
        self._next = end
        here = readers.here()
        if not here and not readers.are_elsewhere:
            self._note_told(start, end)
            return
        events: list[Event] = []
        about: list[str] = []
        written: list[Event] = []
        for seq in range(start, end):
            entry = entries[seq]
            if entry is None:
                continue
            event = to_event(run.run_id, run.workflow_id, seq, entry, run.log.forms)
            events.append(event)
            about.append("" if entry[1] is None else entry[1].op_id)
            if entry[0] in WRITTEN:
                written.append(event)
        if not events:
            return
        ops = about if self.names_ops else None
        for reader in here:
            reader.push(events, self._by, ops)
        if readers.inboxes or events[-1].type == "workflow-finish":
            self._send(events, ops)
        self._note_told(start, end)
        if readers.is_watched:
            self._tell_watchers(events, written)

    def _note_told(self, start: int, end: int) -> None:
        """Take note of the last event of a part of the log: the next message comes after it."""
        entries = self._run.log.entries
        for seq in range(end - 1, start - 1, -1):
            entry = entries[seq]
            if entry is not None:
                self._after = {"ours": (seq, "" if entry[1] is None else entry[1].op_id)}
                return

    def _send(self, events: list[Event], ops: list[str] | None) -> None:
        """Put events into the inboxes of those who read them."""
        run, messages = self._run, list[dict[str, Json]]()
        last = events[-1]
        head = self.needs_rows() if last.type == "workflow-finish" else None
        if head is not None:
            rows = rows_of(run.journal, run.log.entries)
            message = {"type": ROWS, "seq": last.seq, "head": head, "rows": rows}
            messages.append(message)
            self._rows_for_here = {**message, **self._names}
        if not self.readers.inboxes:
            return
        after = list(self._after.values())
        for chosen in _rows_in_line(events):
            messages.append(message_of(events[chosen], self._by, ops and ops[chosen], after))
            after = [(events[chosen][-1].seq, ops[chosen][-1])] if ops else []
        for inbox in self.readers.inboxes:
            place = (inbox, OUR_TOPIC)
            for message in messages:
                self._sent[place] = self._outbox.put(place, {**message, **self._names})

    @property
    def _names(self) -> dict[str, Json]:
        return {"runId": self._run.run_id, "workflowId": self._run.workflow_id}

    def _tell_watchers(self, events: list[Event], written: list[Event]) -> None:
        """Tell readers of the original: each event by itself, and what steps wrote beside it."""
        where = channel(self._run.workflow_id, self._run.run_id)
        place, beside = (where, TOPIC), (where, OUR_TOPIC)
        for chosen in _rows_in_line(written):
            message = message_of(written[chosen], self._by)
            self._sent[beside] = self._outbox.put(beside, {**message, **self._names})
        known = {event.seq for event in written}
        self._held = None
        for event in events:
            is_end = event.type == "workflow-finish"
            is_early = time.monotonic() < self._begun + HELD_S
            if is_end and is_early and self.readers.come_late:
                self._held = event
            elif event.seq not in known:
                self._sent[place] = self._outbox.put(place, to_watch(event), alone=True)


def _rows_in_line(events: Sequence[Event]) -> list[slice]:
    """Return the parts of a list whose events follow each other without a gap."""
    found: list[slice] = []
    first = 0
    for place in range(1, len(events) + 1):
        if place == len(events) or events[place].seq != events[place - 1].seq + 1:
            found.append(slice(first, place))
            first = place
    return found


class Rounds:
    """Looks at the logs of all runs that are driven here, one after the other."""

    def __init__(self) -> None:
        self._publishers: set[Publisher] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, publisher: Publisher) -> None:
        """Look at a run's log, too."""
        self._publishers.add(publisher)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(  # noqa: TID251 - ends with the last run
                self._go(), name="mastra publishers"
            )

    async def end(self, publisher: Publisher) -> None:
        """Send what is left of a run's log, and look at it no more."""
        self._publishers.discard(publisher)
        await publisher.flush()

    async def _go(self) -> None:
        while self._publishers:
            await asyncio.sleep(ROUND_S)
            for publisher in list(self._publishers):
                try:
                    publisher.collect()
                except Exception as error:  # noqa: BLE001 - one run's log must not cost the others
                    get_logger().warning("Events of a run could not be told: %s", error)


def message_of(
    events: list[Event],
    by: str,
    ops: list[str] | None = None,
    after: Sequence[tuple[int, str]] = (),
) -> dict[str, Json]:
    """Return what is sent of events that follow each other.

    Args:
        events: The events.
        by: Names the log that their seqs are places in.
        ops: The operation of each, where other processes may run operations beside them.
        after: The seqs and operations of events that come before them, in that case.
    """
    first = events[0]
    more: dict[str, Json] = {"by": by}
    if ops is not None:
        more["ops"] = list(ops)
        more["after"] = [list(one) for one in after]
    if len(events) == 1 and first.payload is not None:
        return {**first.to_wire(), "seq": first.seq, **more}
    return {
        "type": EVENTS,
        "runId": first.run_id,
        "seq": first.seq,
        "events": [event.to_wire() for event in events],
        **more,
    }


def rows_of(journal: Journal, entries: Sequence[Entry | None]) -> list[Any]:
    """Return a run as the rows of a journal."""
    # Operations that two processes ran at once have places in two logs; this is a third.
    places: dict[str, dict[Kind, int]] = {}
    log: list[tuple[int, int, StepRecord | None, Any]] = []
    for seq, entry in enumerate(entries):
        if entry is None:
            continue
        kind, record, value = entry
        if record is not None and kind in _OF_RECORD and journal.get(record.op_id) is record:
            places.setdefault(record.op_id, {})[kind] = seq
        else:
            log.append((seq, int(kind), record, value))
    rows: list[Any] = []
    for op_id, known in journal.items():
        at, record = places.get(op_id, {}), copy(known)
        record.start_seq = at.get(Kind.STEP_START, at.get(Kind.WAITING, -1))
        record.end_seq = at.get(Kind.STEP_END, -1)
        rows.append(record.to_stored())
    rows.append(LogRow(log).to_stored())
    return rows
