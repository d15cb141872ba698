"""A waiting run belongs to whoever goes on with it, for as long as they show that they are alive."""

from __future__ import annotations

import asyncio
from typing import Any

from mastra.clock import now_ms
from mastra.errors import RunClaimedError, RunNotFoundError
from mastra.logs import get_logger
from mastra.storage.agent_runs import AgentRunStore
from mastra.workflows.engines.owners import dead_owners, numbers, open_numbers, process_owner

__all__ = ["Claim"]

LEASE_MS = 30_000
"""For how long a claim holds without another sign of its owner."""

HEARTBEAT_S = 5.0


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

    async def take(self) -> dict[str, Any]:
        """Take the run and return its record.

        Raises:
            RunNotFoundError: There is none, or somebody else goes on with it.
        """
        # Known as alive before anybody may ask.
        open_numbers.add(self._number)
        record = await self._claim()
        if record is None:
            dead = dead_owners(await self._store.agent_run_owner(self._run_id))
            record = await self._claim(dead) if dead else None
        if record is None:
            open_numbers.discard(self._number)
            raise RunNotFoundError(
                f"Agent {self._agent_id!r} has no run {self._run_id!r} that waits: it has ended, "
                "or somebody else has resumed it.",
                details={"run_id": self._run_id},
            )
        self.is_held = True
        self._beat = asyncio.get_running_loop().create_task(
            self._keep(), name=f"mastra claim of agent run {self._run_id}"
        )
        return record

    async def _claim(self, dead: tuple[str, ...] = ()) -> dict[str, Any] | None:
        now = now_ms()
        return await self._store.claim_agent_run(
            self._run_id, self.owner, now + LEASE_MS, now_ms=now, dead_owners=dead
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
