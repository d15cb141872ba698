"""Which cases of a matrix the fast tests run: the first ones; `make test-engines` runs the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

__all__ = ["first_ones"]


def first_ones(count: int, cases: Iterable[Any]) -> list[Any]:
    """Return cases for `parametrize`, of which so many are in the fast lane."""
    return [
        case if place < count else pytest.param(case, marks=pytest.mark.every_engine)
        for place, case in enumerate(cases)
    ]
