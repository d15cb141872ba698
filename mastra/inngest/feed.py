"""The events of a run as they reach a process that does not drive it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, cast

from mastra.errors import RunError, RunStateError, StreamOverflowError
from mastra.inngest.inquiry import ACTIVE, Inquiry
from mastra.inngest.kept_events import KEPT, KeptEvents, of_operation
from mastra.inngest.publisher import EVENTS, PART, ROWS
from mastra.inngest.wire.api import InngestApi, Subscription
from mastra.inngest.wire.names import channel
from mastra.jsonable import load_json
from mastra.logs import get_logger
from mastra.storage.base import RunChanges, RunHead, StoredRow
from mastra.workflows.engines.commands import RunTarget
from mastra.workflows.engines.journal import LoadedRun, LogRow, fold_rows, load_run
from mastra.workflows.engines.outcome import result_from_storage
from mastra.workflows.engines.stored import no_such_run
from mastra.workflows.events import Event, EventPayload, Kind, LegEnd, to_event
from mastra.workflows.records import StepRecord, decode_record
from mastra.workflows.results import WorkflowResult
from mastra.workflows.spec_forms import forms_of
from mastra.workflows.versions import spec_for

__all__ = ["Feed"]

GAP_S: Final = 0.3
"""For how long an event may be late before storage is asked for it."""

QUIET_S: Final = 5.0
"""After how long without a message storage is asked, in case one was lost. It grows."""

QUIET_MAX_S: Final = 60.0
RETRY_S: Final = 0.2


class Feed:
    """One run's events: live from the server, and from storage where some are missing."""

    def __init__(
        self,
        target: RunTarget,
        api: InngestApi,
        first_seq: int,
        inquiry: Inquiry,
    ) -> None:
        """Prepare; nothing is sent.

        Args:
            target: The run.
            api: The server.
            first_seq: Where the events begin that come live.
            inquiry: Asked when nothing has been heard of the run for long.
        """
        self.target = target
        self._api = api
        self.inquiry = inquiry
        self._first = first_seq
        self._events = KeptEvents(first_seq)
        self._end_seq: int | None = None
        self._result: WorkflowResult[Any] | None = None
        self._changed = asyncio.Event()
        self._parts: dict[str, list[str | None]] = {}
        self._subscription: Subscription | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False
        self._error: RunError | None = None
        """Why there is nothing to wait for."""
        self.is_attached = False
        """Whether it stands for a run that somebody else began, and storage has to know."""

    # -- the live side -------------------------------------------------------------------------

    async def subscribe(self) -> None:
        """Subscribe and follow. Events that are published after this returns are not missed."""
        if self._task is not None:
            return
        try:
            self._subscription = await self._open()
        except Exception as error:  # noqa: BLE001 - tried again; storage has it all
            get_logger().warning("No realtime from Inngest, trying again: %s", error)
        self._task = asyncio.create_task(  # noqa: TID251 - ended by `close`
            self._follow(), name=f"mastra feed of run {self.target.run_id}"
        )

    async def _open(self) -> Subscription:
        return await self._api.subscribe(channel(self.target.workflow_id, self.target.run_id))

    async def _follow(self) -> None:
        while self._end_seq is None:
            subscription = self._subscription
            try:
                if subscription is None:
                    subscription = self._subscription = await self._open()
                    self._changed.set()  # what was told meanwhile is in storage
                async for message in subscription.messages():
                    await self._take(message)
                    if self._end_seq is not None:
                        break
            except Exception as error:  # noqa: BLE001 - the stream broke off; subscribe anew
                get_logger().debug("Realtime of run %r broke off: %s", self.target.run_id, error)
            self._subscription = None
            if subscription is not None:
                await subscription.aclose()
            if self._end_seq is None:
                await asyncio.sleep(RETRY_S)

    async def _take(self, message: Any) -> None:
        if not isinstance(message, dict):
            return
        data = cast("dict[str, Any]", message)
        kind = data.get("type")
        if kind == PART:
            parts = self._parts.setdefault(data["id"], [None] * data["of"])
            parts[data["part"]] = data["text"]
            if None not in parts:
                del self._parts[data["id"]]
                await self._take(load_json("".join(cast("list[str]", parts))))
        elif kind == ROWS:
            if data["seq"] < self._first:
                return  # how the leg before ended, told late
            await self._mirror(data["head"], data["rows"])
        elif kind == EVENTS:
            first: int = data["seq"]
            events = [_event(first + i, wire) for i, wire in enumerate(data["events"])]
            self.push(events, str(data.get("by")), data.get("ops"))
        elif isinstance(kind, str) and isinstance(data.get("seq"), int):
            told = {key: value for key, value in data.items() if key not in ("by", "ops")}
            self.push([_event(data["seq"], told)], str(data.get("by")), data.get("ops"))

    def push(self, events: Sequence[Event], by: str, ops: Sequence[str] | None = None) -> None:
        """Take events, from wherever they came first.

        Args:
            events: The events.
            by: Names the log that their seqs are places in.
            ops: The operation of each, where other processes may run operations beside them.
        """
        for place, event in enumerate(events):
            kept = self._events.tell(event, by if ops is None else of_operation(ops[place]))
            is_end = event.type == "workflow-finish" and event.seq >= self._first
            if kept is not None and is_end:
                self._end_seq = kept.seq
        self._changed.set()

    @property
    def has_ended(self) -> bool:
        """Whether the end of the leg has been told, or will never be."""
        return self._end_seq is not None or self._error is not None

    async def _mirror(self, head: dict[str, Any], rows: list[Any]) -> None:
        """Take a whole run from a worker whose storage is not ours."""
        target = self.target
        found = RunHead(workflow_id=target.workflow_id, run_id=target.run_id, **head)
        loaded = LoadedRun(found)
        journal = [_row_of(row) for row in rows]
        fold_rows(loaded, [StoredRow(i, row.key, row) for i, row in enumerate(journal)])
        own = await target.store.get_run(target.workflow_id, target.run_id)
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

    async def close(self) -> None:
        """End the subscription, and tell whoever waits."""
        self._is_closed = True
        self._changed.set()
        await self._unsubscribe()

    async def _unsubscribe(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._subscription is not None:
            await self._subscription.aclose()
            self._subscription = None

    # -- the reader's side ---------------------------------------------------------------------

    async def _load(self) -> LoadedRun | None:
        target = self.target
        return await load_run(target.store, target.workflow_id, target.run_id)

    async def _ask(self) -> float | None:
        """Ask the server; return after how many seconds to ask again, if that is known."""
        try:
            return await self.inquiry.ask()
        except RunError as error:
            if self._error is None:
                self._error = error
                self._changed.set()
                await self._unsubscribe()
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
        quiet = QUIET_S
        while True:
            self._changed.clear()
            if self._result is not None:
                return self._result
            head = await self._head()
            if head is None and self.is_attached:
                raise no_such_run(self.target)
            if head is not None and head.status not in ACTIVE:
                loaded = await self._load()
                spec = self.target.spec
                found = loaded and result_from_storage(spec_for(spec, loaded.head), loaded)
                if found is not None:
                    return found
            if not await self._wait(quiet):
                quiet = await self._ask() or min(quiet * 2, QUIET_MAX_S)

    async def read(self, start: int) -> AsyncIterator[Event]:
        """Yield events from a seq on, in order and without gaps, until the leg has ended."""
        if self._task is None and await self._is_active():
            await self.subscribe()
        seq, quiet = start, QUIET_S
        asks = start < self._first or self._task is None
        while True:
            self._changed.clear()
            event = self._events.get(seq)
            if event is not None:
                yield event
                if event.type == "workflow-finish" and await self._ends_at(seq):
                    return
                seq += 1
                continue
            if asks:
                asks = False
                if await self._fill(seq) and seq not in self._events:
                    return
            elif self._events.newest > seq:
                # Something is late or was lost; what storage does not have yet may still come.
                asks = not await self._wait_for(seq)
            elif not await self._wait(quiet):
                asks, quiet = True, await self._ask() or min(quiet * 2, QUIET_MAX_S)

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

    async def _fill(self, seq: int) -> bool:
        """Take what storage has from a seq on; return whether the run has ended there."""
        loaded = await self._load()
        if loaded is None:
            if self.is_attached and not self._events:
                raise no_such_run(self.target)
            return self.has_ended
        self._take_stored(loaded, seq)
        if seq not in self._events and len(self._events) >= KEPT:
            raise StreamOverflowError(
                f"Event {seq} of run {self.target.run_id!r} is no longer kept. Read the run's stored "
                "result.",
                details={"seq": seq, "newest": self._events.newest},
            )
        return loaded.head.status not in ACTIVE and seq >= len(loaded.entries)

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


def _row_of(stored: dict[str, Any]) -> StepRecord | LogRow:
    if "log" not in stored:
        return decode_record(stored)
    entries: list[tuple[int, int, StepRecord | None, Any]] = []
    for seq, kind, about, value in stored["log"]:
        record: StepRecord | None = None
        if isinstance(about, dict):
            record = decode_record(cast("dict[str, Any]", about))
        elif about is not None:
            op_id, step_id, started_at = about
            record = StepRecord(op_id, step_id, None, started_at)
        told = LegEnd.from_stored(value) if kind == Kind.FINISH else value
        entries.append((seq, kind, record, told))
    return LogRow(entries)
