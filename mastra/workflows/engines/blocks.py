"""Records of blocks, which are no operations: nested workflows and foreach."""

from __future__ import annotations

from copy import copy

from mastra.clock import now_ms
from mastra.jsonable import Json
from mastra.workflows.active import Scope
from mastra.workflows.engines.base import Halt, Walk
from mastra.workflows.engines.pause import pause_before
from mastra.workflows.events import Kind
from mastra.workflows.records import StepRecord

__all__ = ["end_block", "end_halted", "open_block", "start_block"]


def open_block(walk: Walk, scope: Scope, op_id: str, name: str, value: Json) -> StepRecord:
    """Return the record of a block: the one of an earlier walk, or another."""
    run = walk.run
    known = run.blocks.records.get(op_id)
    if known is not None and (known.status != "suspended" or not _is_reopened(walk, op_id)):
        # What another walk is to tell must not have happened to the record that storage holds.
        return copy(known) if walk.ops.seeks_one else known
    if run.per_step:
        pause_before(run, op_id)
    block = StepRecord(op_id, scope.names + name, value, now_ms())
    block.kind = "block"
    if known is not None:
        target = run.reopening.target
        block.started_at = known.started_at
        # What is told of it once is told anew after each resume, even in one millisecond.
        block.resumed_at = max(now_ms(), (known.resumed_at or 0) + 1)
        block.resume_payload = None if target is None else target.data
    run.blocks.records[op_id] = block
    run.latest[block.step_id] = block
    return block


def _is_reopened(walk: Walk, op_id: str) -> bool:
    target = walk.run.reopening.target
    if target is None:
        return False
    return any(op.startswith((f"{op_id}/", f"{op_id}[")) for op in target.op_ids)


def start_block(walk: Walk, block: StepRecord) -> None:
    """Tell readers, once, that a block starts."""
    key = f"{block.op_id}:start:{block.resumed_at or ''}"
    walk.mark(key, Kind.STEP_START, block)


def end_block(walk: Walk, block: StepRecord, *, is_silent: bool = False) -> None:
    """Set when a block ended and tell readers, once."""
    if block.ended_at is None and block.status != "suspended":
        block.ended_at = now_ms()
    if not is_silent:
        key = f"{block.op_id}:end:{block.resumed_at or ''}"
        walk.mark(key, Kind.STEP_END, block)


def end_halted(walk: Walk, block: StepRecord, halt: Halt, *, is_silent: bool = False) -> None:
    """End a block as what halted inside it says."""
    record = halt.record
    match halt.status:
        case "suspended":
            block.status = "suspended"
            if record is not None:
                block.suspend_payload = record.suspend_payload
                block.suspended_at, block.order = record.suspended_at, record.order
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
    end_block(walk, block, is_silent=is_silent)
