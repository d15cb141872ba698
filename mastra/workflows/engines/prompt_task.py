"""Tasks that begin in their caller's turn of the event loop, and not in its next one.

A run whose steps wait for nothing has then ended when its caller looks, and no turn of the loop was
taken for it. A task it is all the same: with a context of its own, cancelled by itself, and found by
whatever asks which task is running.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

__all__ = ["Turns"]

T = TypeVar("T")

MOST_AT_A_TURN_S: Final = 0.02
"""For how long tasks may begin in one turn of the event loop, one after the other."""

_beginning: set[int] = set()
"""Threads in which one is in its caller's turn. What it begins takes the next turn: else a run in a run
in a run would reach the end of the stack."""


class Turns:
    """In whose turn of the event loop tasks begin."""

    def __init__(self) -> None:
        self._waited_at = 0.0
        """When one last began in a turn of its own."""

    def begin(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, T],
        name: str,
        *,
        is_now: bool,
    ) -> asyncio.Task[T]:
        """Begin a task of the running loop.

        Args:
            loop: The running loop.
            work: What the task does.
            name: The task's name.
            is_now: Whether to begin at once where that can be done, and others have had their turn
                of late.
        """
        now = time.monotonic()
        if is_now and now - self._waited_at < MOST_AT_A_TURN_S:
            return _begin_now(loop, work, name)
        self._waited_at = now
        return loop.create_task(work, name=name)


def _begin_now(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T], name: str
) -> asyncio.Task[T]:
    caller, thread = asyncio.current_task(loop), threading.get_ident()
    if caller is None or thread in _beginning or loop.get_task_factory() is not None:
        return loop.create_task(work, name=name)
    _beginning.add(thread)
    try:
        if sys.version_info >= (3, 12):
            return asyncio.Task(work, loop=loop, name=name, eager_start=True)
        return _begin_as_later_versions(loop, work, name, caller)
    finally:
        _beginning.discard(thread)


def _begin_as_later_versions(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, T],
    name: str,
    caller: asyncio.Task[Any],
) -> asyncio.Task[T]:
    """Do what `eager_start` does: take the task's first step out of the queue and make it here."""
    task = loop.create_task(work, name=name)
    # Only Python's own loop has that queue; on another one the step waits for its turn.
    queue: Any = getattr(loop, "_ready", None)
    if not queue or getattr(queue[-1]._callback, "__self__", None) is not task:  # noqa: SLF001
        return task
    step: Any = queue.pop()
    asyncio._leave_task(loop, caller)  # noqa: SLF001
    try:
        step._context.run(step._callback)  # noqa: SLF001
    finally:
        asyncio._enter_task(loop, caller)  # noqa: SLF001
    return task
