"""A waiting run belongs to whoever goes on with it, for as long as they show that they are alive."""

from __future__ import annotations

from typing import Any, cast

from mastra.agents.run import AgentRun
from mastra.agents.stored_runs import StoredRuns
from mastra.errors import AccessDeniedError, MastraError, RunClaimedError, RunNotFoundError
from mastra.ids import random_id
from mastra.storage.base import RunHead
from mastra.workflows.engines.drivers import Hold, driver_of

__all__ = ["Claim", "check_caller", "check_run_id"]


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


class Claim:
    """One run's claim: taken, held while the run goes on, and given up.

    In a storage that other processes see it is held under this process's lease.
    """

    __slots__ = ("_hold", "_is_forgotten", "_run_id", "_store", "is_held", "owner")

    def __init__(self, store: StoredRuns, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._hold: Hold | None = None
        self.owner = ""
        self.is_held = False
        self._is_forgotten = False

    async def take(self, resource_id: str | None = None) -> dict[str, Any]:
        """Take the run and return its record.

        Args:
            resource_id: Whose runs may be taken; `None` for anybody's.

        Raises:
            RunNotFoundError: The agent has none under that id, or somebody else goes on with it.
            AccessDeniedError: It is another resource's.
        """
        if resource_id is not None:
            # Looked at before it is claimed, so that a stranger does not even hold its owner up.
            self._check(await self._store.head(self._run_id), resource_id)
        drivers = self._store.drivers
        if drivers is None:
            self.owner = random_id()
        else:
            self._hold = await driver_of(drivers).hold()
            self.owner = self._hold.owner
        try:
            record = await self._taken(resource_id)
        except BaseException:
            self._give_up()
            raise
        self.is_held = True
        return record

    async def _taken(self, resource_id: str | None) -> dict[str, Any]:
        head = await self._store.claim(self._run_id, self.owner, self._dead)
        if head is None:
            self._drop()  # it was never claimed
            raise self._missing()
        try:
            # What was claimed counts: another may lie under the id by now.
            self._check(head, resource_id)
        except MastraError:
            await self._store.release(self._run_id, self.owner)
            self._drop()
            raise
        return cast("dict[str, Any]", head.data["waiting"])

    async def _dead(self, owner: str | None) -> tuple[str, ...]:
        return () if self._hold is None else await self._hold.driver.dead_owners(owner)

    def _check(self, head: RunHead | None, resource_id: str | None) -> None:
        if head is None:
            raise self._missing()
        check_caller(self._run_id, head.resource_id, resource_id)

    def _missing(self) -> RunNotFoundError:
        return RunNotFoundError(
            f"Agent {self._store.agent_id!r} has no run {self._run_id!r} that waits: it has ended, or "
            "somebody else has resumed it.",
            details={"run_id": self._run_id},
        )

    async def confirm(self) -> None:
        """See to it that nobody has taken the run over, after a time in which that may be.

        Raises:
            RunClaimedError: Somebody has.
        """
        hold = self._hold
        if hold is not None and self.is_held and not hold.is_sure:
            await hold.confirm(self._owner)

    async def _owner(self) -> str | None:
        head = await self._store.head(self._run_id)
        return None if head is None else head.owner

    async def save(self, run: AgentRun, record: dict[str, Any]) -> None:
        """Store the run as waiting again, which ends the claim.

        Raises:
            RunClaimedError: Somebody else has taken it over.
        """
        if not await self._store.save(run, record, self.owner):
            raise RunClaimedError(
                f"Run {self._run_id!r} of agent {self._store.agent_id!r} was taken over by another "
                "process, since this one gave no sign of life."
            )
        self.is_held = False

    async def forget(self) -> None:
        """Let nobody answer the run any more, which goes on. It may be saved to wait anew."""
        if self.is_held and not self._is_forgotten:
            self._is_forgotten = True
            await self._store.forget(self._run_id, self.owner)

    async def end(self, run: AgentRun, *, is_over: bool) -> None:
        """Give the claim up: end a run that is over, and leave another to who answers next."""
        try:
            if self.is_held and (is_over or self._is_forgotten):
                await self._store.end(run, self.owner)
            elif self.is_held:
                await self._store.release(self._run_id, self.owner)
            self._drop()
        finally:
            self.is_held = False
            self._give_up()

    def _drop(self) -> None:
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.drop()

    def _give_up(self) -> None:
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.give_up()
