"""The end of a test that takes too long, also of one that does not let itself be ended.

pytest-timeout raises in the main thread, once. In an event loop that leaves the test where it stands,
and its async fixtures, which come after it in the same task, would wait for it for ever. So an async
test is cancelled shortly before: it fails with the place where it waited, and is tidied up after.

What catches that, or waits in tidying up, would hold the whole run. So the process ends, with the
stacks of all threads on stderr, when a test and its fixtures have taken `GRACE_S` longer than the
test's limit. Under xdist the test has then failed. No other worker is started for the dead one
(`--max-worker-restart 0` in the Makefile): it would be given the same test again, and where two have
died xdist waits for ever.
"""

from __future__ import annotations

import asyncio
import faulthandler
import functools
import os
import time
from collections.abc import Awaitable, Callable, Generator
from inspect import iscoroutinefunction
from typing import Any

import pytest

__all__ = [
    "pytest_configure",
    "pytest_enter_pdb",
    "pytest_exception_interact",
    "pytest_pyfunc_call",
    "pytest_runtest_protocol",
    "pytest_timeout_set_timer",
]

GRACE_S = 120.0
"""Longer than everything in `tests.support` that waits for an end does."""

_SOONER = 0.05
"""By which part of its limit an async test is cancelled before pytest-timeout raises."""

_CANCELLED_AT = pytest.StashKey[float]()
_STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep where stderr goes while no test's is captured."""
    config.stash[_STDERR] = os.dup(2)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """Set the other limits beside the one that raises."""
    item.stash[_CANCELLED_AT] = time.monotonic() + settings.timeout * (1 - _SOONER)
    _end_after(settings.timeout + GRACE_S, item)


def _end_after(seconds: float, item: pytest.Item) -> None:
    faulthandler.dump_traceback_later(seconds, exit=True, file=item.config.stash[_STDERR])


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Have an async test be cancelled in time."""
    if _CANCELLED_AT in pyfuncitem.stash and iscoroutinefunction(pyfuncitem.obj):
        pyfuncitem.obj = _limited(pyfuncitem.obj, pyfuncitem)
    return (yield)


def _limited(
    test: Callable[..., Awaitable[None]], item: pytest.Item
) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def limited(**fixtures: Any) -> None:
        left = item.stash[_CANCELLED_AT] - time.monotonic()
        limit = asyncio.timeout(max(0.0, left))
        try:
            async with limit:
                await test(**fixtures)
        except TimeoutError:
            if not limit.expired():
                raise
            # It would raise while the failure is written down.
            item.config.hook.pytest_timeout_cancel_timer(item=item)
            pytest.fail("The test and its fixtures took longer than its limit: see where it waits.")

    return limited


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """Give a test that has failed as long to tidy up: others take back all limits here."""
    if isinstance(node, pytest.Item) and _CANCELLED_AT in node.stash:
        _end_after(GRACE_S, node)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol() -> Generator[None, Any, Any]:
    """Take it back when the test and its fixtures have ended, which is later than a failure."""
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def pytest_enter_pdb() -> None:
    """Let a debugger take its time."""
    faulthandler.cancel_dump_traceback_later()
