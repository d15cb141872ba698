"""An agent's runs that are stored: those that wait for somebody's answer, and those that did.

They lie where the runs of workflows lie, each a head and a journal. A run that never waits is not
stored.
"""

from __future__ import annotations

from typing import Any, Final

from mastra.agents.records.ledger import STEP
from mastra.agents.run.agent_run import AgentRun
from mastra.agents.waiting.suspended import SuspendedRun, SuspendedRuns, Wanted, run_from_head
from mastra.errors import AccessDeniedError, IdTakenError, RunNotFoundError, StorageError
from mastra.services import Services
from mastra.storage.base import RunHead, WorkflowStore
from mastra.storage.damage import unreadable
from mastra.workflows.engines.journal import LoadedRun
from mastra.workflows.events import Kind

__all__ = [
    "StoredRuns",
    "check_caller",
    "check_run_id",
    "not_waiting",
    "stored_runs",
    "streamed_of",
    "workflow_id_of",
]

_MOST_UNLED: Final = 1000


def workflow_id_of(agent_id: str, *, durable: bool = False) -> str:
    """Return the id of the workflow that an agent's runs are stored as runs of."""
    name = agent_id.translate(str.maketrans("./[]", "____"))
    return f"durable-agent:{name}" if durable else f"agent:{name}"


def streamed_of(loaded: LoadedRun) -> int:
    """Return how many chunks a stored run has streamed so far."""
    return sum(
        1
        for entry in loaded.entries
        if entry is not None
        and entry[0] is Kind.OUTPUT
        and entry[1] is not None
        and entry[1].step_id == STEP
    )


def stored_runs(services: Services | None, own: WorkflowStore, agent_id: str) -> StoredRuns:
    """Return an agent's runs in the application's storage, or in that of an agent of none."""
    return StoredRuns(own if services is None else services.storage.workflows, agent_id)


def check_caller(run_id: str, resource_id: str | None, caller: str | None) -> None:
    """Refuse a caller who is tied to a resource and names a run that is not of it.

    Raises:
        AccessDeniedError: It is somebody else's, or nobody's.
    """
    if caller is not None and resource_id != caller:
        raise AccessDeniedError(
            f"Access denied: agent run {run_id!r} belongs to a different resource.",
            details={"run_id": run_id},
        )


def not_waiting(agent_id: str, run_id: str) -> RunNotFoundError:
    """Return the error for an answer to a run that does not wait."""
    return RunNotFoundError(
        f"Agent {agent_id!r} has no run {run_id!r} that waits: it has ended, or somebody else has "
        "resumed it.",
        details={"run_id": run_id},
    )


async def check_run_id(run: AgentRun, runs: StoredRuns) -> None:
    """Refuse an id for a new run that is that of somebody else's.

    Storing it would be refused too, but tools may have acted by then.

    Raises:
        IdTakenError: It is.
    """
    others: list[StoredRuns] = []
    if run.services is not None:
        ids = {agent.id for agent in run.services.list_agents().values()} - {runs.agent_id}
        others = [StoredRuns(runs.store, agent_id) for agent_id in ids]
    for stored in (runs, *others):
        known = await stored.head(run.run_id)
        if known is not None:
            runs.check_own(known, run.resource_id)


class StoredRuns:
    """The stored runs of one agent."""

    def __init__(self, store: WorkflowStore, agent_id: str) -> None:
        self.store = store
        self.agent_id = agent_id
        self.workflow_id = workflow_id_of(agent_id)

    async def head(self, run_id: str) -> RunHead | None:
        """Return what is stored of a run of this agent.

        Raises:
            StorageError: It cannot be read (`ROW_UNREADABLE`).
        """
        head = await self.store.get_run(self.workflow_id, run_id)
        if head is not None and head.damage is not None:
            raise self.unreadable(run_id, head.damage)
        return None if head is None or not self._is_own(head) else head

    def unreadable(self, run_id: str, why: str) -> StorageError:
        """Return the error for a run that cannot be read."""
        return unreadable(f"Run {run_id!r} of agent {self.agent_id!r}", why)

    def _is_own(self, head: RunHead) -> bool:
        return head.data.get("agentId") == self.agent_id

    async def create(self, run: AgentRun, data: dict[str, Any]) -> None:
        """Store the head of a run that is about to wait, in place of one that it had.

        Raises:
            IdTakenError: The id is that of somebody else's run.
        """
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

    # -- looking -------------------------------------------------------------------------------

    async def suspended(self, run_id: str) -> SuspendedRun | None:
        """Return a run that waits, without looking at others; of one that cannot be read what can be."""
        head = await self.store.get_run(self.workflow_id, run_id)
        if head is None or head.data.get("agentId", self.agent_id) != self.agent_id:
            return None
        if _is_claimed(head):
            # One whose process has gone with an answer waits again.
            unled = await self.store.list_unled([self.workflow_id], limit=_MOST_UNLED)
            return run_from_head(head) if run_id in {run.run_id for run in unled} else None
        return run_from_head(head) if head.status == "suspended" else None

    async def list_suspended(self, wanted: Wanted) -> SuspendedRuns:
        """Return the runs that wait, the latest first; of one that cannot be read what can be."""
        found = await self.store.list_waiting([self.workflow_id], self.agent_id, **wanted)
        return SuspendedRuns([run_from_head(head) for head in found.runs], found.total)


def _is_claimed(head: RunHead) -> bool:
    """Return whether somebody has answered a run, and what they did is not known yet."""
    return head.status == "running" and "waiting" in head.data
