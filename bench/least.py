"""The least that an engine of this kind does for a run, for comparison: no engine at all.

A run has an id and a head that others can look up, among the latest thousand; a task of its own, so that
who waits may go; and of each step a record, the moments of its beginning and end, and an entry for
either. Input and output of each step are checked and kept as ours are. There is nothing else: no
conditions, retries, suspension, context, state, cancelling, readers or stores.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from mastra.clock import now_ms
from mastra.ids import new_id
from mastra.schema import Schema
from mastra.storage.base import RunHead
from mastra.workflows.events import Kind
from mastra.workflows.records import StepRecord

__all__ = ["LeastEngine"]

KEPT = 1000


class LeastEngine:
    """Runs a function so many times in a row, as steps."""

    def __init__(self, type_: Any, function: Callable[[Any], Awaitable[Any]], size: int) -> None:
        self._schema: Schema[Any] = Schema(type_)
        self._function = function
        self._names = [f"step-{place}" for place in range(size)]
        self._heads: OrderedDict[str, RunHead] = OrderedDict()

    async def run(self, value: object) -> object:
        """Run once; return the output."""
        run_id, now = new_id(), now_ms()
        head = self._heads[run_id] = RunHead("least", run_id, "pending", None, now, now)
        if len(self._heads) > KEPT:
            self._heads.popitem(last=False)
        head.input = self._schema.pack(self._schema.load(value))
        head.status = "running"
        driving = asyncio.create_task(self._drive(head, self._names))  # noqa: TID251
        return await asyncio.shield(driving)

    async def _drive(self, head: RunHead, names: Sequence[str]) -> object:
        schema, function, data = self._schema, self._function, head.input
        log: list[tuple[Kind, StepRecord | None]] = [(Kind.START, None)]
        journal: dict[str, StepRecord] = {}
        for name in names:
            record = StepRecord(name, name, data, now_ms())
            log.append((Kind.STEP_START, record))
            data = record.output = schema.pack(await function(schema.unpack(data)))
            record.status, record.ended_at = "success", now_ms()
            log.append((Kind.STEP_END, record))
            journal[name] = record
        output = schema.unpack(data)
        head.status, head.result, head.updated_at = "success", data, now_ms()
        head.data = {"log": len(log), "steps": len(journal)}
        return output
