"""The default engine: runs are asyncio tasks of this process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
import weakref
from collections.abc import AsyncIterator
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from mastra.clock import now_ms
from mastra.errors import RunClaimedError, RunStateError, StorageError
from mastra.jsonable import Json
from mastra.logs import get_logger
from mastra.storage.base import RunChanges, WorkflowStore
from mastra.workflows.active import ActiveRun
from mastra.workflows.engines.base import Halt, Ops, RunHandle
from mastra.workflows.engines.commands import Command, RunTarget
from mastra.workflows.engines.inprocess_ops import InProcessOps
from mastra.workflows.engines.journal import JournalWriter, LoadedRun, load_run
from mastra.workflows.engines.lifecycle import begin, conclude, go_back, head_of
from mastra.workflows.engines.outcome import Outcome, outcome_of_halt, outcome_of_value
from mastra.workflows.engines.owners import dead_owners, numbers, open_numbers, process_owner
from mastra.workflows.engines.stored import StoredHandle
from mastra.workflows.engines.tracing import keep_trace, trace_data, traced_leg
from mastra.workflows.engines.walker import walk
from mastra.workflows.events import Event
from mastra.workflows.graph import is_current, note_of
from mastra.workflows.results import WorkflowResult

__all__ = ["InProcessEngine"]

T = TypeVar("T")

LEASE_MS = 30_000
"""For how long the driver of a run is trusted to be alive without another sign of it."""

HEARTBEAT_S = 5.0
DRAIN_POLL_S = 0.02
CANCEL_GRACE_S = 1.0
"""How long a step that holds the abort signal may take to end by itself."""


class Leg:
    """A leg that this process drives."""

    __slots__ = ("command", "first_seq", "is_ending", "run", "task")

    def __init__(self, command: Command, run: ActiveRun) -> None:
        self.command = command
        self.run = run
        self.first_seq = run.first_seq
        self.task: asyncio.Task[WorkflowResult[Any]] | None = None
        self.is_ending = False
        """The walk is over, so that there is nothing to cancel."""

    async def result(self) -> WorkflowResult[Any]:
        """Wait for the end; being cancelled here does not cancel the run.

        Raises:
            RunStateError: The engine was closed, or lost the run to another process.
        """
        assert self.task is not None  # noqa: S101 - set before anyone gets the leg
        try:
            return await asyncio.shield(self.task)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if not self.task.cancelled() or caller is None or caller.cancelling():
                raise
            raise RunStateError(
                f"Run {self.run.run_id!r} of workflow {self.run.workflow_id!r} is no longer driven "
                "here: its engine was closed, or another process has taken it over.",
                code="RUN_STOPPED",
                details={"runId": self.run.run_id},
            ) from None

    def events(self, start: int) -> AsyncIterator[Event]:
        """Yield the run's events from a seq on."""
        return self.run.log.read(self.run.run_id, self.run.workflow_id, start)

    def batches(self, start: int, limit: int) -> AsyncIterator[list[Event]]:
        """Yield the run's events from a seq on, those that are there already together."""
        return self.run.log.batches(self.run.run_id, self.run.workflow_id, start, limit)


class InProcessEngine:
    """Runs workflows as asyncio tasks of this process.

    With a storage that outlives the process, every finished operation is stored before the next
    one starts, and a run can be restarted from there.
    """

    name = "inprocess"

    def __init__(self) -> None:
        self._legs: dict[tuple[int, str, str], Leg] = {}
        self._launching: set[tuple[int, str, str]] = set()
        self._heartbeats: dict[int, asyncio.Task[None]] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._left: list[RunTarget] = []
        """Runs that this engine still claims and no longer drives."""
        self._number = next(numbers)
        self._driving: WeakKeyDictionary[asyncio.Task[Any], InProcessOps] = WeakKeyDictionary()
        weakref.finalize(self, open_numbers.discard, self._number)

    @property
    def owner(self) -> str:
        """Under which name it drives runs in a store that others see, too."""
        return f"{process_owner()}:{self._number}"

    def _key(self, target: RunTarget) -> tuple[int, str, str]:
        return (id(target.store), target.spec.id, target.run_id)

    async def launch(self, command: Command) -> RunHandle:
        """Begin a leg as a task.

        Raises:
            RunStateError: The run is being driven here already.
            RunClaimedError: Another process drives it.
        """
        target = command.target
        key = self._key(target)
        if key in self._legs or key in self._launching:
            raise RunStateError(
                f"Run {target.run_id!r} of workflow {target.workflow_id!r} is being driven already.",
                code="RUN_ALREADY_RUNNING",
            )
        self._launching.add(key)
        try:
            run = await self._take_up(command)
        finally:
            self._launching.discard(key)
        leg = self._legs[key] = Leg(command, run)
        driving = self._drive(key, leg)
        if run.span is not None:
            driving = traced_leg(run.span, driving)
        leg.task = asyncio.create_task(  # noqa: TID251 - a run outlives whoever started it
            driving, name=f"mastra run {target.run_id}"
        )
        if target.store.is_shared:
            self._keep_alive(target.store)
        return leg

    async def _take_up(self, command: Command) -> ActiveRun:
        target = command.target
        store = target.store
        if store.is_shared:
            open_numbers.add(self._number)
            if command.is_created:
                await self._claim(target)
        loaded = None
        if command.kind != "start":
            loaded = await load_run(store, target.workflow_id, target.run_id)
        if command.kind == "restart" and loaded is not None and not loaded.is_under_way:
            await self._release(target)
            raise RunStateError(
                f"Run {target.run_id!r} of workflow {target.workflow_id!r} is "
                f"{loaded.head.status}: somebody else went on with it first.",
                code="RUN_NOT_ACTIVE",
            )
        if command.kind == "restart" and loaded is not None:
            await self._note_definition(target, loaded)
        run = begin(command, loaded)
        run.owner = self.owner if store.is_shared else None
        if run.span is not None and command.is_created:
            await keep_trace(command, run, None if loaded is None else loaded.head.data)
        return run

    async def _note_definition(self, target: RunTarget, loaded: LoadedRun) -> None:
        """Store by which definition a run goes on, where that is another one than before."""
        if is_current(target.spec, loaded.head):
            return
        loaded.head.data |= note_of(target.spec)
        await target.store.update_run(
            target.workflow_id, target.run_id, RunChanges(data=loaded.head.data)
        )

    async def _claim(self, target: RunTarget) -> None:
        """Make this engine the driver of a run.

        Raises:
            RunClaimedError: Another one is, and there are signs that it is alive.
        """
        claim = functools.partial(target.store.claim, target.workflow_id, target.run_id, self.owner)
        now = now_ms()
        if await claim(now + LEASE_MS, now_ms=now):
            return
        head = await target.store.get_run(target.workflow_id, target.run_id)
        owner = None if head is None else head.owner
        dead = dead_owners(owner)
        if not dead or not await claim(now + LEASE_MS, now_ms=now, dead_owners=dead):
            raise RunClaimedError(
                f"Run {target.run_id!r} of workflow {target.workflow_id!r} is driven by process "
                f"{owner!r}. Wait until it ends or its lease of {LEASE_MS // 1000} s is over.",
                details={"runId": target.run_id, "owner": owner},
            )

    async def _release(self, target: RunTarget) -> None:
        """Let others go on with a run at once, without waiting for the lease to end."""
        await target.store.update_run(
            target.workflow_id,
            target.run_id,
            RunChanges(owner=None, lease_until=0),
            expected_owner=self.owner,
        )

    def _keep_alive(self, store: WorkflowStore) -> None:
        beat = self._heartbeats.get(id(store))
        if beat is None or beat.done():
            self._heartbeats[id(store)] = asyncio.create_task(  # noqa: TID251
                self._beat(store), name="mastra heartbeat"
            )

    async def _beat(self, store: WorkflowStore) -> None:
        """Say that this process is alive, and look whether somebody cancelled its runs."""
        while legs := [leg for leg in self._legs.values() if leg.command.target.store is store]:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                await store.heartbeat(self.owner, now_ms() + LEASE_MS)
                for leg in legs:
                    await self._look_after(leg)
            except Exception as error:  # noqa: BLE001 - tried again; the lease spans many beats
                get_logger().warning("Heartbeat to the storage failed: %s", error)

    async def _look_after(self, leg: Leg) -> None:
        target, task = leg.command.target, leg.task
        head = await target.store.get_run(target.workflow_id, target.run_id)
        if head is None or task is None or leg.is_ending:
            return
        if leg.run.tell is not None:
            await leg.run.tell()
        if head.owner not in (None, self.owner):
            get_logger().error(
                "Run %r of workflow %r was taken over by process %r, since this one gave no sign "
                "of life for too long.",
                target.run_id,
                target.workflow_id,
                head.owner,
            )
            task.cancel()
        elif head.status == "canceled":
            stop = asyncio.create_task(self._stop(leg))  # noqa: TID251 - a step may take its time
            self._stopping.add(stop)
            stop.add_done_callback(self._stopping.discard)

    async def _drive(self, key: tuple[int, str, str], leg: Leg) -> WorkflowResult[Any]:
        command, run = leg.command, leg.run
        target = command.target
        head = None
        if not command.is_created:
            head = head_of(command)
            head.data |= trace_data(run)
            head.owner, head.lease_until = run.owner, now_ms() + LEASE_MS
        writer = JournalWriter(run, target.spec, target.store, head)
        if target.store.is_shared:
            run.tell = writer.tell
        try:
            try:
                outcome = await self._walk(command, run, writer)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not run.is_abort_requested or task is None:
                    # The process is going down, and the run can be restarted.
                    if target.store.is_shared:
                        self._left.append(target)
                    raise
                while task.uncancel():
                    pass
                outcome = Outcome("canceled")
            if run.is_abort_requested:
                # Also where a step failed because it was told to stop.
                outcome = Outcome("canceled")
            leg.is_ending = True
            return await conclude(command, run, writer, outcome)
        except Exception as error:
            get_logger({"run_id": run.run_id, "workflow_id": run.workflow_id}).error(
                "Run %r of workflow %r stopped and can be restarted: %s: %s",
                run.run_id,
                run.workflow_id,
                type(error).__name__,
                error,
            )
            raise
        finally:
            run.log.close()
            self._legs.pop(key, None)

    async def _walk(self, command: Command, run: ActiveRun, writer: JournalWriter) -> Outcome:
        ops = InProcessOps(run, writer, is_shared=command.target.store.is_shared)
        task = asyncio.current_task()
        if task is not None:
            self._driving[task] = ops
        await self._go_back(command, run, writer)
        return await self._walk_once(run, ops, command)

    async def _walk_once(self, run: ActiveRun, ops: Ops, command: Command) -> Outcome:
        spec = command.target.spec
        try:
            value: Json = await walk(run, ops, spec)
        except Halt as halt:
            return outcome_of_halt(run, spec, halt)
        return outcome_of_value(run, spec, value)

    async def _go_back(self, command: Command, run: ActiveRun, writer: JournalWriter) -> None:
        if command.reopening.travel is not None:
            await go_back(run, writer, command.reopening.travel)

    def attach(self, target: RunTarget) -> RunHandle:
        """Return the leg that runs here, or what storage tells of it."""
        return self._legs.get(self._key(target)) or StoredHandle(target)

    def active(self, target: RunTarget) -> ActiveRun | None:
        """Return the run if this process drives it."""
        leg = self._legs.get(self._key(target))
        return None if leg is None else leg.run

    async def cancel(self, target: RunTarget) -> bool:
        """Stop a leg that runs here and wait until it has ended."""
        leg = self._legs.get(self._key(target))
        if leg is None:
            return False
        await self._stop(leg)
        return True

    async def _stop(self, leg: Leg) -> None:
        run, task = leg.run, leg.task
        assert task is not None  # noqa: S101 - set before anyone gets the leg
        run.is_abort_requested = True
        run.controller.abort()
        if run.signal_was_seen:
            await asyncio.wait({task}, timeout=CANCEL_GRACE_S)
        if not leg.is_ending:
            task.cancel()
        if task is not asyncio.current_task():
            await asyncio.wait({task})

    async def drain(self, time_limit_s: float) -> int:
        """Let runs end; with a shared storage, let them reach the end of an operation and stop.

        Args:
            time_limit_s: For how long.

        Returns:
            How many runs did not get there.
        """
        until = time.monotonic() + time_limit_s
        while driving := [(task, ops) for task, ops in self._driving.items() if not task.done()]:
            for task, ops in driving:
                ops.is_draining = ops.is_shared
                if ops.is_shared and not ops.active:
                    task.cancel()
            if time.monotonic() > until:
                return len(driving)
            await asyncio.sleep(DRAIN_POLL_S)
        return 0

    async def aclose(self) -> None:
        """Stop every run of this process where it is; with a shared storage it can be restarted."""
        legs = [leg.task for leg in self._legs.values() if leg.task is not None]
        tasks: list[asyncio.Task[Any]] = [*legs, *self._heartbeats.values(), *self._stopping]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._heartbeats.clear()
        open_numbers.discard(self._number)
        left, self._left = self._left, []
        for target in left:
            with contextlib.suppress(StorageError):
                await self._release(target)
