"""A driver that dies where a test wants it to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextvars import Token
from typing import Any, Final, Literal, Self, cast

from mastra.cancellation import CodeTask
from mastra.given import TEXT, check_given, one_of
from mastra.workflows.engines.base import Body
from mastra.workflows.engines.inprocess_ops import LegOps, ops_around
from mastra.workflows.records import StepRecord

__all__ = ["crash_at"]

_FORMS: Final = {"op": TEXT, "when": one_of("before", "after")}


class crash_at:  # noqa: N801 - read as what it does: `with crash_at("charge"):`
    """Lets the driver of a run die at an operation, once; the test then restarts the run.

    For runs that are begun inside the block, on the engines that drive them in this process. What was
    stored stays and nothing more is: the run is as a killed process leaves it, `running` without
    anybody who drives it. Whoever waits for it gets a `RunStateError` with the code `RUN_STOPPED`. No
    lease has to end before it is restarted, which counts as a recovery (`max_recoveries`) where other
    processes see the storage.

    Args:
        op: The operation: a step's id, within workflows and loops such as `orders/charge` or
            `try[2]`; of a durable agent such as `planner/0.model[1]`.
        when: `before` its record is stored, when the step has run and nobody will know, or `after`
            that, before anything else happens.

    Raises:
        ConfigError: One of them is something else, at which no driver would ever die.
    """

    def __init__(self, op: str, when: Literal["before", "after"] = "before") -> None:
        check_given("crash_at", {"op": op, "when": when}, _FORMS)
        self.op = op
        self.when = when
        self.has_crashed = False
        """Whether it has happened."""
        self._before: list[Token[Any]] = []

    def __enter__(self) -> Self:
        self._before.append(ops_around.set(lambda ops: _DyingOps(ops, self)))
        return self

    def __exit__(self, *exc: object) -> None:
        ops_around.reset(self._before.pop())


class _DyingOps:
    """Does what other operations do, until it is time to die."""

    def __init__(self, ops: LegOps, crash: crash_at) -> None:
        self._ops = ops
        self._crash = crash
        self._leg = cast("CodeTask[Any]", asyncio.current_task())
        self.has_died = False
        self.inline_delay_s = ops.inline_delay_s
        self.max_sleep_s = ops.max_sleep_s
        self.seeks_one = ops.seeks_one
        self.admit = ops.admit
        self.admit_items = ops.admit_items
        self.drive = ops.drive
        self.rest = ops.rest
        self.gather = ops.gather

    def _is_due(self, op_id: str, when: str) -> bool:
        crash = self._crash
        return not crash.has_crashed and (op_id, when) == (crash.op, crash.when)

    async def _die(self) -> None:
        self._crash.has_crashed = self.has_died = True
        self._leg.end()
        await asyncio.Future()  # nothing more happens in this branch either

    async def record(self, op_id: str, body: Body) -> StepRecord:
        """Run an operation, and die before or after its record is stored."""

        async def dying() -> StepRecord:
            record = await body()
            if self._is_due(op_id, "before"):
                await self._die()
            return record

        return await self._survive(op_id, self._ops.record(op_id, dying))

    async def sleep(self, record: StepRecord) -> StepRecord:
        """Sleep, and die before anything of that is stored, or after all of it is."""
        if self._is_due(record.op_id, "before"):
            await self._die()
        return await self._survive(record.op_id, self._ops.sleep(record))

    async def _survive(self, op_id: str, stored: Awaitable[StepRecord]) -> StepRecord:
        record = await stored
        if self._is_due(op_id, "after"):
            await self._die()
        return record
