"""Measures coverage to the end of a session: loaded by `make measure`.

Python drops a trace function in which an error is raised, such as where a test goes as deep as the
stack allows. All that the process ran after such a test counted as not reached.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

import pytest

_tracer: Any = None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Put the trace function back that the test before has lost."""
    global _tracer  # noqa: PLW0603 - one a process, as the trace function is
    if sys.gettrace() is None:
        sys.settrace(_tracer)
    else:
        _tracer = sys.gettrace()
    return (yield)
