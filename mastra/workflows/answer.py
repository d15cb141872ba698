"""What a run is resumed with, and for which of its suspended steps.

An answer may come while steps beside the one that asked still work. It is for what had asked by
then, is kept with the run until the leg has ended, and is taken once: by its caller, or by whoever
drives the run where that is gone. Of two answers to one question the first that is kept holds.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, cast

from mastra.dataclass import dataclass
from mastra.errors import ResumeClaimedError, RunStateError
from mastra.ids import new_id
from mastra.jsonable import Json
from mastra.request_context import RequestContext
from mastra.workflows.active import Reopening, Target
from mastra.workflows.engines.journal import LoadedRun
from mastra.workflows.engines.resume import find_targets
from mastra.workflows.records import StepRecord
from mastra.workflows.spec import WorkflowSpec

__all__ = ["Answer", "KeptAnswer", "first_kept", "kept_beside"]

_ENDED = ("success", "failed", "canceled", "tripwire")
_NOT_THERE = ("RESUME_TARGET_NOT_FOUND", "RUN_NOT_SUSPENDED")


@dataclass(slots=True)
class Answer:
    """One call of `resume`, until its leg has begun."""

    spec: WorkflowSpec
    data: Any
    step: Any = None
    label: str | None = None
    index: int | None = None
    context: RequestContext = field(default_factory=RequestContext)
    """What is laid over the run's request context."""
    per_step: bool = False
    asked: dict[str, int] | None = None
    """The suspensions that it is for: the order of each record by its operation."""
    value: Json = None
    key: str = field(default_factory=new_id)
    """By which it is known among those that are kept."""
    is_kept: bool = False
    _refused: RunStateError | ResumeClaimedError | None = None
    """Why the leg that was under way when it was looked at last does not take it."""

    def is_expected(self, loaded: LoadedRun) -> bool:
        """Return whether a step that the leg under way has left suspended waits for it.

        Raises:
            ResumeClaimedError: Somebody else has answered.
            NotFoundError: The workflow has no such step.
            ResumeValidationError: The data does not meet the step's resume schema.
        """
        self._refused = self.refusal(loaded)
        free = _suspended_meanwhile(loaded)
        if self.asked is None:
            try:
                self._mean(loaded, free)
            except RunStateError as error:
                if error.code not in _NOT_THERE:
                    raise
                return False
        if self.asked:
            self.check_still_asked(loaded)
        return bool(self.asked)

    def is_taken(self, loaded: LoadedRun) -> bool:
        """Return whether it was kept, and somebody has gone on with the run by it since."""
        return self.is_kept and all(kept.key != self.key for kept in _kept(loaded))

    def target(self, loaded: LoadedRun) -> Target:
        """Return what it means in a run that is suspended.

        Raises:
            NotFoundError: The workflow has no such step.
            RunStateError: No suspended step fits, or several do and none was named.
            ResumeValidationError: The data does not meet the step's resume schema.
            ResumeClaimedError: Another answer is kept for it.
        """
        if self.asked is None:
            self._mean(loaded, loaded.suspended)
            self.check_still_asked(loaded)
        return Target(frozenset(self.asked or ()), self.value)

    def _mean(self, loaded: LoadedRun, suspended: list[StepRecord]) -> None:
        ops, self.value = find_targets(
            self.spec, loaded, self.data, self.step, self.label, self.index, suspended=suspended
        )
        order = {record.op_id: record.order for record in suspended}
        self.asked = {op_id: order[op_id] for op_id in ops} or None

    def check_still_asked(self, loaded: LoadedRun) -> None:
        """Look whether what it is for still waits, once that is known.

        Raises:
            ResumeClaimedError: Somebody else has answered.
        """
        if isinstance(self._refused, ResumeClaimedError) and loaded.head.status in _ENDED:
            raise self._refused  # by the leg that was under way when this came
        # A step that has been answered and asks once more asks something else.
        order = _orders(loaded)
        asked = self.asked or {}
        is_asked = all(order.get(op_id) == known for op_id, known in asked.items())
        others = [kept for kept in _kept(loaded) if kept.is_for(order)]
        first = next((kept for kept in others if kept.asked.keys() & asked.keys()), None)
        if not is_asked or (first is not None and first.key != self.key):
            raise ResumeClaimedError(
                f"Run {loaded.head.run_id!r} of workflow {self.spec.id!r} was resumed by somebody "
                "else first.",
                details={"runId": loaded.head.run_id},
            )

    def refusal(self, loaded: LoadedRun) -> RunStateError | ResumeClaimedError:
        """Return why a run that is under way does not take it."""
        head = loaded.head
        if _leg_of(loaded).get("ops"):
            return ResumeClaimedError(
                f"Run {head.run_id!r} of workflow {self.spec.id!r} is {head.status}: somebody else "
                "resumed it first.",
                details={"runId": head.run_id},
            )
        return RunStateError(
            f"Run {head.run_id!r} of workflow {self.spec.id!r} is {head.status}, and no step of it "
            "that this answer is for is suspended. Resume it once it is: when its result, or its "
            "event `workflow-step-suspended`, says so.",
            code="RUN_NOT_SUSPENDED",
            details={"runId": head.run_id, "status": head.status},
        )

    def to_stored(self) -> dict[str, Json]:
        """Return it as JSON data, to be kept with its run."""
        return {
            "key": self.key,
            "asked": cast("dict[str, Json]", self.asked),
            "data": self.value,
            "context": self.context.to_json(),
            "perStep": self.per_step,
        }


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer that is kept with its run."""

    stored: dict[str, Any]

    @property
    def key(self) -> str:
        """By which it is known."""
        return self.stored["key"]

    @property
    def asked(self) -> dict[str, int]:
        """The suspensions that it is for: the order of each record by its operation."""
        return self.stored["asked"]

    @property
    def target(self) -> Target:
        """What a leg is to go on with."""
        return Target(frozenset(self.asked), self.stored["data"])

    @property
    def context(self) -> dict[str, Json]:
        """What is laid over the run's request context."""
        return self.stored["context"]

    @property
    def per_step(self) -> bool:
        """Whether the run goes step by step."""
        return self.stored["perStep"]

    def is_for(self, orders: dict[str, int]) -> bool:
        """Return whether everything that it is for still waits."""
        return all(orders.get(op_id) == order for op_id, order in self.asked.items())


def first_kept(loaded: LoadedRun) -> KeptAnswer | None:
    """Return the first answer that a run can go on by."""
    orders = _orders(loaded)
    return next((kept for kept in _kept(loaded) if kept.is_for(orders)), None)


def kept_beside(loaded: LoadedRun, reopening: Reopening) -> list[Json]:
    """Return what is still to be kept when a run that is not under way goes on."""
    orders = {} if reopening.travel is not None else _orders(loaded)
    ops = () if reopening.target is None else reopening.target.op_ids
    return [
        kept.stored
        for kept in _kept(loaded)
        if kept.is_for(orders) and kept.asked.keys().isdisjoint(ops)
    ]


def _kept(loaded: LoadedRun) -> list[KeptAnswer]:
    return [KeptAnswer(cast("dict[str, Any]", stored)) for stored in loaded.head.answers]


def _orders(loaded: LoadedRun) -> dict[str, int]:
    return {record.op_id: record.order for record in _suspended_meanwhile(loaded)}


def _suspended_meanwhile(loaded: LoadedRun) -> list[StepRecord]:
    """Return what is suspended and not what the leg under way goes on with."""
    leg = _leg_of(loaded)
    taken: list[str] = leg.get("ops") or []
    order: int = leg.get("order", -1)
    return [r for r in loaded.suspended if r.op_id not in taken or r.order > order]


def _leg_of(loaded: LoadedRun) -> dict[str, Any]:
    return cast("dict[str, Any]", loaded.head.data.get("reopening") or {})
