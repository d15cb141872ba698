"""Operations of a walk inside one request of an Inngest server.

The graph is walked as ordinary tasks. An operation without a record parks its task. Once every
task is parked or waits for a step that runs, the parked ones are either run here, each result
being posted to the server before the walk goes on (a checkpoint), or handed to the SDK, which
ends the request. The SDK's interrupts are raised in the request's own task only: none ever
passes through a step, a branch or a task group.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal, NoReturn, TypeVar

import inngest

from mastra.cancellation import CodeTask, begin_code
from mastra.clock import now_s, sleep
from mastra.errors import RunError
from mastra.failures import one_error
from mastra.inngest.checkpoints import Checkpoints
from mastra.inngest.continuation import LegFull
from mastra.inngest.limits import MAX_SLEEP_S, check_operations, check_size
from mastra.inngest.wire.api import Checkpoint
from mastra.inngest.wire.envelope import decode_memo
from mastra.inngest.wire.names import step_hash, step_name
from mastra.inngest.wire.request import RequestFacts
from mastra.inngest.work import WorkClaim
from mastra.inngest.worker_leg import LegCanceled, LegGone, WorkerLeg
from mastra.jsonable import Json
from mastra.workflows.engines.base import Body, Halt
from mastra.workflows.engines.step_runner import StepTask
from mastra.workflows.engines.waits import wake
from mastra.workflows.records import StepRecord
from mastra.workflows.spec import Unit

__all__ = ["FrontierOps"]

T = TypeVar("T")

SHORT_SLEEP_S: Final = 1.0
"""The server counts in whole seconds; what is shorter is waited here."""

CANCEL_GRACE_S: Final = 1.0
"""How long a step that holds the abort signal may take to end by itself."""


@dataclass(slots=True)
class Parked:
    """An operation that the walk waits for."""

    op_id: str
    kind: Literal["run", "sleep"]
    body: Body
    future: asyncio.Future[StepRecord]
    wake_at: float = 0.0
    is_visible_sleep: bool = False
    """Whether the run is stored as waiting while nothing else goes on."""
    known: StepRecord | None = None
    """What the journal had of it when the walk came to it."""


class FrontierOps:
    """What a walk does, in one request."""

    inline_delay_s = 5.0
    max_sleep_s = MAX_SLEEP_S

    def __init__(
        self,
        ctx: inngest.Context,
        facts: RequestFacts,
        leg: WorkerLeg,
        claim: WorkClaim,
        *,
        max_request_s: float | None,
        buffered_steps: int,
        steps_per_run: int,
    ) -> None:
        """Prepare to walk.

        Args:
            ctx: The SDK's context.
            facts: What the server said beside it.
            leg: The leg of the run.
            claim: The request's right to run operations of it.
            max_request_s: How long steps may run in this request before the next is handed to
                the server; `None` to hand over every step.
            buffered_steps: How many finished steps may be on their way to the server while the
                next ones run.
            steps_per_run: How many operations this run of the server may have, where another one
                goes on after it.
        """
        self._ctx = ctx
        self._facts = facts
        self._leg = leg
        self._claim = claim
        self._steps_per_run = steps_per_run
        self.seeks_one = facts.is_targeted
        self._until = None if max_request_s is None else time.monotonic() + max_request_s
        self._parked: dict[str, Parked] = {}
        self._known = len(facts.memos)
        """How many the server knows, or is about to be told of."""
        self._operations = len(facts.memos)
        """How many that will be with those that are parked."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._busy = 1
        self._turn = asyncio.Event()
        """Set when there may be something to do for whoever drives the walk."""
        self._may_checkpoint = True
        self._checkpoints = Checkpoints(leg.api, facts, leg.workflow_id, buffered_steps)

    # -- what the walker calls -----------------------------------------------------------------

    def admit(self, record: StepRecord) -> None:
        """Refuse what nobody could keep; see `check_size`. What storage has, the server need not."""
        if not self._leg.goes_on:
            self._leg.given_bytes = check_size(record, self._leg.given_bytes)

    def admit_items(self, unit: Unit, step_id: str, count: int) -> None:
        """Refuse more than the server would take; see `check_operations`."""
        if not self._leg.goes_on:
            check_operations(step_id, unit, self._operations, count)

    async def record(self, op_id: str, body: Body) -> StepRecord:
        """Return what the server keeps of an operation, or wait until it has been run."""
        memo = self._facts.memos.get(step_hash(self._leg.workflow_id, op_id))
        if memo is not None:
            known = decode_memo(memo, op_id, getattr(body, "value", None))
            if known is not None:
                await self._leg.adopt(known)
                return known
        if isinstance(body, StepTask) and not self._leg.goes_on:
            try:
                check_operations(body.step_id, None, self._operations, 1)
            except RunError as error:
                body.refusal = error
        known = self._leg.run.journal.get(op_id)
        return await self._park(Parked(op_id, "run", body, self._future(), known=known))

    async def gather(
        self, branches: Sequence[Callable[[], Awaitable[T]]], limit: int | None
    ) -> list[T | Halt | None]:
        """Run branches as tasks, or one after the other where that is the limit."""
        results: list[T | Halt | None] = [None] * len(branches)
        at_once = len(branches) if limit is None else min(limit, len(branches))
        places: Iterator[int | None] = iter(range(at_once, len(branches)))
        halted: list[int] = []
        # What the server asks for has been started, whatever became of its siblings meanwhile.
        goes_on = self._facts.is_targeted

        async def work(place: int | None) -> None:
            while place is not None:
                try:
                    results[place] = await branches[place]()
                except Halt as halt:
                    results[place] = halt
                    halted.append(place)
                place = None if halted and not goes_on else next(places, None)

        if at_once < 2:
            await work(0 if branches else None)
            return results
        left = at_once
        self._busy += at_once - 1  # the caller's own place goes to the branches

        async def branch(place: int) -> None:
            nonlocal left
            try:
                await work(place)
            finally:
                left -= 1
                if left:  # the last one hands its place back to the caller
                    self._rest()

        with one_error():
            async with asyncio.TaskGroup() as group:
                for place in range(at_once):
                    group.create_task(branch(place))
        return results

    async def sleep(self, record: StepRecord) -> StepRecord:
        """Wait until the record's time: on the server, and what is less than a second here."""
        leg = self._leg
        # A request for something else does not begin a sleep: the walk after it does.
        if record.op_id not in leg.run.journal and not self._facts.is_targeted:
            await leg.commit(record)
        body = partial(self._finish_sleep, record)
        wake_at = record.wake_at or 0.0
        memos = self._facts.memos
        if step_hash(leg.workflow_id, record.op_id) in memos:
            wake_at = min(wake_at, now_s() + SHORT_SLEEP_S)  # the server has slept for us
        is_visible = record.kind == "sleep"
        return await self._park(
            Parked(record.op_id, "sleep", body, self._future(), wake_at, is_visible)
        )

    async def _finish_sleep(self, record: StepRecord) -> StepRecord:
        leg = self._leg
        delay = (record.wake_at or 0.0) - now_s()
        if delay > 0:
            await leg.wait_for_time(record, delay)
        known = leg.run.journal.get(record.op_id)
        if known is not None and known.status == "success":
            return known  # another request for the leg has waited for it, too
        return wake(leg.run, record)

    # -- parking -------------------------------------------------------------------------------

    @staticmethod
    def _future() -> asyncio.Future[StepRecord]:
        return asyncio.get_running_loop().create_future()

    async def _park(self, parked: Parked) -> StepRecord:
        if parked.op_id in self._parked:
            raise RunError(f"Operation {parked.op_id!r} was asked for twice in one walk.")
        self._parked[parked.op_id] = parked
        self._operations += 1
        self._rest()
        return await parked.future

    def _rest(self) -> None:
        self._busy -= 1
        if not self._busy:
            self._turn.set()

    def _wake(self, parked: Parked, record: StepRecord) -> None:
        if not parked.future.done():
            self._busy += 1
            parked.future.set_result(record)

    # -- driving -------------------------------------------------------------------------------

    async def drive(self, walk: Coroutine[Any, Any, Json]) -> Json:
        """Walk until the end, or until the server has to act.

        Raises:
            Halt: The walk ended before its last node.
            LegCanceled: The run was cancelled.
            LegFull: The server takes no more of this run of it.
            LegGone: The server knows no such run.
        """
        main = self._start(walk)
        main.add_done_callback(self._look_up)
        look = self._turn.set
        self._leg.when_canceled.add(look)
        if self._leg.is_canceled:
            look()
        try:
            return await self._drive(main)
        finally:
            self._leg.when_canceled.discard(look)
            self._checkpoints.stop()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)  # noqa: TID251 - ended with the request, in `drive`
        self._tasks.add(task)
        return task

    def _look_up(self, _: Any) -> None:
        self._turn.set()

    async def _drive(self, main: asyncio.Task[Json]) -> Json:
        running: set[asyncio.Task[None]] = set()
        while True:
            await self._wait(running)
            if main.done():
                if self._facts.is_targeted:  # the walk got past what is asked for
                    await self._hand_over()
                await self._settle()
                return main.result()
            for task in [task for task in running if task.done()]:
                running.discard(task)
                self._tasks.discard(task)
                task.result()
            if self._leg.is_canceled:
                raise LegCanceled
            if self._busy:
                continue
            ready = self._ready()
            for parked in ready:
                del self._parked[parked.op_id]
                self._known += parked.kind == "run"
                task = self._start(self._run_here(parked))
                task.add_done_callback(self._look_up)
                running.add(task)
            if not ready and not running:
                await self._hand_over()

    def _ready(self) -> list[Parked]:
        now, room = now_s(), self._room() if self._can_run_here() else 0
        ready: list[Parked] = []
        for parked in self._parked.values():
            if parked.kind == "run":
                if room:
                    room -= 1
                    ready.append(parked)
            elif parked.wake_at - now < SHORT_SLEEP_S and not self._facts.is_targeted:
                ready.append(parked)
        return ready

    def _room(self) -> int:
        """Return how many operations more the server is to be told of."""
        if not self._leg.goes_on:
            return len(self._parked)
        return max(0, self._steps_per_run - self._known)

    def _can_run_here(self) -> bool:
        facts = self._facts
        return (
            self._until is not None
            and self._may_checkpoint
            and time.monotonic() < self._until
            and not facts.is_targeted
            and not facts.must_plan
            # A checkpoint does not give a request that is sent again its attempts back; the
            # next step's own place in the queue does.
            and facts.attempt == 0
        )

    async def _wait(self, running: set[asyncio.Task[None]]) -> None:
        """Wait until a step has ended, the walk waits, or a sleep is nearly over."""
        timer: asyncio.Task[None] | None = None
        if running and not self._busy:
            # A sleep that waits for steps beside it to end is not held up by them.
            moments = [p.wake_at for p in self._parked.values() if p.kind == "sleep"]
            if moments:
                timer = self._start(sleep(min(moments) - SHORT_SLEEP_S / 2 - now_s()))
                timer.add_done_callback(self._look_up)
        await self._turn.wait()
        self._turn.clear()
        if timer is not None:
            timer.remove_done_callback(self._look_up)
            timer.cancel()
            self._tasks.discard(timer)

    # -- running here --------------------------------------------------------------------------

    async def _run_here(self, parked: Parked) -> None:
        started_ns = time.time_ns()
        if parked.kind == "sleep":
            record = await parked.body()
            if self._leg.run.journal.get(parked.op_id) is not record:
                await self._leg.commit(record)
            self._wake(parked, record)
            return
        record = await self._finish(parked)
        answer = await self._checkpoints.keep(parked.op_id, self._leg.memo_of(record), started_ns)
        if answer is Checkpoint.GONE:
            raise LegGone
        if answer is Checkpoint.FAILED:
            # The result is in hand: the SDK reports it, and with it the request ends.
            self._may_checkpoint = False
            self._known -= 1

            async def in_hand() -> StepRecord:
                return record

            self._parked[parked.op_id] = Parked(parked.op_id, "run", in_hand, parked.future)
            return
        self._wake(parked, record)

    async def _finish(self, parked: Parked) -> StepRecord:
        """Run an operation and store what came of it, unless another request does so here.

        A server whose lease of a request is over sends it again while its step runs.
        """
        under_way = self._leg.under_way
        while (other := under_way.get(parked.op_id)) is not None:
            await asyncio.wait({other})
            if not other.cancelled():
                return other.result()
        found = self._leg.run.journal.get(parked.op_id)
        if found is not None and found is not parked.known:
            return found  # it has been run since this walk came to it
        own = under_way[parked.op_id] = self._future()
        try:
            await self._claim.confirm()
            record = await self._perform(parked.body)
            await self._claim.confirm()
            await self._leg.commit(record)
            own.set_result(record)
        finally:
            own.cancel()
            del under_way[parked.op_id]
        return record

    async def _perform(self, body: Body) -> StepRecord:
        """Run a body; end it where the run is cancelled meanwhile."""
        leg = self._leg

        async def call() -> StepRecord:
            begin_code()
            return await body()

        work = CodeTask(call())
        self._tasks.add(work)
        is_over = asyncio.Event()
        look = is_over.set
        work.add_done_callback(lambda _: look())
        leg.when_canceled.add(look)
        if leg.is_canceled:
            look()
        try:
            await is_over.wait()
            if not work.done() and leg.run.stop.is_watched:
                await asyncio.wait({work}, timeout=CANCEL_GRACE_S)
            if not work.done():
                work.end()
                await asyncio.wait({work})
            if work.cancelled():
                raise LegCanceled
            return work.result()
        finally:
            leg.when_canceled.discard(look)
            self._tasks.discard(work)

    # -- handing over --------------------------------------------------------------------------

    async def _hand_over(self) -> None:
        """End the request with what the server has to do next."""
        unsafe = await self._settle()
        if unsafe:  # the server has to know of them before it asks for more
            await self._report_all([partial(self._tell, *one) for one in unsafe])
        facts, chosen = self._facts, list(self._parked.values())
        workflow_id = self._leg.workflow_id
        if facts.is_targeted:
            chosen = [p for p in chosen if step_hash(workflow_id, p.op_id) == facts.target]
            if not chosen:
                await self._report_known(facts.target)
        else:
            # A request for the whole comes when all that was planned has ended.
            chosen = chosen[: self._room()]
        await self._leg.flush()
        if self._parked and not chosen:
            raise LegFull
        if all(parked.is_visible_sleep for parked in chosen):
            await self._leg.mark_waiting()
        await self._report_all([partial(self._report, parked) for parked in chosen])

    async def _settle(self) -> list[tuple[str, dict[str, Json]]]:
        """Wait for the checkpoints that are on the way; return what the server did not take.

        Raises:
            LegGone: The server knows no such run.
        """
        worst, unsafe = await self._checkpoints.settle()
        if worst is Checkpoint.GONE:
            raise LegGone
        return unsafe

    async def _report_all(self, reports: Sequence[Callable[[], Awaitable[None]]]) -> NoReturn:
        if len(reports) == 1:
            await reports[0]()
        else:
            await self._ctx.group.parallel(tuple(reports))
        raise RunError("The Inngest SDK went on after a step that has no result yet.")

    async def _report(self, parked: Parked) -> None:
        step, name = self._ctx.step, step_name(self._leg.workflow_id, parked.op_id)
        if parked.kind == "sleep":
            await step.sleep_until(name, datetime.fromtimestamp(parked.wake_at, UTC))
            return

        async def run() -> Any:
            record = await self._finish(parked)
            if self._leg.is_canceled:
                raise LegCanceled  # the server would not ask for anything after it
            return self._leg.memo_of(record, at_once=1 + len(self._parked))

        await step.run(name, run)

    async def _report_known(self, target: str) -> None:
        """Tell the server of an operation that ran in a request whose answer it never got."""
        workflow_id = self._leg.workflow_id
        for op_id, record in self._leg.run.journal.items():
            if step_hash(workflow_id, op_id) == target:
                await self._tell(op_id, self._leg.memo_of(record))
        raise RunError("The server asked for an operation that this run does not have.")

    async def _tell(self, op_id: str, memo: Json) -> None:
        async def known() -> Any:
            return memo

        await self._ctx.step.run(step_name(self._leg.workflow_id, op_id), known)
