"""Which traces a query asks for: the predicates that Studio writes, over traces as JSON.

A path that leads nowhere is false to comparisons and to `in` and `exists`, and true to `notIn` and
`notExists`, as in the original.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

__all__ = ["TraceQueryError", "check_size", "matches", "times_of"]

_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
_RELATED: Final = ("spans", "scores", "feedback")
_MISSING: Final[Any] = object()

_MOST_PARTS: Final = 1000
"""Objects, lists and values of a predicate: it is held against every trace, and each of its spans."""
_LONGEST: Final = 1000
"""Characters of a text in it."""

Row = Mapping[str, Any]


class TraceQueryError(ValueError):
    """A predicate is not of a form that can be asked."""


def check_size(where: Any) -> None:
    """Refuse a predicate that would take long to hold against traces.

    Raises:
        TraceQueryError: It is larger than any that people write.
    """
    left, count = [where], 0
    while left:
        one: Any = left.pop()
        count += 1
        if isinstance(one, Mapping):
            left += cast("Mapping[str, Any]", one).values()
        elif isinstance(one, list):
            left += cast("list[Any]", one)
        elif isinstance(one, str) and len(one) > _LONGEST:
            raise TraceQueryError(f"A text in a predicate has at most {_LONGEST} characters.")
        if count + len(left) > _MOST_PARTS:
            raise TraceQueryError(f"A predicate has at most {_MOST_PARTS} parts.")


def matches(where: Any, trace: Row) -> bool:
    """Return whether a trace meets a predicate.

    Args:
        where: `{"op": "eq", "left": {"path": …}, "right": {"literal": …}}`, `in` and `notIn` with
            `value` and `set`, `exists` and `notExists` with `path`, `includes` and `notIncludes`
            with `path` and `value`, `and`, `or` and `not` of others, or
            `{"spans": {"some": …}}` (`none`; `scores`, `feedback`) of what belongs to the trace.
        trace: The trace's row; what belongs to it is under `spans`, `scores` and `feedback`.

    Raises:
        TraceQueryError: It is none of those.
    """
    if not isinstance(where, Mapping):
        raise TraceQueryError(f"A predicate is an object, not {type(where).__name__}.")
    given = cast("Mapping[str, Any]", where)
    for name in _RELATED:
        if name in given:
            return _has(given[name], cast("Sequence[Row]", trace.get(name) or ()))
    op = given.get("op")
    match op:
        case "and" | "or":
            found = (matches(each, trace) for each in _items(given, "args"))
            return all(found) if op == "and" else any(found)
        case "not":
            return not matches(given.get("arg"), trace)
        case "in" | "notIn":
            value = _value(given.get("value"), trace)
            return _is_among(value, _items(given, "set")) == (op == "in")
        case "exists" | "notExists":
            value = _at(trace, given.get("path"))
            return (value is not _MISSING and value != []) == (op == "exists")
        case "includes" | "notIncludes":
            held = _at(trace, given.get("path"))
            known = cast("list[Any]", held if isinstance(held, list) else [])
            return _is_among(given.get("value"), known) == (op == "includes")
        case str() if op in _COMPARISONS:
            return _compare(op, _value(given.get("left"), trace), _value(given.get("right"), trace))
        case _:
            raise TraceQueryError(f"There is no operator {op!r} in a predicate.")


def times_of(span: Any) -> tuple[float | None, float | None]:
    """Return where a range of times begins and where it is over, in milliseconds since 1970.

    Args:
        span: `from` and `to`, or `start` and `end`, both included to the millisecond; or `None`.

    Raises:
        TraceQueryError: It is not of that form, or its times are none.
    """
    if span is None:
        return None, None
    if not isinstance(span, Mapping):
        raise TraceQueryError("A range of times is an object with from and to, or start and end.")
    bounds = cast("Mapping[str, Any]", span)
    first = _ms(bounds.get("from", bounds.get("start")))
    last = _ms(bounds.get("to", bounds.get("end")))
    return first, None if last is None else last + 1


def _ms(bound: Any) -> float | None:
    if bound is None:
        return None
    found = _moment(bound)
    if found is None:
        raise TraceQueryError(f"{bound!r} is not a time.")
    return found.timestamp() * 1000 // 1


def _has(asked: Any, rows: Sequence[Row]) -> bool:
    given = cast("Mapping[str, Any]", asked if isinstance(asked, Mapping) else {})
    if "some" in given:
        return any(matches(given["some"], row) for row in rows)
    if "none" in given:
        return not any(matches(given["none"], row) for row in rows)
    raise TraceQueryError("What belongs to a trace is asked for with 'some' or 'none'.")


def _items(given: Mapping[str, Any], name: str) -> list[Any]:
    found = given.get(name)
    if not isinstance(found, list):
        raise TraceQueryError(f"The operator {given.get('op')!r} needs a list {name!r}.")
    return cast("list[Any]", found)


def _value(given: Any, row: Row) -> Any:
    if isinstance(given, Mapping):
        side = cast("Mapping[str, Any]", given)
        if "literal" in side:
            return side["literal"]
        if "path" in side:
            return _at(row, side["path"])
    raise TraceQueryError("A side of a comparison is {'path': …} or {'literal': …}.")


def _at(row: Row, path: Any) -> Any:
    if not isinstance(path, str) or not path:
        raise TraceQueryError("A path is text, such as 'entityName' or 'metadata.runId'.")
    value: Any = row
    for part in path.split("."):
        if not isinstance(value, Mapping):
            return _MISSING
        value = cast("Mapping[str, Any]", value).get(part)
    return _MISSING if value is None else value


def _compare(op: str, left: Any, right: Any) -> bool:
    if left is _MISSING or right is _MISSING or left is None or right is None:
        return False
    if isinstance(left, bool) != isinstance(right, bool):
        return op == "ne"  # to Python, yes is the number 1
    one, other = _moment(left), _moment(right)
    if one is not None and other is not None:
        return _COMPARISONS[op](one, other)
    try:
        return _COMPARISONS[op](left, right)
    except TypeError:  # text beside a number
        return False


def _is_among(value: Any, several: Sequence[Any]) -> bool:
    kind = isinstance(value, bool)
    return any(value == one and isinstance(one, bool) == kind for one in several)


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str) or len(value) < 10 or value[4:5] != "-":
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
