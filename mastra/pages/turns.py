"""One turn of a chat: the runs that answer a page, and what is sent of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from starlette.requests import Request

from mastra.agents.agent_stream import AgentStream
from mastra.agents.chunks import AgentChunk
from mastra.errors import MastraError, ResumeClaimedError, RunClaimedError, RunNotFoundError
from mastra.server.context import Server
from mastra.server.errors import Refusal
from mastra.server.hanging_up import unless_gone
from mastra.server.streaming import OPENED
from mastra.stream.abort import AbortController

__all__ = ["Display", "Leg", "Taken", "Turn"]

_BATCH: Final = 64
_BEGIN_S: Final = 5.0
"""How long an answer may say nothing before its stream is opened all the same. What is wrong with
a call is known before, and answered with a status."""

_IN_ORDER: Final = frozenset(("suspended", "success"))
"""How a run ends that others may follow in a turn."""
_ANSWERED: Final = "RESUME_TARGET_NOT_FOUND"
"""The code of an answer to what waits no more, of a run that waits for something else."""
_GONE = (ResumeClaimedError, RunClaimedError, RunNotFoundError)


@dataclass(frozen=True, slots=True)
class Leg:
    """One part of a turn: a run from its beginning, or from an answer to what it waits for."""

    begin: Callable[[], AgentStream[Any]]
    """Begins it."""
    run_id: str = ""
    """Which run it goes on with, where the turn has several."""


class Taken(Refusal):
    """Nothing waits for an answer."""

    def __init__(self) -> None:
        super().__init__(
            409,
            "Nothing waits for this answer: it was given already, or the run has ended. "
            "Nothing was run.",
        )


class Display(Protocol):
    """Shows runs to a page: each gives what is sent, or nothing."""

    goes_on: bool
    """Whether another run follows once the one that is shown has ended well."""

    async def begin(self) -> bytes:
        """Open what is shown."""
        ...

    def frames(self, chunks: Sequence[AgentChunk]) -> bytes:
        """Show chunks."""
        ...

    @property
    def is_behind(self) -> bool:
        """Whether `catch_up` has something to show, which has to be asked for."""
        ...

    async def catch_up(self) -> bytes:
        """Show it."""
        ...

    async def end(self, stream: AgentStream[Any]) -> bytes:
        """Show how the last run ended."""
        ...

    async def fail(self, error: MastraError) -> bytes:
        """Show an error that ended it."""
        ...


@dataclass(slots=True)
class Turn:
    """What answers a page: one run of the agent, or several answers to what waits."""

    server: Server
    display: Display
    legs: list[Leg]
    """In order, run by run; what follows in a run begins where it still waits after the one before."""
    stack: ExitStack
    controller: AbortController
    stream: AgentStream[Any] | None = None
    is_opened_at_once: bool = False
    """Whether the page is told that its answer has begun before the agent has said anything."""

    async def begin(self, request: Request) -> None:
        """Begin, so that what is wrong with the call is told by a status.

        Raises:
            Taken: Somebody else has answered what waits.
            Refusal: The client is gone.
        """
        try:
            stream = self.stream = self.legs[0].begin()
            begun = stream.taken() if self.is_opened_at_once else _begun(stream)
            await unless_gone(request, begun)
        except BaseException as error:
            await self._close()
            if isinstance(error, _GONE) or getattr(error, "code", None) == _ANSWERED:
                raise Taken from error
            raise

    async def _close(self) -> None:
        self.stack.close()
        if self.stream is not None:
            await self.stream.aclose()

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Yield the answer as server-sent events. When the reader goes, the model stops."""
        display, turns = self.display, self.server.turns
        self.stack.enter_context(turns.among())
        try:
            yield OPENED
            opened = await display.begin()
            if opened:
                yield opened
            waits: dict[str, AgentStream[Any]] = {}
            for stream in self._streams(waits):
                async with aclosing(stream.batches(_BATCH)) as batches:
                    async for batch in batches:
                        if turns.is_crowded:
                            await turns.next()
                        made = display.frames(batch)
                        if made:
                            yield made
                        if display.is_behind:
                            yield await display.catch_up()
                await stream.aclose()
            ended = await display.end(next(iter(waits.values()), self.begun))
        except MastraError as error:
            ended = await display.fail(error)
        finally:
            await self._close()
        yield ended

    def _streams(self, waits: dict[str, AgentStream[Any]]) -> Iterator[AgentStream[Any]]:
        """Begin leg after leg: whether another follows shows once one has ended.

        Args:
            waits: Takes in the runs that wait once more, by their ids.
        """
        over: str | None = None
        for place, leg in enumerate(self.legs):
            if leg.run_id == over:
                continue
            if place:
                self.stream = leg.begin()
            self.display.goes_on = any(one.run_id != leg.run_id for one in self.legs[place:])
            yield self.begun
            status = self.begun.status
            waits.pop(leg.run_id, None)
            if self.controller.signal.aborted or status not in _IN_ORDER:
                waits.clear()
                return
            if status == "suspended":
                waits[leg.run_id] = self.begun
            else:
                over = leg.run_id

    @property
    def begun(self) -> AgentStream[Any]:
        """The run under way, or the last one."""
        return cast("AgentStream[Any]", self.stream)


async def _begun(stream: AgentStream[Any]) -> None:
    async def first() -> None:
        await stream

    # It outlives this call where it takes long; the stream that it reads is closed in the end.
    task = asyncio.ensure_future(first())
    try:
        done, _ = await asyncio.wait({task}, timeout=_BEGIN_S)
    except BaseException:
        task.cancel()
        raise
    if done:
        task.result()
    else:
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
