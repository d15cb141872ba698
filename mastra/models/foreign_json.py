"""JSON as providers send and take it: read in Python's wider sense, sent in the strict one."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import orjson

__all__ = [
    "counts_of",
    "encode_body",
    "object_of",
    "objects_in",
    "read_json",
    "sendable",
    "words_of",
]

_HALF_CHARACTER: Final = re.compile("[\ud800-\udfff]")


def read_json(body: bytes) -> Any:
    """Return JSON that a provider sent: NaN is `None`, half a character is replaced.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        # NaN, halves of characters, bytes that are no UTF-8: rare, and read all the same.
        return sendable(json.loads(body.decode("utf-8", "replace")))


def encode_body(body: object) -> bytes:
    """Return a request's body as bytes that every provider reads, whatever a user or a tool said."""
    try:
        return orjson.dumps(body)
    except TypeError:
        # Half a character, or an integer that 64 bits do not hold.
        return json.dumps(sendable(body), ensure_ascii=False, separators=(",", ":")).encode()


def object_of(value: object) -> dict[str, Any]:
    """Return an object that an answer may have; an empty one where something else stands there."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def objects_in(value: object) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list that an answer may have, and nothing else that stands there.

    What stands beside an answer (notes, sources, details) must not cost the answer.
    """
    if isinstance(value, dict):
        yield cast("dict[str, Any]", value)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            if isinstance(item, dict):
                yield cast("dict[str, Any]", item)


def counts_of(usage: object) -> dict[str, Any]:
    """Return what a provider says it counted, as integers: `"3"` and `3.0` are 3.

    What is no number of things (text, NaN, a negative one) is left out, so that it counts as not
    told. Counts inside of others are read alike; lists stay as they are.
    """
    found: dict[str, Any] = {}
    for key, value in object_of(usage).items():
        if isinstance(value, Mapping):
            found[key] = counts_of(cast("Mapping[str, Any]", value))
        elif isinstance(value, list):
            found[key] = value
        elif (count := _count_of(value)) is not None:
            found[key] = count
    return found


def _count_of(value: object) -> int | None:
    if value.__class__ is not int:
        if not isinstance(value, (float, str)):
            return None
        try:
            value = int(float(value))
        except (ValueError, OverflowError):
            return None
    count = cast("int", value)
    return count if count >= 0 else None


_WORDS: Final = ("message", "detail", "error_description", "error", "errors", "msg", "title")
"""Where errors say what went wrong, looked at in this order."""


def words_of(error: Any) -> str | None:
    """Return what an error's JSON says in words; the first, where there are several.

    `None` where it says nothing. An error without any field for words is told whole.
    """
    if isinstance(error, list):
        return words_of(cast("list[Any]", error)[0]) if error else None
    if not isinstance(error, Mapping):
        return str(error) if error else None
    known = cast("Mapping[str, Any]", error)
    inner: Any = known.get("error")
    if isinstance(inner, (Mapping, list)) and inner:
        return words_of(inner)
    for field in _WORDS:
        if known.get(field):
            return words_of(known[field])
    return json.dumps(known, default=str) if known else None


def sendable(value: Any) -> Any:
    """Return JSON data that strict JSON can say: half a character is replaced, NaN is `None`."""
    if isinstance(value, str):
        return _HALF_CHARACTER.sub("\ufffd", value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [sendable(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {sendable(key): sendable(item) for key, item in items}
    return value
