"""What a store of agents' waiting runs has to do, and one that keeps them in this process.

A record is plain JSON data and holds only what a resume needs. It is claimed before a run goes
on, so that two answers to one question never run a tool twice, and deleted when the run ends. A
claim is a lease, which its owner prolongs: a process that dies leaves the run to others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from mastra.errors import IdTakenError
from mastra.jsonable import Json, dump_json, load_json

if TYPE_CHECKING:
    from mastra.storage.drivers import DriverStore

__all__ = ["AgentRunStore", "InMemoryAgentRuns", "check_id_is_own"]


class AgentRunStore(Protocol):
    """Keeps the records of agents' runs that wait. Times in milliseconds since 1970."""

    async def save_agent_run(
        self,
        run_id: str,
        agent_id: str,
        record: Mapping[str, Json],
        *,
        expected_owner: str | None = None,
    ) -> bool:
        """Store a record as waiting, in place of an older one of the run.

        An id is whoever chose it: a record of another agent or another resource stays.

        Args:
            run_id: The run.
            agent_id: Whose run it is.
            record: Has `createdAt`, `threadId` and `resourceId` to search by.
            expected_owner: Change nothing where somebody else has claimed the run meanwhile.

        Returns:
            Whether it was stored.

        Raises:
            IdTakenError: The id is that of a run of another agent or resource.
        """
        ...

    @property
    def drivers(self) -> DriverStore | None:
        """Who goes on with runs; `None` where no other process can see them."""
        ...

    async def get_agent_run(self, run_id: str) -> dict[str, Json] | None:
        """Return a record, whether it waits or is claimed, or `None`. It has `agentId`.

        Raises:
            StorageError: It cannot be read (`ROW_UNREADABLE`).
        """
        ...

    async def claim_agent_run(
        self,
        run_id: str,
        owner: str,
        *,
        dead_owners: Collection[str] = (),
        agent_id: str | None = None,
    ) -> dict[str, Json] | None:
        """Return a record that waits and make it somebody's, in one atomic step.

        One that was claimed waits again once the lease of its owner's driver is over, or where
        its owner is dead. With `agent_id`, a run of another agent is none.

        Returns:
            `None` where there is none, or somebody else has it.

        Raises:
            StorageError: It cannot be read (`ROW_UNREADABLE`), and still waits.
        """
        ...

    async def agent_run_owner(self, run_id: str) -> str | None:
        """Return who has claimed a run, if somebody has."""
        ...

    async def release_agent_run(self, run_id: str, owner: str) -> None:
        """Let a run wait again, unless it is no longer the owner's."""
        ...

    async def delete_agent_run(self, run_id: str, owner: str | None = None) -> None:
        """Delete a record, if there is one; with an owner, only where it is still theirs."""
        ...

    async def list_agent_runs(self, agent_id: str) -> list[dict[str, Json]]:
        """Return an agent's records that wait, the latest first.

        In place of one that cannot be read there is `{"runId", "agentId", "createdAt", "error"}`.
        """
        ...


def check_id_is_own(
    run_id: str, agent_id: str, record: Mapping[str, Json], known: Mapping[str, Json]
) -> None:
    """Refuse to put a run's record in place of one that is not of the same agent and resource.

    Raises:
        IdTakenError: It is not.
    """
    own = (agent_id, record.get("resourceId"))
    if (known.get("agentId"), known.get("resourceId")) != own:
        raise IdTakenError(
            f"Run id {run_id!r} is that of somebody else's run, which was left as it is: give the "
            "run another run_id, or leave it out.",
            details={"run_id": run_id},
        )


class _Kept:
    __slots__ = ("_written", "agent_id", "owner")

    def __init__(self, agent_id: str, written: bytes) -> None:
        self.agent_id = agent_id
        self._written = written
        self.owner: str | None = None

    @property
    def record(self) -> dict[str, Json]:
        return load_json(self._written)


class InMemoryAgentRuns:
    """Keeps the records in this process."""

    drivers = None

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    async def save_agent_run(
        self,
        run_id: str,
        agent_id: str,
        record: Mapping[str, Json],
        *,
        expected_owner: str | None = None,
    ) -> bool:
        """Store a record as waiting."""
        known = self._kept.get(run_id)
        if known is not None:
            if expected_owner is None:
                check_id_is_own(run_id, agent_id, record, known.record)
            elif known.owner != expected_owner:
                return False
        whole: dict[str, Any] = {**record, "agentId": agent_id, "runId": run_id}
        # Through JSON, as in a database: what one store takes, every store takes.
        what = f"Run {run_id!r} of agent {agent_id!r}"
        kept = _Kept(agent_id, dump_json(whole, what=what))
        self._kept.pop(run_id, None)
        self._kept[run_id] = kept
        return True

    async def get_agent_run(self, run_id: str) -> dict[str, Json] | None:
        """Return a record, or `None`."""
        kept = self._kept.get(run_id)
        return None if kept is None else kept.record

    async def claim_agent_run(
        self,
        run_id: str,
        owner: str,
        *,
        dead_owners: Collection[str] = (),
        agent_id: str | None = None,
    ) -> dict[str, Json] | None:
        """Return a record that waits and make it somebody's."""
        kept = self._kept.get(run_id)
        if kept is None or agent_id not in {None, kept.agent_id}:
            return None
        if kept.owner is not None and kept.owner not in dead_owners:
            return None
        kept.owner = owner
        return kept.record

    async def agent_run_owner(self, run_id: str) -> str | None:
        """Return who has claimed a run."""
        kept = self._kept.get(run_id)
        return None if kept is None else kept.owner

    async def release_agent_run(self, run_id: str, owner: str) -> None:
        """Let a run wait again."""
        kept = self._kept.get(run_id)
        if kept is not None and kept.owner == owner:
            kept.owner = None

    async def delete_agent_run(self, run_id: str, owner: str | None = None) -> None:
        """Delete a record."""
        kept = self._kept.get(run_id)
        if kept is not None and owner in (None, kept.owner):
            del self._kept[run_id]

    async def list_agent_runs(self, agent_id: str) -> list[dict[str, Json]]:
        """Return an agent's records that wait."""
        return [
            kept.record
            for kept in reversed(self._kept.values())
            if kept.agent_id == agent_id and kept.owner is None
        ]
