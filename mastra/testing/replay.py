"""An engine that forgets everything between two operations, as a durable one does.

It walks the graph from the top, runs the operations that the walk asked for, passes their
records through JSON, and walks again. What works here and in process does not depend on
anything that a durable engine would lose.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from mastra.workflows.active import ActiveRun
from mastra.workflows.engines.base import Body, Halt
from mastra.workflows.engines.commands import Command
from mastra.workflows.engines.inprocess import InProcessEngine
from mastra.workflows.engines.inprocess_ops import sleep_until
from mastra.workflows.engines.journal_writer import JournalWriter
from mastra.workflows.engines.outcome import Outcome
from mastra.workflows.engines.waits import wake
from mastra.workflows.records import StepRecord, decode_record

__all__ = ["ReplayEngine"]

T = TypeVar("T")


class _Interrupt(BaseException):
    """Ends a walk that met an operation which has no record yet."""


class _ReplayOps:
    """Plans operations in place of running them."""

    def __init__(self, run: ActiveRun, writer: JournalWriter) -> None:
        self._run = run
        self._writer = writer
        self.inline_delay_s = 0.05
        self.planned: dict[str, Body] = {}

    async def record(self, op_id: str, body: Body) -> StepRecord:
        """Plan an operation and end this branch of the walk."""
        if op_id in self.planned:
            msg = f"Operation {op_id!r} was asked for twice in one walk."
            raise RuntimeError(msg)
        self.planned[op_id] = body
        raise _Interrupt

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
        known = self._run.journal.get(record.op_id)
        if known is not None and known.status == "success":
            return known
        if known is None:
            stored = self._writer.commit(record)
            if stored is not None:
                await stored
        self.planned[record.op_id] = partial(self._sleep, record)
        raise _Interrupt

    async def _sleep(self, record: StepRecord) -> StepRecord:
        await sleep_until(self._run, self._writer, record)
        return wake(self._run, record)


class ReplayEngine(InProcessEngine):
    """Runs a workflow the way a durable engine would, in this process, for tests.

    Its own storage and events are those of the in-process engine; only the walk differs.

    Attributes:
        walks: How many walks were made so far, over all runs.
    """

    name = "replay"

    def __init__(self, *, max_recoveries: int = 5) -> None:
        super().__init__(max_recoveries=max_recoveries)
        self.walks = 0

    async def _walk(self, command: Command, run: ActiveRun, writer: JournalWriter) -> Outcome:
        await self._go_back(command, run, writer)
        while True:
            self.walks += 1
            ops = _ReplayOps(run, writer)
            try:
                return await self._walk_once(run, ops, command)
            except _Interrupt:
                await self._run_planned(ops.planned, writer)

    async def _run_planned(self, planned: dict[str, Body], writer: JournalWriter) -> None:
        async def one(body: Body) -> None:
            record = decode_record((await body()).encode())
            await writer.store_context()
            stored = writer.commit(record)
            if stored is not None:
                await stored

        async with asyncio.TaskGroup() as group:
            for body in planned.values():
                group.create_task(one(body))
