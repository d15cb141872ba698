"""What a predicate over traces holds of, as the original reads it."""

from __future__ import annotations

from typing import Any

import pytest

from mastra.observability.trace_query import TraceQueryError, matches, times_of

TRACE: dict[str, Any] = {
    "tags": ["a", 1],
    "none": [],
    "metadata": {"flag": True, "count": 1, "at": "2024-05-01T10:00:00+02:00"},
}


def compared(op: str, path: str, literal: Any) -> dict[str, Any]:
    return {"op": op, "left": {"path": path}, "right": {"literal": literal}}


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ({"op": "includes", "path": "tags", "value": "a"}, True),
        ({"op": "includes", "path": "tags", "value": "b"}, False),
        ({"op": "includes", "path": "metadata", "value": "flag"}, False),  # no list
        ({"op": "notIncludes", "path": "tags", "value": "b"}, True),
        ({"op": "notIncludes", "path": "nowhere", "value": "b"}, True),
        ({"op": "exists", "path": "none"}, False),
        ({"op": "notExists", "path": "tags.first"}, True),
        (compared("eq", "metadata.at", "2024-05-01T08:00:00Z"), True),
        (compared("lt", "metadata.at", "2024-05-01T08:00:00.001Z"), True),
        # Yes is no number, and no number is yes.
        (compared("eq", "metadata.flag", True), True),
        (compared("eq", "metadata.flag", 1), False),
        (compared("ne", "metadata.count", True), True),
        (compared("gte", "metadata.count", False), False),
        ({"op": "in", "value": {"path": "metadata.flag"}, "set": [1, "x"]}, False),
        ({"op": "in", "value": {"path": "metadata.count"}, "set": [True, 1]}, True),
        ({"op": "includes", "path": "tags", "value": True}, False),
    ],
)
def test_what_a_predicate_holds_of(where: dict[str, Any], holds: bool) -> None:
    assert matches(where, TRACE) is holds
    assert matches({"op": "not", "arg": where}, TRACE) is not holds


@pytest.mark.parametrize("side", [{"value": 1}, 1, None])
def test_a_side_of_a_comparison_has_a_form(side: Any) -> None:
    with pytest.raises(TraceQueryError, match="A side of a comparison"):
        matches({"op": "eq", "left": side, "right": {"literal": 1}}, TRACE)


def test_a_range_of_times_has_a_form() -> None:
    with pytest.raises(TraceQueryError, match="from and to"):
        times_of("2024")
    assert times_of({"start": "1970-01-01T00:00:01Z"}) == (1000.0, None)
    assert times_of({"to": "1970-01-01T00:00:01"}) == (None, 1001.0)
