"""Results of steps on their way to the server while its request is open.

What ends while a post is under way goes with the next one, in the order in which it ended, and is
told in that order whether it is safe.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from mastra.inngest.wire.api import Checkpoint, InngestApi, checkpoint_of
from mastra.inngest.wire.request import RequestFacts
from mastra.jsonable import Json

__all__ = ["Checkpoints"]

POST_BYTES: Final = 4 * 1024 * 1024
"""How large a post with more than one step may grow."""


@dataclass(eq=False, slots=True)
class _Result:
    op_id: str
    memo: dict[str, Json]
    step: bytes
    answer: Checkpoint | None = None


class Checkpoints:
    """The posts of one request."""

    def __init__(
        self, api: InngestApi, facts: RequestFacts, workflow_id: str, buffered_steps: int
    ) -> None:
        """Prepare; nothing is sent.

        Args:
            api: The server.
            facts: The request that is open.
            workflow_id: The workflow whose steps they are.
            buffered_steps: For how many results nobody waits until they are safe.
        """
        self._api = api
        self._facts = facts
        self._workflow_id = workflow_id
        self._buffered_steps = buffered_steps
        self._unsafe: list[_Result] = []
        """What the server is not known to have, oldest first."""
        self._lock = asyncio.Lock()
        self._background: asyncio.Task[None] | None = None
        self._worst = Checkpoint.KEPT

    async def keep(self, op_id: str, memo: dict[str, Json], started_ns: int) -> Checkpoint:
        """Have the server keep a result; wait until it does, or until few enough are on the way.

        Returns:
            What became of it. `KEPT` where nobody waits for it, too.
        """
        if self._worst is not Checkpoint.KEPT:
            return self._worst
        ended_ns = time.time_ns()
        step = checkpoint_of(self._workflow_id, op_id, memo, started_ns, ended_ns)
        result = _Result(op_id, memo, step)
        self._unsafe.append(result)
        if len(self._unsafe) <= self._buffered_steps:
            if self._background is None or self._background.done():
                self._background = asyncio.create_task(  # noqa: TID251 - ended by `settle`
                    self._send_all(), name=f"mastra checkpoints of {self._facts.run_id}"
                )
            return Checkpoint.KEPT
        async with self._lock:
            while result.answer is None:
                await self._send()
        if result.answer is Checkpoint.FAILED and result in self._unsafe:
            self._unsafe.remove(result)  # the caller has it in hand
        return result.answer

    async def settle(self) -> tuple[Checkpoint, list[tuple[str, dict[str, Json]]]]:
        """Wait until nothing is on the way; return how it went, and what the server lacks.

        What it lacks are operations that nobody waited for, each with what it should keep of it.
        """
        await self._send_all()
        return self._worst, [(result.op_id, result.memo) for result in self._unsafe]

    def stop(self) -> None:
        """Give up what is on the way."""
        if self._background is not None:
            self._background.cancel()

    async def _send_all(self) -> None:
        while self._unsafe and self._worst is Checkpoint.KEPT:
            async with self._lock:
                await self._send()

    async def _send(self) -> None:
        """Send what is there; only one post is under way at a time."""
        if not self._unsafe:
            return
        chosen, size = 0, 0
        for result in self._unsafe:
            size += len(result.step)
            if chosen and size > POST_BYTES:
                break
            chosen += 1
        batch = self._unsafe[:chosen]
        answer = await self._api.checkpoint(self._facts, [result.step for result in batch])
        if answer is Checkpoint.KEPT:
            self._unsafe = self._unsafe[chosen:]
        else:
            self._worst = answer
            batch = self._unsafe
        for result in batch:
            result.answer = answer
