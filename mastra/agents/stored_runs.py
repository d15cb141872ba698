"""An agent's runs that are stored: those that wait for somebody's answer, and those that did.

They lie where the runs of workflows lie, each a head and a journal. While a run waits its head has
what a resume needs; the journal has what it has streamed. A run that never waits is not stored.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, cast

from mastra.agents.chunks import AgentChunk, plain
from mastra.agents.run import AgentRun
from mastra.agents.told_chunks import ToldChunk
from mastra.errors import IdTakenError
from mastra.failures import error_to_json
from mastra.jsonable import Json
from mastra.services import Services
from mastra.storage.base import JournalRow, RunChanges, RunHead, WorkflowStore
from mastra.storage.damage import unreadable
from mastra.storage.drivers import DriverStore
from mastra.workflows.engines.journal import LogRow, load_run
from mastra.workflows.events import Kind
from mastra.workflows.records import StepRecord

__all__ = ["MOST_UNLED", "STEP", "StoredRuns", "stored_runs", "workflow_id_of"]

STEP: Final = "agent"
"""The one step that an agent's run has as the run of a workflow."""

_ENDS: Final = {"aborted": "canceled", "running": "canceled"}
_UNDER_WAY: Final = ("suspended", "running")
MOST_UNLED: Final = 1000


def workflow_id_of(agent_id: str, *, durable: bool = False) -> str:
    """Return the id of the workflow that an agent's runs are stored as runs of."""
    name = agent_id.translate(str.maketrans("./[]", "____"))
    return f"durable-agent:{name}" if durable else f"agent:{name}"


def stored_runs(services: Services | None, own: WorkflowStore, agent_id: str) -> StoredRuns:
    """Return an agent's runs in the application's storage, or in that of an agent of none."""
    return StoredRuns(own if services is None else services.storage.workflows, agent_id)


class StoredRuns:
    """The stored runs of one agent."""

    def __init__(self, store: WorkflowStore, agent_id: str) -> None:
        self.store = store
        self.agent_id = agent_id
        self.workflow_id = workflow_id_of(agent_id)

    @property
    def drivers(self) -> DriverStore | None:
        """Who goes on with runs; `None` where no other process can see them."""
        return self.store.drivers

    async def head(self, run_id: str) -> RunHead | None:
        """Return what is stored of a run of this agent.

        Raises:
            StorageError: It cannot be read (`ROW_UNREADABLE`).
        """
        head = await self.store.get_run(self.workflow_id, run_id)
        if head is not None and head.damage is not None:
            raise unreadable(f"Run {run_id!r} of agent {self.agent_id!r}", head.damage)
        return None if head is None or not self._is_own(head) else head

    def _is_own(self, head: RunHead) -> bool:
        return head.data.get("agentId") == self.agent_id

    # -- waiting -------------------------------------------------------------------------------

    async def save(self, run: AgentRun, record: dict[str, Json], owner: str | None) -> bool:
        """Store a run as waiting.

        Args:
            run: The run.
            record: What a resume needs.
            owner: Who goes on with it. Nothing is stored where that is somebody else by now.

        Returns:
            Whether it was stored.

        Raises:
            IdTakenError: The id is that of somebody else's run.
        """
        data: dict[str, Json] = {"initialState": {}, "agentId": self.agent_id, "waiting": record}
        waits: dict[str, Json] = {
            "suspendPayload": run.wait.payload,
            "resumeSchema": run.wait.schema,
        }
        # Whoever answers as soon as it may must find all of it.
        if owner is None:
            await self._create(run, data)
            await self._log(run, "suspended", waits)
            return await self.store.update_run(
                self.workflow_id,
                run.run_id,
                RunChanges(status="suspended"),
                expected_status=("pending",),
            )
        head = await self.head(run.run_id)
        if head is None or head.owner != owner:
            return False
        await self._log(run, "suspended", waits)
        changes = RunChanges(status="suspended", owner=None, data=data)
        return await self._update(run.run_id, changes, owner)

    async def _create(self, run: AgentRun, data: dict[str, Json]) -> None:
        head = RunHead(
            self.workflow_id,
            run.run_id,
            "pending",
            resource_id=run.resource_id,
            request_context=run.request_context.to_json(),
            data=data,
        )
        while not await self.store.create_run(head):
            known = await self.store.get_run(self.workflow_id, run.run_id)
            if known is not None:
                self.check_own(known, run.resource_id)
                await self.store.delete_run(self.workflow_id, run.run_id)

    def check_own(self, known: RunHead, resource_id: str | None) -> None:
        """Refuse to put a run in place of one that is not of the same agent and resource.

        Raises:
            IdTakenError: It is not.
        """
        if not self._is_own(known) or known.resource_id != resource_id:
            raise IdTakenError(
                f"Run id {known.run_id!r} is that of somebody else's run, which was left as it is: "
                "give the run another run_id, or leave it out.",
                details={"run_id": known.run_id},
            )

    async def claim(
        self, run_id: str, owner: str, dead_owners: Callable[[str | None], Any]
    ) -> RunHead | None:
        """Make a run that waits somebody's, in one atomic step; `None` where it waits no more.

        One that was claimed waits again once its owner is dead, or has lost its lease.

        Args:
            run_id: The run.
            owner: Under which claim.
            dead_owners: Returns an owner that is known to be dead, given the run's.

        Raises:
            StorageError: It cannot be read (`ROW_UNREADABLE`), and still waits.
        """
        key = (self.workflow_id, run_id)
        head = await self.head(run_id)
        if head is None or head.status not in _UNDER_WAY:
            return None
        if head.status == "suspended":
            if "waiting" not in head.data:
                what = f"Run {run_id!r} of agent {self.agent_id!r}"
                raise unreadable(what, "it does not say what it waits for")
            taken = RunChanges(status="running", owner=owner)
            is_won = await self.store.update_run(*key, taken, expected_status=("suspended",))
        else:
            dead: Collection[str] = await dead_owners(head.owner)
            is_won = "waiting" in head.data and await self.store.claim(
                *key, owner, dead_owners=dead
            )
        if not is_won:
            return None
        head = await self.head(run_id)
        if head is not None and head.status == "running" and "waiting" in head.data:
            return head
        await self.store.update_run(*key, RunChanges(owner=None), expected_owner=owner)
        return None

    async def release(self, run_id: str, owner: str) -> None:
        """Let a run wait again, unless it is no longer the owner's."""
        await self._update(run_id, RunChanges(status="suspended", owner=None), owner)

    async def forget(self, run_id: str, owner: str) -> None:
        """Let nobody answer a run any more, which goes on."""
        data: dict[str, Json] = {"initialState": {}, "agentId": self.agent_id}
        await self._update(run_id, RunChanges(data=data), owner)

    async def end(self, run: AgentRun, owner: str) -> None:
        """Store how a run has ended, unless it is no longer the owner's."""
        head = await self.head(run.run_id)
        if head is None or head.owner != owner:
            return
        output: dict[str, Json] = {
            "text": run.transcript.text,
            "finishReason": run.finish_reason,
            "usage": run.transcript.usage.to_wire(),
            "object": plain(run.object),
        }
        status = _ENDS.get(run.status, run.status)
        data: dict[str, Json] = {"initialState": {}, "agentId": self.agent_id}
        if status == "success":
            data["hasResult"] = True
        if run.tripwire is not None:
            data["tripwire"] = run.tripwire.to_wire()
        await self._log(run, "success" if status == "success" else "failed", output)
        changes = RunChanges(
            status=status,
            owner=None,
            result=output if status == "success" else None,
            error=None if run.error is None else error_to_json(run.error),
            data=data,
        )
        await self._update(run.run_id, changes, owner)

    async def _update(self, run_id: str, changes: RunChanges, owner: str) -> bool:
        return await self.store.update_run(self.workflow_id, run_id, changes, expected_owner=owner)

    async def _log(self, run: AgentRun, status: str, value: Mapping[str, Json]) -> None:
        """Add what a run has streamed here to its journal, and what its step has come to."""
        loaded = await load_run(self.store, self.workflow_id, run.run_id)
        place = 0 if loaded is None else len(loaded.entries)
        rows = _rows(run.chunks[run.logged :], place, status, value)
        run.logged = len(run.chunks)
        stored = self.store.append(self.workflow_id, run.run_id, rows)
        if stored is not None:
            await stored

    # -- looking -------------------------------------------------------------------------------

    async def list_waiting(self, resource_id: str | None = None) -> list[RunHead]:
        """Return the runs that wait, the latest first; of one that cannot be read what can be.

        Args:
            resource_id: Whose runs; `None` for all.
        """
        found = await self.store.list_runs(
            self.workflow_id, status=_UNDER_WAY, resource_id=resource_id
        )
        unled = await self.store.list_unled([self.workflow_id], limit=MOST_UNLED)
        lost = {run.run_id for run in unled}
        waiting = [
            head
            for head in found.runs
            if (head.status == "suspended" or ("waiting" in head.data and head.run_id in lost))
            and (
                head.damage is not None or head.data.get("agentId", self.agent_id) == self.agent_id
            )
        ]
        return sorted(waiting, key=lambda head: -head.updated_at)


def _rows(
    chunks: Sequence[AgentChunk], place: int, status: str, value: Mapping[str, Json]
) -> list[JournalRow]:
    block = StepRecord(STEP, STEP, None, 0)
    entries: list[tuple[int, int, StepRecord | None, Any]] = []
    if not place:
        entries.append((0, int(Kind.START), None, None))
    for seq, chunk in enumerate(chunks, place or 1):
        entries.append((seq, int(Kind.OUTPUT), block, ToldChunk(chunk, None)))
    step = StepRecord(STEP, STEP, None, 0)
    step.status = cast("Any", status)
    if status == "suspended":
        step.suspend_payload = dict(value)
    else:
        step.output = dict(value)
    return [LogRow(entries), step]
