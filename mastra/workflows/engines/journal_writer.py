"""How a run's journal is written while the run goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, cast

from mastra.dataclass import dataclass
from mastra.errors import StorageError
from mastra.failures import text_of
from mastra.logs import get_logger
from mastra.storage.base import JournalRow, RunChanges, RunHead, WorkflowStore
from mastra.workflows.active import ActiveRun
from mastra.workflows.engines.drivers import Hold
from mastra.workflows.engines.journal import LogRow
from mastra.workflows.engines.patience import is_passing, patiently
from mastra.workflows.events import Kind
from mastra.workflows.records import StepRecord
from mastra.workflows.results import StepResult
from mastra.workflows.spec import WorkflowSpec

__all__ = ["JournalWriter", "SnapshotQuestion", "is_wanted"]


@dataclass(frozen=True, slots=True)
class SnapshotQuestion:
    """What `should_persist_snapshot` is asked about."""

    workflow_status: str
    step_results: dict[str, StepResult]


def is_wanted(wants: Callable[..., Any], question: SnapshotQuestion) -> bool:
    """Return what `should_persist_snapshot` says; where it raises, a run is stored."""
    try:
        return bool(wants(question))
    except BaseException as error:  # noqa: BLE001 - a run is not lost for the question
        get_logger().error("should_persist_snapshot raised %s; the run is stored.", text_of(error))
        return True


class JournalWriter:
    """Stores what a run does, in order, and returns when it is stored."""

    def __init__(
        self,
        run: ActiveRun,
        spec: WorkflowSpec,
        store: WorkflowStore,
        head: RunHead | None = None,
        *,
        hold: Hold | None = None,
    ) -> None:
        """Prepare to write.

        Args:
            run: The run whose journal it is.
            spec: Its workflow.
            store: Where it goes.
            head: The run's head, where that is not in the store yet.
            hold: Under which claim the run is driven. With one, nothing is stored that another
                driver would not know of, and a store that is away is waited for.
        """
        self._owner = None if hold is None else hold.owner
        self._options: dict[str, Any] = {} if hold is None else {"owner": hold.owner}
        self.patience_s = 0.0 if hold is None else hold.driver.lease_s
        """For how long a store that cannot answer is asked again."""
        self._run = run
        self._store = store
        self._key = (spec.id, run.run_id)
        self._filter = spec.should_persist_snapshot
        self.context_changes = run.request_context.changes
        """How often the request context had been changed when it was stored last."""
        self._head = head
        self._held: list[JournalRow] = []
        self._is_unsure = False
        """Whether the last rows may be stored or not."""
        self._lock: asyncio.Lock | None = None

    def commit(self, record: StepRecord) -> Awaitable[None] | None:
        """Put a finished operation into the journal, with what was logged before it."""
        self._run.add(record)
        return self._append((record,), "running")

    def flush(self, status: str) -> Awaitable[None] | None:
        """Store what was logged since the last operation."""
        return self._append((), status)

    def write(self, rows: Sequence[JournalRow]) -> Awaitable[None] | None:
        """Store rows together: all of them or none."""
        return self._append(rows, "running")

    def _append(self, more: Sequence[JournalRow], status: str) -> Awaitable[None] | None:
        outbox, log, rows = self._run.outbox, self._run.log, more
        if outbox.pending or log.untaken:
            rows = [LogRow(outbox.take(log)), *more]
        if self._filter is not None:
            return self._append_filtered(rows, status)
        if not rows and not self._held:
            return None
        if self._lock is not None:
            return self._append_in_turn(rows)
        try:
            workflow_id, run_id = self._key
            options = self._options
            stored = (
                self._store.append(workflow_id, run_id, rows, **options)
                if options
                else self._store.append(workflow_id, run_id, rows)
            )
        except StorageError as error:
            self._held, self._lock, self._is_unsure = [*rows], asyncio.Lock(), True
            if not self._waits_after(error):
                raise
            return self._store_held(rows)
        if stored is None:
            return None
        # Only a store that takes time needs its calls kept apart.
        self._lock = asyncio.Lock()
        return self._first(stored, self._lock, rows)

    def end_claim(self) -> None:
        """Take note that the head has been written for the last time: nobody else drives the run.

        What is still to be told of the end belongs to no claim.
        """
        self._options = {}

    async def tell(self) -> None:
        """Store what steps under way have written, for readers in other processes.

        What cannot be stored now is stored with the next operation.
        """
        run = self._run
        entries = run.log.entries
        for seq in range(run.outbox.announced, len(entries)):
            entry = entries[seq]
            record = None if entry is None else entry[1]
            is_step = record is not None and record.kind != "block"
            if entry is None or record is None or not is_step or entry[0] is not Kind.STEP_START:
                continue
            if record.status == "running":
                run.outbox.pending.insert(0, (seq, Kind.STEP_START, record.begun(), None))
        run.outbox.announced = len(entries)
        with contextlib.suppress(StorageError):
            stored = self._append((), "running")
            if stored is not None:
                await stored

    async def update(self, changes: RunChanges, expected_status: Collection[str]) -> None:
        """Rewrite columns of the run's head, where that is stored and in one of these states."""
        if self._head is None:
            await patiently(
                lambda: self._store.update_run(
                    *self._key,
                    changes,
                    expected_status=expected_status,
                    expected_owner=self._owner,
                ),
                self.patience_s,
            )

    async def store_context(self) -> None:
        """Store the request context, which a step has changed.

        That is to be done before its record is stored: after a crash in between, it runs again.
        """
        context = self._run.request_context
        self.context_changes = context.changes
        changes = RunChanges(request_context=context.to_json())
        await self.update(changes, ("running", "waiting"))

    def wants(self, status: str) -> bool:
        """Return whether a run in this state is to be stored."""
        if self._filter is None:
            return True
        forms = self._run.log.forms
        latest = self._run.latest.items()
        results = {name: StepResult.of(forms.shown(record)) for name, record in latest}
        return is_wanted(self._filter, SnapshotQuestion(status, results))

    async def _append_filtered(self, rows: Sequence[JournalRow], status: str) -> None:
        # What the workflow does not want stored yet is held, so that what is stored is whole.
        self._held += rows
        if not self.wants(status):
            return
        lock = self._lock = self._lock or asyncio.Lock()
        async with lock:
            if self._head is not None:
                head = self._head
                await patiently(lambda: self._store.create_run(head), self.patience_s)
                self._head = None
            await self._put_held()

    async def _first(
        self, stored: Awaitable[None], lock: asyncio.Lock, rows: Sequence[JournalRow]
    ) -> None:
        async with lock:
            try:
                await stored
            except BaseException as error:
                self._held, self._is_unsure = [*rows, *self._held], True
                if not self._waits_after(error):
                    raise
                await self._put_held()

    def _waits_after(self, error: BaseException) -> bool:
        return self.patience_s > 0 and is_passing(error)

    async def _append_in_turn(self, rows: Sequence[JournalRow]) -> None:
        # Whoever comes while one append is under way shares the next.
        self._held += rows
        await self._store_held(rows)

    async def _store_held(self, rows: Sequence[JournalRow]) -> None:
        lock = cast("asyncio.Lock", self._lock)
        async with lock:
            if self._held and (not rows or rows[0] in self._held):
                await self._put_held()

    async def _put_held(self) -> None:
        batch, self._held = self._held, []
        if not batch:
            return
        try:
            await patiently(lambda: self._try(batch), self.patience_s)
        except BaseException:
            # Others may wait for the same rows, and nothing may be taken for stored that is not.
            self._held = batch + self._held
            raise

    async def _try(self, batch: list[JournalRow]) -> None:
        options: dict[str, Any] = self._options
        if self._is_unsure and self.patience_s > 0:
            options = {**options, "is_again": True}
        self._is_unsure = True
        stored = self._store.append(*self._key, batch, **options)
        if stored is not None:
            await stored
        self._is_unsure = False
