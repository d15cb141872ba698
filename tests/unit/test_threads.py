"""The threads of plain functions: how many there are, and what happens where there are no more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from mastra import threads
from mastra.errors import UserCodeError
from mastra.threads import HomeLoop, run_in_thread

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _own_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without threads; those that a test made end by themselves."""
    monkeypatch.setattr(threads, "_threads", threads._Threads())


def workers() -> int:
    return threads._threads._count


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0.001)


async def test_a_thread_is_used_again() -> None:
    first = await run_in_thread(threading.get_ident)
    await until(lambda: bool(threads._threads._idle))
    assert await run_in_thread(threading.get_ident) == first


async def test_a_thread_for_which_nothing_comes_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "IDLE_S", 0.01)
    assert await run_in_thread(lambda: 2) == 2
    await until(lambda: not workers())
    assert await run_in_thread(lambda: 3) == 3


async def test_beyond_the_most_threads_functions_wait_for_a_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "MAX_THREADS", 2)
    go, seen, most = threading.Event(), set[int](), list[int]()

    def work(number: int) -> int:
        seen.add(threading.get_ident())
        most.append(workers())
        go.wait(5)
        return number

    waiting = asyncio.gather(*(run_in_thread(work, number) for number in range(6)))
    await asyncio.sleep(0)
    go.set()
    assert await waiting == [*range(6)]
    assert len(seen) == 2
    assert max(most) == 2


class Scarce:
    """A machine that gives so many threads and then none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, threads_left: int) -> None:
        self.left = threads_left
        self.before: Any = None
        """Called where the machine says that there are no more."""
        real = threads._Threads._start

        def start(pool: Any, job: Any) -> None:
            if self.left <= 0:
                if self.before is not None:
                    self.before()
                raise RuntimeError("can't start new thread")
            self.left -= 1
            real(pool, job)

        monkeypatch.setattr(threads._Threads, "_start", start)


async def test_where_the_machine_gives_no_thread_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Scarce(monkeypatch, 0)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        await run_in_thread(lambda: 1)
    assert workers() == 0


async def test_where_the_machine_gives_no_more_threads_functions_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Scarce(monkeypatch, 1)
    go = threading.Event()
    first = asyncio.ensure_future(run_in_thread(go.wait, 5))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(run_in_thread(lambda: 2))
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(first, second) == [True, 2]


async def test_a_function_does_not_wait_for_a_thread_that_became_idle_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Scarce(monkeypatch, 1)
    go = threading.Event()

    def until_idle() -> None:
        go.set()
        while not threads._threads._idle:
            threading.Event().wait(0.001)

    machine.before = until_idle
    first = asyncio.ensure_future(run_in_thread(go.wait, 5))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert await run_in_thread(lambda: 2) == 2
    assert await first


async def test_a_caller_that_was_cancelled_does_not_wait_for_its_function() -> None:
    go, ended = threading.Event(), threading.Event()

    def work() -> None:
        go.wait(5)
        ended.set()

    task = asyncio.ensure_future(run_in_thread(work))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not ended.is_set()
    go.set()
    assert await run_in_thread(ended.wait, 5)


async def test_a_generator_that_is_over_is_an_error_of_the_function() -> None:
    with pytest.raises(UserCodeError, match="Your code raised StopIteration"):
        await run_in_thread(next, iter(()))


async def test_a_thread_that_is_faster_than_the_loop_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(HomeLoop, "MOST_BEHIND", 4)
    home, heard, behind = HomeLoop(), list[int](), list[int]()

    def tell() -> None:
        for number in range(20):
            home.call(heard.append, number)
            behind.append(home._behind)

    assert home.is_here
    await run_in_thread(tell)
    assert heard == [*range(20)]
    assert max(behind) <= 5


def test_without_a_loop_whatever_thread_calls_is_the_one() -> None:
    home, heard = HomeLoop(), list[int]()
    thread = threading.Thread(target=home.call, args=(heard.append, 1))
    thread.start()
    thread.join()
    assert heard == [1]
    assert home.is_here
