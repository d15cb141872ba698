"""Work that stops with the client who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from mastra.server.errors import Refusal

__all__ = ["unless_gone"]

T = TypeVar("T")


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what work gives, and cancel it when the client hangs up.

    Args:
        request: Whose body has been read.
        work: What the client waits for.

    Raises:
        Refusal: The client has gone; nobody reads that.
    """
    # Ended right below, whatever happens.
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
    finally:
        left = [one for one in (task, gone) if not one.done()]
        for one in left:
            one.cancel()
        if left:
            await asyncio.wait(left)
    raise Refusal(499, "The client has gone.")


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
