"""Who has cancelled a task: the code that runs in it, or somebody else.

A cancelled task looks the same whether its program ends or its own code has called
`asyncio.current_task().cancel()`. The first is to leave a run where it is, the second is a
failure of that code. So tasks in which users' code runs note from where they are cancelled.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any, TypeVar

__all__ = [
    "CodeTask",
    "begin_code",
    "cancel_requests",
    "forget_requests",
    "is_cancelled",
    "settled",
]

T = TypeVar("T")

_is_within: ContextVar[bool] = ContextVar("mastra_within_task", default=False)
"""Whether this is code of such a task, or something that it has begun."""


class CodeTask(asyncio.Task[T]):
    """A task of users' code that knows whether somebody else has cancelled it.

    What runs in it has called `begin_code`, or was begun by what has.
    """

    # Of the class, since a constructor in Python would be a third of what a task costs.
    is_ended = False
    """Whether its owner, or whoever ends the program, has cancelled it."""

    def cancel(self, msg: Any = None) -> bool:
        """Cancel it, as whoever calls: where that is its code, it is not ended by it."""
        # A loop that is closing cancels its tasks while it does not run, in any context.
        runs = self.get_loop().is_running()
        before = self.is_ended and self.cancelling() > 0
        self.is_ended = before or not (runs and _is_within.get())
        return super().cancel(msg)

    def end(self) -> None:
        """Cancel it, as its owner, wherever that is called."""
        super().cancel()
        self.is_ended = True


def begin_code() -> None:
    """Take note that users' code runs from here on, in this task and in those that it begins."""
    _is_within.set(True)


def cancel_requests(loop: asyncio.AbstractEventLoop | None = None) -> int:
    """Return how often the running task has been told to cancel.

    Args:
        loop: The running event loop, where it is known: to find it takes a call of the system's.
    """
    task = asyncio.current_task(loop)
    return 0 if task is None else task.cancelling()


def is_cancelled(task: asyncio.Task[Any], requests: int) -> bool:
    """Return whether somebody has cancelled a task since, other than its own code.

    Args:
        task: The task.
        requests: How often it had been told to cancel before.
    """
    if task.cancelling() <= requests:
        return False  # what a library cancels inside of the code leaves no request for the task
    return task.is_ended if isinstance(task, CodeTask) else True


def forget_requests(task: asyncio.Task[Any], requests: int) -> None:
    """Forget that a task was told to cancel more often than before."""
    while task.cancelling() > requests:
        task.uncancel()


async def settled(requests: int) -> bool:
    """See to it that what code has asked of its own task reaches nothing after that code.

    Args:
        requests: How often the running task had been told to cancel before.

    Returns:
        Whether it was not cancelled by that: the request was one that had been served.

    Raises:
        CancelledError: Somebody else has cancelled it.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - this is a coroutine
    try:
        await asyncio.sleep(0)  # where it would come out
    except asyncio.CancelledError:
        if is_cancelled(task, requests):
            raise
        forget_requests(task, requests)
        return False
    if not is_cancelled(task, requests):
        forget_requests(task, requests)
    return True
