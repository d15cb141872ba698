"""The default engine: runs are asyncio tasks of this process."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from mastra.clock import now_ms
from mastra.errors import RunClaimedError, RunStateError
from mastra.jsonable import Json
from mastra.logs import get_logger
from mastra.storage.base import WorkflowStore
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


def process_owner() -> str:
    """Return the name under which this process drives runs: `host:pid:start`."""
    pid = os.getpid()
    if pid not in _owners:
        _owners[pid] = f"{socket.gethostname()}:{pid}:{_start_time(pid)}"
    return _owners[pid]


def dead_owners(owner: str | None) -> tuple[str, ...]:
    """Return the owner if it was a process of this machine that is gone, else nothing."""
    if not owner or owner == process_owner():
        return ()
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not rest.isdigit():
        return ()
    pid = int(rest)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return (owner,)
    except PermissionError:
        return ()
    return () if _start_time(pid) == owner.rpartition(":")[2] else (owner,)


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
        done.kind, done.wake_at, done.start_seq = record.kind, record.wake_at, record.start_seq
        done.output, done.status, done.ended_at = record.output, "success", now_ms()
        run.order += 1
        done.order = run.order
        if done.start_seq >= 0:
            done.end_seq = run.log.append(Kind.STEP_END, done)
        stored = self._writer.commit(done)
        if stored is not None:
            await stored
        return done


class Leg:
    """A leg that this process drives."""

    __slots__ = ("command", "first_seq", "run", "task")

    def __init__(self, command: Command, run: ActiveRun, first_seq: int) -> None:
        self.command = command
        self.run = run
        self.first_seq = first_seq
        self.task: asyncio.Task[WorkflowResult[Any]] | None = None

    async def result(self) -> WorkflowResult[Any]:
        """Wait for the end; being cancelled here does not cancel the run."""
        assert self.task is not None  # noqa: S101 - set before anyone gets the leg
        return await asyncio.shield(self.task)

    async def events(self, start: int) -> AsyncIterator[Event]:
        """Yield the run's events from a seq on."""
        run_id, workflow_id = self.run.run_id, self.run.workflow_id
        async for seq, entry in self.run.log.read(start):
            yield to_event(run_id, workflow_id, seq, entry)


class InProcessEngine:
    """Runs workflows as asyncio tasks of this process.

    With a storage that outlives the process, every finished operation is stored before the next
    one starts, and a run can be restarted from there.
    """

    name = "inprocess"

    def __init__(self) -> None:
        self._legs: dict[tuple[int, str, str], Leg] = {}
        self._heartbeats: dict[int, asyncio.Task[None]] = {}
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
        if key in self._legs:
            raise RunStateError(
                f"Run {target.run_id!r} of workflow {target.workflow_id!r} is being driven already.",
                code="RUN_ALREADY_RUNNING",
            )
        store = target.store
        if store.is_shared and command.is_created:
            await self._claim(target)
        loaded = None
        if command.kind != "start":
            loaded = await load_run(store, target.workflow_id, target.run_id)
        run = begin(command, loaded)
        first_seq = len(run.log.entries) - (1 if command.kind != "restart" else 0)
        leg = self._legs[key] = Leg(command, run, max(first_seq, 0))
        leg.task = asyncio.create_task(  # noqa: TID251 - a run outlives whoever started it
            self._drive(key, leg), name=f"mastra run {target.run_id}"
        )
        if store.is_shared:
            self._keep_alive(store)
        return leg

    async def _claim(self, target: RunTarget) -> None:
        head = await target.store.get_run(target.workflow_id, target.run_id)
        now = now_ms()
        if not await target.store.claim(
            target.workflow_id,
            target.run_id,
            process_owner(),
            now + LEASE_MS,
            now_ms=now,
            dead_owners=dead_owners(None if head is None else head.owner),
        ):
            raise RunClaimedError(
                f"Run {target.run_id!r} of workflow {target.workflow_id!r} is driven by process "
                f"{None if head is None else head.owner!r}. Wait until it ends or its lease of "
                f"{LEASE_MS // 1000} s is over."
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
                await store.heartbeat(process_owner(), now_ms() + LEASE_MS)
                for leg in legs:
                    target = leg.command.target
                    head = await store.get_run(target.workflow_id, target.run_id)
                    if head is not None and head.status == "canceled":
                        await self._stop(leg)
            except Exception as error:  # noqa: BLE001 - tried again; the lease spans many beats
                get_logger().warning("Heartbeat to the storage failed: %s", error)

    async def _drive(self, key: tuple[int, str, str], leg: Leg) -> WorkflowResult[Any]:
        command, run = leg.command, leg.run
        target = command.target
        head = None if command.is_created else head_of(command)
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
        if not task.done():
            task.cancel()
        await asyncio.wait({task})

    async def drain(self, timeout: float) -> int:
        """Let runs end; with a shared storage, let them reach the end of an operation and stop.

        Args:
            timeout: For how many seconds.

        Returns:
            How many runs did not get there.
        """
        until = time.monotonic() + timeout
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
        tasks = [leg.task for leg in self._legs.values() if leg.task is not None]
        beats = list(self._heartbeats.values())
        for task in [*tasks, *beats]:
            task.cancel()
        await asyncio.gather(*tasks, *beats, return_exceptions=True)
        self._heartbeats.clear()
