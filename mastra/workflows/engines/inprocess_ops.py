"""What a walk does to the world in process: plain awaits, and tasks for branches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from mastra.cancellation import CodeTask
from mastra.clock import now_ms, now_s, sleep
from mastra.clock import sleep_until as sleep_until_moment
from mastra.errors import MastraError
from mastra.given import CLOCK, COUNT, FUNCTION
from mastra.jsonable import Json
from mastra.storage.base import RunChanges
from mastra.workflows.active import ActiveRun
from mastra.workflows.engines.base import Body, Halt, Ops
from mastra.workflows.engines.drivers import Hold
from mastra.workflows.engines.journal_writer import JournalWriter
from mastra.workflows.engines.waits import wake
from mastra.workflows.records import StepRecord
from mastra.workflows.spec import Unit

__all__ = [
    "OF_ENGINE",
    "InProcessOps",
    "LegOps",
    "OpsFactory",
    "canceled_alone",
    "make_ops",
    "ops_around",
    "together",
]

T = TypeVar("T")

_CANCELED_ALONE = (
    "A task of the run was cancelled, and nobody has cancelled the run: a step may have cancelled "
    "`asyncio.current_task()`, or all of `asyncio.all_tasks()`. `ctx.abort()` cancels the run."
)

YIELD_AFTER_MS = 20
"""How long steps that never wait may keep the event loop to themselves."""


class LegOps(Ops, Protocol):
    """The operations of a leg that this process drives."""

    @property
    def has_died(self) -> bool:
        """Whether the driver has come to its end there, as the death of its process would end it."""
        ...

    def drive(self, walk: Callable[[], Awaitable[Json]]) -> Awaitable[Json]:
        """Walk the graph, as often as these operations need, and return what comes out.

        Raises:
            Halt: The walk ended before its last node.
        """
        ...

    def rest(self) -> bool:
        """Begin no further operation, where the run can go on elsewhere.

        Returns:
            Whether nothing is lost by stopping the leg at once.
        """
        ...


OpsFactory: TypeAlias = Callable[
    [ActiveRun, JournalWriter, Hold | None, Callable[[], Awaitable[None]]], LegOps
]
"""Makes the operations of a leg: for a run, from what writes its journal, the claim that it is
driven under, and a function that finds out whether the claim still holds."""


OF_ENGINE: Final = {"max_recoveries": COUNT, "clock": CLOCK, "ops": FUNCTION}
"""What an engine in process takes."""


class InProcessOps:
    """Operations as plain awaits, branches as tasks."""

    __slots__ = (
        "_active",
        "_confirm",
        "_hold",
        "_is_resting",
        "_run",
        "_writer",
        "_yielded_ms",
        "inline_delay_s",
    )
    max_sleep_s = None
    seeks_one = False
    has_died = False

    def __init__(
        self,
        run: ActiveRun,
        writer: JournalWriter,
        hold: Hold | None,
        confirm: Callable[[], Awaitable[None]],
    ) -> None:
        self._run = run
        self._writer = writer
        self._hold = hold
        self._confirm = confirm
        self._active = 0
        """Operations under way: where there are none, nothing is lost by stopping."""
        self._is_resting = False
        """Whether no further operation may begin."""
        self._yielded_ms = now_ms()
        # A wait that a crash would cut short is worth an operation of its own only where
        # something is left after the crash.
        self.inline_delay_s = float("inf") if hold is None else 5.0

    def drive(self, walk: Callable[[], Awaitable[Json]]) -> Awaitable[Json]:
        """Walk once: an operation returns when it is done."""
        return walk()

    def rest(self) -> bool:
        """Begin no further operation; return whether none is under way."""
        self._is_resting = self._hold is not None
        return self._is_resting and not self._active

    def admit(self, record: StepRecord) -> None:
        """Take what a step gave: its size matters to nobody here."""

    def admit_items(self, unit: Unit, step_id: str, count: int) -> None:
        """Take any number of items."""

    async def record(self, op_id: str, body: Body) -> StepRecord:
        """Run an operation and store its record before anything else happens."""
        del op_id
        if self._is_resting:
            await asyncio.Future()  # until the engine cancels the leg
        hold, place = self._hold, self._run.place
        if place is not None and place.is_paused:
            await place.enter()
        if hold is not None and not hold.is_sure:
            await self._confirm()
        self._active += 1
        try:
            record = await body()
            if hold is not None and hold.driver.is_copy:
                await self._confirm()
            if self._writer.context_changes != self._run.request_context.changes:
                await self._writer.store_context()
            stored = self._writer.commit(record)
            if stored is not None:
                await stored
        finally:
            self._active -= 1
        if place is not None and self._run.sleeping and not self._active:
            await place.pause()
        ended_at = record.ended_at or 0
        if not 0 <= ended_at - self._yielded_ms <= YIELD_AFTER_MS:  # a clock may be put back
            self._yielded_ms = ended_at
            await asyncio.sleep(0)
        return record

    async def gather(
        self, branches: Sequence[Callable[[], Awaitable[T]]], limit: int | None
    ) -> list[T | Halt | None]:
        """Run branches as tasks, or one after the other where that is the limit."""
        if len(branches) == 1:
            try:
                return [await branches[0]()]
            except Halt as halt:
                return [halt]
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
        # The first ones start together, whatever becomes of any of them.
        await together([work(place) for place in range(at_once)])
        return results

    async def sleep(self, record: StepRecord) -> StepRecord:
        """Sleep until the record's time, which a restart of the process does not change."""
        run = self._run
        if record.op_id not in run.journal:
            stored = self._writer.commit(record)
            if stored is not None:
                await stored
        if run.place is not None and not self._active:
            await run.place.pause()
        await sleep_until(run, self._writer, record)
        done = wake(run, record)
        stored = self._writer.commit(done)
        if stored is not None:
            await stored
        return done


def canceled_alone() -> MastraError:
    """Return why a run fails of which something was cancelled that nobody but its code could."""
    return MastraError(_CANCELED_ALONE, code="STEP_CANCELED")


async def together(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Await coroutines as tasks. Where one raises, or the caller is cancelled, all are ended.

    Not in a task group: its tasks do not know who has cancelled them.

    Raises:
        Exception: The first that one of them raised.
        MastraError: One of the tasks was cancelled alone.
    """
    loop = asyncio.get_running_loop()
    tasks = [CodeTask(work, loop=loop) for work in works]
    canceled: asyncio.CancelledError | None = None
    is_ended = False
    while pending := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
        except asyncio.CancelledError as error:
            canceled = error
        if not is_ended and (canceled is not None or _first_raised(tasks) is not None):
            is_ended = True
            for task in pending:
                task.end()
    raised = _first_raised(tasks) or canceled
    if raised is not None:
        raise raised
    if any(task.cancelled() for task in tasks):
        raise canceled_alone()


def _first_raised(tasks: Sequence[asyncio.Task[None]]) -> BaseException | None:
    ended = (task for task in tasks if task.done() and not task.cancelled())
    return next(filter(None, (task.exception() for task in ended)), None)


ops_around: ContextVar[Callable[[LegOps], LegOps] | None] = ContextVar("mastra_ops", default=None)
"""What is laid around the operations of legs that begin here, such as by a test."""


def make_ops(
    run: ActiveRun, writer: JournalWriter, hold: Hold | None, confirm: Callable[[], Awaitable[None]]
) -> LegOps:
    """Return the operations of a leg."""
    ops, around = InProcessOps(run, writer, hold, confirm), ops_around.get()
    return ops if around is None else around(ops)


async def sleep_until(run: ActiveRun, writer: JournalWriter, record: StepRecord) -> None:
    """Sleep until a record's time. The run is stored as waiting, unless it waits for a retry."""
    delay = (record.wake_at or 0) - now_s()
    if delay <= 0:
        return
    if record.kind != "sleep":
        await sleep(delay)
        return
    run.sleeping += 1
    if run.sleeping == 1:
        await writer.update(RunChanges(status="waiting"), ("running",))
    await (sleep_until_moment(record.wake_at or 0) if record.is_until else sleep(delay))
    run.sleeping -= 1
    if not run.sleeping:
        await writer.update(RunChanges(status="running"), ("waiting",))
