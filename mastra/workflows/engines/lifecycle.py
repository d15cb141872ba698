"""One leg of a run from its beginning to its end, whatever engine drives it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

from mastra.clock import now_ms
from mastra.dataclass import dataclass
from mastra.errors import MastraError, StepValidationError
from mastra.jsonable import Json
from mastra.logs import get_logger
from mastra.request_context import RequestContext
from mastra.schema import SchemaMismatch
from mastra.storage.base import RunChanges, RunHead
from mastra.workflows.active import ActiveRun
from mastra.workflows.engines.base import Halt
from mastra.workflows.engines.commands import Command
from mastra.workflows.engines.journal import DropRow, JournalWriter, LoadedRun
from mastra.workflows.events import EventLog, Kind, LegEnd
from mastra.workflows.records import StepRecord
from mastra.workflows.results import (
    RunFacts,
    StepResult,
    WorkflowCanceled,
    WorkflowFailed,
    WorkflowPaused,
    WorkflowResult,
    WorkflowSuccess,
    WorkflowSuspended,
    WorkflowTripwire,
    error_from_json,
    error_to_json,
)
from mastra.workflows.spec import WorkflowSpec

__all__ = [
    "CallbackArgument",
    "Outcome",
    "begin",
    "call_on_start",
    "conclude",
    "outcome_of_halt",
    "outcome_of_value",
    "result_from_storage",
]


@dataclass(frozen=True, slots=True)
class CallbackArgument:
    """What `on_start`, `on_finish` and `on_error` are called with."""

    status: str
    result: Any
    error: MastraError | None
    steps: Mapping[str, StepResult]
    run_id: str
    workflow_id: str
    resource_id: str | None
    state: Mapping[str, Json]
    get_init_data: Callable[[], Any]
    mastra: Any
    request_context: RequestContext
    logger: Any
    tripwire: Mapping[str, Json] | None = None
    step_execution_path: tuple[str, ...] = ()


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


def begin(command: Command, loaded: LoadedRun | None) -> ActiveRun:
    """Return the run as this leg finds it: its journal, its state and its log so far."""
    target = command.target
    run = ActiveRun(
        run_id=target.run_id,
        workflow_id=target.spec.id,
        resource_id=command.resource_id,
        input=command.input,
        state=dict(command.initial_state),
        request_context=command.request_context,
        services=target.services,
        reopening=command.reopening,
        per_step=command.per_step,
    )
    if loaded is not None:
        run.journal = loaded.journal
        run.latest = loaded.latest
        run.blocks = loaded.blocks
        run.log = EventLog(loaded.entries)
        run.order = loaded.order
        run.leg = loaded.legs
        for record in loaded.journal.values():
            run.merge_state(record)
            _remember_blocks(run, record)
        run.base_ops = frozenset(loaded.journal)
        for seq, entry in enumerate(loaded.entries):
            if entry is not None and entry[0] is Kind.PROGRESS and entry[1] is not None:
                _remember_progress(run, entry[1], entry[2], seq)
        for block in loaded.blocks.values():
            turn = block.resumed_at or ""
            run.marks.add(f"{block.op_id}:start:{turn}")
            if block.status != "running":
                run.marks.add(f"{block.op_id}:end:{turn}")
    if command.reopening.target is not None:
        run.open_ops = set(command.reopening.target.op_ids)
    if command.kind != "restart" or not run.log.entries:
        seq = run.log.append(Kind.START)
        run.pending.append((seq, Kind.START, None, None))
    return run


def _remember_blocks(run: ActiveRun, record: StepRecord) -> None:
    op_id = record.op_id
    for place, character in enumerate(op_id):
        if character == "/":
            run.begun.add(op_id[:place])
        if character == "]" and record.status == "suspended":
            run.marks.add(f"{op_id[: place + 1]}:suspended:{record.suspended_at}")


def _remember_progress(run: ActiveRun, block: StepRecord, value: dict[str, Any], seq: int) -> None:
    del seq
    index, status = value["currentIndex"], value["iterationStatus"]
    if status == "success":
        run.marks.add(f"{block.op_id}[{index}]:success:")


def drop_ops(run: ActiveRun, writer: JournalWriter, ops: list[str]) -> Any:
    """Forget operations, in memory and in storage."""
    for op_id in ops:
        for known in (run.journal, run.blocks):
            record = known.pop(op_id, None)
            if record is not None and run.latest.get(record.step_id) is record:
                del run.latest[record.step_id]
        run.marks -= {key for key in run.marks if key.startswith((f"{op_id}:", f"{op_id}["))}
    return writer.write(DropRow(ops))


# -- how it ended ------------------------------------------------------------------------------


def outcome_of_value(run: ActiveRun, spec: WorkflowSpec, value: Json) -> Outcome:
    """Return the outcome of a walk that reached its end."""
    schema = spec.output_schema
    if schema.is_any or not spec.validate_outputs:
        return Outcome("success", value, value, has_result=True)
    try:
        typed = schema.load(value)
    except SchemaMismatch as mismatch:
        if not spec.strict:
            # As in the original: an output that is not of its type is given as it is.
            return Outcome("success", value, value, has_result=True)
        error = mismatch.into(
            StepValidationError, f"Output of workflow {spec.id!r}", workflowId=spec.id
        )
        error.code = "WORKFLOW_OUTPUT_VALIDATION_FAILED"
        run.causes[""] = error
        return Outcome("failed", error=error_to_json(error))
    # `list[Item]` is another object each time it is written, and the same type.
    is_same = spec.value is not None and spec.value.type == schema.type
    raw = value if is_same else schema.dump(typed)
    return Outcome("success", typed, raw, has_result=True)


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


async def call_on_start(command: Command) -> None:
    """Call `on_start`. What it raises refuses the run."""
    callback = command.target.spec.on_start
    if callback is None:
        return
    facts = RunFacts(
        command.target.run_id,
        command.target.spec.id,
        command.input,
        command.initial_state,
        {},
        [],
        {},
    )
    argument = _argument(command, facts, Outcome("running"))
    answer = callback(argument)
    if inspect.isawaitable(answer):
        await answer


def _argument(command: Command, facts: RunFacts, outcome: Outcome) -> CallbackArgument:
    spec, services = command.target.spec, command.target.services
    return CallbackArgument(
        status=outcome.status,
        result=outcome.value,
        error=None
        if outcome.error is None
        else error_from_json(outcome.error, facts.causes.get("")),
        steps={
            name: StepResult.of(record, facts.causes.get(record.op_id))
            for name, record in facts.records.items()
        },
        run_id=facts.run_id,
        workflow_id=facts.workflow_id,
        resource_id=command.resource_id,
        state=facts.state,
        get_init_data=lambda: spec.input_schema.load(facts.input),
        mastra=services,
        request_context=command.request_context,
        logger=get_logger(
            {"run_id": facts.run_id, "workflow_id": facts.workflow_id},
            getattr(getattr(services, "logger", None), "logger", getattr(services, "logger", None)),
        ),
        tripwire=outcome.tripwire,
        step_execution_path=tuple(facts.path),
    )


async def conclude(
    command: Command, run: ActiveRun, writer: JournalWriter, outcome: Outcome
) -> WorkflowResult[Any]:
    """Store how the leg ended, then tell the readers, then call back."""
    log = run.log
    ends: list[tuple[Kind, Any]] = []
    if outcome.status == "canceled":
        ends.append((Kind.CANCELED, None))
    elif outcome.status == "paused":
        ends.append((Kind.PAUSED, None))
    end = LegEnd(
        outcome.status,
        outcome.raw,
        outcome.has_result,
        outcome.error,
        outcome.tripwire,
        dict(run.usage),
    )
    ends.append((Kind.FINISH, end))
    place = len(log.entries)
    for offset, (kind, value) in enumerate(ends):
        run.pending.append((place + offset, kind, None, value))
    await _save(command, run, writer, outcome)
    # Only what is stored is told: whoever sees the end may ask the store for the result.
    for kind, value in ends:
        log.append(kind, None, value)
    facts = RunFacts(
        run.run_id, run.workflow_id, run.input, run.state, run.latest, run.path, run.causes
    )
    await _call_back(command, facts, outcome)
    result = _result(facts, outcome, list(_suspended(run.journal)))
    log.close()
    return result


def _suspended(journal: Mapping[str, StepRecord]) -> list[StepRecord]:
    return [record for record in journal.values() if record.status == "suspended"]


async def _save(command: Command, run: ActiveRun, writer: JournalWriter, outcome: Outcome) -> None:
    target = command.target
    stored = writer.flush(outcome.status)
    if stored is not None:
        await stored
    changes = RunChanges(
        status=outcome.status,
        result=outcome.raw,
        error=outcome.error,
        state=run.state,
        owner=None,
        lease_until=0,
        data=head_data(run, command.initial_state, outcome),
    )
    if not writer.wants(outcome.status):
        return
    await target.store.update_run(
        target.workflow_id,
        target.run_id,
        changes,
        # A run that somebody else cancelled or deleted meanwhile stays so.
        expected_status=("pending", "running", "waiting", outcome.status),
    )


def head_data(run: ActiveRun, initial_state: dict[str, Json], outcome: Outcome) -> dict[str, Json]:
    """Return what is stored of a run in no column of its own."""
    data: dict[str, Json] = {"initialState": initial_state, "path": list(run.path)}
    if outcome.tripwire is not None:
        data["tripwire"] = dict(outcome.tripwire)
    if outcome.has_result:
        data["hasResult"] = True
    return data


def head_of(command: Command, status: str = "running") -> RunHead:
    """Return the head of a run that is about to begin."""
    now = now_ms()
    return RunHead(
        workflow_id=command.target.spec.id,
        run_id=command.target.run_id,
        status=status,
        resource_id=command.resource_id,
        created_at=now,
        updated_at=now,
        input=command.input,
        state=dict(command.initial_state),
        request_context=command.request_context.to_json(),
        data={"initialState": command.initial_state},
    )


async def _call_back(command: Command, facts: RunFacts, outcome: Outcome) -> None:
    spec = command.target.spec
    callbacks = [spec.on_finish if outcome.status != "paused" else None]
    if outcome.status in ("failed", "tripwire"):
        callbacks.append(spec.on_error)
    if not any(callbacks):
        return
    argument = _argument(command, facts, outcome)
    for callback in callbacks:
        if callback is None:
            continue
        try:
            answer = callback(argument)
            if inspect.isawaitable(answer):
                await answer
        except Exception:
            # The run has ended and is stored; a callback cannot change that.
            argument.logger.exception(
                "Callback %s of workflow %r raised after run %r had ended.",
                getattr(callback, "__name__", callback),
                spec.id,
                facts.run_id,
            )


# -- results -----------------------------------------------------------------------------------


def _result(facts: RunFacts, outcome: Outcome, suspended: list[StepRecord]) -> WorkflowResult[Any]:
    match outcome.status:
        case "success":
            return WorkflowSuccess(facts, outcome.value, outcome.raw)
        case "suspended":
            return WorkflowSuspended(facts, *_suspension(suspended))
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


def _suspension(
    records: list[StepRecord],
) -> tuple[list[list[str]], dict[str, Json], dict[str, dict[str, Json]]]:
    paths: list[list[str]] = []
    payloads: dict[str, Json] = {}
    labels: dict[str, dict[str, Json]] = {}
    tops = [path_of(record)[0] for record in records]
    for record in records:
        path = path_of(record)
        if path not in paths:
            paths.append(path)
        payloads.setdefault(path[0], record.suspend_payload)
        if len(path) > 1 and tops.count(path[0]) > 1:
            payloads.setdefault(".".join(path), record.suspend_payload)
        for label in record.labels:
            labels[label] = {"stepId": ".".join(path)}
            if record.index is not None:
                labels[label]["foreachIndex"] = record.index
    return paths, payloads, labels


def result_from_storage(spec: WorkflowSpec, loaded: LoadedRun) -> WorkflowResult[Any] | None:
    """Return the result of a run as storage has it, or `None` while it goes on."""
    head = loaded.head
    if head.status in ("pending", "running", "waiting"):
        return None
    state = head.state
    path = cast("list[str]", head.data.get("path") or [])
    facts = RunFacts(head.run_id, head.workflow_id, head.input, state, loaded.latest, path, {})
    outcome = Outcome(
        head.status,
        raw=head.result,
        error=head.error,
        tripwire=cast("Any", head.data.get("tripwire")),
    )
    if head.status == "success":
        try:
            outcome.value = spec.output_schema.load(head.result)
        except SchemaMismatch:
            outcome.value = head.result
    return _result(facts, outcome, loaded.suspended)
