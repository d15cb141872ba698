"""Where a run goes on: which suspended operations a resume means, and what going back forgets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from mastra.clock import now_ms
from mastra.errors import NotFoundError, ResumeValidationError, RunStateError
from mastra.jsonable import Json
from mastra.schema import ANY, Schema, SchemaMismatch
from mastra.workflows.active import Reopening, Target, TimeTravel
from mastra.workflows.engines.journal import LoadedRun
from mastra.workflows.engines.outcome import path_of
from mastra.workflows.places import place_of, unit_at
from mastra.workflows.records import StepRecord, decode_record
from mastra.workflows.spec import (
    ForeachNode,
    LoopNode,
    SleepNode,
    StepNode,
    WorkflowNode,
    WorkflowSpec,
)
from mastra.workflows.spec_forms import forms_of

__all__ = ["find_targets", "reopening_after_crash", "stored_reopening", "travel_to"]


def _path_given(step: Any) -> list[str]:
    parts: list[Any] = list(cast("list[Any]", step)) if isinstance(step, (list, tuple)) else [step]
    path: list[str] = []
    for part in parts:
        path.extend(str(part if isinstance(part, str) else part.id).split("."))
    return path


def find_targets(
    spec: WorkflowSpec,
    loaded: LoadedRun,
    resume_data: Any,
    step: Any,
    label: str | None,
    for_each_index: int | None,
    *,
    suspended: list[StepRecord] | None = None,
) -> tuple[list[str], Json]:
    """Return the operations that a resume is for, and its data as JSON.

    Args:
        spec: The workflow.
        loaded: The run.
        resume_data: What it is resumed with.
        step: Which step, as a path.
        label: Which, by its label.
        for_each_index: Which item of a foreach.
        suspended: Those to choose from; default: all that the run has.

    Raises:
        NotFoundError: The workflow has no such step.
        RunStateError: No suspended step fits, or several do and none was named.
        ResumeValidationError: The data does not meet the resume schema of one of them.
    """
    run_id = loaded.head.run_id
    suspended = loaded.suspended if suspended is None else suspended
    if label is not None:
        chosen = _under_label(run_id, suspended, label)
    else:
        path = [] if step is None else _path_given(step)
        if path and not _has_step(spec, path):
            _locate(spec, path, "")  # says which steps there are
        chosen = _at_step(run_id, suspended, path) if path else suspended
        if len({tuple(path_of(record)) for record in chosen}) > 1:
            raise RunStateError(
                f"Run {run_id!r} is suspended at several steps: {_names_of(chosen)}. Say which "
                "with `step=`, as a path where they are nested.",
                code="RESUME_TARGET_AMBIGUOUS",
                details={"runId": run_id},
            )
    if for_each_index is not None:
        at = [record for record in chosen if _item_of(record) == for_each_index]
        if not at:
            known = sorted({i for record in chosen if (i := _item_of(record)) is not None})
            raise RunStateError(
                f"Item {for_each_index} is not suspended in run {run_id!r}. Suspended items: {known}.",
                code="RESUME_TARGET_NOT_FOUND",
            )
        chosen = at
    data: Json = None
    for record in chosen:
        data = _checked(spec, record, resume_data)
    return [record.op_id for record in chosen], data


def _names_of(records: list[StepRecord]) -> str:
    return ", ".join(sorted({repr(".".join(path_of(record))) for record in records})) or "none"


def _under_label(run_id: str, suspended: list[StepRecord], label: str) -> list[StepRecord]:
    chosen = [record for record in suspended if label in record.labels]
    if not chosen:
        labels = sorted({name for record in suspended for name in record.labels})
        raise RunStateError(
            f"Run {run_id!r} is not suspended under the label {label!r}. Labels there are: "
            f"{', '.join(map(repr, labels)) or 'none'}.",
            code="RESUME_TARGET_NOT_FOUND",
            details={"label": label, "runId": run_id},
        )
    return chosen


def _at_step(run_id: str, suspended: list[StepRecord], path: list[str]) -> list[StepRecord]:
    chosen = [r for r in suspended if path_of(r)[: len(path)] == path]
    chosen = chosen or [r for r in suspended if path_of(r)[-len(path) :] == path]
    if not chosen:
        name = ".".join(path)
        raise RunStateError(
            f"Step {name!r} of run {run_id!r} is not suspended. Suspended: {_names_of(suspended)}.",
            code="RESUME_TARGET_NOT_FOUND",
            details={"stepId": name, "runId": run_id},
        )
    return chosen


def _item_of(record: StepRecord) -> int | None:
    """Return the place in a foreach, also of a step of a workflow that is its item."""
    if record.index is not None:
        return record.index
    for part in record.step_id.split("."):
        _, bracket, rest = part.partition("[")
        if bracket:
            return int(rest.rstrip("]"))
    return None


def _checked(spec: WorkflowSpec, record: StepRecord, data: Any) -> Json:
    schema = _resume_schema(spec, path_of(record)) or ANY
    try:
        return schema.pack(schema.load(data), what="Resume data")
    except SchemaMismatch as mismatch:
        raise mismatch.into(
            ResumeValidationError,
            f"Resume data for step {record.step_id!r} of workflow {spec.id!r}",
            stepId=record.step_id,
        ) from None


def _resume_schema(spec: WorkflowSpec, path: list[str]) -> Schema[Any] | None:
    for node in spec.nodes:
        for unit in node.units:
            if unit.id != path[0]:
                continue
            if isinstance(unit, StepNode):
                return unit.step.resume_schema
            if len(path) > 1:
                return _resume_schema(unit.spec, path[1:])
    return None


def stored_reopening(loaded: LoadedRun, reopening: Reopening) -> dict[str, Json] | None:
    """Return how a leg begins, as its run's head says it until the leg has ended."""
    stored = reopening.to_stored(now_ms())
    if stored is not None:
        stored["order"] = loaded.order
    if stored is not None and reopening.travel is not None:
        stored["legs"] = loaded.legs
        stored["given"] = [record.to_stored() for record in reopening.travel.given]
    return stored


def reopening_after_crash(spec: WorkflowSpec, loaded: LoadedRun) -> Reopening:
    """Return how the leg that a crash cut off had begun, for what of it is still to do."""
    stored = cast("dict[str, Any] | None", loaded.head.data.get("reopening"))
    if not stored:
        return Reopening()
    if "ops" in stored:
        # A step that was resumed and has suspended once more waits for another resume.
        still = [
            op_id
            for op_id in stored["ops"]
            if (record := loaded.journal.get(op_id)) is not None
            and record.status == "suspended"
            # By the order of the journal: a clock may stand still or go back meanwhile.
            and record.order <= stored["order"]
        ]
        return Reopening(target=Target(frozenset(still), stored["data"])) if still else Reopening()
    travel = TimeTravel.from_stored(stored)
    if loaded.legs <= stored.get("legs", -1):  # nothing of the leg is stored
        given = tuple(decode_record(record) for record in stored["given"])
        dropped = _dropped_by(spec, loaded, travel.op_id)
        travel = replace(travel, dropped=dropped, given=given)
    return Reopening(travel=travel)


# -- back in time --------------------------------------------------------------------------------


def travel_to(
    spec: WorkflowSpec,
    loaded: LoadedRun,
    step: Any,
    *,
    input_data: Any,
    resume_data: Any,
    state: dict[str, Json] | None,
    context: Mapping[str, Any] | None,
    nested_context: Mapping[str, Any] | None,
) -> TimeTravel:
    """Return where to go back to, what to forget, and what is given from outside.

    Raises:
        NotFoundError: The workflow has no such step.
        RunStateError: The step is one of a workflow that is an item of a foreach.
    """
    names = _path_given(step)
    op_id = _locate(spec, names, "")
    given = list(_results_given(spec, context or {}, nested_context or {}, "", ""))
    known = loaded.journal.get(op_id)
    about = forms_of(spec).steps.get(".".join(names))
    return TimeTravel(
        op_id=op_id,
        has_input=input_data is not ...,
        input=None if input_data is ... else _kept(about and about.takes, input_data, "Input data"),
        resume_data=_kept(about and about.resume, resume_data, "Resume data"),
        dropped=_dropped_by(spec, loaded, op_id),
        given=(
            *(record for record in given if not _is_dropped(spec, record.op_id, op_id)),
            *(() if state is None else (_state_given(state, op_id, loaded.order + 1),)),
        ),
        suspend_payload=None if known is None else known.suspend_payload,
    )


def _kept(schema: Schema[Any] | None, given: Any, what: str) -> Json:
    """Return a value that is given from outside as it is kept, where its type tells."""
    if schema is None or given is None:
        return ANY.pack(given, what=what)
    for read in (schema.load, schema.unpack):
        try:
            return schema.pack(read(given), what=what)
        except SchemaMismatch:  # the step says so, when it gets it
            continue
    return ANY.pack(given, what=what)


def _state_given(state: dict[str, Json], op_id: str, order: int) -> StepRecord:
    # A record among the others, so that what it says holds after a restart, too, until the run
    # goes back to before it.
    segment = op_id.partition("/")[0]
    record = StepRecord(f"{segment}.~state", "~state", None, now_ms())
    record.kind, record.status, record.state = "decision", "success", state
    record.order, record.ended_at = order, record.started_at
    return record


def _has_step(spec: WorkflowSpec, names: list[str]) -> bool:
    """Return whether a path leads to a step, from the top or from a workflow inside."""
    for node in spec.nodes:
        for unit in node.units:
            inner = unit.inner
            if unit.id == names[0]:
                rest = names[1:]
                if not rest or (inner is not None and _has_step(inner, rest)):
                    return True
            if inner is not None and _has_step(inner, names):
                return True
    return False


def _locate(spec: WorkflowSpec, names: list[str], prefix: str) -> str:
    known: list[str] = []
    for node in spec.nodes:
        if isinstance(node, SleepNode) and [node.id] == names:
            return prefix + node.op
        for unit in node.units:
            known.append(unit.id)
            if unit.id != names[0]:
                continue
            stem = prefix + (node.op if isinstance(node, (LoopNode, ForeachNode)) else unit.op)
            turn = "[1]" if isinstance(node, LoopNode) else ""
            if len(names) == 1:
                return stem + turn
            if isinstance(node, ForeachNode):
                raise RunStateError(
                    f"Step {'.'.join(names)!r} belongs to the items of a foreach. Go back to the "
                    f"foreach itself: step={unit.id!r}.",
                    code="TIME_TRAVEL_INTO_ITEM",
                )
            if isinstance(unit, WorkflowNode) and unit.spec.drive is not None:
                raise RunStateError(
                    f"Step {'.'.join(names)!r} is an operation of the agent {unit.id!r}, which goes "
                    f"through its operations in an order of its own. Go back to the agent itself: "
                    f"step={unit.id!r}.",
                    code="TIME_TRAVEL_INTO_AGENT",
                )
            if isinstance(unit, WorkflowNode):
                return _locate(unit.spec, names[1:], f"{stem}{turn}/")
    raise NotFoundError(
        f"Workflow {spec.id!r} has no step {names[0]!r}. It has {', '.join(map(repr, known))}.",
        code="STEP_NOT_FOUND",
    )


def _dropped_by(spec: WorkflowSpec, loaded: LoadedRun, op_id: str) -> tuple[str, ...]:
    known = (*loaded.journal, *loaded.blocks)
    return tuple(op for op in known if _is_dropped(spec, op, op_id))


def _is_dropped(spec: WorkflowSpec, op: str, op_id: str) -> bool:
    """Return whether an operation is the one gone back to, stands after it, or holds it."""
    if op == op_id or op.startswith((f"{op_id}[", f"{op_id}/", f"{op_id}#", f"{op_id}?")):
        return True
    stem = op_id.removesuffix("[1]")
    if stem != op_id and op.startswith(f"{stem}["):
        return True
    if op_id.startswith((f"{op}/", f"{op}[")):
        return True
    for part, target in zip(op.split("/"), op_id.split("/"), strict=False):
        place, index = place_of(spec, part), place_of(spec, target)
        if place is None or index is None:
            return True  # of a definition before this one, which says no more where it stood
        if place != index:
            return place > index
        unit = unit_at(spec, part)
        if part != target or not isinstance(unit, WorkflowNode):
            return False
        spec = unit.spec
    return False


def _results_given(
    spec: WorkflowSpec,
    context: Mapping[str, Any],
    nested: Mapping[str, Any],
    prefix: str,
    names: str,
) -> Iterator[StepRecord]:
    for node in spec.nodes:
        for unit in node.units:
            if unit.id in context and unit.id != "input":
                schema = unit.step.output_schema if isinstance(unit, StepNode) else None
                yield _record_given(prefix + unit.op, names + unit.id, context[unit.id], schema)
            if isinstance(unit, WorkflowNode) and unit.id in nested:
                inner = f"{names}{unit.id}."
                yield from _results_given(
                    unit.spec, nested[unit.id], nested, f"{prefix}{unit.op}/", inner
                )


def _record_given(op_id: str, step_id: str, given: Any, schema: Schema[Any] | None) -> StepRecord:
    what = f"Result given for step {step_id!r}"
    data = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    is_whole = "output" in data or "status" in data
    payload = ANY.pack(data.get("payload"), what=what) if is_whole else None
    record = StepRecord(op_id, step_id, payload, now_ms())
    record.status = data.get("status", "success") if is_whole else "success"
    record.output = _kept(schema, data.get("output") if is_whole else given, what)
    record.ended_at = record.started_at
    if record.status == "suspended":
        payload = data.get("suspendPayload", data.get("suspend_payload"))
        record.suspend_payload = ANY.pack(payload, what=what)
    return record
