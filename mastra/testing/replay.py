"""An engine that forgets everything between two operations, as a durable one does.

It walks the graph from the top, runs the operations that the walk asked for, passes their
records through JSON, and walks again. What works here and in process does not depend on
anything that a durable engine would lose.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from mastra.clock import Clock
from mastra.jsonable import Json
from mastra.workflows.engines.base import Body, Halt
from mastra.workflows.engines.inprocess import InProcessEngine
from mastra.workflows.engines.inprocess_ops import LegOps, make_ops, together
from mastra.workflows.records import StepRecord, decode_record

__all__ = ["ReplayEngine"]

T = TypeVar("T")


class _Interrupt(BaseException):
    """Ends a walk that met an operation which has no record yet."""


class _ReplayOps:
    """Plans operations, and runs them through others when the walk has stopped."""

    inline_delay_s = 0.05
    seeks_one = False

    def __init__(self, ops: LegOps, on_walk: Callable[[], None]) -> None:
        self._ops = ops
        self._on_walk = on_walk
        self._planned: dict[str, Callable[[], Awaitable[StepRecord]]] = {}
        self.max_sleep_s = ops.max_sleep_s
        self.admit = ops.admit
        self.admit_items = ops.admit_items
        self.rest = ops.rest

    @property
    def has_died(self) -> bool:
        """Whether the driver has come to its end."""
        return self._ops.has_died

    async def drive(self, walk: Callable[[], Awaitable[Json]]) -> Json:
        """Walk until a walk meets nothing that has no record."""
        while True:
            self._on_walk()
            self._planned = {}
            try:
                return await walk()
            except _Interrupt:
                await together([_awaited(operation) for operation in self._planned.values()])

    async def record(self, op_id: str, body: Body) -> StepRecord:
        """Plan an operation and end this branch of the walk."""

        async def through_json() -> StepRecord:
            return decode_record((await body()).encode())

        self._plan(op_id, partial(self._ops.record, op_id, through_json))
        raise _Interrupt

    def _plan(self, op_id: str, operation: Callable[[], Awaitable[StepRecord]]) -> None:
        if op_id in self._planned:
            msg = f"Operation {op_id!r} was asked for twice in one walk."
            raise RuntimeError(msg)
        self._planned[op_id] = operation

    async def gather(
        self, branches: Sequence[Callable[[], Awaitable[T]]], limit: int | None
    ) -> list[T | Halt | None]:
        """Walk the branches one after the other; plan at most `limit` of them."""
        results: list[T | Halt | None] = [None] * len(branches)
        planned, is_stopped = 0, False
        for place, branch in enumerate(branches):
            if limit is not None and (planned >= limit or (is_stopped and place >= limit)):
                break
            try:
                results[place] = await branch()
            except Halt as halt:
                results[place] = halt
                is_stopped = True
            except _Interrupt:
                planned += 1
        if planned:
            raise _Interrupt
        return results

    async def sleep(self, record: StepRecord) -> StepRecord:
        """Plan a sleep."""
        self._plan(record.op_id, partial(self._ops.sleep, record))
        raise _Interrupt


async def _awaited(operation: Callable[[], Awaitable[StepRecord]]) -> None:
    await operation()


class ReplayEngine(InProcessEngine):
    """Runs a workflow the way a durable engine would, in this process, for tests.

    Its own storage and events are those of the in-process engine; only the walk differs.

    Attributes:
        walks: How many walks were made so far, over all runs.
    """

    name = "replay"

    def __init__(self, *, max_recoveries: int = 5, clock: Clock | None = None) -> None:
        super().__init__(max_recoveries=max_recoveries, clock=clock, ops=self._replayed)
        self.walks = 0

    def _replayed(self, *facts: Any) -> _ReplayOps:
        return _ReplayOps(make_ops(*facts), self._count)

    def _count(self) -> None:
        self.walks += 1
