"""A stored run that this process goes on with: claimed as any run is, and let go of again."""

from __future__ import annotations

from typing import Any

from mastra.agents.chunks import plain
from mastra.agents.records.ledger import STEP
from mastra.agents.records.told_chunks import ToldChunk
from mastra.agents.run.agent_run import AgentRun
from mastra.agents.waiting.stored_runs import StoredRuns, check_caller, not_waiting, streamed_of
from mastra.errors import AccessDeniedError, MastraError, RunClaimedError, RunNotFoundError
from mastra.failures import error_to_json
from mastra.ids import random_id
from mastra.jsonable import Json
from mastra.storage.base import JournalRow, RunChanges, RunHead
from mastra.workflows.engines.drivers import Hold, driver_of
from mastra.workflows.engines.journal import LoadedRun, LogRow, load_run
from mastra.workflows.events import Kind
from mastra.workflows.records import StepRecord

__all__ = ["HeldRun"]

_ENDS = {"aborted": "canceled", "running": "canceled"}


class HeldRun:
    """One run while it goes on here.

    In a storage that other processes see it is held under this process's lease. A run that waits
    for the first time is put into the storage, and never held.
    """

    __slots__ = ("_hold", "_is_forgotten", "_owner", "_place", "_run", "_runs", "is_held")

    def __init__(self, runs: StoredRuns, run: AgentRun) -> None:
        self._runs = runs
        self._run = run
        self._hold: Hold | None = None
        self._owner = ""
        self._place = 0
        """Where the log of the run goes on."""
        self._is_forgotten = False
        self.is_held = False

    @property
    def _key(self) -> tuple[str, str]:
        return (self._runs.workflow_id, self._run.run_id)

    # -- taken ---------------------------------------------------------------------------------

    async def take(self, resource_id: str | None = None) -> LoadedRun:
        """Take the run, and return what is stored of it.

        Args:
            resource_id: Whose runs may be taken; `None` for anybody's.

        Raises:
            RunNotFoundError: The agent has none under that id, or somebody else goes on with it.
            AccessDeniedError: It is another resource's.
            StorageError: It cannot be read (`ROW_UNREADABLE`).
        """
        head = await self._runs.head(self._run.run_id)
        if head is None or "waiting" not in head.data:
            if head is not None and head.status == "suspended":
                raise self._runs.unreadable(head.run_id, "it does not say what it waits for")
            raise self._missing()
        # Looked at before it is claimed, so that a stranger does not even hold its owner up.
        check_caller(head.run_id, head.resource_id, resource_id)
        drivers = self._runs.store.drivers
        self._hold = None if drivers is None else await driver_of(drivers).hold()
        self._owner = random_id() if self._hold is None else self._hold.owner
        try:
            loaded = await self._claimed(head, resource_id)
        except (AccessDeniedError, RunNotFoundError):
            self._drop()  # the storage was told, or it never was
            raise
        except BaseException:
            self._give_up()
            raise
        self._place, self.is_held = len(loaded.entries), True
        self._run.chunks.first_seq = streamed_of(loaded)
        return loaded

    async def _claimed(self, head: RunHead, resource_id: str | None) -> LoadedRun:
        store = self._runs.store
        if head.status == "suspended":
            changes = RunChanges(status="running", owner=self._owner)
            is_won = await store.update_run(*self._key, changes, expected_status=("suspended",))
        elif head.status == "running" and self._hold is not None:
            is_won = await self._hold.takes_over(store, *self._key, head.owner)
        else:
            is_won = False
        if not is_won:
            raise self._missing()
        try:
            # What was claimed counts: another may lie under the id by now.
            loaded = await load_run(store, *self._key)
            if loaded is None or loaded.head.status != "running":
                raise self._missing()
            check_caller(head.run_id, loaded.head.resource_id, resource_id)
        except MastraError:
            if not await self._update(_WAITS, expected_status=("running",)):
                await self._update(RunChanges(owner=None))
            raise
        return loaded

    def _missing(self) -> RunNotFoundError:
        return not_waiting(self._runs.agent_id, self._run.run_id)

    async def confirm(self) -> None:
        """See to it that nobody has taken the run over, after a time in which that may be.

        Raises:
            RunClaimedError: Somebody has.
        """
        hold = self._hold
        if hold is not None and self.is_held and not hold.is_sure:
            await hold.confirm_in(self._runs.store, *self._key)

    # -- let go of -----------------------------------------------------------------------------

    async def wait(self, waiting: dict[str, Json]) -> None:
        """Store the run as one that waits, which ends the claim.

        Args:
            waiting: What a resume needs beside what the run has come to.

        Raises:
            IdTakenError: The id is that of somebody else's run.
            RunClaimedError: Somebody else has taken it over.
        """
        run = self._run
        data: dict[str, Json] = {**self._data(), "waiting": waiting}
        step = _step("suspended")
        step.suspend_payload = {
            "suspendPayload": run.wait.payload,
            "resumeSchema": run.wait.schema,
        }
        if not self.is_held:
            await self._runs.create(run, data)
        # Whoever answers as soon as it may must find all of it.
        await self._append(step)
        context = run.request_context.to_json()
        changes = RunChanges(status="suspended", request_context=context, owner=None, data=data)
        if not self.is_held:
            await self._runs.store.update_run(*self._key, changes, expected_status=("pending",))
        elif not await self._update(changes):
            raise RunClaimedError(
                f"Run {run.run_id!r} of agent {self._runs.agent_id!r} was taken over by another "
                "process, since this one gave no sign of life."
            )
        self.is_held = False

    async def forget(self) -> None:
        """Let nobody answer the run any more, which goes on. It may be stored to wait anew."""
        self._is_forgotten = True
        await self._update(RunChanges(data=self._data()))

    async def end(self) -> None:
        """Give the claim up: store how a run has ended, and leave another to who answers next."""
        try:
            if self.is_held and (self._run.wait.is_over or self._is_forgotten):
                await self._store_end()
            elif self.is_held:
                await self._update(_WAITS)
            self._drop()
        finally:
            self.is_held = False
            self._give_up()

    async def _store_end(self) -> None:
        run, leg = self._run, self._run.wait.leg
        output: dict[str, Json] = {
            "text": run.transcript.text,
            "finishReason": run.finish_reason,
            "usage": run.transcript.usage.to_wire(),
            "object": plain(run.object),
        }
        status = _ENDS.get(run.status, run.status)
        is_success = status == "success"
        data = self._data()
        if is_success:
            data["hasResult"] = True
        if run.tripwire is not None:
            data["tripwire"] = run.tripwire.to_wire()
        step = _step("success" if is_success else "failed")
        step.output = output
        if is_success and leg is not None:
            leg.end(output)
        try:
            await self._append(step)
        except RunClaimedError:
            return  # whoever has it now ends it
        changes = RunChanges(
            status=status,
            owner=None,
            result=output if is_success else None,
            error=None if run.error is None else error_to_json(run.error, to_callers=True),
            data=data,
        )
        await self._update(changes)

    async def _append(self, step: StepRecord) -> None:
        """Add what a run has come to here to its journal."""
        leg = self._run.wait.leg
        rows: list[JournalRow] = [] if leg is None else [*leg.rows]
        # The records first: what is streamed at the end names them.
        rows += [_log(self._run, self._place), step]
        owner = self._owner if self.is_held else None
        stored = self._runs.store.append(*self._key, rows, owner=owner)
        if stored is not None:
            await stored

    async def _update(self, changes: RunChanges, **expected: Any) -> bool:
        store = self._runs.store
        return await store.update_run(*self._key, changes, expected_owner=self._owner, **expected)

    def _data(self) -> dict[str, Json]:
        return {"initialState": {}, "agentId": self._runs.agent_id}

    def _drop(self) -> None:
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.drop()

    def _give_up(self) -> None:
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.give_up()


_WAITS = RunChanges(status="suspended", owner=None)


def _step(status: Any) -> StepRecord:
    step = StepRecord(STEP, STEP, None, 0)
    step.status = status
    return step


def _log(run: AgentRun, place: int) -> LogRow:
    """Return what the run has streamed since it was stored."""
    block = StepRecord(STEP, STEP, None, 0)
    whole = run.wait.leg if run.status == "success" else None
    log = LogRow()
    if not place:
        log.append((0, int(Kind.START), None, None))
    for seq, chunk in enumerate(run.chunks, place or 1):
        told = ToldChunk(chunk, whole if chunk.type == "finish" else None)
        log.append((seq, int(Kind.OUTPUT), block, told))
    return log
