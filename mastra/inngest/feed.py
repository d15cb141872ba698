"""The events of a run as they reach a process that does not drive it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

from mastra.errors import RunError, RunStateError, StreamOverflowError
from mastra.inngest.carried import row_of
from mastra.inngest.held_back import HeldBack, Told, read_after
from mastra.inngest.inquiry import ACTIVE, Inquiry
from mastra.inngest.kept_events import KEPT, KeptEvents, of_operation
from mastra.inngest.mail import Mail
from mastra.inngest.publisher import EVENTS, ROWS
from mastra.logs import get_logger
from mastra.storage.base import RunChanges, RunHead, StoredRow
from mastra.workflows.engines.commands import RunTarget
from mastra.workflows.engines.journal import LoadedRun, fold_rows, load_run
from mastra.workflows.engines.lifecycle import head_of
from mastra.workflows.engines.outcome import result_from_storage
from mastra.workflows.engines.stored import no_such_run
from mastra.workflows.events import Event, EventPayload, to_event
from mastra.workflows.results import WorkflowResult
from mastra.workflows.spec_forms import forms_of
from mastra.workflows.versions.choice import spec_for

__all__ = ["Feed"]

GAP_S: Final = 0.3
"""For how long an event may be late before storage is asked for it."""

QUIET_S: Final = 5.0
"""After how long without a message storage is asked, in case one was lost. It grows."""

QUIET_MAX_S: Final = 60.0

LOOK_S: Final = 0.3
"""After how long a reader that came later looks into storage for the first time."""

LOOK_MAX_S: Final = 5.0

_BESIDE: Final = ("by", "ops", "after", "workflowId")
"""What a message has beside an event."""


class _Pace:
    """How patiently one waiter of a feed waits."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._quiet_s = QUIET_S
        self._silent_s = 0.0
        self.look_s = LOOK_S if feed.is_attached else QUIET_S
        """After how long without a word storage is looked at."""

    async def look(self) -> None:
        """Ask the server, after some time, and be more patient from then on."""
        self._silent_s += self.look_s
        if self._silent_s >= self._quiet_s:
            self._silent_s = 0.0
            self._quiet_s = await self._feed.ask() or min(self._quiet_s * 2, QUIET_MAX_S)
        attached = min(self.look_s * 2, LOOK_MAX_S, self._quiet_s)
        self.look_s = attached if self._feed.is_attached else self._quiet_s


class Feed:
    """One run's events: live from the server, and from storage where some are missing."""

    __slots__ = (
        "__weakref__",
        "_changed",
        "_end_seq",
        "_error",
        "_events",
        "_first",
        "_gaps",
        "_held",
        "_is_closed",
        "_keeps",
        "_mail",
        "_readers",
        "_result",
        "_worker",
        "inquiry",
        "is_attached",
        "key",
        "target",
        "when_ended",
    )

    def __init__(self, target: RunTarget, mail: Mail, first_seq: int, inquiry: Inquiry) -> None:
        """Prepare; nothing is sent.

        Args:
            target: The run.
            mail: Where it is heard of.
            first_seq: Where the events begin that come live.
            inquiry: Asked when nothing has been heard of the run for long.
        """
        self.target = target
        self.key = (target.workflow_id, target.run_id)
        self._mail = mail
        self.inquiry = inquiry
        self._first = first_seq
        self._events = KeptEvents(first_seq)
        self._held = HeldBack()
        self._end_seq: int | None = None
        self._result: WorkflowResult[Any] | None = None
        self._changed = asyncio.Event()
        self._gaps = 0
        """How often messages may have been missed."""
        self._is_closed = False
        self._error: RunError | None = None
        """Why there is nothing to wait for."""
        self.is_attached = False
        """Whether it stands for a run that somebody else began, and storage has to know."""
        self.when_ended: Callable[[], None] = lambda: None
        """Called when the end of the leg is told."""
        self._readers = 0
        """How many have begun to read events."""
        self._keeps = True
        """Whether events are kept: where storage has them, only for readers."""
        self._worker: str | None = None
        """The inbox of the worker that was asked to tell of it."""

    # -- the live side -------------------------------------------------------------------------

    async def take(self, message: dict[str, Any]) -> None:
        """Take what a worker in another process tells."""
        kind = message.get("type")
        told = {key: value for key, value in message.items() if key not in _BESIDE}
        by, ops = str(message.get("by")), message.get("ops")
        if kind == ROWS:
            if message["seq"] < self._first:
                return  # how the leg before ended, told late
            await self._mirror(message["head"], message["rows"])
        elif kind == EVENTS:
            first: int = message["seq"]
            events = [_event(first + i, wire) for i, wire in enumerate(message["events"])]
            self._hear(Told(events, by, ops, read_after(message)))
        elif isinstance(kind, str) and isinstance(message.get("seq"), int):
            self._hear(Told([_event(message["seq"], told)], by, ops, read_after(message)))

    def _hear(self, told: Told) -> None:
        """Take events of a worker in another process, unless what comes before them is missing."""
        if not self._keeps or not self._held.take(told, self._events):
            self.push(told.events, told.by, told.ops)
            self._push_held()
            return
        last = told.events[-1]
        if last.type == "workflow-finish" and last.seq >= self._first:
            self._end_seq = last.seq
            self.has_missed()  # storage has all of it by now
            self.when_ended()
        self._changed.set()

    def _push_held(self) -> None:
        for told in self._held.release(self._events):
            self.push(told.events, told.by, told.ops)

    def has_missed(self) -> None:
        """Look into storage: what was told meanwhile did not arrive."""
        self._gaps += 1
        self._changed.set()

    def push(self, events: Sequence[Event], by: str, ops: Sequence[str] | None = None) -> None:
        """Take events, from wherever they came first.

        Args:
            events: The events.
            by: Names the log that their seqs are places in.
            ops: The operation of each, where other processes may run operations beside them.
        """
        if not self._keeps:
            ends = [e.seq for e in events if e.type == "workflow-finish" and e.seq >= self._first]
            self._end_seq = ends[-1] if ends else self._end_seq
            events = ()
        for place, event in enumerate(events):
            kept = self._events.tell(event, by if ops is None else of_operation(ops[place]))
            is_end = event.type == "workflow-finish" and event.seq >= self._first
            if kept is not None and is_end:
                self._end_seq = kept.seq
        self._changed.set()
        if self._end_seq is not None:
            self.when_ended()

    @property
    def has_given_up(self) -> bool:
        """Whether whoever waits was told that there is nothing to wait for."""
        return self._error is not None

    @property
    def has_ended(self) -> bool:
        """Whether the end of the leg has been told, or will never be."""
        return self._end_seq is not None or self._error is not None

    async def _mirror(self, head: dict[str, Any], rows: list[Any]) -> None:
        """Take a whole run from a worker whose storage is not ours."""
        target = self.target
        found = RunHead(workflow_id=target.workflow_id, run_id=target.run_id, **head)
        loaded = LoadedRun(found)
        journal = [row_of(row) for row in rows]
        fold_rows(loaded, [StoredRow(i, row.key, row) for i, row in enumerate(journal)])
        own = await target.store.get_run(target.workflow_id, target.run_id)
        if own is not None and own.status not in ACTIVE:
            self._changed.set()  # the worker's storage is ours after all
            return
        # A leg that has begun since is not undone by how the one before it ended.
        if own is not None and own.status in ACTIVE and own.owner == found.owner:
            keys = {row.key for row in journal}
            await target.store.delete_rows(target.workflow_id, target.run_id, keys)
            stored = target.store.append(target.workflow_id, target.run_id, journal)
            if stored is not None:
                await stored
            changes = RunChanges(**head)
            changes["owner"] = None
            await target.store.update_run(
                target.workflow_id,
                target.run_id,
                changes,
                expected_status=ACTIVE,
                expected_owner=own.owner,
            )
        self._result = result_from_storage(target.spec, loaded)
        self._changed.set()

    def close(self) -> None:
        """Tell whoever waits that nothing more is heard."""
        self._is_closed = True
        self._changed.set()

    # -- the reader's side ---------------------------------------------------------------------

    async def _load(self) -> LoadedRun | None:
        target = self.target
        return await load_run(target.store, target.workflow_id, target.run_id)

    async def ask(self) -> float | None:
        """Ask the server; return after how many seconds to ask again, if that is known."""
        try:
            return await self.inquiry.ask()
        except RunError as error:
            if self._error is None:
                self._error = error
                self._changed.set()
            raise

    async def _wait(self, timeout_s: float) -> bool:
        """Wait for news; return whether there were any.

        Raises:
            RunStateError: The engine was closed.
            RunError: There will never be any.
        """
        if self._error is not None:
            raise self._error
        if self._is_closed:
            raise RunStateError(
                f"Run {self.target.run_id!r} of workflow {self.target.workflow_id!r} is no longer "
                "followed here: its engine was closed.",
                code="RUN_STOPPED",
                details={"runId": self.target.run_id},
            )
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        if self._is_closed:
            return await self._wait(0)
        return True

    async def result(self) -> WorkflowResult[Any]:
        """Wait for the end of the leg and return its result, as long as that takes."""
        pace = _Pace(self)
        if not self._readers and self.target.store.is_shared:
            self._keeps, self._events = False, KeptEvents(self._first)
        while True:
            self._changed.clear()
            if self._result is not None:
                return self._result
            gaps, found = self._gaps, await self._stored_result()
            if found is not None:
                return found
            if not await self._wait_for_end(pace.look_s, gaps):
                await pace.look()

    async def _stored_result(self) -> WorkflowResult[Any] | None:
        """Return how the leg has ended by storage, if it has."""
        head = await self._head()
        if head is None and self.is_attached:
            raise no_such_run(self.target)
        sent, spec = self.inquiry.sent, self.target.spec
        if head is None and sent is not None and spec.should_persist_snapshot is None:
            # It was stored before its event was sent, and has been deleted since.
            return result_from_storage(spec, LoadedRun(head_of(sent.command, "canceled")))
        if head is not None and head.status not in ACTIVE:
            loaded = await self._load()
            if loaded is not None:
                return result_from_storage(spec_for(self.target.spec, loaded.head), loaded)
        await self._ask_worker(head)
        return None

    async def _wait_for_end(self, quiet_s: float, gaps: int) -> bool:
        """Wait for what ends the leg; return `False` after so long without a word."""
        while await self._wait(quiet_s):
            if self.has_ended or self._result is not None or self._gaps != gaps:
                return True
            self._changed.clear()
        return False

    async def read(self, start: int) -> AsyncIterator[Event]:
        """Yield events from a seq on, in order and without gaps, until the leg has ended."""
        pace, seq, gaps = _Pace(self), start, self._gaps
        asks = start < self._first or self.is_attached or not self._keeps
        self._keeps = True
        self._readers += 1
        while True:
            self._changed.clear()
            event = self._events.get(seq)
            if event is not None:
                yield event
                if event.type == "workflow-finish" and await self._ends_at(seq):
                    return
                seq += 1
                continue
            if asks or gaps != self._gaps:
                asks, gaps = False, self._gaps
                place = await self._fill(seq)
                if place is None:
                    return
                seq = place
            elif self._events.newest > seq or self._held:
                # Something is late or was lost; what storage does not have yet may still come.
                asks = not await self._wait_for(seq) or self._held.waits_s > GAP_S
            elif not await self._wait(pace.look_s):
                asks = True
                await pace.look()

    async def _ask_worker(self, head: RunHead | None) -> None:
        """Have the worker that drives the run tell of it here, where nobody has asked it to."""
        if not self.is_attached or head is None or head.status not in ACTIVE:
            return
        known: Any = head.data.get("inngest") or {}
        worker: str | None = known.get("worker")
        if worker == self._worker:
            return
        self._worker = worker
        try:
            await self._mail.ask_for(self.key, known)
        except Exception as error:  # noqa: BLE001 - storage is looked at all the same
            self._worker = None
            get_logger().debug("The worker of run %r was not reached: %s", self.key[1], error)

    async def _head(self) -> RunHead | None:
        target = self.target
        return await target.store.get_run(target.workflow_id, target.run_id)

    async def _is_active(self) -> bool:
        head = await self._head()
        return head is not None and head.status in ACTIVE

    async def _ends_at(self, seq: int) -> bool:
        """Return whether no other leg has begun after an end that was read."""
        if self._end_seq == seq:
            return True
        return self._events.newest <= seq and not await self._is_active()

    async def _wait_for(self, seq: int) -> bool:
        until = time.monotonic() + GAP_S
        while seq not in self._events and time.monotonic() < until:
            self._changed.clear()
            await self._wait(GAP_S)
        return seq in self._events

    async def _fill(self, seq: int) -> int | None:
        """Take what storage has from a seq on.

        Returns:
            Where to read on; `None` if the run has ended there.
        """
        loaded = await self._load()
        if loaded is None:
            if self.is_attached and not self._events:
                raise no_such_run(self.target)
            # A run that is not stored: what is missing is not to be had.
            for told in self._held.give_up():
                self.push(told.events, told.by, told.ops)
            later = [place for place in self._events if place >= seq] if self.has_ended else [seq]
            return min(later, default=None)
        await self._ask_worker(loaded.head)
        self._take_stored(loaded, seq)
        if loaded.head.status in ACTIVE:
            self._push_held()
            self._held.wait_again()
        else:
            self._held.give_up()  # storage has all that belongs to the run
        if seq not in self._events and len(self._events) >= KEPT:
            raise StreamOverflowError(
                f"Event {seq} of run {self.target.run_id!r} is no longer kept. Read the run's stored "
                "result.",
                details={"seq": seq, "newest": self._events.newest},
            )
        has_ended = loaded.head.status not in ACTIVE and seq >= len(loaded.entries)
        return None if has_ended and seq not in self._events else seq

    def _take_stored(self, loaded: LoadedRun, seq: int) -> None:
        """Take what storage has that may stand at a place or after it."""
        target, kept, entries = self.target, self._events, loaded.entries
        begin, end = seq, min(len(entries), seq + KEPT // 2)
        # An event that was missed may have been told long before the place that is left for it.
        for shared in (kept.lowest_shared, loaded.lowest_shared):
            if shared is not None:
                begin = min(begin, shared)
        forms = forms_of(spec_for(target.spec, loaded.head))
        for place in range(begin, end):
            entry = entries[place]
            if entry is None:
                continue
            told = loaded.seqs[place] if place < len(loaded.seqs) else place
            record = entry[1]
            event = to_event(target.run_id, target.workflow_id, place, entry, forms)
            kept.take_stored(event, "" if record is None else record.op_id, told)


def _event(seq: int, wire: dict[str, Any]) -> Event:
    name: str = wire["type"]
    if "payload" in wire and not name.startswith("data-"):
        return Event(name, wire["runId"], wire["from"], seq, EventPayload(wire["payload"]))
    data = {key: value for key, value in wire.items() if key not in ("runId", "from")}
    return Event(name, wire["runId"], wire["from"], seq, None, data)
