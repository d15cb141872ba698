"""Plain functions of the user's, each in a thread of its own while it runs.

asyncio's own pool has as many threads as a machine of few cores has, shared with all else that
uses it, and waits for each of them when the loop closes. Here are as many threads as functions
run at once; one that has nothing to do for a while ends, and none keeps a process from ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Self, TypeVar

from mastra.failures import contained

__all__ = ["HomeLoop", "run_in_thread"]

T = TypeVar("T")

MAX_THREADS = 1024
"""How many functions run at once at most; others wait for a place."""

IDLE_S = 10.0
"""For how long a thread waits for another function."""

Job = Callable[[], None]


class _Threads:
    """The threads of this process: those that run something, and those that wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[queue.SimpleQueue[Job]] = []
        self._waiting: deque[Job] = deque()
        self._count = 0

    def run(self, job: Job) -> None:
        """Run a job as soon as there is a thread, which is nearly always at once."""
        with self._lock:
            if self._idle:
                self._idle.pop().put(job)
                return
            if self._count >= MAX_THREADS:
                self._waiting.append(job)
                return
            self._count += 1
        try:
            self._start(job)
        except RuntimeError:  # the machine gives no more threads
            with self._lock:
                self._count -= 1
                if self._idle:  # since then; it would not look at what waits
                    self._idle.pop().put(job)
                    return
                if not self._count:
                    raise
                self._waiting.append(job)

    def _start(self, job: Job) -> None:
        threading.Thread(target=self._work, args=(job,), name="mastra worker", daemon=True).start()

    def _work(self, job: Job | None) -> None:
        jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        while job is not None:
            job()
            job = None  # what it holds is given back before the wait
            job = self._next(jobs)

    def _next(self, jobs: queue.SimpleQueue[Job]) -> Job | None:
        """Return the next job, or `None` where the thread is to end."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._idle.append(jobs)
        with contextlib.suppress(queue.Empty):
            return jobs.get(timeout=IDLE_S)
        with self._lock:
            if jobs in self._idle:
                self._idle.remove(jobs)
                self._count -= 1
                return None
        return jobs.get()  # it was given one in this very moment

    def forget(self) -> None:
        """Begin anew in a forked process, which has none of its parent's threads."""
        self.__init__()


_threads = _Threads()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.forget)


async def run_in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Call a plain function in a thread, with the context variables of the caller.

    A caller that is cancelled does not wait for the function, which goes on to its end.

    Raises:
        BaseException: What the function raises; `StopIteration` as a `UserCodeError`, since no
            coroutine can raise it.
    """
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    # A future takes no StopIteration, and one that keeps its exception keeps this frame.
    outcome: list[tuple[T | None, BaseException | None]] = []
    ended: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    def job() -> None:
        value, error = None, None
        try:
            value = context.run(function, *arguments)
        except BaseException as raised:  # noqa: BLE001 - raised again where the function was called
            error = raised
        outcome.append((value, error))
        del error
        # A loop that has closed meanwhile has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(end)

    _threads.run(job)
    await ended
    value, error = outcome.pop()
    if error is None:
        return value  # pyright: ignore[reportReturnType] - None only where T is
    try:
        if issubclass(type(error), (StopIteration, StopAsyncIteration)):
            raise contained(error)
        raise error
    finally:
        del error  # its traceback holds this frame


class HomeLoop:
    """The event loop in which an object lives, so that other threads may call it.

    Calls from one thread are made in their order, and before whatever that thread tells the
    loop afterwards, such as that its function has ended.
    """

    __slots__ = ("_behind", "_thread", "loop")

    MOST_BEHIND = 512
    """How many calls of other threads may wait for the loop."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None
        """The loop; `None` where none runs, and so no other thread calls."""
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            self.loop = None
        self._thread = threading.get_ident()
        self._behind = 0

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop | None, thread: int) -> Self:
        """Return that of an object which lives in a loop that runs in a thread, by its number."""
        home = cls()
        home.loop, home._thread = loop, thread
        return home

    @property
    def is_here(self) -> bool:
        """Whether this is the loop's thread."""
        return self.loop is None or threading.get_ident() == self._thread

    def call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function in the loop's thread: now, where this is it, else soon."""
        loop = self.loop
        if loop is None or threading.get_ident() == self._thread:
            function(*arguments)
            return
        self._behind += 1

        def apply() -> None:
            self._behind -= 1
            function(*arguments)

        loop.call_soon_threadsafe(apply)
        if self._behind > self.MOST_BEHIND:
            # A thread that is faster than the loop would fill the memory.
            caught_up = threading.Event()
            loop.call_soon_threadsafe(caught_up.set)
            caught_up.wait(1.0)
