"""One function for each kind of node. They start no task and keep nothing between walks."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from mastra.clock import now_ms
from mastra.errors import StepValidationError, WorkflowDefinitionError
from mastra.jsonable import Json
from mastra.schema import Schema, SchemaMismatch
from mastra.workflows.active import Scope
from mastra.workflows.engines.base import Halt, Walk
from mastra.workflows.engines.step_runner import Decide, StepTask, fail_record
from mastra.workflows.events import Kind
from mastra.workflows.records import StepRecord
from mastra.workflows.spec import (
    BranchNode,
    Condition,
    ForeachNode,
    LoopNode,
    ParallelNode,
    SleepNode,
    StepNode,
    Unit,
    WorkflowNode,
    WorkflowSpec,
    seconds_of,
)
from mastra.workflows.step_context import StepContext

__all__ = [
    "run_branch",
    "run_foreach",
    "run_loop",
    "run_parallel",
    "run_sleep",
    "run_step",
    "run_workflow",
    "scope_of",
    "travel_start",
]


def scope_of(spec: WorkflowSpec, prefix: str, names: str, init_data: Json) -> Scope:
    """Return the scope of a workflow at a place of the nesting."""
    return Scope(
        prefix=prefix,
        names=names,
        workflow_id=spec.id,
        init_data=init_data,
        input_schema=spec.input_schema,
        state_schema=spec.state_schema,
        retry_attempts=spec.retry.attempts,
        retry_delay=spec.retry.delay_before,
        steps=spec.steps,
        validates_inputs=spec.validate_inputs,
        validates_outputs=spec.validate_outputs,
    )


# -- steps -------------------------------------------------------------------------------------


async def run_step(
    walk: Walk,
    scope: Scope,
    node: StepNode,
    op_id: str,
    value: Json,
    *,
    iteration: int | None = None,
    index: int | None = None,
    decide: Decide | None = None,
) -> StepRecord:
    """Run a step, or take what the journal knows of it.

    Raises:
        Halt: It did not succeed.
    """
    run = walk.run
    record = run.journal.get(op_id)
    if record is None or record.status == "retry" or op_id in run.open_ops:
        if run.is_abort_requested:
            raise Halt("canceled")
        ops = walk.ops
        travel = run.reopening.travel
        if travel is not None and travel.op_id == op_id and travel.has_input:
            value = travel.input
        task = StepTask(run, scope, node, op_id, value, ops.inline_delay_s)
        if iteration is not None:
            task.iteration = iteration
        if index is not None:
            task.index = index
        if decide is not None:
            task.decide = decide
        elif node.follow is not None:
            task.decide = partial(_decide_branch, walk, scope, node.follow)
        if record is not None and record.status == "suspended":
            task.earlier = record
        if record is None or record.status != "retry":
            record = await ops.record(op_id, task)
        if record.status == "retry":
            record = await _retry_later(walk, task, record)
    if record.status == "success":
        return record
    raise _halt_of(record)


async def _retry_later(walk: Walk, task: StepTask, record: StepRecord) -> StepRecord:
    """Wait as an operation of its own, then try again as another, as often as need be."""
    stem, tries = task.op_id, record.retry_count
    while record.status == "retry":
        wait = walk.run.journal.get(f"{stem}#{tries}.wait")
        if wait is None or wait.status != "success":
            wait = StepRecord(f"{stem}#{tries}.wait", record.step_id, None, now_ms())
            wait.kind = "decision"
            wait.wake_at = record.wake_at
            await walk.ops.sleep(wait)
        op_id = f"{stem}#{tries}"
        known = walk.run.journal.get(op_id)
        if known is None or op_id in walk.run.open_ops:
            again = StepTask(
                task.run, task.scope, task.node, op_id, task.value, task.inline_delay_s
            )
            again.iteration, again.index, again.decide = task.iteration, task.index, task.decide
            again.earlier = known or task.earlier
            again.tries_before = tries
            known = await walk.ops.record(op_id, again)
        record = known
        tries = record.retry_count if record.status == "retry" else tries
    return record


def _halt_of(record: StepRecord) -> Halt:
    match record.status:
        case "bailed":
            return Halt("bailed", record)
        case "suspended":
            return Halt("suspended", record, suspended=[record])
        case "canceled":
            return Halt("canceled", record)
        case _:
            return Halt("failed" if record.tripwire is None else "tripwire", record)


async def _run_unit(walk: Walk, scope: Scope, unit: Unit, value: Json) -> Json:
    if isinstance(unit, StepNode):
        return (await run_step(walk, scope, unit, scope.prefix + unit.op, value)).output
    return await run_workflow(walk, scope, unit, scope.prefix + unit.op, unit.id, value)


# -- conditions --------------------------------------------------------------------------------


async def _holds(
    walk: Walk, scope: Scope, condition: Condition, schema: Schema[Any], record: StepRecord
) -> bool:
    try:
        data = schema.load(record.output)
    except SchemaMismatch:  # what a step gave need not be of its type where nobody checked it
        data = record.output
    answer = condition(StepContext(walk.run, scope, record, data))
    if inspect.isawaitable(answer):
        answer = await answer
    return bool(answer)


async def _decide_branch(
    walk: Walk, scope: Scope, node: BranchNode, record: StepRecord
) -> list[int]:
    """Return the positions of the arms to take."""
    taken: list[int] = []
    for position, (condition, _) in enumerate(node.arms):
        try:
            holds = await _holds(walk, scope, condition, node.value, record)
        except Exception as error:  # noqa: BLE001 - as in the original, it counts as false
            StepContext(walk.run, scope, record, None).logger.warning(
                "Condition %s of the branch after step %r raised %s: %s. It counts as false.",
                position,
                record.step_id,
                type(error).__name__,
                error,
            )
            continue
        if holds:
            taken.append(position)
            if node.first_match:
                break
    return taken


async def _decide_loop(
    walk: Walk, scope: Scope, node: LoopNode, record: StepRecord
) -> bool | dict[str, Json]:
    """Return whether the condition holds, or the error that it raised."""
    try:
        return await _holds(walk, scope, node.condition, node.output, record)
    except Exception as error:  # noqa: BLE001 - it fails the run, from the record
        failed = fail_record(walk.run, StepRecord(record.op_id, record.step_id, None, 0), error)
        return {"error": failed.error}


async def _decision(
    walk: Walk, scope: Scope, op_id: str, value: Json, decide: Decide, iteration: int | None = None
) -> Any:
    """Evaluate a condition that follows no step, as an operation of its own."""
    known = walk.run.journal.get(op_id)
    if known is None:

        async def body() -> StepRecord:
            record = StepRecord(op_id, scope.names + op_id, None, now_ms())
            record.kind = "decision"
            record.iteration = iteration
            record.output = value
            record.decision = await decide(record)
            record.output = None
            record.status = "success"
            record.ended_at = now_ms()
            return record

        known = await walk.ops.record(op_id, body)
    return known.decision


# -- blocks ------------------------------------------------------------------------------------


def _combine(results: Sequence[Any]) -> None:
    """Raise the halt that decides for a block.

    The first by position among failures and bails, else a cancellation, else all suspensions.
    """
    suspended: list[StepRecord] = []
    canceled: Halt | None = None
    for result in results:
        if not isinstance(result, Halt):
            continue
        if result.status == "suspended":
            suspended.extend(result.suspended)
        elif result.status in ("canceled", "paused"):
            canceled = canceled or result
        else:
            raise result
    if canceled is not None:
        raise canceled
    if suspended:
        raise Halt("suspended", suspended[0], suspended=suspended)


async def run_parallel(walk: Walk, scope: Scope, node: ParallelNode, value: Json) -> Json:
    """Run units at once; give their outputs by id."""
    branches = [partial(_run_unit, walk, scope, unit, value) for unit in node.units]
    results = await walk.ops.gather(branches, None)
    _combine(results)
    return {unit.id: result for unit, result in zip(node.units, results, strict=True)}


async def run_branch(
    walk: Walk, scope: Scope, node: BranchNode, value: Json, decision: Any
) -> Json:
    """Run the units whose condition holds, at once; give their outputs by id."""
    if decision is None:
        decide = partial(_decide_branch, walk, scope, node)
        decision = await _decision(walk, scope, f"{scope.prefix}{node.op}?", value, decide)
    taken = [node.arms[position][1] for position in decision]
    branches = [partial(_run_unit, walk, scope, unit, value) for unit in taken]
    results = await walk.ops.gather(branches, None)
    _combine(results)
    return {unit.id: result for unit, result in zip(taken, results, strict=True)}


async def run_loop(walk: Walk, scope: Scope, node: LoopNode, value: Json) -> Json:
    """Run a unit on its own output until the condition ends it; at least once."""
    unit, turn, stem = node.unit, 0, scope.prefix + node.op
    decide = partial(_decide_loop, walk, scope, node)
    ends_on = node.kind == "dountil"
    while True:
        turn += 1
        op_id = f"{stem}[{turn}]"
        if isinstance(unit, StepNode):
            record = await run_step(
                walk, scope, unit, op_id, value, iteration=turn, decide=decide
            )
            value, decision = record.output, record.decision
        else:
            value = await run_workflow(walk, scope, unit, op_id, unit.id, value, iteration=turn)
            decision = await _decision(walk, scope, f"{op_id}?", value, decide, turn)
        if isinstance(decision, dict):
            failed = StepRecord(op_id, scope.names + unit.id, value, now_ms())
            failed.status, failed.error = "failed", decision["error"]
            raise Halt("failed", failed)
        if decision is ends_on:
            return value


async def run_foreach(walk: Walk, scope: Scope, node: ForeachNode, value: Json) -> Json:
    """Run a unit for each item of a list; give the outputs in the order of the items."""
    run, unit = walk.run, node.unit
    op_id = scope.prefix + node.op
    block = _open_block(walk, scope, op_id, unit.id, value)
    if not isinstance(value, list):
        error = StepValidationError(
            f"Foreach over step {scope.names + unit.id!r} in workflow {scope.workflow_id!r} needs "
            f"a list, and got {type(value).__name__}.",
            details={"stepId": scope.names + unit.id},
        )
        _end_block(walk, fail_record(run, block, error))
        raise Halt("failed", block)
    block.total = len(value)
    _start_block(walk, block)
    limit = await _concurrency(walk, scope, node, value, op_id)
    counter = [0]
    branches = [
        partial(_run_item, walk, scope, unit, op_id, block, counter, index, item)
        for index, item in enumerate(value)
    ]
    results = await walk.ops.gather(branches, limit)
    try:
        _combine(results)
    except Halt as halt:
        _end_halted(walk, block, halt)
        raise
    block.output = results
    block.status = "success"
    _end_block(walk, block)
    return results


async def _run_item(
    walk: Walk,
    scope: Scope,
    unit: Unit,
    stem: str,
    block: StepRecord,
    counter: list[int],
    index: int,
    item: Json,
) -> Json:
    op_id = f"{stem}[{index}]"
    status, output = "failed", None
    try:
        if isinstance(unit, StepNode):
            output = (await run_step(walk, scope, unit, op_id, item, index=index)).output
        else:
            name = f"{unit.id}[{index}]"
            output = await run_workflow(walk, scope, unit, op_id, name, item, index=index)
        status = "success"
    except Halt as halt:
        status = "suspended" if halt.status == "suspended" else "failed"
        raise
    finally:
        if status == "success":
            counter[0] += 1
        progress: dict[str, Json] = {
            "completedCount": counter[0],
            "totalCount": block.total,
            "currentIndex": index,
            "iterationStatus": status,
        }
        if status == "success":
            progress["iterationOutput"] = output
        if status == "success" or f"{op_id}" in walk.run.journal:
            key = f"{op_id}:{status}:{walk.run.leg if status == 'suspended' else ''}"
            walk.run.mark(key, Kind.PROGRESS, block, progress)
    return output


async def _concurrency(
    walk: Walk, scope: Scope, node: ForeachNode, value: Json, op_id: str
) -> int:
    if not callable(node.concurrency):
        return node.concurrency
    setting = node.concurrency

    async def decide(record: StepRecord) -> Json:
        found = setting(StepContext(walk.run, scope, record, node.value.load(value)))
        return await found if inspect.isawaitable(found) else found

    limit = await _decision(walk, scope, f"{op_id}?", None, decide)
    if not isinstance(limit, int) or limit < 1:
        raise WorkflowDefinitionError(
            f"Concurrency of foreach {node.unit.id!r} must be 1 or more, not {limit!r}."
        )
    return limit


async def run_workflow(
    walk: Walk,
    scope: Scope,
    node: WorkflowNode,
    op_id: str,
    name: str,
    value: Json,
    *,
    iteration: int | None = None,
    index: int | None = None,
) -> Json:
    """Walk a nested workflow in place; its steps are named `<workflow>.<step>`."""
    run, spec = walk.run, node.spec
    block = _open_block(walk, scope, op_id, name, value)
    block.iteration = iteration
    is_silent = index is not None
    if not is_silent:
        _start_block(walk, block)
    try:
        checked = value
        if spec.validate_inputs and not spec.input_schema.is_any:
            try:
                checked = spec.input_schema.dump(spec.input_schema.load(value))
            except SchemaMismatch as mismatch:
                error = mismatch.into(
                    StepValidationError,
                    f"Input of nested workflow {block.step_id!r} in workflow {scope.workflow_id!r}",
                    stepId=block.step_id,
                )
                error.code = "WORKFLOW_STEP_INPUT_VALIDATION_FAILED"
                raise Halt("failed", fail_record(run, block, error)) from None
        inner = scope_of(spec, f"{op_id}/", f"{block.step_id}.", checked)
        output = await walk.nested(walk, inner, spec, checked)
    except Halt as halt:
        _end_halted(walk, block, halt, is_silent=is_silent)
        raise
    block.output = output
    block.status = "success"
    _end_block(walk, block, is_silent=is_silent)
    return output


def _open_block(walk: Walk, scope: Scope, op_id: str, name: str, value: Json) -> StepRecord:
    """Return the record of a block: the one of an earlier walk, or another."""
    run = walk.run
    known = run.blocks.get(op_id)
    if known is not None and (known.status != "suspended" or not _is_reopened(walk, op_id)):
        return known
    block = StepRecord(op_id, scope.names + name, value, now_ms())
    block.kind = "block"
    if known is not None:
        target = run.reopening.target
        block.started_at = known.started_at
        block.resumed_at = now_ms()
        block.resume_payload = None if target is None else target.data
    run.blocks[op_id] = block
    run.latest[block.step_id] = block
    return block


def _is_reopened(walk: Walk, op_id: str) -> bool:
    target = walk.run.reopening.target
    if target is None:
        return False
    return any(op.startswith((f"{op_id}/", f"{op_id}[")) for op in target.op_ids)


def _start_block(walk: Walk, block: StepRecord) -> None:
    key = f"{block.op_id}:start:{block.resumed_at or ''}"
    walk.run.mark(key, Kind.STEP_START, block)


def _end_block(walk: Walk, block: StepRecord, *, is_silent: bool = False) -> None:
    if block.ended_at is None and block.status != "suspended":
        block.ended_at = now_ms()
    if not is_silent:
        key = f"{block.op_id}:end:{block.resumed_at or ''}"
        walk.run.mark(key, Kind.STEP_END, block)


def _end_halted(walk: Walk, block: StepRecord, halt: Halt, *, is_silent: bool = False) -> None:
    record = halt.record
    match halt.status:
        case "suspended":
            block.status = "suspended"
            if record is not None:
                block.suspend_payload = record.suspend_payload
                block.suspended_at = record.suspended_at
        case "bailed":
            block.status = "bailed"
            block.output = None if record is None else record.output
        case "failed" | "tripwire":
            block.status = "failed"
            if record is not None:
                block.error, block.tripwire = record.error, record.tripwire
                cause = walk.run.causes.get(record.op_id)
                if cause is not None:
                    walk.run.causes[block.op_id] = cause
        case "canceled":
            block.status = "canceled"
        case _:
            return
    _end_block(walk, block, is_silent=is_silent)


# -- time --------------------------------------------------------------------------------------


async def run_sleep(walk: Walk, scope: Scope, node: SleepNode, value: Json) -> Json:
    """Wait; what flows in flows out."""
    run = walk.run
    op_id = scope.prefix + node.op
    record = run.journal.get(op_id)
    if record is None or record.status != "success":
        if run.is_abort_requested:
            raise Halt("canceled")
        if record is None:
            record = StepRecord(op_id, scope.names + node.id, value, now_ms())
            record.kind = "sleep"
            record.wake_at = await _wake_at(walk, scope, node, value, op_id)
            record.status = "waiting"
            record.start_seq = run.log.append(Kind.WAITING, record)
        record.output = value
        await walk.ops.sleep(record)
    return value


async def _wake_at(
    walk: Walk, scope: Scope, node: SleepNode, value: Json, op_id: str
) -> float:
    duration: Any = node.duration
    if callable(duration):
        setting: Callable[[StepContext[Any]], Any] = duration

        async def decide(record: StepRecord) -> Json:
            found = setting(StepContext(walk.run, scope, record, node.value.load(value)))
            found = await found if inspect.isawaitable(found) else found
            return _moment(found, node)

        return float(await _decision(walk, scope, f"{op_id}?", None, decide))
    return _moment(duration, node)


def _moment(duration: float | timedelta | datetime, node: SleepNode) -> float:
    if isinstance(duration, datetime):
        return duration.timestamp()
    return time.time() + seconds_of(duration, f"Sleep {node.id!r}")


# -- time travel -------------------------------------------------------------------------------


def travel_start(
    walk: Walk, scope: Scope, spec: WorkflowSpec, value: Json
) -> tuple[int, Json]:
    """Return the index of the first node to walk in this scope, and what flows into it."""
    travel = walk.run.reopening.travel
    depth = scope.prefix.count("/")
    if travel is None or not travel.op_id.startswith(scope.prefix) or depth >= len(travel.path):
        return 0, value
    index = travel.path[depth]
    return index, _value_before(walk, scope, spec, index, value)


def _value_before(walk: Walk, scope: Scope, spec: WorkflowSpec, index: int, value: Json) -> Json:
    """Return what the node before a place gave, as far as the run's results tell."""
    latest = walk.run.latest
    for node in reversed(spec.nodes[:index]):
        match node:
            case StepNode() | WorkflowNode():
                record = latest.get(scope.names + node.id)
                return None if record is None else record.output
            case ForeachNode() | LoopNode():
                record = latest.get(scope.names + node.unit.id)
                return None if record is None else record.output
            case ParallelNode() | BranchNode():
                units = node.units if isinstance(node, ParallelNode) else [u for _, u in node.arms]
                found = {u.id: latest.get(scope.names + u.id) for u in units}
                return {key: record.output for key, record in found.items() if record is not None}
            case SleepNode():
                continue
    return value

