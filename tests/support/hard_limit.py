"""The end of a test that does not let itself be ended.

pytest-timeout raises in a test that takes too long, once. What catches that, or waits in tidying up
afterwards, would hold the whole run for ever. So the process ends, with the stacks of all threads on
stderr, when a test and its fixtures have taken `GRACE_S` longer than the test's limit. Under xdist
the test has then failed. No other worker is started for the dead one (`--max-worker-restart 0` in the
Makefile): it would be given the same test again, and where two have died xdist waits for ever.
"""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Generator
from typing import Any

import pytest

__all__ = [
    "pytest_configure",
    "pytest_enter_pdb",
    "pytest_exception_interact",
    "pytest_runtest_protocol",
    "pytest_timeout_set_timer",
]

GRACE_S = 120.0
"""Longer than everything in `tests.support` that waits for an end does."""

_IS_LIMITED = pytest.StashKey[bool]()
_STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep where stderr goes while no test's is captured."""
    config.stash[_STDERR] = os.dup(2)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """Set the hard limit beside the one that raises."""
    item.stash[_IS_LIMITED] = True
    _end_after(settings.timeout + GRACE_S, item)


def _end_after(seconds: float, item: pytest.Item) -> None:
    faulthandler.dump_traceback_later(seconds, exit=True, file=item.config.stash[_STDERR])


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """Give a test that has failed as long to tidy up: others take back all limits here."""
    if isinstance(node, pytest.Item) and _IS_LIMITED in node.stash:
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
