"""One leg of a run on the worker's side, for as long as requests for it are being answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from mastra.jsonable import Json
from mastra.logs import get_logger
from mastra.storage.base import RunChanges
from mastra.workflows.active import ActiveRun
from mastra.workflows.engines.commands import Command
from mastra.workflows.engines.inngest.api import InngestApi
from mastra.workflows.engines.inngest.publisher import Publisher
from mastra.workflows.engines.journal import JournalWriter, LogRow
from mastra.workflows.engines.lifecycle import (
    Outcome,
    _call_back,
    _result,
    _suspended,
    head_data,
)
from mastra.workflows.events import Kind, LegEnd
from mastra.workflows.records import StepRecord
from mastra.workflows.results import RunFacts, WorkflowResult

__all__ = ["Leg", "LegCanceled", "LegGone", "LegSuperseded", "owner_of"]

WATCH_S = 1.0
"""How often a worker looks whether another process has cancelled or taken over its run."""


class LegCanceled(BaseException):
    """The run was cancelled; raised in a request, never inside of a step."""


class LegGone(Exception):  # noqa: N818 - not an error: how a request ends
    """The server knows no such run."""


class LegSuperseded(Exception):  # noqa: N818 - not an error: how a request ends
    """Somebody else drives the run, or has ended it."""


def owner_of(token: str) -> str:
    """Return what storage has as the driver of a leg."""
    return f"inngest:{token}"


@dataclass(slots=True)
class Leg:
    """The state that all requests for a leg share while they are answered at once."""

    command: Command
    run: ActiveRun
    writer: JournalWriter
    publisher: Publisher
    api: InngestApi
    owner: str
    canceled: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    result: WorkflowResult[Any] | None = None
    requests: int = 0
    """How many requests for it are being answered."""
    is_superseded: bool = False
    is_stopping: bool = False
    """Whether this process goes down: the server is to send the request again."""
    has_aborted: bool = False
    """Whether storage knows that a step asked for the end of the run."""
    _watch: asyncio.Task[None] | None = None

    @property
    def workflow_id(self) -> str:
        """The workflow's id."""
        return self.run.workflow_id

    @property
    def is_canceled(self) -> bool:
        """Whether the run is to end now."""
        return self.canceled.is_set()

    # -- writing -------------------------------------------------------------------------------

    async def commit(self, record: StepRecord) -> None:
        """Store a finished operation."""
        stored = self.writer.commit(record)
        if stored is not None:
            await stored
        if self.run.is_abort_requested and not self.has_aborted and not self.is_canceled:
            self.has_aborted = True
            await self.note({"abort": True})

    async def note(self, facts: dict[str, Json]) -> None:
        """Store facts about the leg that another request for it needs.

        Raises:
            LegSuperseded: Somebody else drives the run, or has ended it.
        """
        target = self.command.target
        head = await target.store.get_run(target.workflow_id, target.run_id)
        if head is None:
            return
        if not await target.store.update_run(
            target.workflow_id,
            target.run_id,
            RunChanges(data={**head.data, **facts}),
            expected_status=("pending", "running", "waiting"),
            expected_owner=self.owner,
        ):
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
            self.publisher.skip_to(record.end_seq + 1)
        run.order = max(run.order, record.order)
        run.merge_state(record)
        await self.commit(record)

    async def flush(self) -> None:
        """Store what was logged since the last operation."""
        stored = self.writer.flush("running")
        if stored is not None:
            await stored

    # -- being cancelled -----------------------------------------------------------------------

    def cancel(self) -> None:
        """Ask every request for this leg to end the run."""
        self.run.is_abort_requested = True
        self.run.controller.abort()
        self.canceled.set()

    def stop(self) -> None:
        """End every request for this leg where it is; the server sends it again."""
        self.is_stopping = True
        self.canceled.set()

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
            if head is not None and head.owner != self.owner and not self.ended.is_set():
                self.is_superseded = True
                self.cancel()
                return

    # -- ending --------------------------------------------------------------------------------

    async def conclude(self, outcome: Outcome) -> WorkflowResult[Any]:
        """Store how the leg ended, then tell the readers, then call back; once.

        Raises:
            LegSuperseded: It has been ended already, or somebody else drives the run.
        """
        run, command, writer = self.run, self.command, self.writer
        await self.flush()
        if writer.wants(outcome.status) and not await self._claim_end(outcome):
            raise LegSuperseded
        ends: list[tuple[Kind, Any]] = []
        if outcome.status == "canceled":
            ends.append((Kind.CANCELED, None))
        elif outcome.status == "paused":
            ends.append((Kind.PAUSED, None))
        end = LegEnd(
            outcome.status,
            outcome.raw,
            outcome.has_result,
            outcome.error,
            outcome.tripwire,
            dict(run.usage),
        )
        ends.append((Kind.FINISH, end))
        place = len(run.log.entries)
        row = LogRow([(place + i, kind, None, value) for i, (kind, value) in enumerate(ends)])
        if writer.wants(outcome.status):
            stored = writer.write(row)
            if stored is not None:
                await stored
        facts = RunFacts(
            run.run_id, run.workflow_id, run.input, run.state, run.latest, run.path, run.causes
        )
        self.result = _result(facts, outcome, list(_suspended(run.journal)))
        self.ended.set()
        for kind, value in ends:
            run.log.append(kind, None, value)
        await _call_back(command, facts, outcome)
        run.log.close()
        return self.result

    async def _claim_end(self, outcome: Outcome) -> bool:
        run, target = self.run, self.command.target
        changes = RunChanges(
            status=outcome.status,
            result=outcome.raw,
            error=outcome.error,
            state=run.state,
            owner=None,
            lease_until=0,
            data=head_data(run, self.command.initial_state, outcome),
        )
        return await target.store.update_run(
            target.workflow_id,
            target.run_id,
            changes,
            expected_status=("pending", "running", "waiting"),
            expected_owner=self.owner,
        )
