"""The default engine: runs are asyncio tasks of this process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from weakref import WeakValueDictionary

from mastra.cancellation import CodeTask, begin_code, forget_requests, is_cancelled
from mastra.clock import Clock
from mastra.errors import RunClaimedError, RunStateError, StorageError
from mastra.given import check_given
from mastra.jsonable import Json
from mastra.logs import get_logger
from mastra.observability.spans import Span
from mastra.storage.base import RunChanges, WorkflowStore
from mastra.workflows.active import ActiveRun
from mastra.workflows.engines.base import Halt, LeftOutError, Recoverable, RunHandle, check_open
from mastra.workflows.engines.commands import Command, RunTarget
from mastra.workflows.engines.drivers import Driver, Hold, driver_of
from mastra.workflows.engines.inprocess_ops import OF_ENGINE, OpsFactory, canceled_alone, make_ops
from mastra.workflows.engines.journal import load_run
from mastra.workflows.engines.leg import Leg, confirm, leave, lose, running_loop
from mastra.workflows.engines.lifecycle import begin, conclude
from mastra.workflows.engines.outcome import (
    Outcome,
    outcome_of_fault,
    outcome_of_halt,
    outcome_of_value,
)
from mastra.workflows.engines.quiet import Trail, trail_of
from mastra.workflows.engines.recovery import Lookout, note_recovery, try_to_take_answer
from mastra.workflows.engines.stored import StoredHandle
from mastra.workflows.engines.tracing import keep_trace, traced_leg
from mastra.workflows.engines.travel import go_back
from mastra.workflows.engines.walker import walk
from mastra.workflows.results import WorkflowResult
from mastra.workflows.versions.choice import check_definition

if TYPE_CHECKING:
    from mastra.workflows.engines.admission import Admissions

__all__ = ["InProcessEngine"]

Begun: TypeAlias = tuple[ActiveRun, BaseException | None]
"""A run as a leg finds it, and why it is to fail without another step."""

LOOKS_IN_A_LEASE: Final = 6
DRAIN_POLL_S: Final = 0.02
LAUNCH_POLL_S: Final = 0.005
CANCELED: Final = RunChanges(status="canceled")
CANCEL_GRACE_S: Final = 1.0
"""How long a step that holds the abort signal may take to end by itself."""


class InProcessEngine:
    """Runs workflows as asyncio tasks of this process.

    With a storage that outlives the process, every finished operation is stored before the next
    one starts, and a run whose process ends goes on from there: in another process on the same
    storage, or when the program starts again.

    Args:
        max_recoveries: How often a run is taken up again without having got any further, before
            it fails with the code `RECOVERY_LIMIT`: its next step ends the process each time.
        clock: What its runs go by; left out, the application's clock, else the machine's.
        ops: Makes what a walk acts through, for engines that walk in a way of their own.
    """

    name = "inprocess"
    has_server = False

    def __init__(
        self,
        *,
        max_recoveries: int = 5,
        clock: Clock | None = None,
        ops: OpsFactory = make_ops,
    ) -> None:
        check_given("InProcessEngine", locals(), OF_ENGINE)
        self._max_recoveries = max_recoveries
        self.clock = clock
        """What its runs go by, where it has a clock of its own."""
        self._make_ops = ops
        # Not where somebody's own code sees what is launched, or each operation.
        self._may_be_quiet = ops is make_ops and type(self) is InProcessEngine
        self._legs: dict[tuple[int, str, str], Leg] = {}
        self._launching: dict[tuple[int, str, str], bool] = {}
        """Legs that are about to begin, and whether they were cancelled before they have."""
        self._drivers: dict[int, Driver] = {}
        self._watches: dict[tuple[int, asyncio.AbstractEventLoop], asyncio.Task[None]] = {}
        self._workflows: WeakValueDictionary[tuple[int, str], Recoverable] = WeakValueDictionary()
        self._restarts = True
        self._admissions: Admissions | None = None
        self._beside: set[asyncio.Task[None]] = set()
        self.closings = 0
        """How often it was closed."""

    def _key(self, target: RunTarget) -> tuple[int, str, str]:
        return (id(target.store), target.spec.id, target.run_id)

    # -- claiming ------------------------------------------------------------------------------

    async def hold(self, store: WorkflowStore) -> Hold | None:
        """Return a claim of this process; `None` where nobody else sees the runs."""
        drivers = store.drivers
        if drivers is None:
            return None
        driver = self._drivers.get(id(store))
        if driver is None or driver.is_copy:
            driver = self._drivers[id(store)] = driver_of(drivers)
        return await driver.hold()

    async def _claim(self, command: Command) -> str | None:
        """Take over a run that nobody drives; return under which claim it was.

        Raises:
            RunClaimedError: Somebody drives it, and may be alive.
        """
        target, hold = command.target, command.hold
        if hold is None:
            return None
        store, key = target.store, (target.workflow_id, target.run_id)
        head = await store.get_run(*key)
        owner = None if head is None else head.owner
        if await hold.takes_over(store, *key, owner):
            return owner
        hold.drop()
        raise RunClaimedError(
            f"Run {target.run_id!r} of workflow {target.workflow_id!r} is driven by another "
            f"process, as {owner!r}. Wait until it ends, or until that one has given no sign of "
            f"life for {hold.driver.lease_s:g} s.",
            details={"runId": target.run_id, "owner": owner},
        )

    # -- legs ----------------------------------------------------------------------------------

    def begin(self, command: Command, changes: RunChanges) -> RunHandle | None:
        """Begin a run at once, in quiet."""
        key = self._key(command.target)
        if command.closings != self.closings or key in self._legs or key in self._launching:
            return None  # `launch` says why not
        trail = trail_of(command, changes) if self._may_be_quiet else None
        if trail is None:
            return None
        return self._begin_leg(key, Leg(command, trail.loop, trail=trail))

    async def launch(self, command: Command) -> RunHandle:
        """Begin a leg as a task.

        Raises:
            RunStateError: The run is being driven here already.
            RunClaimedError: Another process drives it.
        """
        check_open(self, command)
        target = command.target
        key = self._key(target)
        self._forget_stranded(key)
        known = self._legs.get(key)
        if known is not None or key in self._launching:
            if command.kind == "restart" and command.hold is not None:
                command.hold.drop()  # it was never claimed
            if known is not None and known.command.kind == command.kind == "restart":
                return known  # such as one that was found just now, with nobody driving it
            raise RunStateError(
                f"Run {target.run_id!r} of workflow {target.workflow_id!r} is being driven already.",
                code="RUN_ALREADY_RUNNING",
            )
        self._launching[key] = False
        try:
            # Before it asks for a place: a run has one, which is whose claim it is.
            owner_before = await self._claim(command) if command.kind == "restart" else None
            begin_leg = self._with_place if target.spec.flow_control else self._take_up
            run, failure = await begin_leg(command, owner_before)
            if self.closings != command.closings and run.place is not None:
                await run.place.leave()
            check_open(self, command)
            if self._launching[key]:
                run.stop.throw()
        finally:
            del self._launching[key]
        return self._begin_leg(key, Leg(command, run.home.loop, run, failure), run.span)

    def _begin_leg(self, key: tuple[int, str, str], leg: Leg, span: Span | None = None) -> Leg:
        self._legs[key] = leg
        trail, target = leg.trail, leg.command.target
        driving = self._drive(key, leg) if trail is None else self._drive_quietly(key, leg, trail)
        if span is not None:
            driving = traced_leg(span, driving)
        # No task group's: a run outlives whoever started it.
        leg.task = CodeTask(driving, loop=leg.loop, name=f"mastra run {target.run_id}")
        leg.watch()
        if leg.command.hold is not None:
            self._watch(target.store)
        return leg

    async def _with_place(self, command: Command, owner_before: str | None) -> Begun:
        if self._admissions is None:
            from mastra.workflows.engines.admission import Admissions  # noqa: PLC0415 - few need it

            self._admissions = Admissions()
        place = await self._admissions.ask(command, self._cancel_other)
        try:
            run, failure = await self._take_up(command, owner_before)
        except BaseException:
            if place is not None:
                await place.leave()
            raise
        run.place = place
        return run, failure

    async def _take_up(self, command: Command, owner_before: str | None) -> Begun:
        target, hold = command.target, command.hold
        loaded = failure = None
        if command.kind != "start":
            loaded = await load_run(target.store, target.workflow_id, target.run_id)
        if command.kind == "restart" and loaded is not None:
            if not loaded.is_under_way:
                raise RunStateError(
                    f"Run {target.run_id!r} of workflow {target.workflow_id!r} is "
                    f"{loaded.head.status}: somebody else went on with it first.",
                    code="RUN_NOT_ACTIVE",
                )
            # Whoever drove it may have got further since the caller looked.
            check_definition(target.spec, loaded)
            most = self._max_recoveries
            failure = await note_recovery(command, loaded, owner_before, most)
        run = begin(command, loaded)
        run.owner = None if hold is None else hold.owner
        if run.span is not None and command.is_created:
            await keep_trace(command, run, None if loaded is None else loaded.head.data)
        return run, failure

    def _forget_stranded(self, key: tuple[int, str, str]) -> None:
        """Forget a leg whose event loop was closed under it, or that was stopped as it began."""
        leg = self._legs.get(key)
        if leg is not None and (leg.loop.is_closed() or (leg.task is not None and leg.task.done())):
            del self._legs[key]
            if leg.command.hold is not None:
                leg.command.hold.give_up()

    async def _drive_quietly(
        self, key: tuple[int, str, str], leg: Leg, trail: Trail
    ) -> WorkflowResult[Any]:
        """Drive a leg as far as nobody is told of it, and on from there."""
        task = leg.begun()
        begin_code()
        try:
            result = await trail.walk(leg.command, task)
        except BaseException as error:  # noqa: BLE001 - raised again where it is looked at
            trail.break_off(error)
        else:
            if result is not None:
                self._legs.pop(key, None)
                leg.end()
                return result
        return await self._drive(key, leg)

    async def _drive(self, key: tuple[int, str, str], leg: Leg) -> WorkflowResult[Any]:
        command = leg.command
        target, hold = command.target, command.hold
        leg.begun()
        begin_code()
        try:
            outcome = await self._outcome(leg)
            leg.is_ending = True
            result = await conclude(command, leg.run, leg.writer, outcome)
        except BaseException as error:
            leg.watch()  # its exception is looked at when it has ended
            await leave(leg, error)
            raise
        else:
            if hold is not None:
                hold.drop()
            if result.status == "suspended":
                self._look_for_answers(target)
            return result
        finally:
            try:
                if leg.place is not None:
                    await leg.place.leave()
            finally:  # also where the storage is away, or the engine is closed just now
                leg.close()
                if self._legs.get(key) is leg:
                    del self._legs[key]
                leg.end()

    def _look_for_answers(self, target: RunTarget) -> None:
        workflow = self._workflows.get((id(target.store), target.workflow_id))
        if workflow is not None:
            self._begin(try_to_take_answer(workflow, target.store, target.run_id))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin something beside the legs, which ends with the engine."""
        task = asyncio.create_task(work)  # noqa: TID251
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _outcome(self, leg: Leg) -> Outcome:
        if leg.failure is not None:
            return outcome_of_fault(leg.run, leg.failure)
        if leg.is_stopped and not (leg.trail and leg.trail.has_begun):  # before it had begun
            return Outcome("canceled")
        try:
            outcome = await self._walk(leg)
            if leg.is_stopped:
                # A step may have cancelled its run and awaited nothing since.
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or (not leg.is_stopped and is_cancelled(task, 0)):
                raise  # the process is going down, and the run can be restarted
            forget_requests(task, 0)
            if not leg.is_stopped:
                outcome = outcome_of_fault(leg.run, canceled_alone())
            else:
                outcome = Outcome("canceled")
        except (StorageError, RunClaimedError, LeftOutError):
            raise  # it goes on later, or elsewhere
        except Exception as error:  # noqa: BLE001 - it would stop the run here again and again
            outcome = outcome_of_fault(leg.run, error)
        # Also where a step failed because it was told to stop.
        return Outcome("canceled") if leg.is_stopped else outcome

    async def _walk(self, leg: Leg) -> Outcome:
        command, trail = leg.command, leg.trail
        if trail is not None and trail.outcome is not None:
            return trail.outcome
        run, writer = leg.run, leg.writer
        ops = self._make_ops(run, writer, command.hold, functools.partial(confirm, command))
        leg.ops = ops
        travel, spec = command.reopening.travel, command.target.spec
        if run.place is not None:
            await run.place.enter()
        if travel is not None:
            await go_back(run, writer, travel)
        try:
            if trail is not None:
                await trail.take_up(ops, writer)
            value: Json = await ops.drive(functools.partial(walk, run, ops, spec))
        except Halt as halt:
            return outcome_of_halt(run, spec, halt)
        return outcome_of_value(run, spec, value)

    # -- looking after runs --------------------------------------------------------------------

    def serve(self, workflow: Recoverable, store: WorkflowStore) -> None:
        """Take note of a workflow whose runs in a store this engine may have to go on with."""
        self._workflows[id(store), workflow.id] = workflow

    async def open(self, store: WorkflowStore, *, restarts: bool = True) -> None:
        """Begin to look after the runs in a store, where other processes see them."""
        self._restarts = restarts
        if store.drivers is not None:
            self._watch(store)

    def _watch(self, store: WorkflowStore) -> None:
        loop = asyncio.get_running_loop()
        for known in [key for key in self._watches if key[1].is_closed()]:
            del self._watches[known]
        task = self._watches.get((id(store), loop))
        if task is None or task.done():
            self._watches[id(store), loop] = asyncio.create_task(  # noqa: TID251
                self._keep_watch(store, loop), name="mastra watch"
            )

    async def _keep_watch(self, store: WorkflowStore, loop: asyncio.AbstractEventLoop) -> None:
        """See whether somebody cancelled runs of this loop, and go on with those of the dead."""
        drivers = store.drivers
        assert drivers is not None  # noqa: S101 - who calls has looked
        lookout = Lookout(store, drivers)
        served = functools.partial(self._served, id(store))
        while True:
            # What was cut off before the program began is its own to restart, if it wants to.
            await asyncio.sleep(drivers.lease_s / LOOKS_IN_A_LEASE)
            try:
                for leg in list(self._legs.values()):
                    if leg.command.target.store is store and leg.loop is loop:
                        await self._look_after(leg)
                if self._restarts:
                    await lookout.look(served)
            except Exception as error:  # noqa: BLE001 - looked at again in a moment
                get_logger().warning("The storage could not be asked about runs: %s", error)

    def _served(self, store_id: int) -> Iterator[Recoverable]:
        return iter([flow for key, flow in self._workflows.items() if key[0] == store_id])

    async def _look_after(self, leg: Leg) -> None:
        target, task = leg.command.target, leg.task
        head = await target.store.get_run(target.workflow_id, target.run_id)
        is_deleted = head is None and leg.command.is_created  # else it may not be stored yet
        if task is None or leg.is_ending or (head is None and not is_deleted):
            return
        if head is not None and head.owner not in (None, leg.run.owner):
            lose(leg)
            task.end()
        elif head is None or head.status == "canceled":
            self._begin(self._stop(leg))  # a step may take its time
        elif leg.run.outbox.tell is not None:
            await leg.run.outbox.tell()

    def attach(self, target: RunTarget) -> RunHandle:
        """Return the leg that runs here, or what storage tells of it."""
        leg = self._legs.get(self._key(target))
        is_here = leg is not None and leg.loop is running_loop()
        return leg if leg is not None and is_here else StoredHandle(target, self)

    def active(self, target: RunTarget) -> ActiveRun | None:
        """Return the run if this process drives it."""
        leg = self._legs.get(self._key(target))
        return None if leg is None else leg.run

    # -- stopping ------------------------------------------------------------------------------

    async def cancel(self, target: RunTarget) -> bool:
        """Stop a leg that runs here and wait until it has ended."""
        key = self._key(target)
        self._forget_stranded(key)
        while key in self._launching:
            self._launching[key] = True
            await asyncio.sleep(LAUNCH_POLL_S)
        leg = self._legs.get(key)
        if leg is None:
            return False
        if leg.loop is asyncio.get_running_loop():
            await self._stop(leg)
        else:
            stop = asyncio.run_coroutine_threadsafe(self._stop(leg), leg.loop)
            await asyncio.wrap_future(stop)
        return True

    async def _cancel_other(self, other: RunTarget) -> None:
        key = self._key(other)
        if key in self._launching:  # it may wait for whoever asks here
            self._launching[key] = True
        elif not await self.cancel(other):
            key = (other.workflow_id, other.run_id)
            await other.store.update_run(*key, CANCELED, expected_status=("running", "waiting"))

    async def _stop(self, leg: Leg) -> None:
        run, task = leg.run, leg.task
        assert task is not None  # noqa: S101 - set before anyone gets the leg
        run.stop.throw()
        if run.stop.is_watched:
            await asyncio.wait({task}, timeout=CANCEL_GRACE_S)
        # One that has not begun ends by itself; cancelled, it would do nothing at all.
        if leg.has_begun and not leg.is_ending:
            task.end()
        if task is not asyncio.current_task():
            await asyncio.wait({task})

    async def drain(self, time_limit_s: float) -> int:
        """Let runs end; with a shared storage, let them reach the end of an operation and stop.

        Args:
            time_limit_s: For how long.

        Returns:
            How many runs did not get there.
        """
        await self._end_watches()
        until = time.monotonic() + time_limit_s
        while driving := list(self._legs.values()):
            for leg in driving:
                ops, task = leg.ops, leg.task
                if ops is not None and task is not None and ops.rest() and not leg.is_ending:
                    task.end()
            if time.monotonic() > until:
                return len(driving)
            await asyncio.sleep(DRAIN_POLL_S)
        return 0

    async def _end_watches(self) -> None:
        """End the tasks of the running loop; those of others end with their loops."""
        loop = asyncio.get_running_loop()
        mine = [key for key in self._watches if key[1] is loop]
        tasks = [*(self._watches.pop(key) for key in mine), *self._beside]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def aclose(self) -> None:
        """Stop every run of this process where it is; with a shared storage it can be restarted."""
        self.closings += 1  # whoever is about to begin a leg finds that it must not
        await self._end_watches()
        loop = asyncio.get_running_loop()
        legs = list(self._legs.values())
        for leg in legs:
            leg.stop()
        here = [leg.task for leg in legs if leg.loop is loop and leg.task is not None]
        await asyncio.gather(*here, return_exceptions=True)
        drivers, self._drivers = self._drivers, {}
        for driver in drivers.values():
            with contextlib.suppress(StorageError):
                await driver.rest()
