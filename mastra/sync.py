"""Calls for scripts that have no event loop: thin twins of coroutines, made in one place.

Each thread that uses them has one event loop, which goes on only while a call waits. It is the same
for all of a thread's calls, so that connections are kept from one to the next.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any, Concatenate, ParamSpec, TypeVar

from mastra.errors import ConfigError

__all__ = ["iterate_sync", "run_sync", "sync_twin"]

T = TypeVar("T")
S = TypeVar("S")
P = ParamSpec("P")


class _Loop:
    """An event loop, closed when its thread or the program ends."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        # At the end of a program its modules are taken apart before what they hold.
        self._at_exit = weakref.finalize(self, _close, self.runner)


def _close(runner: asyncio.Runner) -> None:
    try:
        runner.close()
    except RuntimeError as error:
        # The last thing asked of a loop is to wait, in a thread, for those of its executor. When a
        # program ends these have ended already, and Python 3.12 starts no other. The loop is closed
        # all the same.
        if "interpreter shutdown" not in str(error):
            raise


class _ThreadLoop(threading.local):
    """The event loop of this thread's calls."""

    def __init__(self) -> None:
        self.loop = _Loop()


_thread_loop: _ThreadLoop | None = None


def run_sync(work: Coroutine[Any, Any, T], *, called: str, instead: str) -> T:
    """Run a coroutine to its end and return what it gives.

    Args:
        work: The coroutine.
        called: The name of the method, for the error.
        instead: What to write where an event loop runs.

    Raises:
        ConfigError: An event loop runs in this thread already, as in a notebook or a server.
    """
    global _thread_loop  # noqa: PLW0603 - made when the first script needs it
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        if _thread_loop is None:
            _thread_loop = _ThreadLoop()
        return _thread_loop.loop.runner.run(work)
    work.close()
    raise ConfigError(
        f"{called}() was called where an event loop runs already (a notebook, a server, an async "
        f"function), and would stop it. Write: {instead}."
    )


def sync_twin(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], T]:
    """Return a method that does what a coroutine method does, for callers without an event loop."""
    name = method.__name__

    @functools.wraps(method)
    def twin(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run_sync(
            method(self, *args, **kwargs), called=f"{name}_sync", instead=f"await ….{name}(…)"
        )

    twin.__name__ = f"{name}_sync"
    twin.__qualname__ = f"{method.__qualname__}_sync"
    twin.__doc__ = f"Do what `{name}` does, in a program without an event loop.\n\n{method.__doc__}"
    return twin


def iterate_sync(items: AsyncIterator[T], *, called: str) -> Generator[T, None, None]:
    """Yield what an asynchronous iterator gives, waiting for each."""

    async def following() -> T:
        return await anext(items)

    while True:
        try:
            item = run_sync(following(), called=called, instead="async for … in ….stream(…)")
        except StopAsyncIteration:
            return
        yield item
