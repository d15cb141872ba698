"""Time travel: where a run goes back to, what it forgets, what it is given, where its walk begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast, get_args

from mastra.clock import now_ms
from mastra.errors import OPTION_REFUSED, ConfigError, NotFoundError, RunStateError
from mastra.given import shown
from mastra.jsonable import Json
from mastra.schema import ANY, Schema, SchemaMismatch
from mastra.storage.base import JournalRow
from mastra.workflows.active import ActiveRun, Scope, TimeTravel
from mastra.workflows.engines.base import Walk
from mastra.workflows.engines.journal import DropRow, LoadedRun
from mastra.workflows.engines.journal_writer import JournalWriter
from mastra.workflows.places import place_of, unit_at
from mastra.workflows.records import StepRecord, StepStatus
from mastra.workflows.spec import (
    ForeachNode,
    LoopNode,
    SleepNode,
    StepNode,
    WorkflowNode,
    WorkflowSpec,
)
from mastra.workflows.spec_forms import forms_of

__all__ = [
    "dropped_by",
    "go_back",
    "has_step",
    "locate",
    "path_given",
    "travel_input",
    "travel_start",
    "travel_to",
]


_STATUSES: Final = get_args(StepStatus)


# -- what is gone back to ------------------------------------------------------------------------


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
        ConfigError: What is given for a step is no result of one.
        NotFoundError: The workflow has no such step.
        RunStateError: The step is one of a workflow that is an item of a foreach.
    """
    names = path_given(step)
    if not names:
        raise ConfigError("time_travel takes the step to go back to: `step=` is an empty list.")
    op_id = locate(spec, names, "")
    given = list(_results_given(spec, context or {}, nested_context or {}, "", ""))
    known = loaded.journal.get(op_id)
    about = forms_of(spec).steps.get(".".join(names))
    return TimeTravel(
        op_id=op_id,
        has_input=input_data is not ...,
        input=None if input_data is ... else _kept(about and about.takes, input_data, "Input data"),
        resume_data=_kept(about and about.resume, resume_data, "Resume data"),
        dropped=dropped_by(spec, loaded, op_id),
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


def has_step(spec: WorkflowSpec, names: list[str]) -> bool:
    """Return whether a path leads to a step, from the top or from a workflow inside."""
    for node in spec.nodes:
        for unit in node.units:
            inner = unit.inner
            if unit.id == names[0]:
                rest = names[1:]
                if not rest or (inner is not None and has_step(inner, rest)):
                    return True
            if inner is not None and has_step(inner, names):
                return True
    return False


def locate(spec: WorkflowSpec, names: list[str], prefix: str) -> str:
    """Return the operation of a step, by the ids that lead to it.

    Raises:
        NotFoundError: The workflow has no such step.
        RunStateError: It is one that a run cannot go back to by itself.
    """
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
                return locate(unit.spec, names[1:], f"{stem}{turn}/")
    raise NotFoundError(
        f"Workflow {spec.id!r} has no step {'.'.join(names)!r}. It has {', '.join(map(repr, known))}.",
        code="STEP_NOT_FOUND",
    )


def dropped_by(spec: WorkflowSpec, loaded: LoadedRun, op_id: str) -> tuple[str, ...]:
    """Return the operations of a run that going back to one of them forgets."""
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
    # Neither is the other or inside it, so that their ways part somewhere.
    parts = zip(op.split("/"), op_id.split("/"), strict=False)
    while True:
        part, target = next(parts)
        place, index = place_of(spec, part), place_of(spec, target)
        if place is None or index is None:
            return True  # of a definition before this one, which says no more where it stood
        if place != index:
            return place > index
        unit = unit_at(spec, part)
        if part != target or not isinstance(unit, WorkflowNode):
            return False
        spec = unit.spec


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
                given: Any = nested[unit.id]
                if not isinstance(given, Mapping):
                    raise ConfigError(
                        f"Results given for the steps of workflow {unit.id!r} are {shown(given)}: "
                        "give a dict of them by step.",
                        code=OPTION_REFUSED,
                    )
                inner = f"{names}{unit.id}."
                yield from _results_given(
                    unit.spec,
                    cast("Mapping[str, Any]", given),
                    nested,
                    f"{prefix}{unit.op}/",
                    inner,
                )


def _record_given(op_id: str, step_id: str, given: Any, schema: Schema[Any] | None) -> StepRecord:
    what = f"Result given for step {step_id!r}"
    data = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    is_whole = "output" in data or "status" in data
    payload = ANY.pack(data.get("payload"), what=what) if is_whole else None
    record = StepRecord(op_id, step_id, payload, now_ms())
    status: Any = data.get("status", "success") if is_whole else "success"
    if status not in _STATUSES:
        raise ConfigError(
            f"{what} has the status {shown(status)}. Use one of {', '.join(map(repr, _STATUSES))}.",
            code=OPTION_REFUSED,
        )
    record.status = status
    record.output = _kept(schema, data.get("output") if is_whole else given, what)
    record.ended_at = record.started_at
    if record.status == "suspended":
        payload = data.get("suspendPayload", data.get("suspend_payload"))
        record.suspend_payload = ANY.pack(payload, what=what)
    return record


def path_given(step: Any) -> list[str]:
    """Return the ids that lead to a step, from the outside in.

    Raises:
        ConfigError: It is no step, nor the id of one.
    """
    parts: list[Any] = list(cast("list[Any]", step)) if isinstance(step, (list, tuple)) else [step]
    path: list[str] = []
    for part in parts:
        name = part if isinstance(part, str) else getattr(part, "id", None)
        if not isinstance(name, str):
            raise ConfigError(
                f"step is {shown(step)}. It takes a step, its id, or a list of those that lead to "
                "it, from the outside in."
            )
        path.extend(name.split("."))
    return path


# -- on the way ----------------------------------------------------------------------------------


async def go_back(run: ActiveRun, writer: JournalWriter, travel: TimeTravel) -> None:
    """Forget what a run goes back behind, and take the results that are given.

    Both are stored together, with the start of the leg: a restart after a crash does this again
    where that is not stored.
    """
    rows: list[JournalRow] = []
    if travel.dropped:
        rows.append(drop_ops(run, list(travel.dropped)))
    for record in travel.given:
        run.order = max(run.order, record.order)
        run.state.merge(record)
        run.add(record)
        rows.append(record)
    if rows:
        stored = writer.write(rows)
        if stored is not None:
            await stored
    run.base_ops = frozenset(run.journal)


def drop_ops(run: ActiveRun, ops: list[str]) -> DropRow:
    """Forget operations, and return the row that makes storage do so."""
    for op_id in ops:
        for known in (run.journal, run.blocks.records):
            record = known.pop(op_id, None)
            if record is not None and run.latest.get(record.step_id) is record:
                del run.latest[record.step_id]
        run.blocks.marks -= {
            key for key in run.blocks.marks if key.startswith((f"{op_id}:", f"{op_id}["))
        }
    return DropRow(ops)


def travel_start(walk: Walk, scope: Scope, spec: WorkflowSpec, value: Json) -> tuple[int, Json]:
    """Return the index of the first node to walk in this scope, and what flows into it."""
    travel = walk.run.reopening.travel
    if travel is None or not travel.op_id.startswith(scope.prefix):
        return 0, value
    index = place_of(spec, travel.op_id[len(scope.prefix) :].partition("/")[0])
    if index is None:
        return 0, value
    return index, _value_before(walk, scope, spec, index, value)


def travel_input(walk: Walk, op_id: str, value: Json) -> Json:
    """Return what flows into an operation or a block: what was given for it, or a value."""
    travel = walk.run.reopening.travel
    return travel.input if travel and travel.has_input and travel.op_id == op_id else value


def _value_before(walk: Walk, scope: Scope, spec: WorkflowSpec, index: int, value: Json) -> Json:
    """Return what the node before a place gave, as far as the run's results tell."""
    latest = walk.run.latest
    for node in reversed(spec.nodes[:index]):
        if node.shape == "none":
            continue
        found = {unit.id: latest.get(scope.names + unit.id) for unit in node.units}
        if node.shape == "keyed":
            return {key: record.output for key, record in found.items() if record is not None}
        record = found[node.units[0].id]
        return None if record is None else record.output
    return value
