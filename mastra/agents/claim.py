"""A waiting run belongs to whoever goes on with it, for as long as they show that they are alive."""

from __future__ import annotations

from typing import Any

from mastra.errors import AccessDeniedError, MastraError, RunClaimedError, RunNotFoundError
from mastra.ids import random_id
from mastra.storage.agent_runs import AgentRunStore, check_id_is_own
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


async def check_run_id(
    store: AgentRunStore, run_id: str, agent_id: str, resource_id: str | None
) -> None:
    """Refuse an id for a new run that is that of somebody else's waiting one.

    Storing it would be refused too, but tools may have acted by then.

    Raises:
        IdTakenError: It is.
    """
    known = await store.get_agent_run(run_id)
    if known is not None:
        check_id_is_own(run_id, agent_id, {"resourceId": resource_id}, known)


class Claim:
    """One run's claim: taken, held while the run goes on, and given up.

    In a storage that other processes see it is held under this process's lease.
    """

    __slots__ = ("_agent_id", "_hold", "_run_id", "_store", "is_held", "owner")

    def __init__(self, store: AgentRunStore, run_id: str, agent_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._agent_id = agent_id
        self._hold: Hold | None = None
        self.owner = ""
        self.is_held = False

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
            self._check(await self._store.get_agent_run(self._run_id), resource_id)
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
        record = await self._claim()
        if record is None and self._hold is not None:
            owner = await self._store.agent_run_owner(self._run_id)
            dead = await self._hold.driver.dead_owners(owner)
            record = await self._claim(dead) if dead else None
        if record is None:
            self._drop()  # it was never claimed
            raise self._missing()
        try:
            # What was claimed counts: another may lie under the id by now.
            self._check(record, resource_id)
        except MastraError:
            await self._store.release_agent_run(self._run_id, self.owner)
            self._drop()
            raise
        return record

    def _check(self, record: dict[str, Any] | None, resource_id: str | None) -> None:
        if record is None or record["agentId"] != self._agent_id:
            raise self._missing()
        check_caller(self._run_id, record.get("resourceId"), resource_id)

    def _missing(self) -> RunNotFoundError:
        return RunNotFoundError(
            f"Agent {self._agent_id!r} has no run {self._run_id!r} that waits: it has ended, or "
            "somebody else has resumed it.",
            details={"run_id": self._run_id},
        )

    async def _claim(self, dead: tuple[str, ...] = ()) -> dict[str, Any] | None:
        return await self._store.claim_agent_run(
            self._run_id, self.owner, dead_owners=dead, agent_id=self._agent_id
        )

    async def confirm(self) -> None:
        """See to it that nobody has taken the run over, after a time in which that may be.

        Raises:
            RunClaimedError: Somebody has.
        """
        hold = self._hold
        if hold is not None and self.is_held and not hold.is_sure:
            await hold.confirm(lambda: self._store.agent_run_owner(self._run_id))

    async def save(self, record: dict[str, Any]) -> None:
        """Store the run as waiting again, which ends the claim.

        Raises:
            RunClaimedError: Somebody else has taken it over.
        """
        stored = await self._store.save_agent_run(
            self._run_id, self._agent_id, record, expected_owner=self.owner
        )
        if not stored:
            raise RunClaimedError(
                f"Run {self._run_id!r} of agent {self._agent_id!r} was taken over by another "
                "process, since this one gave no sign of life."
            )
        self.is_held = False

    async def forget(self) -> None:
        """Delete the run, which goes on and waits no more. It may be saved again to wait anew."""
        if self.is_held:
            self.is_held = False
            await self._store.delete_agent_run(self._run_id, self.owner)

    async def end(self, *, is_over: bool) -> None:
        """Give the claim up: forget a run that is over, and leave another to who answers next."""
        try:
            if self.is_held and is_over:
                await self._store.delete_agent_run(self._run_id, self.owner)
            elif self.is_held:
                await self._store.release_agent_run(self._run_id, self.owner)
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
