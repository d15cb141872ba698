"""Values of which a share of all is smaller."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

__all__ = ["between", "percentiles"]


def percentiles(values: Sequence[float], shares: Iterable[float]) -> list[float]:
    """Return the values below which some shares of the values lie, between the two nearest.

    Args:
        values: At least one.
        shares: Each from 0 to 1.
    """
    ordered = sorted(values)
    return [between(len(ordered), share, ordered.__getitem__) for share in shares]


def between(count: int, share: float, nth: Callable[[int], float]) -> float:
    """Return the same of values of which only some are at hand.

    Args:
        count: How many there are.
        share: From 0 to 1.
        nth: Gives the value at a place, of all in order; it is asked for the two nearest.
    """
    place = (count - 1) * min(max(share, 0.0), 1.0)
    low, high = math.floor(place), math.ceil(place)
    return nth(low) + (nth(high) - nth(low)) * (place - low)
