"""What a run is resumed with, and for which of its suspended steps.

An answer may come while steps beside the one that asked still work. It is for what had asked by
then, waits for the leg to end, and is taken once.
"""

from __future__ import annotations

from typing import Any, cast

from mastra.dataclass import dataclass
from mastra.errors import ResumeClaimedError, RunStateError
from mastra.jsonable import Json
from mastra.workflows.active import Target
from mastra.workflows.engines.journal import LoadedRun
from mastra.workflows.engines.reopen import find_targets
from mastra.workflows.records import StepRecord
from mastra.workflows.spec import WorkflowSpec

__all__ = ["Answer"]

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
    asked: dict[str, int] | None = None
    """The suspensions that it is for: the order of each record by its operation."""
    value: Json = None
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
            return bool(self.asked)
        self.check_still_asked(loaded)
        return True

    def target(self, loaded: LoadedRun) -> Target:
        """Return what it means in a run that is suspended.

        Raises:
            NotFoundError: The workflow has no such step.
            RunStateError: No suspended step fits, or several do and none was named.
            ResumeValidationError: The data does not meet the step's resume schema.
        """
        if self.asked is None:
            self._mean(loaded, loaded.suspended)
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
        order = {record.op_id: record.order for record in _suspended_meanwhile(loaded)}
        if any(order.get(op_id) != known for op_id, known in (self.asked or {}).items()):
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


def _suspended_meanwhile(loaded: LoadedRun) -> list[StepRecord]:
    """Return what is suspended and not what the leg under way goes on with."""
    leg = _leg_of(loaded)
    taken: list[str] = leg.get("ops") or []
    order: int = leg.get("order", -1)
    return [r for r in loaded.suspended if r.op_id not in taken or r.order > order]


def _leg_of(loaded: LoadedRun) -> dict[str, Any]:
    return cast("dict[str, Any]", loaded.head.data.get("reopening") or {})
