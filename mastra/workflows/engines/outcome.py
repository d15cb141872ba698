"""How a leg ended: from the walk's value or halt, or from storage, to the public result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, get_args, get_origin

from mastra.dataclass import dataclass
from mastra.errors import StepValidationError
from mastra.failures import Guard, error_to_json
from mastra.jsonable import Json
from mastra.logs import get_logger
from mastra.schema import SchemaMismatch
from mastra.workflows.active import ActiveRun
from mastra.workflows.engines.base import Halt
from mastra.workflows.engines.journal import LoadedRun
from mastra.workflows.error_data import error_from_json
from mastra.workflows.records import StepRecord
from mastra.workflows.results import (
    RunFacts,
    WorkflowCanceled,
    WorkflowFailed,
    WorkflowPaused,
    WorkflowResult,
    WorkflowSuccess,
    WorkflowSuspended,
    WorkflowTripwire,
)
from mastra.workflows.spec import StepNode, WorkflowSpec
from mastra.workflows.spec_forms import forms_of

__all__ = [
    "Outcome",
    "item_of",
    "labels_of",
    "outcome_of_fault",
    "outcome_of_halt",
    "outcome_of_value",
    "path_of",
    "result_from_storage",
    "result_of",
]


@dataclass(slots=True)
class Outcome:
    """How a leg ended, before it is stored and told."""

    status: str
    value: Any = None
    """The output, as a value of the workflow's type where it is one."""
    raw: Json = None
    has_result: bool = False
    error: dict[str, Json] | None = None
    tripwire: Mapping[str, Json] | None = None


def outcome_of_value(run: ActiveRun, spec: WorkflowSpec, value: Json) -> Outcome:
    """Return the outcome of a walk that reached its end."""
    schema = spec.output_schema
    if schema.is_any or not spec.validate_outputs:
        return Outcome("success", value, value, has_result=True)
    try:
        typed = schema.unpack(value)
    except SchemaMismatch as mismatch:
        if not spec.strict:
            # As in the original: an output that is not of its type is given as it is.
            return Outcome("success", value, value, has_result=True)
        error = mismatch.into(
            StepValidationError, f"Output of workflow {spec.id!r}", workflowId=spec.id
        )
        error.code = "WORKFLOW_OUTPUT_VALIDATION_FAILED"
        return _failed(run, error)
    except BaseException as raised:  # noqa: BLE001 - a validator of the user's may raise anything
        return _failed(run, Guard().contain(raised))
    raw, is_kept = value, spec.gives_as_kept
    if is_kept is None:
        is_kept = _gives_as_kept(spec)
        object.__setattr__(spec, "gives_as_kept", is_kept)  # worked out from what is frozen
    if not is_kept:
        try:
            raw = schema.pack(typed, what=f"Output of workflow {spec.id!r}")
        except BaseException as raised:  # noqa: BLE001 - as above
            return _failed(run, Guard().contain(raised))
    return Outcome("success", typed, raw, has_result=True)


def _gives_as_kept(spec: WorkflowSpec) -> bool:
    """Return whether the output schema would keep what flows out just as it is.

    That is so where the last step keeps a value of that very type, and where a parallel or a
    branch of steps gives a dict of them.
    """
    gives, last = spec.output_schema.type, spec.nodes[-1]
    # `list[Item]` is another object each time it is written, and the same type.
    if spec.value is not None and spec.value.type == gives:
        return True
    if last.shape != "keyed" or get_origin(gives) is not dict:
        return False
    kept = get_args(gives)
    steps = [unit.step for unit in last.units if isinstance(unit, StepNode)]
    return (
        len(steps) == len(last.units)
        and kept[0] is str
        and all(step.output_schema.type == kept[1] for step in steps)
    )


def _failed(run: ActiveRun, error: BaseException) -> Outcome:
    run.causes[""] = error
    return Outcome("failed", error=error_to_json(error, to_callers=True))


def outcome_of_fault(run: ActiveRun, error: BaseException) -> Outcome:
    """Return the outcome of a walk that raised outside of the user's code, which nothing should."""
    get_logger({"run_id": run.run_id, "workflow_id": run.workflow_id}).error(
        "Run %r of workflow %r failed outside of its steps.",
        run.run_id,
        run.workflow_id,
        exc_info=error,
    )
    return _failed(run, error)


def outcome_of_halt(run: ActiveRun, spec: WorkflowSpec, halt: Halt) -> Outcome:
    """Return the outcome of a walk that ended before."""
    record = halt.record
    match halt.status:
        case "bailed":
            return outcome_of_value(run, spec, None if record is None else record.output)
        case "tripwire":
            return Outcome("tripwire", tripwire=None if record is None else record.tripwire)
        case "failed":
            if record is not None and record.op_id in run.causes:
                run.causes[""] = run.causes[record.op_id]
            return Outcome("failed", error=None if record is None else record.error)
        case _:
            return Outcome(halt.status)


def result_of(
    facts: RunFacts, outcome: Outcome, suspended: list[StepRecord]
) -> WorkflowResult[Any]:
    """Return the public result of a leg."""
    match outcome.status:
        case "success":
            return WorkflowSuccess(facts, outcome.value, facts.forms.gives.to_wire(outcome.raw))
        case "suspended":
            shown = [facts.forms.shown(record) for record in suspended]
            return WorkflowSuspended(facts, *_suspension(shown))
        case "canceled":
            return WorkflowCanceled(facts)
        case "paused":
            return WorkflowPaused(facts)
        case "tripwire":
            return WorkflowTripwire(facts, outcome.tripwire or {})
        case _:
            error = error_from_json(
                outcome.error or {"message": "The run failed.", "name": "RunError"},
                facts.causes.get(""),
            )
            return WorkflowFailed(facts, error)


def path_of(record: StepRecord) -> list[str]:
    """Return the ids of a step from the outside in, without places in a foreach."""
    return [part.partition("[")[0] for part in record.step_id.split(".")]


def item_of(record: StepRecord) -> int | None:
    """Return the place in a foreach, also of a step of a workflow that is its item."""
    if record.index is not None:
        return record.index
    for part in record.step_id.split("."):
        _, bracket, rest = part.partition("[")
        if bracket:
            return int(rest.rstrip("]"))
    return None


def labels_of(records: list[StepRecord]) -> dict[str, dict[str, Json]]:
    """Return where each label of what is suspended leads: all that it takes to resume there."""
    labels: dict[str, dict[str, Json]] = {}
    for record in records:
        for label in record.labels:
            place: dict[str, Json] = {"stepId": ".".join(path_of(record))}
            item = item_of(record)
            if item is not None:
                place["foreachIndex"] = item
            labels[label] = place
    return labels


def _suspension(
    records: list[StepRecord],
) -> tuple[list[list[str]], dict[str, Json], dict[str, dict[str, Json]]]:
    paths: list[list[str]] = []
    payloads: dict[str, Json] = {}
    tops = [path_of(record)[0] for record in records]
    for record in records:
        path = path_of(record)
        if path not in paths:
            paths.append(path)
    # Of items, in whichever order they got there, the first: so says their block, too.
    for record in sorted(records, key=lambda one: item_of(one) or 0):
        path = path_of(record)
        payloads.setdefault(path[0], record.suspend_payload)
        if len(path) > 1 and tops.count(path[0]) > 1:
            payloads.setdefault(".".join(path), record.suspend_payload)
    return paths, payloads, labels_of(records)


def result_from_storage(spec: WorkflowSpec, loaded: LoadedRun) -> WorkflowResult[Any] | None:
    """Return the result of a run as storage has it, or `None` while it goes on."""
    head = loaded.head
    if head.status in ("pending", "running", "waiting"):
        return None
    state = head.state
    path = cast("list[str]", head.data.get("path") or [])
    facts = RunFacts(head.run_id, head.workflow_id, head.input, state, loaded.latest, path, {})
    facts.forms = forms_of(spec)
    facts.trace = cast("Any", head.data.get("trace"))
    outcome = Outcome(
        head.status,
        raw=head.result,
        error=head.error,
        tripwire=cast("Any", head.data.get("tripwire")),
    )
    if head.status == "success":
        try:
            outcome.value = spec.output_schema.unpack(head.result)
        except SchemaMismatch:
            outcome.value = head.result
    return result_of(facts, outcome, loaded.suspended)
