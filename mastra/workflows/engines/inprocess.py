"""The default engine: runs are asyncio tasks of this process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import socket
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from mastra.clock import now_ms
from mastra.errors import RunClaimedError, RunStateError, StorageError
from mastra.jsonable import Json
from mastra.logs import get_logger
from mastra.storage.base import RunChanges, WorkflowStore
from mastra.workflows.active import ActiveRun
from mastra.workflows.engines.base import Body, Halt, Ops, RunHandle
from mastra.workflows.engines.commands import Command, RunTarget
from mastra.workflows.engines.journal import JournalWriter, load_run
from mastra.workflows.engines.lifecycle import (
    Outcome,
    begin,
    conclude,
    drop_ops,
    head_of,
    outcome_of_halt,
    outcome_of_value,
)
from mastra.workflows.engines.stored import StoredHandle
from mastra.workflows.engines.walker import walk
from mastra.workflows.events import Event, Kind, to_event
from mastra.workflows.records import StepRecord
from mastra.workflows.results import WorkflowResult

__all__ = ["InProcessEngine", "dead_owners", "process_owner"]

T = TypeVar("T")

LEASE_MS = 30_000
"""For how long the driver of a run is trusted to be alive without another sign of it."""

HEARTBEAT_S = 5.0
YIELD_AFTER_MS = 20
"""How long steps that never wait may keep the event loop to themselves."""

DRAIN_POLL_S = 0.02
CANCEL_GRACE_S = 1.0
"""How long a step that holds the abort signal may take to end by itself."""


def _start_time(pid: int) -> str:
    # Tells a process from a later one with the same number, where the system says.
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123 - no Path on this path
            return stat.read().rpartition(b")")[2].split()[19].decode()
    except OSError:
        return ""


_owners: dict[int, str] = {}
_numbers = itertools.count(1)
_open: set[int] = set()
"""Numbers of the engines of this process that are not closed."""


def process_owner() -> str:
    """Return the name of this process: `host:pid:start`."""
    pid = os.getpid()
    if pid not in _owners:
        _owners[pid] = f"{socket.gethostname()}:{pid}:{_start_time(pid)}"
    return _owners[pid]


def dead_owners(owner: str | None) -> tuple[str, ...]:
    """Return the owner if it was an engine of this machine that is gone, else nothing."""
    if not owner:
        return ()
    process, _, number = owner.rpartition(":")
    if process == process_owner():
        return () if int(number) in _open else (owner,)
    host, _, rest = process.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not rest.isdigit():
        return ()
    pid = int(rest)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return (owner,)
    except PermissionError:
        return ()
    return () if _start_time(pid) == process.rpartition(":")[2] else (owner,)


class InProcessOps:
    """Operations as plain awaits, branches as tasks."""

    __slots__ = ("_run", "_writer", "active", "inline_delay_s", "is_draining", "is_shared")

    def __init__(self, run: ActiveRun, writer: JournalWriter, *, is_shared: bool) -> None:
        self._run = run
        self._writer = writer
        self.is_shared = is_shared
        self.active = 0
        """Operations under way: where there are none, nothing is lost by stopping."""
        self.is_draining = False
        """Whether no further operation may begin."""
        # A wait that a crash would cut short is worth an operation of its own only where
        # something is left after the crash.
        self.inline_delay_s = 5.0 if is_shared else float("inf")

    async def record(self, op_id: str, body: Body) -> StepRecord:
        """Run an operation and store its record before anything else happens."""
        del op_id
        if self.is_draining:
            await asyncio.Future()  # until the engine cancels the leg
        self.active += 1
        try:
            record = await body()
            stored = self._writer.commit(record)
            if stored is not None:
                await stored
        finally:
            self.active -= 1
        run, ended_at = self._run, record.ended_at or 0
        if ended_at - run.last_yield_ms > YIELD_AFTER_MS:
            run.last_yield_ms = ended_at
            await asyncio.sleep(0)
        return record

    async def gather(
        self, branches: Sequence[Callable[[], Awaitable[T]]], limit: int | None
    ) -> list[T | Halt | None]:
        """Run branches as tasks, or one after the other where that is the limit."""
        results: list[T | Halt | None] = [None] * len(branches)
        at_once = len(branches) if limit is None else min(limit, len(branches))
        places: Iterator[int | None] = iter(range(at_once, len(branches)))
        halted: list[int] = []

        async def work(place: int | None) -> None:
            while place is not None:
                try:
                    results[place] = await branches[place]()
                except Halt as halt:
                    results[place] = halt
                    halted.append(place)
                place = None if halted else next(places, None)

        if at_once < 2:
            await work(0 if branches else None)
            return results
        async with asyncio.TaskGroup() as group:
            # The first ones start together, whatever becomes of any of them.
            for place in range(at_once):
                group.create_task(work(place))
        return results

    async def sleep(self, record: StepRecord) -> StepRecord:
        """Sleep until the record's time, which a restart of the process does not change."""
        run = self._run
        if record.op_id not in run.journal:
            stored = self._writer.commit(record)
            if stored is not None:
                await stored
        delay = (record.wake_at or 0) - time.time()
        if delay > 0:
            await asyncio.sleep(delay)
        done = StepRecord(record.op_id, record.step_id, record.payload, record.started_at)
        done.kind, done.wake_at = record.kind, record.wake_at
        done.output, done.status, done.ended_at = record.output, "success", now_ms()
        run.order += 1
        done.order = run.order
        if record.start_seq >= 0:  # where that is, the record that waits has stored
            done.end_seq = run.log.append(Kind.STEP_END, done)
        stored = self._writer.commit(done)
        if stored is not None:
            await stored
        return done


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
        self._number = next(_numbers)
        weakref.finalize(self, _open.discard, self._number)

    @property
    def owner(self) -> str:
        """Under which name it drives runs in a store that others see, too."""
        return f"{process_owner()}:{self._number}"
        self._driving: WeakKeyDictionary[asyncio.Task[Any], InProcessOps] = WeakKeyDictionary()

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
        leg.task = asyncio.create_task(  # noqa: TID251 - a run outlives whoever started it
            self._drive(key, leg), name=f"mastra run {target.run_id}"
        )
        if target.store.is_shared:
            self._keep_alive(target.store)
        return leg

    async def _take_up(self, command: Command) -> ActiveRun:
        target = command.target
        store = target.store
        if store.is_shared:
            _open.add(self._number)
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
        run = begin(command, loaded)
        run.owner = self.owner if store.is_shared else None
        return run

    async def _claim(self, target: RunTarget) -> None:
        """Make this engine the driver of a run.

        Raises:
            RunClaimedError: Another one is, and there are signs that it is alive.
        """
        claim = functools.partial(
            target.store.claim, target.workflow_id, target.run_id, self.owner
        )
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
            head.owner, head.lease_until = run.owner, now_ms() + LEASE_MS
        writer = JournalWriter(run, target.spec, target.store, head)
        try:
            try:
                outcome = await self._walk(command, run, writer)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not run.is_abort_requested or task is None:
                    raise  # the process is going down; the run can be restarted
                while task.uncancel():
                    pass
                outcome = Outcome("canceled")
            if run.is_abort_requested and outcome.status not in ("failed", "tripwire"):
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
        travel = command.reopening.travel
        if travel is None:
            return
        stored = [drop_ops(run, writer, list(travel.dropped))] if travel.dropped else []
        stored += [writer.commit(record) for record in travel.given]
        for write in stored:
            if write is not None:
                await write
        run.base_ops = frozenset(run.journal)

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
        legs = list(self._legs.values())
        tasks = [leg.task for leg in legs if leg.task is not None]
        tasks = [*tasks, *self._heartbeats.values(), *self._stopping]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._heartbeats.clear()
        _open.discard(self._number)
        for target in (leg.command.target for leg in legs):
            if target.store.is_shared:
                with contextlib.suppress(StorageError):
                    await self._release(target)
