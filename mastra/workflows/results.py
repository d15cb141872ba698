"""What comes of a run: one frozen class a status, and one class for a step's part in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from functools import cached_property
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Literal,
    NoReturn,
    TypeAlias,
    TypeVar,
    cast,
)

from mastra.dataclass import dataclass
from mastra.errors import MastraError, TripwireError, WorkflowFailedError
from mastra.failures import error_to_json
from mastra.jsonable import Json
from mastra.names import missing_attribute, python_names
from mastra.workflows.error_data import error_from_json
from mastra.workflows.forms import PLAIN, Forms
from mastra.workflows.records import StepRecord, StepStatus

__all__ = [
    "RunFacts",
    "RunStatus",
    "StepResult",
    "WorkflowCanceled",
    "WorkflowFailed",
    "WorkflowPaused",
    "WorkflowResult",
    "WorkflowSuccess",
    "WorkflowSuspended",
    "WorkflowTripwire",
]

Out = TypeVar("Out")
RunStatus: TypeAlias = Literal[
    "pending",
    "running",
    "waiting",
    "suspended",
    "paused",
    "success",
    "failed",
    "tripwire",
    "canceled",
]

_TOLD_AS: dict[StepStatus, StepStatus] = {"bailed": "success", "retry": "running"}
_NOT_ENDED = ("suspended", "retry")
_OF_SOME = ("result", "error", "suspended", "suspend_payload", "tripwire")
"""What results of one status have and the others lack."""


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


@python_names
@dataclass(frozen=True)
class StepResult:
    """A step's part in a run, as JSON data and times in UTC."""

    status: StepStatus
    payload: Json = None
    """Its input."""
    output: Json = None
    error: MastraError | None = None
    suspend_payload: Json = None
    resume_payload: Json = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    suspended_at: datetime | None = None
    resumed_at: datetime | None = None
    metadata: Mapping[str, Json] | None = None
    """`iterationCount` in a loop."""
    tripwire: Mapping[str, Json] | None = None
    record: StepRecord | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, record: StepRecord, cause: BaseException | None = None) -> StepResult:
        """Return the public form of a record."""
        return cls(
            status=_TOLD_AS.get(record.status, record.status),
            payload=record.payload,
            output=record.output,
            error=None if record.error is None else error_from_json(record.error, cause),
            suspend_payload=record.suspend_payload,
            resume_payload=record.resume_payload,
            started_at=_moment(record.started_at),
            ended_at=None if record.status in _NOT_ENDED else _moment(record.ended_at),
            suspended_at=_moment(record.suspended_at),
            resumed_at=_moment(record.resumed_at),
            metadata=None if record.iteration is None else {"iterationCount": record.iteration},
            tripwire=record.tripwire,
            record=record,
        )

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON of a step result."""
        return {} if self.record is None else step_to_wire(self.record)


def step_to_wire(record: StepRecord, *, with_payload: bool = True) -> dict[str, Json]:
    """Return Mastra's JSON of a record: only the fields that apply, times in milliseconds."""
    wire: dict[str, Json] = {"payload": record.payload} if with_payload else {}
    wire["startedAt"] = record.started_at
    wire["status"] = _TOLD_AS.get(record.status, record.status)
    if record.suspend_payload is not None:
        wire["suspendPayload"] = record.suspend_payload
    if record.suspended_at is not None:
        wire["suspendedAt"] = record.suspended_at
    if record.resumed_at is not None:
        wire["resumePayload"] = record.resume_payload
        wire["resumedAt"] = record.resumed_at
    if record.iteration is not None:
        wire["metadata"] = {"iterationCount": record.iteration}
    if record.status in ("success", "bailed"):
        wire["output"] = record.output
    if record.error is not None:
        wire["error"] = record.error
    if record.tripwire is not None:
        wire["tripwire"] = record.tripwire
    if record.ended_at is not None and record.status not in _NOT_ENDED:
        wire["endedAt"] = record.ended_at
    return wire


@dataclass(slots=True)
class RunFacts:
    """What every result of a run is made from."""

    run_id: str
    workflow_id: str
    input: Json
    state: Mapping[str, Json]
    records: Mapping[str, StepRecord]
    """The last record of each step name, in order of first appearance."""
    path: list[str]
    """Ids of the top-level entries that ran by themselves, in order."""
    causes: Mapping[str, BaseException]
    """Exceptions raised in this process, by operation id."""
    trace: Mapping[str, Json] | None = None
    """`traceId` and `spanId` of the leg, where somebody traces."""
    forms: Forms = PLAIN
    """How clients see the values."""


@python_names
@dataclass(frozen=True)
class _Result(Generic[Out]):
    """What all results have in common."""

    facts: RunFacts = field(repr=False)
    status: ClassVar[RunStatus]

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.facts.run_id

    @property
    def workflow_id(self) -> str:
        """The workflow's id."""
        return self.facts.workflow_id

    @property
    def input(self) -> Json:
        """The run's input, as JSON."""
        return self.facts.forms.takes.to_wire(self.facts.input)

    @property
    def state(self) -> Mapping[str, Json]:
        """The run's state, as JSON."""
        return self.facts.forms.state.to_wire(self.facts.state)

    @property
    def step_execution_path(self) -> list[str]:
        """Ids of the top-level entries that ran by themselves (not inside a block), in order."""
        return self.facts.path

    @cached_property
    def steps(self) -> dict[str, StepResult]:
        """Each step's part by its id; of a step that ran more than once, the last."""
        causes, forms = self.facts.causes, self.facts.forms
        return {
            step_id: StepResult.of(forms.shown(record), causes.get(record.op_id))
            for step_id, record in self.facts.records.items()
        }

    if not TYPE_CHECKING:  # a type checker would take every name for one that is there

        def __getattr__(self, name: str) -> NoReturn:
            if name in _OF_SOME:
                raise AttributeError(
                    f"{type(self).__name__!r} object has no attribute {name!r}: the run is "
                    f"{self.status!r}. Ask for `status` first, or use `unwrap()`, which returns the "
                    "output of a run that succeeded and raises otherwise",
                    name=name,
                    obj=self,
                )
            missing_attribute(self, name)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from mastra.workflows.notebook import result_bundle  # noqa: PLC0415 - notebooks only

        return result_bundle(cast("WorkflowResult[Any]", self))

    def unwrap(self) -> Out:
        """Return the output of a run that succeeded.

        Raises:
            WorkflowFailedError: It did not succeed. What failed is `__cause__`.
        """
        self._refuse(f"ended as {self.status!r}")

    def _refuse(self, how: str, cause: BaseException | None = None) -> NoReturn:
        raise WorkflowFailedError(
            f"Run {self.run_id!r} of workflow {self.workflow_id!r} {how}, so it has no output.",
            details={
                "runId": self.run_id,
                "workflowId": self.workflow_id,
                "status": self.status,
            },
        ) from cause

    def to_wire(self, *, state: bool = False, resume_labels: bool = False) -> dict[str, Json]:
        """Return Mastra's JSON of the result.

        Args:
            state: Whether to add the run's state.
            resume_labels: Whether to add the labels of a suspension.
        """
        facts = self.facts
        steps: dict[str, Json] = {"input": self.input}
        before = facts.input
        path = set(facts.path)
        for step_id, record in facts.records.items():
            if "." in step_id or "[" in step_id:
                continue  # of a nested workflow: the original tells of those in stored runs only
            # As the original: left out where a reader can tell it from the entry before.
            told = step_id in path and record.payload == before
            shown = facts.forms.shown(record)
            steps[step_id] = step_to_wire(shown, with_payload=not told)
            if step_id in path:
                before = record.output
        wire: dict[str, Json] = {
            "status": self.status,
            "steps": steps,
            "input": self.input,
            "stepExecutionPath": facts.path,
            **self._own_wire(),
            "runId": facts.run_id,
        }
        if facts.trace is not None:
            wire.update(facts.trace)
        if state:
            wire["state"] = dict(self.state)
        if resume_labels:
            wire["resumeLabels"] = getattr(self, "resume_labels", {})
        return wire

    def _own_wire(self) -> dict[str, Json]:
        return {}


@dataclass(frozen=True)
class WorkflowSuccess(_Result[Out]):
    """The run reached its end, or a step bailed."""

    status: ClassVar[Literal["success"]] = "success"
    result: Out
    """The output, as a value of the workflow's output type."""
    raw: Json = field(default=None, repr=False)
    """The output as JSON."""

    def unwrap(self) -> Out:
        """Return the output."""
        return self.result

    def _own_wire(self) -> dict[str, Json]:
        return {"result": self.raw}


@dataclass(frozen=True)
class WorkflowFailed(_Result[Out]):
    """A step failed, and with it the run."""

    status: ClassVar[Literal["failed"]] = "failed"
    error: MastraError
    """What failed; the step's own exception is its `__cause__` where it was raised here."""

    def unwrap(self) -> Out:
        """Raise.

        Raises:
            WorkflowFailedError: Always, with `error` as `__cause__`.
        """
        self._refuse(f"failed: {self.error.message}", self.error)

    def _own_wire(self) -> dict[str, Json]:
        return {"error": error_to_json(self.error, to_callers=True)}


@dataclass(frozen=True)
class WorkflowSuspended(_Result[Out]):
    """One or more steps wait for resume data."""

    status: ClassVar[Literal["suspended"]] = "suspended"
    suspended: list[list[str]]
    """The path of each suspended step: its ids from the outside in."""
    suspend_payload: dict[str, Json]
    """What the steps suspended with, by the id of the top-level step; where several inside one
    nested workflow are suspended, also by dotted path."""
    resume_labels: dict[str, dict[str, Json]]
    """Label to `{"stepId", "foreachIndex"}`."""

    def unwrap(self) -> Out:
        """Raise.

        Raises:
            WorkflowFailedError: Always; the message names the steps that wait.
        """
        names = ", ".join(repr(".".join(path)) for path in self.suspended)
        self._refuse(f"is suspended at {names}; resume it first")

    def _own_wire(self) -> dict[str, Json]:
        return {"suspended": self.suspended, "suspendPayload": self.suspend_payload}


@dataclass(frozen=True)
class WorkflowTripwire(_Result[Out]):
    """A processor of an agent refused, and with it the run."""

    status: ClassVar[Literal["tripwire"]] = "tripwire"
    tripwire: Mapping[str, Json]
    """`{"reason", "retry", "metadata", "processorId"}`."""

    def unwrap(self) -> Out:
        """Raise.

        Raises:
            WorkflowFailedError: Always, with a `TripwireError` as `__cause__`.
        """
        reason = str(self.tripwire.get("reason", ""))
        cause = TripwireError(reason, details=dict(self.tripwire))
        self._refuse(f"was stopped by a processor: {reason}", cause)

    def _own_wire(self) -> dict[str, Json]:
        return {"tripwire": dict(self.tripwire)}


@dataclass(frozen=True)
class WorkflowPaused(_Result[Out]):
    """A run that goes entry by entry stopped after one."""

    status: ClassVar[Literal["paused"]] = "paused"


@dataclass(frozen=True)
class WorkflowCanceled(_Result[Out]):
    """The run was cancelled, or a step aborted it."""

    status: ClassVar[Literal["canceled"]] = "canceled"


WorkflowResult: TypeAlias = (
    WorkflowSuccess[Out]
    | WorkflowFailed[Out]
    | WorkflowSuspended[Out]
    | WorkflowTripwire[Out]
    | WorkflowPaused[Out]
    | WorkflowCanceled[Out]
)
"""Any result; take it apart by class or by `status`."""
