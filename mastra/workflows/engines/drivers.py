"""This process as a driver of runs: its lease, and what it claims under it.

The lease is prolonged by a thread with a connection of its own, so that no event loop has to be
free for it. Whether the lease still holds is known here without asking anybody: by how long ago
it was prolonged, on a clock that only goes forward and counts the time that the process was
stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Final
from weakref import WeakValueDictionary

from mastra.clock import steady_s
from mastra.errors import RunClaimedError, StorageError
from mastra.ids import random_id
from mastra.logs import get_logger
from mastra.storage.base import WorkflowStore
from mastra.storage.drivers import DRIVER_ID_LENGTH, DriverStore
from mastra.workflows.engines.patience import patiently
from mastra.workflows.engines.processes import has_ended, process_facts

__all__ = ["Driver", "Hold", "driver_of", "silence_s"]

BEATS_IN_A_LEASE: Final = 6
"""So many may be late or lost before a process is taken for dead."""

_BEATS_OF_SILENCE: Final = 1.5


def silence_s(lease_s: float) -> float:
    """Return for how long a driver must not have been heard, whatever the storage's clock says."""
    return lease_s / BEATS_IN_A_LEASE * _BEATS_OF_SILENCE


class Hold:
    """One claim of this process: the right to drive a run for as long as its lease holds."""

    __slots__ = ("_epoch", "_loop", "driver", "number", "owner")

    def __init__(self, driver: Driver, number: int) -> None:
        self.driver = driver
        self._epoch = driver.epoch
        self._loop = asyncio.get_running_loop()
        self.number = number
        self.owner = f"{driver.driver_id}:{number}"
        """Under which name the run is claimed. No other claim ever has it."""

    @property
    def is_sure(self) -> bool:
        """Whether nobody can have taken the run over since the claim was last looked at."""
        driver = self.driver
        return self._epoch == driver.epoch and steady_s() - driver.beaten_at < driver.lease_s

    @property
    def is_stranded(self) -> bool:
        """Whether its event loop was closed, so that nothing can happen under it any more."""
        return self._loop.is_closed()

    async def confirm(self, owner_of_run: Callable[[], Awaitable[str | None]]) -> None:
        """Find out whether the run is still this claim's, after a time in which it may not be.

        Args:
            owner_of_run: Asks the storage under which claim the run is.

        Raises:
            RunClaimedError: Under another.
            StorageError: The storage cannot say.
        """
        # First the lease, then the question: who is still the owner then, stays it.
        await self.driver.ready()
        epoch = self.driver.epoch
        owner = await owner_of_run()
        if owner != self.owner:
            what = "has ended" if owner is None else f"was taken over by {owner!r}"
            raise RunClaimedError(
                f"The run is no longer driven here: it {what}, since this process gave no sign of "
                "life for too long.",
                details={"owner": owner},
            )
        self._epoch = epoch

    async def confirm_in(self, store: WorkflowStore, workflow_id: str, run_id: str) -> None:
        """Do so for a run in a store, which is waited for while it is away."""

        async def owner() -> str | None:
            head = await store.get_run(workflow_id, run_id)
            return self.owner if head is None else head.owner  # of a deleted one nothing is kept

        await patiently(lambda: self.confirm(owner), self.driver.lease_s)

    async def takes_over(
        self, store: WorkflowStore, workflow_id: str, run_id: str, owner: str | None
    ) -> bool:
        """Take a run over that nobody drives; return whether nobody does.

        Args:
            store: Where it is.
            workflow_id: With `run_id`, the run.
            run_id: See above.
            owner: Under which claim it was seen.
        """
        key = (workflow_id, run_id)
        if await store.claim(*key, self.owner):
            return True
        dead = await self.driver.dead_owners(owner)
        return bool(dead) and await store.claim(*key, self.owner, dead_owners=dead)

    def drop(self) -> None:
        """End the claim: the storage knows of that, or has never known of the claim."""
        self.driver.drop(self.number)

    def give_up(self) -> None:
        """End the claim, and let others have the run as soon as the storage can be told."""
        self.driver.give_up(self.number)


class Driver:
    """This process, as others see it in one storage."""

    def __init__(self, store: DriverStore) -> None:
        self._store = store
        self.driver_id = random_id()
        self.lease_s = store.lease_s
        self.epoch = 0
        """Goes up when the lease may have ended: what was claimed before is to be looked at."""
        self.beaten_at = float("-inf")
        """When the lease was prolonged last, on the steady clock."""
        self.is_copy = False
        """Whether this process was forked from the one that is the driver."""
        self.wake = threading.Event()
        """Set where the thread has something to do at once."""
        self._about = process_facts()
        self._numbers = itertools.count(1)
        self._holds: dict[int, Hold] = {}
        self._given_up: list[int] = []
        self._lock = threading.Lock()
        self._has_thread = False
        weakref.finalize(self, self.wake.set).atexit = False

    # -- claiming ------------------------------------------------------------------------------

    async def hold(self) -> Hold:
        """Return a new claim, with a lease under it.

        Raises:
            StorageError: The storage cannot be told of this driver.
        """
        await self.ready()
        with self._lock:
            hold = Hold(self, next(self._numbers))
            self._holds[hold.number] = hold
            self._begin_beating()
        return hold

    async def ready(self) -> None:
        """See to it that the lease holds for a while."""
        if self.is_copy:
            raise RunClaimedError("The run is driven by the process that this one was forked from.")
        if steady_s() - self.beaten_at > self.lease_s / 2:
            await self._beat(self._store)

    async def _beat(self, store: DriverStore) -> None:
        begun = steady_s()
        await store.beat(self.driver_id, self._about)
        with self._lock:
            # Between the last one and this the process, or the storage, may have stood still.
            if steady_s() - self.beaten_at >= self.lease_s:
                self.epoch += 1
            self.beaten_at = max(self.beaten_at, begun)

    async def dead_owners(self, owner: str | None) -> tuple[str, ...]:
        """Return the owner of a run if that is known to drive nothing any more, else nothing."""
        driver_id = (owner or "")[:DRIVER_ID_LENGTH]
        if not owner or not driver_id:
            return ()
        known = _drivers.get(driver_id)
        if known is not None:
            return () if known.is_driving(owner) else (owner,)
        found = await self._store.find(driver_id)
        if found is None:
            return ()
        # One of this process that is not known any more has been collected with all it drove.
        is_here = bool(self._about) and found.about == self._about
        return (owner,) if is_here or has_ended(found.about) else ()

    def is_driving(self, owner: str) -> bool:
        """Return whether one of this driver's claims is under way."""
        number = owner[DRIVER_ID_LENGTH + 1 :]
        return number.isdigit() and int(number) in self._holds

    def drop(self, number: int) -> None:
        """Forget a claim."""
        with self._lock:
            self._holds.pop(number, None)

    def give_up(self, number: int) -> None:
        """Forget a claim, and have the storage told."""
        with self._lock:
            if self._holds.pop(number, None) is not None and not self.is_copy:
                self._given_up.append(number)
                self._begin_beating()
                self.wake.set()

    # -- the thread ----------------------------------------------------------------------------

    def _begin_beating(self) -> None:
        if not self._has_thread:
            self._has_thread = True
            thread = threading.Thread(
                target=_keep_alive, args=(weakref.ref(self),), name="mastra driver", daemon=True
            )
            thread.start()

    def is_needed(self) -> bool:
        """Return whether the thread goes on: not where nothing is claimed any more."""
        with self._lock:
            self._has_thread = bool(self._holds or self._given_up) and not self.is_copy
            return self._has_thread

    def apart(self) -> DriverStore:
        """Return the storage for the thread."""
        return self._store.apart()

    async def work(self, store: DriverStore) -> None:
        """Give one sign of life, and give up what nobody here can go on with."""
        for hold in list(self._holds.values()):
            if hold.is_stranded:
                hold.give_up()
        await self._beat(store)
        await self._tell_of_given_up(store)

    async def _tell_of_given_up(self, store: DriverStore) -> None:
        for number in list(self._given_up):
            await store.release(f"{self.driver_id}:{number}")
            with self._lock, contextlib.suppress(ValueError):
                self._given_up.remove(number)

    async def rest(self) -> None:
        """Tell the storage what was given up, and that nobody has to wait for this process.

        Raises:
            StorageError: It cannot be told just now.
        """
        await self._tell_of_given_up(self._store)
        if not self._holds and self.beaten_at > 0:
            self.beaten_at = float("-inf")
            self.wake.set()
            await self._store.forget(self.driver_id)

    def become_copy(self) -> None:
        """Take note of being in a process that was forked: the driver is the other one."""
        self.is_copy = True
        self.epoch += 1
        self._lock = threading.Lock()
        self._has_thread = False


_drivers: WeakValueDictionary[str, Driver] = WeakValueDictionary()
"""The drivers of this process, by id."""
_by_store: WeakValueDictionary[int, Driver] = WeakValueDictionary()
"""The same by their store, which each of them keeps alive."""


def driver_of(store: DriverStore) -> Driver:
    """Return this process as a driver of the runs in a storage. Keep it while it drives any."""
    driver = _by_store.get(id(store))
    if driver is None:
        driver = Driver(store)
        _by_store[id(store)] = _drivers[driver.driver_id] = driver
    return driver


def _after_fork() -> None:
    for driver in list(_drivers.values()):
        driver.become_copy()
    _drivers.clear()
    _by_store.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _keep_alive(reference: weakref.ref[Driver]) -> None:
    """Give signs of life until nothing is claimed, or the driver is no longer there."""
    loop = asyncio.new_event_loop()
    store: DriverStore | None = None
    failures = 0
    try:
        while (driver := reference()) is not None:
            pause = driver.lease_s / BEATS_IN_A_LEASE / (4 if failures else 1)
            wake = driver.wake
            del driver  # not kept alive by waiting for it
            wake.wait(pause)
            wake.clear()
            driver = reference()
            if driver is None or not driver.is_needed():
                return
            store = store or driver.apart()
            work = driver.work(store)
            try:
                loop.run_until_complete(asyncio.wait_for(work, driver.lease_s / 2))
                failures = 0
            except Exception as error:  # noqa: BLE001 - tried again: the lease spans many beats
                failures += 1
                reason = str(error) or type(error).__name__
                get_logger().warning("Sign of life to the storage failed: %s", reason)
            del driver
    finally:
        if store is not None:
            with contextlib.suppress(StorageError):
                loop.run_until_complete(store.aclose())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
