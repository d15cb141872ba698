"""Work that stops with the client who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.types import Receive

from mastra.agents.agent_stream import AgentStream
from mastra.server.errors import Refusal

__all__ = ["begin_answer", "gone", "unless_gone"]

T = TypeVar("T")


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what work gives, and cancel it when the client hangs up.

    Args:
        request: Whose body has been read.
        work: What the client waits for.

    Raises:
        Refusal: The client has gone; nobody reads that.
    """
    # Both are ended right below, whatever happens.
    task = asyncio.ensure_future(work)
    hearing = asyncio.ensure_future(gone(request.receive))
    try:
        await asyncio.wait({task, hearing}, return_when=asyncio.FIRST_COMPLETED)
        is_done = task.done()
    finally:
        for one in (task, hearing):
            one.cancel()
        await asyncio.wait({task, hearing})
    if not is_done:
        raise Refusal(499, "The client has gone.")
    return task.result()


async def begin_answer(request: Request, answer: AgentStream[Any]) -> None:
    """Begin an agent's answer, so that what is wrong with the call is told by a status.

    Raises:
        MastraError: The call is wrong, and the answer closed.
        Refusal: The client has gone.
    """

    async def begin() -> None:
        await answer

    try:
        await unless_gone(request, begin())
    except BaseException:
        await answer.aclose()
        raise


async def gone(receive: Receive) -> None:
    """Return once the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
