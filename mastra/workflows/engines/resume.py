"""Resuming: which suspended operations an answer means, and how a leg that was cut off had begun."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from mastra.clock import now_ms
from mastra.errors import ResumeValidationError, RunStateError
from mastra.jsonable import Json
from mastra.schema import ANY, Schema, SchemaMismatch
from mastra.workflows.active import Reopening, Target, TimeTravel
from mastra.workflows.engines.journal import LoadedRun
from mastra.workflows.engines.outcome import item_of, path_of
from mastra.workflows.engines.travel import dropped_by, has_step, locate, path_given
from mastra.workflows.records import StepRecord, decode_record
from mastra.workflows.spec import (
    StepNode,
    WorkflowSpec,
)

__all__ = ["find_targets", "reopening_after_crash", "resume_schema_of", "stored_reopening"]


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
        path = [] if step is None else path_given(step)
        if path and not has_step(spec, path):
            locate(spec, path, "")  # says which steps there are
        chosen = _at_step(run_id, suspended, path) if path else suspended
        if len({tuple(path_of(record)) for record in chosen}) > 1:
            raise RunStateError(
                f"Run {run_id!r} is suspended at several steps: {_names_of(chosen)}. Say which "
                "with `step=`, as a path where they are nested.",
                code="RESUME_TARGET_AMBIGUOUS",
                details={"runId": run_id},
            )
    if for_each_index is not None:
        at = [record for record in chosen if item_of(record) == for_each_index]
        if not at:
            known = sorted({i for record in chosen if (i := item_of(record)) is not None})
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


def _checked(spec: WorkflowSpec, record: StepRecord, data: Any) -> Json:
    schema = resume_schema_of(spec, path_of(record)) or ANY
    try:
        return schema.pack(schema.load(data), what="Resume data")
    except SchemaMismatch as mismatch:
        raise mismatch.into(
            ResumeValidationError,
            f"Resume data for step {record.step_id!r} of workflow {spec.id!r}",
            stepId=record.step_id,
        ) from None


def resume_schema_of(spec: WorkflowSpec, path: list[str]) -> Schema[Any] | None:
    """Return what a step is resumed with, given its ids from the outside in; `None` for anything."""
    for node in spec.nodes:
        for unit in node.units:
            if unit.id != path[0]:
                continue
            if isinstance(unit, StepNode):
                return unit.step.resume_schema
            if len(path) > 1:
                return resume_schema_of(unit.spec, path[1:])
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
        dropped = dropped_by(spec, loaded, travel.op_id)
        travel = replace(travel, dropped=dropped, given=given)
    return Reopening(travel=travel)
