"""Conditions and dynamic settings: functions of the user's that decide where a walk goes."""

from __future__ import annotations

import asyncio
from typing import Any

from mastra.cancellation import cancel_requests, settled
from mastra.clock import now_ms
from mastra.errors import MastraError, WorkflowDefinitionError
from mastra.failures import Guard, call_user, name_of, text_of
from mastra.jsonable import Json, copy_json
from mastra.schema import Schema, SchemaMismatch
from mastra.workflows.active import ActiveRun, Scope
from mastra.workflows.engines.base import Halt, Walk
from mastra.workflows.engines.step_runner import Decide, fail_record
from mastra.workflows.records import StepRecord
from mastra.workflows.spec import BranchNode, Dynamic, ForeachNode, LoopNode
from mastra.workflows.step_context import StepContext

__all__ = ["ask", "ask_concurrency", "decide_branch", "decide_loop", "decision"]


async def ask(
    walk: Walk, scope: Scope, setting: Dynamic, schema: Schema[Any], value: Json, record: StepRecord
) -> Any:
    """Call a function of the context on a value; await the answer where it has to be."""
    ctx, loop = StepContext(walk.run, scope, record, _read(schema, value)), walk.run.home.loop
    requests = cancel_requests(loop)
    said = await call_user(setting, ctx)
    if cancel_requests(loop) > requests:
        await _refuse_cancel(record, requests)
    _keep_state(walk.run, record, ctx)
    return said


def _keep_state(run: ActiveRun, record: StepRecord, ctx: StepContext[Any]) -> None:
    """Add what a function has set of the run's state to the operation that it was asked in."""
    delta = ctx._delta  # noqa: SLF001
    if delta is not None:
        run.order = record.order = run.order + 1  # later than what the step itself has set
        record.state = {**(record.state or {}), **delta}
        run.state.merge(record)


async def _refuse_cancel(record: StepRecord, requests: int) -> None:
    """Refuse what a function has asked of its own task, which would meet the next step.

    Raises:
        MastraError: It has asked that the task be cancelled.
        CancelledError: Somebody else has.
    """
    if not await settled(requests):
        text = (
            f"A condition or another function at step {record.step_id!r} cancelled its own task. "
            "`ctx.abort()` cancels the run."
        )
        raise MastraError(text, code="STEP_CANCELED")


def _read(schema: Schema[Any], value: Json) -> Any:
    # A condition may do with it what it likes: what flows on stays as it is.
    if schema.may_alias:
        value = copy_json(value)
    try:
        return schema.unpack(value)
    except SchemaMismatch:  # a value need not be of its type where nobody checked it
        return value


async def decide_branch(  # noqa: C901 - what a condition may do, in its order
    run: ActiveRun, scope: Scope, node: BranchNode, record: StepRecord
) -> list[str]:
    """Return the ids of the arms to take: what they are called stays, where they stand may not."""
    taken: list[str] = []
    asked: StepContext[Any] | None = None
    task = asyncio.current_task()
    requests = 0 if task is None else task.cancelling()
    for condition, unit in node.arms:
        try:
            if asked is None:
                asked = StepContext(run, scope, record, _read(node.value, record.output))
            try:
                holds = condition(asked)
            except BaseException as raised:
                found = Guard().contain(raised)
                if found is raised:
                    raise
                raise found from None
            if holds is not True and holds is not False:
                holds = await call_user(_itself, holds)
                holds = await call_user(bool, holds)  # what it gives is the user's, too
            if task is not None and task.cancelling() > requests:
                await _refuse_cancel(record, requests)
        except Exception as error:  # noqa: BLE001 - as in the original, it counts as false
            # A decision of its own, which no step goes before, has no name that people know.
            after = "" if record.step_id.startswith(".") else f" after step {record.step_id!r}"
            StepContext(run, scope, record, None).logger.warning(
                "The condition of %r in the branch%s raised %s: %s. It counts as false.",
                unit.id,
                after,
                name_of(error),
                text_of(error),
            )
            continue
        if holds:
            taken.append(unit.id)
            if node.first_match:
                break
    if asked is not None and asked._delta is not None:  # noqa: SLF001
        _keep_state(run, record, asked)
    return taken


def _itself(value: Any) -> Any:
    return value


async def decide_loop(
    walk: Walk, scope: Scope, node: LoopNode, record: StepRecord
) -> bool | dict[str, Json]:
    """Return whether the condition holds, or the error that it raised."""
    try:
        said = await ask(walk, scope, node.condition, node.output, record.output, record)
        return said if said is True or said is False else bool(await call_user(bool, said))
    except Exception as error:  # noqa: BLE001 - it fails the run, from the record
        failed = fail_record(walk.run, StepRecord(record.op_id, record.step_id, None, 0), error)
        return {"error": failed.error}


async def decision(
    walk: Walk, scope: Scope, op_id: str, value: Json, decide: Decide, iteration: int | None = None
) -> Any:
    """Evaluate a condition that follows no step, as an operation of its own.

    Raises:
        Halt: It raised.
    """
    known = walk.run.journal.get(op_id)
    if known is None:

        async def body() -> StepRecord:
            record = StepRecord(op_id, scope.names + op_id, None, now_ms())
            record.kind = "decision"
            record.iteration = iteration
            record.output = value
            guard = Guard()
            try:
                record.decision = await decide(record)
                record.status = "success"
            except BaseException as error:  # noqa: BLE001 - it fails the run, from the record
                fail_record(walk.run, record, guard.contain(error))
            record.output = None
            record.ended_at = now_ms()
            return record

        known = await walk.ops.record(op_id, body)
    if known.status == "failed":
        raise Halt("failed", known)
    return known.decision


async def ask_concurrency(
    walk: Walk, scope: Scope, node: ForeachNode, value: Json, op_id: str
) -> int:
    """Return how many items of a foreach may run at once."""
    if not callable(node.concurrency):
        return node.concurrency
    setting = node.concurrency

    async def decide(record: StepRecord) -> Json:
        limit = await ask(walk, scope, setting, node.value, value, record)
        if not isinstance(limit, int) or limit < 1:
            raise WorkflowDefinitionError(
                f"Concurrency of foreach {node.unit.id!r} must be 1 or more, not {limit!r}."
            )
        return int.__index__(limit)  # its own class may say something else

    return int(await decision(walk, scope, f"{op_id}?", None, decide))
