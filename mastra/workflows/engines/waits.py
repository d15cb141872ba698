"""Sleeping."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mastra.clock import now_ms, now_s
from mastra.errors import MastraError, WorkflowDefinitionError
from mastra.jsonable import Json
from mastra.workflows.active import ActiveRun, Scope
from mastra.workflows.engines.base import Halt, Walk
from mastra.workflows.engines.blocks import end_block
from mastra.workflows.engines.conditions import ask, decision
from mastra.workflows.engines.pause import pause_before
from mastra.workflows.engines.step_runner import fail_record
from mastra.workflows.events import Kind
from mastra.workflows.records import StepRecord
from mastra.workflows.spec import Dynamic, SleepNode, seconds_of

__all__ = ["moment_of", "refuse_sleep", "run_sleep", "wake"]

_LAST_MOMENT: Final = datetime.max.replace(tzinfo=UTC).timestamp()
"""What comes later has no date."""


async def run_sleep(walk: Walk, scope: Scope, node: SleepNode, value: Json) -> Json:
    """Wait; what flows in flows out."""
    run = walk.run
    op_id = scope.prefix + node.op
    record = run.journal.get(op_id)
    if record is None or record.status != "success":
        if run.stop.is_thrown and not walk.ops.seeks_one:
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
            except MastraError as error:
                raise _failed(
                    walk, record, Halt("failed", fail_record(run, record, error))
                ) from None
            record.status = "waiting"
            if not walk.ops.seeks_one:
                record.start_seq = run.log.append(Kind.WAITING, record)
        elif node.kind == "sleep":
            # It began by another clock, or before this one was put back: no longer than it was.
            length = (record.wake_at or 0.0) - record.started_at / 1000
            record.wake_at = min(record.wake_at or 0.0, now_s() + length)
        record.output = value
        record.is_until = node.kind == "sleepUntil"
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
    most = walk.ops.max_sleep_s
    if not callable(duration):
        return refuse_sleep(moment_of(duration, node), node, most)
    setting: Dynamic = duration

    async def decide(record: StepRecord) -> Json:
        said = await ask(walk, scope, setting, node.value, value, record)
        return refuse_sleep(moment_of(said, node), node, most)

    # What the function said is recorded: another walk must not sleep anew.
    return float(await decision(walk, scope, f"{op_id}?", None, decide))


def moment_of(duration: float | timedelta | datetime, node: SleepNode) -> float:
    """Return when a sleep ends that begins now, in seconds since 1970.

    Raises:
        WorkflowDefinitionError: It is no duration, is negative, or has no end.
    """
    if not isinstance(duration, datetime):
        return now_s() + seconds_of(duration, f"Sleep {node.id!r}")
    try:
        return duration.timestamp()
    except (OverflowError, ValueError):  # at the ends of the calendar, in some zone
        return math.inf if duration.year > 1970 else 0.0


def refuse_sleep(wake_at: float, node: SleepNode, most_s: float | None) -> float:
    """Return the moment that was given, if a run can wait until then.

    Args:
        wake_at: The moment, in seconds since 1970.
        node: The sleep.
        most_s: How long the engine lets a run sleep; `None` for any time.

    Raises:
        WorkflowDefinitionError: `SLEEP_TOO_LONG`.
    """
    length = wake_at - now_s()
    if wake_at <= _LAST_MOMENT and (most_s is None or length <= most_s):
        return wake_at
    is_endless = wake_at > _LAST_MOMENT
    how_long = "has no end" if is_endless else f"is {length / 86_400:,.1f} days long"
    limit = (
        ""
        if most_s is None
        else f" This engine lets a run sleep for at most {most_s / 86_400:.0f} days."
    )
    raise WorkflowDefinitionError(
        f"Sleep {node.id!r} {how_long}.{limit} To wait for longer, or for something to happen, "
        "suspend the run in a step and resume it when it is time.",
        code="SLEEP_TOO_LONG",
        details={"sleepId": node.id, "limitDays": None if most_s is None else most_s / 86_400},
    )


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
