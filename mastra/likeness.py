"""Whether a value that was read back is the one that was kept, and where it is not."""

from __future__ import annotations

import datetime as dt
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, cast

from mastra.late import LateModule

if TYPE_CHECKING:
    import pydantic
else:
    pydantic = LateModule("pydantic")

__all__ = ["Difference", "difference"]

Difference = tuple[tuple[Any, ...], str]
"""Where, and what is wrong there."""

ReadAs = Callable[[type, Any], Any]

_TEXTS = (dt.date, dt.time, dt.timedelta, bytes, bytearray)


def difference(value: Any, read: Any, read_as: ReadAs | None = None) -> Difference | None:
    """Return the first place at which what was read is not what was kept, or `None`.

    Args:
        value: What was kept.
        read: What was read back.
        read_as: Reads JSON as a type, where parts of no declared type are among them: those are
            kept as JSON by their own type, and the step that reads them says by its type what
            they are.
    """
    return _Comparison(read_as).of(value, read, ())


class _Comparison:
    __slots__ = ("_read_as",)

    def __init__(self, read_as: ReadAs | None) -> None:
        self._read_as = read_as

    def of(self, value: Any, read: Any, path: tuple[Any, ...]) -> Difference | None:
        kind: Any = value.__class__
        if value is read or (kind in (str, int, bool) and kind is type(read) and value == read):
            return None
        if kind is not type(read):
            return self._of_other_type(value, read, path)
        if isinstance(value, pydantic.BaseModel):
            return self._of_models(value, read, path)
        if is_dataclass(value):
            return self._of_named(
                {f.name: getattr(value, f.name, None) for f in fields(value)},
                {f.name: getattr(read, f.name, None) for f in fields(value)},
                path,
            )
        if isinstance(value, Mapping):
            return self._of_named(
                cast("Mapping[Any, Any]", value), cast("Mapping[Any, Any]", read), path
            )
        if isinstance(value, (list, tuple, deque)):
            return self._of_items(list(cast("Any", value)), list(read), path)
        return None if _is_same(value, read) else (path, _reads_as(value, read))

    def _of_models(
        self, value: pydantic.BaseModel, read: pydantic.BaseModel, path: Any
    ) -> Difference | None:
        names = type(value).model_fields
        found = self._of_named(
            {name: value.__dict__.get(name) for name in names},
            {name: read.__dict__.get(name) for name in names},
            path,
        )
        for part in ("__pydantic_extra__", "__pydantic_private__"):
            mine, other = getattr(value, part, None), getattr(read, part, None)
            found = found or self._of_named(mine or {}, other or {}, path)
        return found

    def _of_named(
        self, value: Mapping[Any, Any], read: Mapping[Any, Any], path: tuple[Any, ...]
    ) -> Difference | None:
        if self._read_as is not None and any(type(key) is not str for key in value):
            if len(value) != len(read):
                return path, "has keys that JSON cannot tell apart"
            return self._of_items(list(value.values()), list(read.values()), path)
        if len(value) < len(read):
            return path, "has more in it when it is read"
        for key, part in value.items():
            if key not in read:
                return (*path, key), "is not there when it is read"
            found = self.of(part, read[key], (*path, key))
            if found is not None:
                return found
        return None

    def _of_items(self, value: list[Any], read: list[Any], path: Any) -> Difference | None:
        if len(value) != len(read):
            return path, f"has {len(value)} items and reads back with {len(read)}"
        for place, part in enumerate(value):
            found = self.of(part, read[place], (*path, place))
            if found is not None:
                return found
        return None

    def _of_other_type(self, value: Any, read: Any, path: tuple[Any, ...]) -> Difference | None:
        plain = isinstance(read, (str, int, float, bool, list, dict, type(None)))
        if not isinstance(value, (pydantic.BaseModel, list, tuple, dict)) and isinstance(
            value, type(read)
        ):
            # An enumeration's member that is text itself, a number of another class.
            return None if value == read else (path, _reads_as(value, read))
        if isinstance(value, (int, float)) and isinstance(read, (int, float)) and value == read:
            return None
        if self._read_as is None or not plain:
            return path, _reads_as(value, read)
        if isinstance(value, (list, tuple, deque, set, frozenset)):
            if not isinstance(read, list):
                return path, _reads_as(value, read)
            return self._of_items(list(cast("Any", value)), cast("list[Any]", read), path)
        if isinstance(value, Mapping) and isinstance(read, dict):
            return self._of_named(cast("Mapping[Any, Any]", value), cast("Any", read), path)
        return self._of_own_type(value, read, path, self._read_as)

    def _of_own_type(
        self, value: Any, read: Any, path: tuple[Any, ...], read_as: ReadAs
    ) -> Difference | None:
        """Judge a value of no declared type by whether its own type would read it back."""
        if isinstance(value, _TEXTS):
            return None
        try:
            again = read_as(cast("Any", type(value)), read)
        except Exception as error:  # noqa: BLE001 - not its type's, or of a type nobody knows
            return path, f"cannot be read back ({error})"
        return self.of(value, again, path)


def _is_same(value: Any, read: Any) -> bool:
    if isinstance(value, float) and math.isnan(value) and math.isnan(read):
        return True
    if isinstance(value, dt.datetime) and value.tzinfo is not None and read.tzinfo is not None:
        # Python calls none equal where a zone's clock is set back, so that both are asked.
        return value.utcoffset() == read.utcoffset() and value.replace(
            tzinfo=None, fold=0
        ) == read.replace(tzinfo=None, fold=0)
    try:
        if value == read:
            return True
    except Exception:  # noqa: BLE001 - a comparison of the author's own
        return False
    if type(value).__eq__ is object.__eq__:
        # No value by itself, such as a lock; or one that its attributes make.
        mine, other = getattr(value, "__dict__", None), getattr(read, "__dict__", None)
        return mine is None or mine == other
    return repr(value) == repr(read) and value != value  # noqa: PLR0124 - what is no number


def _reads_as(value: Any, read: Any) -> str:
    kinds = type(value).__qualname__, type(read).__qualname__
    return f"reads back as another value{'' if kinds[0] == kinds[1] else f' ({kinds[0]} as {kinds[1]})'}"
