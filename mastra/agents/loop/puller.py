"""Moves a run on, by whoever reads it.

Nothing runs between two reads, so a stream that is dropped leaves no task behind. Where the loop
waits for the next batch of a model, the reader itself waits for it, and may be cancelled there
without harm; the rest of the loop's work is a task that outlives the reader who began it, as long
as another reader waits. When the last reader is cancelled, the run is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

from mastra.agents.loop.loop import LoopSteps
from mastra.agents.run.agent_run import AgentRun
from mastra.agents.run.stop_switch import Interrupted
from mastra.models.base import ChunkSource
from mastra.services import surroundings

__all__ = ["Puller"]


class Puller:
    """Drives one run for any number of readers."""

    __slots__ = ("_is_pulled", "_loop", "_run", "_waiting", "is_done")

    def __init__(self, run: AgentRun, loop: LoopSteps) -> None:
        self._run = run
        self._loop = loop
        self._is_pulled = False
        self._waiting: list[asyncio.Future[None]] = []
        self.is_done = False
        """Whether everything has been streamed."""

    async def pull(self) -> None:
        """Return once there may be more to read."""
        if self._is_pulled:
            await self._wait()
            return
        self._is_pulled = True
        try:
            source = self._run.source
            with surroundings(self._run.services):
                await (self._work() if source is None else self._read(source))
        except asyncio.CancelledError:
            # Others who wait take over where this reader was.
            if not self._waiting:
                await self._close()
            raise
        finally:
            self._is_pulled = False
            self._wake()

    async def _wait(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        finally:
            if future in self._waiting:
                self._waiting.remove(future)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def _read(self, source: ChunkSource) -> None:
        run = self._run
        try:
            batch = await source.read()
        except Exception as error:  # noqa: BLE001 - handed to the loop, which knows what it means
            run.source = None
            await self._step(self._loop.athrow(error))
        else:
            run.source = None
            await self._step(self._loop.asend(batch))

    async def _work(self) -> None:
        run = self._run
        if run.task is None:
            # Not a task group's: it is waited for by readers who come and go.
            run.task = asyncio.get_running_loop().create_task(self._go_on())
        task = run.task
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            reader = asyncio.current_task()
            if not task.cancelled() or (reader is not None and reader.cancelling()):
                raise
            # Told to stop before it had begun, so that the loop has not heard of it: it does next.
        finally:
            if task.done() and run.task is task:
                run.task = None

    async def _go_on(self) -> None:
        # Asked for here and not before: a task may be cancelled before it has begun.
        await self._step(self._next())

    def _next(self) -> Awaitable[None]:
        run = self._run
        if run.switch.reason is not None and not run.switch.is_seen:
            # Told to stop between two pulls, when there was no task to cancel.
            return self._loop.athrow(Interrupted(run.switch.reason))
        return self._loop.asend(None)

    async def _step(self, step: Awaitable[None]) -> None:
        try:
            await step
        except StopAsyncIteration:
            self.is_done = True

    async def _close(self) -> None:
        """End the run where it is; whoever calls holds the pull."""
        run = self._run
        run.stop("closed")
        task = run.task
        if task is not None:
            run.task = None
            task.cancel()
            await asyncio.wait([task])
            with suppress(asyncio.CancelledError):
                task.exception()
        await self._loop.aclose()
        if run.status == "running":  # closed before the loop had begun, which then hears of nothing
            run.status = "canceled"
        run.source = None
        self.is_done = True

    async def aclose(self) -> None:
        """End the run, wherever it is, and return once nothing of it is left."""
        self._run.stop("closed")
        while self._is_pulled:
            await self._wait()
        if self.is_done:
            return
        self._is_pulled = True
        try:
            await self._close()
        finally:
            self._is_pulled = False
            self._wake()
