"""Numbers and texts as the original's language has them, so that scores are equal to its."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, cast

__all__ = ["SPACE", "js_json", "round_to_two", "units", "within_unit"]

SPACE: Final = r"[\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]"
"""What counts as white space there, as a class of a regular expression."""

_EPSILON: Final = 2.0**-52
_INDEX: Final = re.compile(r"(0|[1-9][0-9]{0,8})\Z")


def round_to_two(number: float) -> float:
    """Return a number with two places after the point; halves go up."""
    scaled = (number + _EPSILON) * 100
    whole = math.floor(scaled)
    return (whole + 1 if scaled - whole >= 0.5 else whole) / 100


def within_unit(number: float) -> float:
    """Return a number, or 0 or 1 where it is outside of them."""
    return max(0.0, min(1.0, number))


def units(text: str) -> list[int]:
    """Return a text as UTF-16: a character outside the first plane counts twice there."""
    raw = text.encode("utf-16-le", "surrogatepass")
    if _LITTLE:
        return list(memoryview(raw).cast("H"))
    return [raw[at] | raw[at + 1] << 8 for at in range(0, len(raw), 2)]


_LITTLE: Final = memoryview(b"\x01\x00").cast("H")[0] == 1


def js_json(value: Any) -> str:
    """Return JSON as the original writes it: the order of keys counts when two are compared."""
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        # Keys that are indexes come first there, in order.
        indexes = sorted((int(key), part) for key, part in items if _INDEX.match(key))
        others = [(key, part) for key, part in items if not _INDEX.match(key)]
        return {str(key): _plain(part) for key, part in [*indexes, *others]}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in cast("list[Any]", value)]
    return value
