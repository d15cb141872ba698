"""What a step's function may see and do.

The same object goes to conditions, maps and dynamic settings, where there is nothing to suspend.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from dataclasses import fields, is_dataclass
from time import monotonic
from typing import Any, Generic, NoReturn, cast

from typing_extensions import TypeVar

from mastra.errors import ConfigError, NotFoundError, RunStateError, StepValidationError
from mastra.errors import ValidationError as MastraValidationError
from mastra.given import shown
from mastra.jsonable import Json, to_jsonable
from mastra.logs import BoundLogger, get_logger
from mastra.names import python_names
from mastra.request_context import RequestContext
from mastra.schema import ANY, Schema, SchemaMismatch
from mastra.services import Services
from mastra.stream.abort import AbortSignal
from mastra.stream.writer import DONE, custom_type
from mastra.workflows.active import ActiveRun, Scope
from mastra.workflows.events import Kind
from mastra.workflows.records import StepRecord
from mastra.workflows.signals import Bail, Suspend
from mastra.workflows.written import Written

__all__ = ["StepContext", "StepWriter", "count_usage"]

In = TypeVar("In", default=Any)

_TELL_AT = 256
"""How many written values wait in memory before they go to a storage that others see."""

_TELL_AFTER_S = 0.25
"""For how long they wait there."""


@python_names
class StepWriter:
    """Sends what a step writes to the readers of its run, at once, from any thread.

    What a call gives need not be awaited: the value is sent by then.
    """

    __slots__ = ("_record", "_run")

    def __init__(self, run: ActiveRun, record: StepRecord) -> None:
        self._run = run
        self._record = record

    def write(self, value: Any) -> Awaitable[None]:
        """Send a value as a `workflow-step-output` event. Never waits for a reader.

        Raises:
            SerializationError: The value cannot be JSON.
            RunStateError: The run has ended.
        """
        run, record = self._open_run(), self._record
        if isinstance(value, Written):
            pass
        elif type(value) is not str:
            value = _wire_of(value, record)
        elif not value.isascii():
            value = to_jsonable(value, what=f"What step {record.step_id!r} wrote")
        if not run.home.is_here:
            run.home.call(_send_soon, run, Kind.OUTPUT, record, value)
            return DONE
        return _send(run, Kind.OUTPUT, record, value)

    def custom(self, chunk: Mapping[str, Any]) -> Awaitable[None]:
        """Send a chunk of your own, `{"type": "data-<name>", "data": …}`, as an event of that type.

        Raises:
            ValidationError: The type does not begin with `data-`, or there is no `data`.
            SerializationError: The chunk cannot be JSON.
            RunStateError: The run has ended.
        """
        custom_type(chunk, f"Step {self._record.step_id!r}")
        value = _wire_of(dict(chunk), self._record)
        run = self._open_run()
        if not run.home.is_here:
            run.home.call(_send_soon, run, Kind.CUSTOM, self._record, value)
            return DONE
        return _send(run, Kind.CUSTOM, self._record, value)

    def _open_run(self) -> ActiveRun:
        if self._run.log.is_closed:  # its last event has been told, and nobody reads what follows
            raise RunStateError(
                f"Step {self._record.step_id!r} wrote when run {self._run.run_id!r} had ended or "
                "waits, by a task or a thread that it began. Wait in the step for what it begins."
            )
        return self._run


def _send_soon(run: ActiveRun, kind: Kind, record: StepRecord, value: Any) -> None:
    if not run.log.is_closed:
        _send(run, kind, record, value)


def _send(run: ActiveRun, kind: Kind, record: StepRecord, value: Any) -> Awaitable[None]:
    if kind is Kind.OUTPUT and type(value) is not str:
        count_usage(run, value)
    run.log.append_output(kind, record, value)
    outbox = run.outbox
    if outbox.tell is None:
        return DONE
    now = monotonic()
    if now - outbox.told_at <= _TELL_AFTER_S and run.log.untaken < _TELL_AT:
        return DONE
    outbox.told_at = now
    # A task, since a step need not await it; one that does waits for the storage.
    telling = asyncio.ensure_future(outbox.tell())
    telling.add_done_callback(_look_at)
    return telling


def _look_at(telling: asyncio.Future[None]) -> None:
    # What was not stored is stored with the step, whose failure to be stored is told.
    if not telling.cancelled():
        telling.exception()


def _wire_of(value: Any, record: StepRecord) -> Json:
    to_wire = getattr(value, "to_wire", None)
    if callable(to_wire):
        value = to_wire()
    return to_jsonable(value, what=f"What step {record.step_id!r} wrote")


def count_usage(run: ActiveRun, value: Any) -> None:
    """Add the tokens to a run's that something written to one of its writers tells of."""
    # An agent's whole stream may be piped through; its last chunk carries the tokens it used.
    if isinstance(value, Written):
        run.add_usage(value.usage)
    elif isinstance(value, dict) and cast("dict[str, Json]", value).get("type") == "finish":
        usage: Any = cast("dict[str, Any]", value)
        for part in ("payload", "output", "usage"):
            # It may be something of the user's own that is called so.
            usage = cast("dict[str, Any]", usage).get(part) if isinstance(usage, dict) else None
        if isinstance(usage, dict):
            run.add_usage(cast("dict[str, Any]", usage))


@python_names
class StepContext(Generic[In]):
    """A step's view of its run. Made for one attempt at one step; never keep it."""

    __slots__ = (
        "_delta",
        "_ended_by",
        "_record",
        "_run",
        "_scope",
        "_state",
        "_step",
        "input_data",
        "resume_data",
        "retry_count",
        "suspend_data",
    )

    def __init__(
        self, run: ActiveRun, scope: Scope, record: StepRecord, input_data: In, step: Any = None
    ) -> None:
        self._run = run
        self._scope = scope
        self._record = record
        self._step: Any = step
        self._state: Any = None
        self._delta: dict[str, Json] | None = None
        self._ended_by: Suspend | Bail | None = None
        self.input_data: In = input_data
        """The step's input, as a value of its input type."""
        self.resume_data: Any = None
        """What the run was resumed with, where this step was suspended; else `None`."""
        self.suspend_data: Any = None
        """What this step suspended with, where it is resumed; else `None`."""
        self.retry_count = 0
        """0 on the first try."""

    # -- facts ---------------------------------------------------------------------------------

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._run.run_id

    @property
    def workflow_id(self) -> str:
        """The id of the workflow that the step stands in."""
        return self._scope.workflow_id

    @property
    def step_id(self) -> str:
        """The step's id, with those of the workflows it is nested in: `nested.step`."""
        return self._record.step_id

    @property
    def resource_id(self) -> str | None:
        """The resource (user, tenant) that the run belongs to."""
        return self._run.resource_id

    @property
    def request_context(self) -> RequestContext:
        """Values of the request that started the run."""
        return self._run.request_context

    @property
    def iteration_count(self) -> int:
        """In a loop, the turn, from 1; elsewhere 0."""
        return self._record.iteration or 0

    @property
    def mastra(self) -> Services:
        """The `Mastra` object that the workflow is registered on.

        Raises:
            ConfigError: The workflow is not registered on any.
        """
        services = self._run.services
        if services is None:
            raise ConfigError(
                f"Step {self._record.step_id!r} asked for `ctx.mastra`, but workflow "
                f"{self._scope.workflow_id!r} is not registered: pass it to "
                "`Mastra(workflows={...})` and run it from there."
            )
        return services

    @property
    def logger(self) -> BoundLogger:
        """A logger that knows run, workflow and step."""
        services = self._run.services
        base: Any = None if services is None else services.logger
        return get_logger(
            {
                "run_id": self._run.run_id,
                "workflow_id": self._scope.workflow_id,
                "step_id": self._record.step_id,
                "attempt": self.retry_count + 1,
            },
            base,
        )

    @property
    def engine(self) -> Mapping[str, Any]:
        """What the engine offers beyond the common; empty in process."""
        return self._run.engine_facts

    @property
    def writer(self) -> StepWriter:
        """Sends values to whoever reads the run."""
        return StepWriter(self._run, self._record)

    @property
    def abort_signal(self) -> AbortSignal:
        """Set when the run is cancelled. A step that looks at it gets a moment to end by itself."""
        return self._run.stop.watch()

    # -- data ----------------------------------------------------------------------------------

    @property
    def state(self) -> Any:
        """The run's state: a value of the state schema, or a dict where there is none.

        It keeps its value while the step runs, whatever `set_state` is given.
        """
        if self._state is None:
            schema = self._state_schema()
            values = copy.deepcopy(dict(self._run.state.values))  # other steps may write meanwhile
            try:
                self._state = schema.unpack(values) if schema else values
            except SchemaMismatch as mismatch:
                raise self._bad_state("State, as seen by", mismatch) from None
        return self._state

    def _state_schema(self) -> Schema[Any] | None:
        own = None if self._step is None else self._step.state_schema
        return own or self._scope.spec.state_schema

    def set_state(self, values: Mapping[str, Any] | object) -> Awaitable[None]:
        """Merge values into the run's state, key by key, when this step ends well.

        The call is all it takes, in a plain function too: what it gives need not be awaited.

        Args:
            values: A mapping, a pydantic model of which the fields that were set count, or a
                dataclass of which all count.

        Raises:
            StepValidationError: It is none of these, or the merged state does not meet the state
                schema.
            SerializationError: A value cannot be JSON.
            RunStateError: The step has ended, and a task or thread that it began goes on.
        """
        self._refuse_afterwards("set_state")
        plain = self._plain_state(values)
        what = f"State set by step {self._record.step_id!r}"
        schema = self._state_schema()
        if schema:
            plain = {schema.name_of(key): value for key, value in plain.items()}
        delta: dict[str, Json] = ANY.pack(plain, what=what)
        merged = {**self._run.state.values, **(self._delta or {}), **delta}
        if schema:
            try:
                checked = schema.pack(schema.unpack(merged), what=what)
            except SchemaMismatch as mismatch:
                raise self._bad_state("State set by", mismatch) from None
            delta = {key: checked.get(key, value) for key, value in delta.items()}
        self._delta = {**(self._delta or {}), **delta}
        return DONE

    def _plain_state(self, values: Any) -> dict[str, Any]:
        if isinstance(values, Mapping):
            return dict(cast("Mapping[str, Any]", values))
        set_ones: set[str] | None = getattr(values, "model_fields_set", None)
        if set_ones is not None:
            return {name: part for name, part in values if name in set_ones}
        if is_dataclass(values) and not isinstance(values, type):
            return {one.name: getattr(values, one.name) for one in fields(values)}
        raise StepValidationError(
            f"State set by step {self._record.step_id!r} is {shown(values)}: give a dict of what is "
            "to be changed, or a pydantic model or a dataclass.",
            code="WORKFLOW_STEP_STATE_VALIDATION_FAILED",
            details={"stepId": self._record.step_id},
        )

    def _bad_state(self, what: str, mismatch: SchemaMismatch) -> MastraValidationError:
        step_id = self._record.step_id
        error = mismatch.into(StepValidationError, f"{what} step {step_id!r}", stepId=step_id)
        error.code = "WORKFLOW_STEP_STATE_VALIDATION_FAILED"
        return error

    def get_init_data(self) -> Any:
        """Return the workflow's input, as a value of its input type."""
        return self._scope.spec.input_schema.unpack(self._scope.init_data)

    def get_step_result(self, step: Any) -> Any:
        """Return what a step gave, as a value of its output type; `None` where it gave nothing.

        Args:
            step: The step or its id; inside a nested workflow, one of that workflow. Of what a
                nested workflow is made of, `inner.price`.

        Raises:
            ConfigError: It is neither.
            NotFoundError: The workflow has no such step.
        """
        step_id: Any = step if isinstance(step, str) else getattr(step, "id", None)
        if not isinstance(step_id, str):
            raise ConfigError(f"get_step_result takes a step or its id, not {shown(step)}.")
        record = self._run.latest.get(self._scope.names + step_id)
        if record is None or record.status not in ("success", "bailed"):
            if record is None and step_id.partition(".")[0] not in self._scope.spec.steps:
                known = ", ".join(repr(name) for name in self._scope.spec.steps)
                raise NotFoundError(
                    f"Workflow {self._scope.workflow_id!r} has no step {step_id!r}. It has {known}.",
                    code="STEP_NOT_FOUND",
                )
            return None
        schema = self._scope.spec.steps.get(step_id)
        if schema is None:  # a step of a workflow inside this one
            schema = self._run.log.forms.gives_of(record.step_id)
        try:
            return schema.unpack(record.output)
        except SchemaMismatch:  # a result given by time travel need not be of the type
            return record.output

    # -- ending the step -----------------------------------------------------------------------

    def suspend(
        self, payload: Any = None, *, resume_label: str | list[str] | None = None
    ) -> Coroutine[Any, Any, NoReturn]:
        """End the step here and wait, for as long as it takes, to be resumed.

        The call itself ends the step, in a plain function too; `return await ctx.suspend(…)`
        reads well and does the same. A step that catches what it raises is suspended all the
        same when it returns. On resume the step runs again from its top, with `resume_data` set.

        Args:
            payload: What whoever resumes needs to know.
            resume_label: One or more names by which the run can be resumed here.

        Raises:
            ConfigError: A name is no text.
        """
        self._refuse_outside_a_step("suspend")
        raise self._ended_with(Suspend(payload, _labels(resume_label)))

    def bail(self, result: Any = None) -> NoReturn:
        """End the workflow that the step is in, in success, with this result.

        A nested workflow is the only one that it ends: the result is what the outer one goes on
        with.
        """
        self._refuse_outside_a_step("bail")
        raise self._ended_with(Bail(result))

    def _ended_with(self, signal: Suspend | Bail) -> Suspend | Bail:
        # Noted, for a step that catches everything and would go on as if nobody was asked.
        self._ended_by = self._ended_by or signal
        return signal

    def _refuse_outside_a_step(self, what: str) -> None:
        if self._step is None:
            raise RunStateError(
                f"`{what}` was called at {self._record.step_id!r}, in a condition or another "
                f"function that is no step: only a step can {what}."
            )
        self._refuse_afterwards(what)

    def _refuse_afterwards(self, what: str) -> None:
        if self._step is not None and self._record.ended_at is not None:
            raise RunStateError(
                f"`{what}` was called when step {self._record.step_id!r} had ended, by a task or a "
                "thread that it began. Wait in the step for what it begins, such as with a task group."
            )

    def abort(self) -> None:
        """Cancel the run once this step has ended."""
        self._run.stop.is_thrown = True


def _labels(given: Any) -> tuple[str, ...]:
    if given is None or isinstance(given, str):
        return () if given is None else (given,)
    several = tuple(cast("Iterable[Any]", given)) if isinstance(given, Iterable) else (given,)
    if not all(isinstance(label, str) for label in several):
        raise ConfigError(f"resume_label is {shown(given)}. It takes text, or a list of texts.")
    return several
