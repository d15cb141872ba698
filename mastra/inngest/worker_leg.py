"""One leg of a run on the worker's side, for as long as requests for it are being answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mastra.clock import sleep
from mastra.errors import RunClaimedError
from mastra.inngest.publisher import WRITTEN, Publisher
from mastra.inngest.wire.api import InngestApi
from mastra.inngest.wire.envelope import (
    MAX_LEG_BYTES,
    MAX_OUTPUT_BYTES,
    encode_memo,
    memo_elsewhere,
)
from mastra.jsonable import Json, dump_json
from mastra.logs import get_logger
from mastra.storage.base import RunChanges, RunHead
from mastra.workflows.active import ActiveRun, Pending
from mastra.workflows.engines.commands import Command
from mastra.workflows.engines.journal import LoadedRun, fold_rows
from mastra.workflows.engines.journal_writer import JournalWriter
from mastra.workflows.engines.lifecycle import conclude
from mastra.workflows.engines.outcome import Outcome
from mastra.workflows.events import Kind
from mastra.workflows.records import StepRecord
from mastra.workflows.results import WorkflowResult

__all__ = ["LegCanceled", "LegGone", "LegSuperseded", "WorkerLeg", "owner_of", "token_of"]

WATCH_S = 1.0
"""How often a worker looks whether another process has cancelled or taken over its run."""


class LegCanceled(BaseException):
    """The run was cancelled; raised in a request, never inside of a step."""


class LegGone(Exception):  # noqa: N818 - not an error: how a request ends
    """The server knows no such run."""


class LegSuperseded(Exception):  # noqa: N818 - not an error: how a request ends
    """Somebody else drives the run, or has ended it."""


def token_of(token: str | None, server_run_id: str) -> str:
    """Return what names a leg, also where an event that is not ours began it."""
    return token or f"event:{server_run_id}"


def owner_of(token: str) -> str:
    """Return what storage has as the driver of a leg."""
    return f"inngest:{token}"


@dataclass(slots=True)
class WorkerLeg:
    """The state that all requests for a leg share while they are answered at once."""

    command: Command
    run: ActiveRun
    writer: JournalWriter
    publisher: Publisher
    api: InngestApi
    owner: str
    is_canceled: bool = False
    """Whether the run is to end now."""
    when_canceled: set[Callable[[], None]] = field(default_factory=set[Callable[[], None]])
    """Called once the run is to end: by each request that has to look."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    requests: int = 0
    """How many requests for it are being answered."""
    is_ending: bool = False
    is_superseded: bool = False
    is_stopping: bool = False
    """Whether this process goes down: the server is to send the request again."""
    under_way: dict[str, asyncio.Future[StepRecord]] = field(
        default_factory=dict[str, asyncio.Future[StepRecord]]
    )
    """Operations that run here, each with what will come of it."""
    position: int = -1
    """Up to where in the stored journal it is known what others have done."""
    given_bytes: int = 0
    """How much JSON of the steps of the leg the server keeps so far."""
    has_aborted: bool = False
    """Whether storage knows that a step asked for the end of the run."""
    goes_on: bool = False
    """Whether it goes on in another run of the server once this one takes no more steps."""
    stored_context: dict[str, Json] = field(default_factory=dict[str, Any])
    """The request context as storage has it."""
    _own: set[str] = field(default_factory=set[str])
    """The operations that were stored here."""
    _announced: set[str] = field(default_factory=set[str])
    """The steps that have written something which is stored, or about to be."""
    _watch: asyncio.Task[None] | None = None

    @property
    def workflow_id(self) -> str:
        """The workflow's id."""
        return self.run.workflow_id

    # -- writing -------------------------------------------------------------------------------

    async def commit(self, record: StepRecord) -> None:
        """Store a finished operation."""
        self._own.add(record.op_id)
        self._add_starts(record)
        stored = self.writer.commit(record)
        if stored is not None:
            await stored
        run = self.run
        if run.stop.is_thrown and not self.has_aborted and not self.is_canceled:
            self.has_aborted = True
            await self.note({"abort": True})
        # Kept by a process from step to step; here the next one may be another's.
        context = run.request_context.to_json()
        if context != self.stored_context:
            self.stored_context = context
            await self._write(RunChanges(request_context=context))

    def memo_of(self, record: StepRecord, *, at_once: int = 1) -> dict[str, Json]:
        """Return what the server is to keep of an operation that storage has.

        Where the leg may go on elsewhere, no walk needs it, and the server gets what it has room for.

        Args:
            record: The operation.
            at_once: How many requests may each be telling of one.
        """
        memo = encode_memo(record)
        if not self.goes_on:
            return memo
        size = len(dump_json(memo, what=f"Record of step {record.step_id!r}"))
        room = (MAX_LEG_BYTES - self.given_bytes) // at_once
        if size > min(MAX_OUTPUT_BYTES, room):
            return memo_elsewhere(record)
        self.given_bytes += size
        return memo

    async def note(self, facts: dict[str, Json]) -> None:
        """Store facts about the leg that another request for it needs.

        Raises:
            LegSuperseded: Somebody else drives the run, or has ended it.
        """
        target = self.command.target
        head = await target.store.get_run(target.workflow_id, target.run_id)
        if head is not None:
            await self._write(RunChanges(data={**head.data, **facts}))

    async def _write(self, changes: RunChanges) -> None:
        target = self.command.target
        is_written = await target.store.update_run(
            target.workflow_id,
            target.run_id,
            changes,
            expected_status=("pending", "running", "waiting"),
            expected_owner=self.owner,
        )
        # A run that the workflow does not want stored has no head.
        if not is_written and target.spec.should_persist_snapshot is None:
            raise LegSuperseded

    async def adopt(self, record: StepRecord) -> None:
        """Take what the server keeps of an operation that our storage does not know."""
        run = self.run
        entries = run.log.entries
        if record.end_seq >= 0:
            # Its events have been told already, by the process that ran it.
            while len(entries) <= record.end_seq:
                entries.append(None)
            kind = Kind.WAITING if record.kind == "sleep" else Kind.STEP_START
            entries[record.start_seq] = (kind, record, None)
            entries[record.end_seq] = (Kind.STEP_END, record, None)
            self.publisher.skip(record)
        run.order = max(run.order, record.order)
        run.state.merge(record)
        await self.commit(record)

    async def catch_up(self) -> None:
        """Take what other processes have stored of the leg since it was opened here."""
        target, run = self.command.target, self.run
        key = (target.workflow_id, target.run_id)
        since = LoadedRun(RunHead(*key, "running"), last_position=self.position)
        fold_rows(since, await target.store.load_rows(*key, self.position))
        self.position = since.last_position
        for op_id, record in since.journal.items():
            if op_id not in self._own:
                run.order = max(run.order, record.order)
                run.state.merge(record)
                run.add(record)

    async def flush(self) -> None:
        """Store what was logged since the last operation."""
        self._add_starts()
        stored = self.writer.flush("running")
        if stored is not None:
            await stored

    async def flush_begun(self) -> None:
        """Store what was logged, and the starts of all steps under way.

        A reader elsewhere that comes in the middle of a step takes from storage what was told before.
        """
        begun: dict[str, Pending] = {}
        for seq, entry in enumerate(self.run.log.entries):
            kind, record, _ = entry or (Kind.START, None, None)
            if record is None:
                continue
            if kind is Kind.STEP_END:
                begun.pop(record.op_id, None)
            elif kind in (Kind.STEP_START, Kind.WAITING):
                begun[record.op_id] = (seq, kind, record, None)
        starts = [one for op_id, one in begun.items() if op_id not in self._announced]
        self._announced |= set(begun)
        outbox = self.run.outbox
        outbox.pending = [*starts, *outbox.take(self.run.log)]
        await self.flush()

    def _add_starts(self, ended: StepRecord | None = None) -> None:
        """Have nothing stored that a step has written without the step's start before it.

        Readers elsewhere that have missed what was told take it from storage, step by step.
        """
        if not self.publisher.names_ops and not self.publisher.readers.inboxes:
            return
        outbox = self.run.outbox
        pending: list[Pending] = []
        for entry in outbox.take(self.run.log):
            _, kind, record, _ = entry
            if kind in WRITTEN and record is not None and record is not ended:
                if record.start_seq >= 0 and record.op_id not in self._announced:
                    start = (record.start_seq, Kind.STEP_START, record.begun(), None)
                    pending.append(start)
                self._announced.add(record.op_id)
            pending.append(entry)
        outbox.pending = pending

    async def wait_for_time(self, record: StepRecord, delay_s: float) -> None:
        """Sleep in this process; the run is stored as waiting, unless it waits for a retry."""
        if record.kind != "sleep":
            await sleep(delay_s)
            return
        self.run.sleeping += 1
        if self.run.sleeping == 1:
            await self.mark_waiting()
        await sleep(delay_s)
        self.run.sleeping -= 1
        if not self.run.sleeping:
            await self.writer.update(RunChanges(status="running"), ("waiting",))

    async def mark_waiting(self) -> None:
        """Store that nothing goes on but time."""
        await self.writer.update(RunChanges(status="waiting"), ("running",))

    # -- being cancelled -----------------------------------------------------------------------

    def cancel(self) -> None:
        """Ask every request for this leg to end the run."""
        self.run.stop.throw()
        self._call_off()

    def stop(self) -> None:
        """End every request for this leg where it is; the server sends it again."""
        self.is_stopping = True
        self._call_off()

    def _call_off(self) -> None:
        self.is_canceled = True
        for look in list(self.when_canceled):
            look()

    def watch(self) -> None:
        """Look now and then whether another process has ended the run."""
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(  # noqa: TID251 - ended by `unwatch`
                self._look(), name=f"mastra watch of run {self.run.run_id}"
            )

    def unwatch(self) -> None:
        """Stop looking."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def _look(self) -> None:
        target = self.command.target
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                head = await target.store.get_run(target.workflow_id, target.run_id)
                await self.flush()
            except Exception as error:  # noqa: BLE001 - asked again in a second
                get_logger().warning("Storage could not be asked about a run: %s", error)
                continue
            if self.is_ending:
                return
            if head is None:
                if target.spec.should_persist_snapshot is None:  # it was deleted
                    self.cancel()
                return
            if head.owner != self.owner or head.status == "canceled":
                self.is_superseded = head.owner != self.owner
                self.cancel()
                return

    # -- ending --------------------------------------------------------------------------------

    async def conclude(self, outcome: Outcome) -> WorkflowResult[Any]:
        """Store how the leg ended, then tell the readers, then call back; once.

        Raises:
            LegSuperseded: It has been ended already, or somebody else drives the run.
        """
        self.run.owner = self.owner
        self.is_ending = True
        try:
            result = await conclude(self.command, self.run, self.writer, outcome)
        except RunClaimedError as error:
            raise LegSuperseded from error
        finally:
            self.ended.set()
        return result
