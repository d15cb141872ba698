"""A waiting run belongs to whoever goes on with it, for as long as they show that they are alive."""

from __future__ import annotations

import asyncio
from typing import Any

from mastra.clock import now_ms
from mastra.errors import AccessDeniedError, MastraError, RunClaimedError, RunNotFoundError
from mastra.logs import get_logger
from mastra.storage.agent_runs import AgentRunStore, check_id_is_own
from mastra.workflows.engines.owners import dead_owners, numbers, open_numbers, process_owner

__all__ = ["Claim", "check_caller", "check_run_id"]

LEASE_MS = 30_000
"""For how long a claim holds without another sign of its owner."""

HEARTBEAT_S = 5.0


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
    """One run's claim: taken, prolonged while the run goes on, and given up.

    A process of this machine that died loses its claims at once, any other when its lease is
    over.
    """

    __slots__ = ("_agent_id", "_beat", "_number", "_run_id", "_store", "is_held", "owner")

    def __init__(self, store: AgentRunStore, run_id: str, agent_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._agent_id = agent_id
        self._number = next(numbers)
        self.owner = f"{process_owner()}:{self._number}"
        self.is_held = False
        self._beat: asyncio.Task[None] | None = None

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
        # Known as alive before anybody may ask.
        open_numbers.add(self._number)
        try:
            record = await self._taken(resource_id)
        except BaseException:
            open_numbers.discard(self._number)
            raise
        self.is_held = True
        self._beat = asyncio.get_running_loop().create_task(
            self._keep(), name=f"mastra claim of agent run {self._run_id}"
        )
        return record

    async def _taken(self, resource_id: str | None) -> dict[str, Any]:
        record = await self._claim()
        if record is None:
            dead = dead_owners(await self._store.agent_run_owner(self._run_id))
            record = await self._claim(dead) if dead else None
        if record is None:
            raise self._missing()
        try:
            # What was claimed counts: another may lie under the id by now.
            self._check(record, resource_id)
        except MastraError:
            await self._store.release_agent_run(self._run_id, self.owner)
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
        now = now_ms()
        return await self._store.claim_agent_run(
            self._run_id,
            self.owner,
            now + LEASE_MS,
            now_ms=now,
            dead_owners=dead,
            agent_id=self._agent_id,
        )

    async def _keep(self) -> None:
        log = get_logger({"agent": self._agent_id, "run": self._run_id})
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                until = now_ms() + LEASE_MS
                if not await self._store.prolong_agent_run(self._run_id, self.owner, until):
                    log.warning("another process has taken the run over")
                    return
            except Exception as error:  # noqa: BLE001 - tried again; the lease spans many beats
                log.warning("heartbeat to the storage failed: %s", error)

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
        await self._stop()
        if self.is_held:
            self.is_held = False
            await self._store.delete_agent_run(self._run_id, self.owner)

    async def end(self, *, is_over: bool) -> None:
        """Give the claim up: forget a run that is over, and leave another to who answers next."""
        try:
            await self._stop()
            if self.is_held and is_over:
                await self._store.delete_agent_run(self._run_id, self.owner)
            elif self.is_held:
                await self._store.release_agent_run(self._run_id, self.owner)
        finally:
            self.is_held = False
            open_numbers.discard(self._number)

    async def _stop(self) -> None:
        beat, self._beat = self._beat, None
        if beat is not None and not beat.done():
            beat.cancel()
            await asyncio.wait([beat])
