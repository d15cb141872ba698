"""Which process is at work on which part of a run, so that no two run the same operation at once.

A server that lost the connection of a request, or whose lease of it is over, sends it again, and
behind one address another process may get it while the first is still at work. What is noted in
the storage that they share, under the process's lease, has the second wait, and go on from what
the first has stored. Without such a storage nothing can be known of others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from mastra.clock import steady_s
from mastra.errors import RunClaimedError, RunError, StorageError
from mastra.inngest.wire.request import RequestFacts
from mastra.storage.drivers import WHOLE, DriverStore, Work, Worker
from mastra.workflows.engines.commands import RunTarget
from mastra.workflows.engines.drivers import Driver, Hold, driver_of, silence_s

__all__ = ["AskAgain", "WorkClaim", "WorkClaims"]

FIRST_LOOK_S: Final = 0.02
LONGEST_LOOK_S: Final = 1.0
"""How long a request that waits for another process lets pass before it looks again."""


class AskAgain(RunError):  # noqa: N818 - says why the server is to ask again
    """The server is to send the request again; nothing of the run is lost by it."""

    code = "WORKER_STOPS"


class _Shared:
    """What the requests of this process that are for the same part have in common."""

    def __init__(self, drivers: DriverStore) -> None:
        self.driver = driver_of(drivers)
        self.drivers = drivers
        self.requests = 0
        self.lock = asyncio.Lock()
        self.hold: Hold | None = None


class WorkClaim:
    """One request's right to run operations of its part of a run.

    Args:
        work: The part.
        shared: What it has in common with others; `None` where no other process could be known of.
        is_closed: Tells whether the process goes down.
    """

    def __init__(self, work: Work, shared: _Shared | None, is_closed: Callable[[], bool]) -> None:
        self._work = work
        self._shared = shared
        self._is_closed = is_closed

    async def take(self) -> None:
        """Wait until no other process is at work on the part.

        Raises:
            AskAgain: This process goes down.
            StorageError: The storage cannot say.
        """
        shared = self._shared
        if shared is not None:
            async with shared.lock:
                if shared.hold is None:
                    shared.hold = await self._begin(shared)

    async def _begin(self, shared: _Shared) -> Hold:
        hold = await shared.driver.hold()
        try:
            await self._wait(shared, hold)
        except BaseException:
            hold.give_up()  # the storage may have noted it
            raise
        return hold

    async def _wait(self, shared: _Shared, hold: Hold) -> None:
        drivers, dead = shared.drivers, set[str]()
        heard: dict[Worker, float] = {}
        pause_s = FIRST_LOOK_S
        while not await drivers.begin_work(self._work, hold.owner, dead_owners=dead):
            if self._is_closed():
                raise AskAgain("The worker is going down; send the request again.")
            found: set[str] = set()
            for worker in await drivers.workers(self._work):
                found.update(await shared.driver.dead_owners(worker.owner))
                # A clock that is set ends every lease at once; who lives then is heard again.
                since = heard.setdefault(worker, steady_s())
                is_silent = steady_s() - since >= silence_s(drivers.lease_s)
                if worker.lease_until is None or (worker.is_over and is_silent):
                    found.add(worker.owner)
            if found <= dead:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_LOOK_S)
            dead |= found

    async def confirm(self) -> None:
        """See that no other process can have gone on in place of this one; mostly for nothing.

        Raises:
            AskAgain: One has, or may have.
            StorageError: The storage cannot say.
        """
        shared = self._shared
        if shared is None or shared.hold is None or shared.hold.is_sure:
            return
        drivers, hold = shared.drivers, shared.hold

        async def owner() -> str | None:
            found = [worker.owner for worker in await drivers.workers(self._work)]
            return hold.owner if hold.owner in found else next(iter(found), None)

        try:
            await hold.confirm(owner)
        except RunClaimedError as error:
            raise AskAgain(
                f"Run {self._work.run_id!r} of workflow {self._work.workflow_id!r} may go on in "
                "another process, since this one gave no sign of life for too long; send the "
                "request again."
            ) from error


class WorkClaims:
    """The claims of this process.

    Args:
        is_closed: Tells whether the process goes down.
    """

    def __init__(self, is_closed: Callable[[], bool]) -> None:
        self._is_closed = is_closed
        self._shared: dict[tuple[int, Work], _Shared] = {}
        self._drivers: set[Driver] = set()

    @asynccontextmanager
    async def of(self, target: RunTarget, facts: RequestFacts) -> AsyncGenerator[WorkClaim]:
        """Open the claim of a request, which it has to take; end it with the request."""
        part = facts.target if facts.is_targeted else WHOLE
        work = Work(target.workflow_id, target.run_id, part)
        drivers = target.store.drivers
        if drivers is None or (facts.must_plan and not facts.is_targeted):
            yield WorkClaim(work, None, self._is_closed)  # nothing can be known, or nothing is run
            return
        key = (id(target.store), work)
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = _Shared(drivers)
            self._drivers.add(shared.driver)
        shared.requests += 1
        try:
            yield WorkClaim(work, shared, self._is_closed)
        finally:
            shared.requests -= 1
            if not shared.requests:
                del self._shared[key]
                await _end(work, shared)

    async def aclose(self) -> None:
        """Have nobody wait for this process."""
        drivers, self._drivers = self._drivers, set()
        for driver in drivers:
            with suppress(StorageError):
                await driver.rest()


async def _end(work: Work, shared: _Shared) -> None:
    """Let others have a part."""
    hold = shared.hold
    if hold is None:
        return
    try:
        await shared.drivers.end_work(work, hold.owner)
    except BaseException as error:
        hold.give_up()  # the storage is told as soon as it can be
        if not isinstance(error, StorageError):
            raise
    else:
        hold.drop()
