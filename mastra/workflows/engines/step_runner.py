"""Run one step and put what came of it into a record.

This is the inside of an operation: everything a step does to the world happens here, and no
exception or signal of the user's leaves it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias, cast

from mastra.cancellation import cancel_requests, settled
from mastra.clock import now_ms, now_s, sleep
from mastra.dataclass import dataclass
from mastra.errors import (
    MastraError,
    NonRetryableError,
    SerializationError,
    StepValidationError,
    TripwireError,
    UsageLimitError,
    UserCodeError,
)
from mastra.failures import Guard, Told, details_of, error_to_json, text_of
from mastra.jsonable import Json, copy_json, to_jsonable
from mastra.logs import get_logger
from mastra.schema import ANY, SchemaMismatch
from mastra.workflows.active import ActiveRun, Scope
from mastra.workflows.adapt import OnInput
from mastra.workflows.engines.base import Ops
from mastra.workflows.engines.scoring import offer_step
from mastra.workflows.events import Kind
from mastra.workflows.records import StepRecord
from mastra.workflows.signals import Bail, Suspend
from mastra.workflows.spec import StepNode
from mastra.workflows.step_context import StepContext

__all__ = ["Attempt", "Decide", "StepTask", "fail_record"]

Decide = Callable[[StepRecord], Awaitable[Json]]
"""Evaluates the condition that follows a step, inside the step's operation."""

_STEP_START, _STEP_END = Kind.STEP_START, Kind.STEP_END


def fail_record(run: ActiveRun, record: StepRecord, error: BaseException) -> StepRecord:
    """Mark a record as failed by an exception, or as stopped by a processor."""
    record.status = "failed"
    record.error = error_to_json(error, to_callers=True)
    if isinstance(error, TripwireError):
        record.tripwire = {"reason": text_of(error), **details_of(error)}
    cause: BaseException | None = error
    if type(error) is UserCodeError and error.raised is not None:
        cause = error.__cause__  # which is none where nobody can ask it anything
    if cause is not None:
        run.causes[record.op_id] = cause
    return record


Part: TypeAlias = Literal["input", "step", "output", "kept"]
"""Of a try: its input is read, the step runs, what it gave is read and made into what is kept."""


@dataclass(slots=True)
class Attempt:
    """A try at a step that was made before the walk has come to it."""

    record: StepRecord
    """The step's record, of whose start is told."""
    requests: int
    """How often its task had been told to cancel before."""
    output: Any = None
    """What the step gave."""
    raised: BaseException | None = None
    """What was raised, where something was."""
    raised_by: Part = "step"
    """What raised it."""

    def check(self, part: Part) -> None:
        """Raise what a part of it has raised."""
        if self.raised is not None and self.raised_by == part:
            raise self.raised


class StepTask:
    """One operation waiting to be run: a step at a place of a run's graph."""

    __slots__ = (
        "attempt",
        "began_at",
        "decide",
        "earlier",
        "index",
        "is_answered",
        "iteration",
        "merges",
        "node",
        "op_id",
        "ops",
        "refusal",
        "run",
        "scope",
        "tries_before",
        "value",
    )

    def __init__(
        self,
        run: ActiveRun,
        scope: Scope,
        node: StepNode,
        op_id: str,
        value: Json,
        ops: Ops,
    ) -> None:
        self.run = run
        self.scope = scope
        self.node = node
        self.op_id = op_id
        self.value = value
        self.ops = ops
        self.iteration: int | None = None
        self.index: int | None = None
        self.earlier: StepRecord | None = None
        """The suspended record that this run of the step resumes."""
        self.is_answered = run.reopening.travel is not None
        """Whether it may be given what the run was resumed with, or went back with."""
        self.decide: Decide | None = None
        self.merges = False
        """Whether it has set part of the run's state."""
        self.tries_before = 0
        """Tries that earlier operations of the same step have used up."""
        self.attempt: Attempt | None = None
        """The first try, where that was made already."""
        self.refusal: Exception | None = None
        """Why it fails without being run."""
        self.began_at: int | None = None
        """When the first of those operations began: readers were told of the start then."""

    @property
    def step_id(self) -> str:
        """The step's id with those of the workflows around it."""
        return self.scope.names + self.node.id

    def __call__(self) -> Awaitable[StepRecord]:
        """Run the step and return its finished record."""
        run, span = self.run, self.run.span
        if span is None:
            return self._work()
        from mastra.workflows.engines.tracing import traced_step  # noqa: PLC0415 - only then

        step = self.node.step
        return traced_step(run, span, self.scope.names + step.id, step.component, self._work)

    async def _work(self) -> StepRecord:
        run, made = self.run, self.attempt
        task, tries = asyncio.current_task(run.home.loop), self.tries_before
        assert task is not None  # noqa: S101 - this is a coroutine
        if made is None:
            record, requests = self._begin(), task.cancelling()
        else:
            record, requests = made.record, made.requests
        while True:
            try:
                await self._attempt(record, tries, requests, task)
                break
            except BaseException as raised:  # noqa: BLE001 - whatever a step raises fails the step
                tries += 1
                if not await self._is_tried_again(record, tries, requests, raised):
                    break
        record.ended_at = now_ms()
        if self.index is None and record.status != "retry":
            record.end_seq = run.log.append(_STEP_END, record)
        run.order = record.order = run.order + 1
        if self.merges:
            run.state.merge(record)
        if self.decide is not None and record.status == "success":
            run.latest[record.step_id] = record  # a condition may ask for the step's result
            record.decision = await self.decide(record)
        scorers = self.node.step.scorers
        if scorers is not None and record.status == "success":
            offer_step(run, self.scope.workflow_id, record, scorers)
        return record

    def _begin(self) -> StepRecord:
        run, node, travel = self.run, self.node, self.run.reopening.travel
        if travel is not None and travel.op_id == self.op_id and travel.has_input:
            self.value = travel.input
        names, step_id = self.scope.names, node.id
        record = StepRecord(self.op_id, names + step_id if names else step_id, self.value, now_ms())
        if node.kind != "step":
            record.kind = node.kind
        if self.iteration is not None:
            record.iteration = self.iteration
        if self.earlier is not None:
            self._reopen(record, self.earlier)
        if self.index is not None:
            record.index = self.index  # items of a foreach are silent: its progress tells of them
        elif self.began_at is None:
            record.start_seq = run.log.append(_STEP_START, record)
        else:
            record.started_at = self.began_at
        return record

    def _cut_off(self, record: StepRecord) -> None:
        # It is no finished operation, so its events go to storage with the end of the run.
        run = self.run
        record.status = "canceled"
        record.ended_at = now_ms()
        run.latest[record.step_id] = record
        end_seq = run.log.append(_STEP_END, record)
        run.outbox.pending.append((record.start_seq, _STEP_START, record, None))
        run.outbox.pending.append((end_seq, _STEP_END, record, None))

    def _reopen(self, record: StepRecord, earlier: StepRecord) -> None:
        target = self.run.reopening.target
        record.started_at = earlier.started_at
        record.resumed_at = now_ms()
        record.resume_payload = None if target is None else target.data
        record.suspend_payload = None

    async def _is_tried_again(
        self, record: StepRecord, tries: int, requests: int, raised: BaseException
    ) -> bool:
        """Take note of a try that has raised; return, when it is time, whether there is another."""
        try:
            error = Guard(requests).contain(raised)
            if cancel_requests(self.run.home.loop) > requests:
                await settled(requests)
            delay = self._failed(record, tries, error)
            if delay:
                await sleep(delay)
        except BaseException:
            if self.index is None and self.run.stop.is_thrown:
                self._cut_off(record)
            raise
        return delay is not None

    def _failed(self, record: StepRecord, tries: int, error: Exception) -> float | None:
        """Take note of a try that failed.

        Returns:
            How many seconds to wait before the next; `None` where this operation has no other.
        """
        retries = self.node.step.retries
        if retries is None:
            retries = self.scope.retry.attempts
        if tries > retries or isinstance(error, _LASTING) or error is self.refusal:
            cause = error.error if isinstance(error, _BadInput) else error
            fail_record(self.run, record, cause)
            self._log_failure(record, tries, cause)
            return None
        delay = self.scope.retry.delay_before(tries)
        record.retry_count = tries
        self._log_failure(record, tries, error, retries + 1)
        if delay > self.ops.inline_delay_s:
            # The wait is an operation of its own, and so is the next try.
            record.status = "retry"
            record.error = error_to_json(error, to_callers=True)
            record.wake_at = now_s() + delay
            return None
        if self.run.stop.is_thrown:
            fail_record(self.run, record, error)
            return None
        return delay

    def _log_failure(
        self, record: StepRecord, tries: int, error: BaseException, of: int | None = None
    ) -> None:
        """Log that a try has failed.

        Args:
            record: The step's record.
            tries: Which try it was, from 1.
            error: What was raised.
            of: How many tries there may be, where another follows.
        """
        run, workflow_id = self.run, self.scope.workflow_id
        if run.stop.is_thrown or isinstance(error, TripwireError):
            return  # a person or a processor has said so
        logger = get_logger(
            {
                "run_id": run.run_id,
                "workflow_id": workflow_id,
                "step_id": record.step_id,
                "attempt": tries,
            },
            getattr(run.services, "logger", None),
        )
        says, counts = "Step %r of workflow %r failed: %s", ()
        if of is not None:
            says = "Step %r of workflow %r failed at attempt %d of %d and is tried again: %s"
            counts = (tries, of)
        logger.log(
            logging.ERROR if of is None else logging.WARNING,
            says,
            record.step_id,
            workflow_id,
            *counts,
            Told(error),
            # For handlers that show tracebacks: a library's users get one line.
            extra={"cause": error},
        )

    def _input(self, record: StepRecord, made: Attempt | None) -> Any:
        if self.refusal is not None:
            raise self.refusal
        # The step may do with its input what it likes: the records keep theirs.
        if not self.scope.spec.validate_inputs:
            return copy_json(self.value)
        schema = self.node.takes
        try:
            if made is not None:
                made.check("input")
                return None  # the step has been given it
            return schema.unpack(copy_json(self.value) if schema.may_alias else self.value)
        except SchemaMismatch as mismatch:
            told = self.run.log.forms.shown(record).payload
            if told is not self.value:
                try:  # a step of another type may know the value as the wire has it
                    return schema.load(told)
                except SchemaMismatch:
                    pass
            raise _BadInput(self._mismatch("Input", mismatch)) from None

    async def _attempt(
        self, record: StepRecord, tries: int, requests: int, task: asyncio.Task[Any]
    ) -> None:
        call, made, ctx = self.node.call, self.attempt, None
        self.attempt = None
        given = self._input(record, made)
        try:
            if made is not None:
                made.check("step")
                output = made.output
            elif isinstance(call, OnInput) and not self.is_answered:
                output = await call.function(given)  # which sees no context, so there is none
            else:
                ctx = self._context(record, given, tries)
                output = await call(ctx)
        except Suspend as signal:
            self._suspend(record, signal)
        except Bail as signal:
            self._bail(record, signal)
        except asyncio.CancelledError as error:
            Guard(requests).contain(error)
            # Nobody cancelled the run: something the step awaited was, which is its failure.
            raise self._canceled(record) from error
        except BaseExceptionGroup as group:
            self._from_group(record, group)
        else:
            if task.cancelling() > requests and not await settled(requests):
                raise self._canceled(record)
            self._succeed(record, output, ctx, made)
        if ctx is not None:
            record.state = ctx._delta  # noqa: SLF001
            self.merges = record.state is not None
        self.ops.admit(record)

    def _canceled(self, record: StepRecord) -> MastraError:
        text = (
            f"Step {record.step_id!r} awaited something that was cancelled, or cancelled its own "
            "task, and nobody had cancelled the run. `ctx.abort()` cancels the run."
        )
        return MastraError(text, code="STEP_CANCELED")

    def _context(self, record: StepRecord, given: Any, tries: int) -> StepContext[Any]:
        ctx = StepContext(self.run, self.scope, record, given, self.node.step)
        ctx.retry_count = tries
        if self.is_answered:
            self._give_answer(ctx, record)
        return ctx

    def _succeed(
        self, record: StepRecord, output: Any, ctx: StepContext[Any] | None, made: Attempt | None
    ) -> None:
        if ctx is not None and ctx._ended_by is not None:  # noqa: SLF001
            self._end_all_the_same(record, ctx._ended_by)  # noqa: SLF001
            return
        schema = self.node.gives if self.scope.spec.validate_outputs else ANY
        is_read = made is not None and made.raised_by == "kept"
        if type(output) is not schema.model and not is_read:
            try:
                if made is not None:
                    made.check("output")
                output = schema.load(output)
            except SchemaMismatch as mismatch:
                raise self._mismatch("Output", mismatch) from None
        try:
            if made is not None:
                made.check("kept")
            record.output = schema.pack(output)
        except SerializationError:  # again, for its name: to make that for each step takes time
            record.output = schema.pack(output, what=f"Output of step {record.step_id!r}")
        record.status = "success"

    def _suspend(self, record: StepRecord, signal: Suspend) -> None:
        payload = signal.payload
        schema = self.node.step.suspend_schema
        what = f"Suspend payload of step {record.step_id!r}"
        if schema is None:
            # An empty payload still marks the step as one that waits.
            record.suspend_payload = ANY.pack({} if payload is None else payload, what=what)
        else:
            try:
                packed = schema.pack(schema.load(payload), what=what)
            except SchemaMismatch as mismatch:
                raise self._mismatch("Suspend payload", mismatch) from None
            record.suspend_payload = {} if packed is None else packed
        record.suspended_at = now_ms()
        record.labels = tuple(to_jsonable(list(signal.labels), what=what))
        record.status = "suspended"

    def _bail(self, record: StepRecord, signal: Bail) -> None:
        record.output = ANY.pack(signal.result, what=f"Result of step {record.step_id!r}")
        record.status = "bailed"

    def _end_all_the_same(self, record: StepRecord, signal: Suspend | Bail) -> None:
        """End a step that has caught the signal of its own `suspend` or `bail`."""
        called = "suspend" if isinstance(signal, Suspend) else "bail"
        get_logger({"run_id": self.run.run_id, "step_id": record.step_id}).warning(
            "Step %r caught what `%s` raises and went on; it is ended as it asked for, and what "
            "it returned is dropped. Catch `Exception`, not `BaseException`, around the call.",
            record.step_id,
            called,
        )
        if isinstance(signal, Suspend):
            self._suspend(record, signal)
        else:
            self._bail(record, signal)

    def _from_group(self, record: StepRecord, group: BaseExceptionGroup[BaseException]) -> None:
        # A step that suspends inside a task group of its own ends it with a group of signals.
        suspended = group.subgroup(Suspend)
        bailed = group.subgroup(Bail)
        if suspended is None and bailed is None:
            raise group
        signal = cast("Suspend | Bail", _first(suspended if bailed is None else bailed))
        if isinstance(signal, Suspend):
            self._suspend(record, signal)
        else:
            self._bail(record, signal)

    def _give_answer(self, ctx: StepContext[Any], record: StepRecord) -> None:
        """Give the step what it was resumed with, or what it is given by going back to it."""
        target, travel = self.run.reopening.target, self.run.reopening.travel
        if self.earlier is not None:
            data = None if target is None else target.data
            self._give_resume_data(ctx, data, self.earlier.suspend_payload)
        elif travel is not None and travel.op_id == self.op_id and travel.resume_data is not None:
            record.resume_payload, record.resumed_at = travel.resume_data, record.started_at
            self._give_resume_data(ctx, travel.resume_data, travel.suspend_payload)

    def _give_resume_data(self, ctx: StepContext[Any], data: Json, payload: Json) -> None:
        step = self.node.step
        if step.resume_schema is not None and data is not None:
            try:
                data = step.resume_schema.unpack(data)
            except SchemaMismatch as mismatch:
                raise _BadInput(self._mismatch("Resume data", mismatch)) from None
        ctx.resume_data = data
        if step.suspend_schema is not None and payload is not None:
            # Of another type where a definition before this one asked: the step is to go on.
            with contextlib.suppress(SchemaMismatch):
                payload = step.suspend_schema.unpack(payload)
        ctx.suspend_data = payload

    def _mismatch(self, what: str, mismatch: SchemaMismatch) -> StepValidationError:
        step_id = self.scope.names + self.node.id
        kind = what.upper().replace(" ", "_")
        error = mismatch.into(
            StepValidationError,
            f"{what} of step {step_id!r} in workflow {self.scope.workflow_id!r}",
            stepId=step_id,
            workflowId=self.scope.workflow_id,
        )
        error.code = f"WORKFLOW_STEP_{kind}_VALIDATION_FAILED"
        assert isinstance(error, StepValidationError)  # noqa: S101 - `into` makes what it is told
        return error


class _BadInput(Exception):  # noqa: N818 - marks an error that no further try can mend
    def __init__(self, error: StepValidationError) -> None:
        super().__init__(str(error))
        self.error = error


_LASTING = (NonRetryableError, SerializationError, _BadInput, TripwireError, UsageLimitError)
"""Errors that no further try can mend."""


def _first(group: BaseException | None) -> BaseException | None:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return group  # pyright: ignore[reportUnknownVariableType]
