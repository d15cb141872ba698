"""Sleeping."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from mastra.clock import now_ms
from mastra.jsonable import Json
from mastra.workflows.active import ActiveRun, Scope
from mastra.workflows.engines.base import Halt, Walk
from mastra.workflows.engines.blocks import end_block
from mastra.workflows.engines.conditions import ask, decision
from mastra.workflows.engines.pausing import pause_before
from mastra.workflows.events import Kind
from mastra.workflows.records import StepRecord
from mastra.workflows.spec import Dynamic, SleepNode, seconds_of

__all__ = ["run_sleep", "wake"]


async def run_sleep(walk: Walk, scope: Scope, node: SleepNode, value: Json) -> Json:
    """Wait; what flows in flows out."""
    run = walk.run
    op_id = scope.prefix + node.op
    record = run.journal.get(op_id)
    if record is None or record.status != "success":
        if run.is_abort_requested:
            raise Halt("canceled")
        if record is None:
            if run.per_step:
                pause_before(run, op_id, claims=True)
            record = StepRecord(op_id, scope.names + node.id, value, now_ms())
            record.kind = "sleep"
            try:
                record.wake_at = await _wake_at(walk, scope, node, value, op_id)
            except Halt as halt:
                raise _failed(walk, record, halt) from None
            record.status = "waiting"
            if not run.seeks_one:
                record.start_seq = run.log.append(Kind.WAITING, record)
        record.output = value
        await walk.ops.sleep(record)
    return value


def _failed(walk: Walk, record: StepRecord, halt: Halt) -> Halt:
    """Return how a walk ends that cannot tell how long to sleep."""
    run = walk.run
    if halt.record is not None:
        record.error = halt.record.error
        if halt.record.op_id in run.causes:
            run.causes[record.op_id] = run.causes[halt.record.op_id]
    record.status = "failed"
    end_block(walk, record)
    run.latest[record.step_id] = record
    return Halt("failed", record)


async def _wake_at(walk: Walk, scope: Scope, node: SleepNode, value: Json, op_id: str) -> float:
    duration: Any = node.duration
    if not callable(duration):
        return _moment(duration, node)
    setting: Dynamic = duration

    async def decide(record: StepRecord) -> Json:
        return _moment(await ask(walk, scope, setting, node.value, value, record), node)

    # What the function said is recorded: another walk must not sleep anew.
    return float(await decision(walk, scope, f"{op_id}?", None, decide))


def _moment(duration: float | timedelta | datetime, node: SleepNode) -> float:
    if isinstance(duration, datetime):
        return duration.timestamp()
    return time.time() + seconds_of(duration, f"Sleep {node.id!r}")


def wake(run: ActiveRun, record: StepRecord) -> StepRecord:
    """Return the finished record of a sleep whose time has come, and tell readers."""
    done = StepRecord(record.op_id, record.step_id, record.payload, record.started_at)
    done.kind, done.wake_at = record.kind, record.wake_at
    done.output, done.status, done.ended_at = record.output, "success", now_ms()
    run.order += 1
    done.order = run.order
    if record.start_seq >= 0:  # the record that waits tells where that is
        done.end_seq = run.log.append(Kind.STEP_END, done)
    return done
