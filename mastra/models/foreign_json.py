"""JSON as providers send and take it: read in Python's wider sense, sent in the strict one."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, cast

import orjson

__all__ = ["encode_body", "read_json", "sendable"]

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
