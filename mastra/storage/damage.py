"""Rows that cannot be read: one is one faulty entry of a list, never the end of the list."""

from __future__ import annotations

from typing import Any, Final, TypeVar, cast

from mastra.errors import ROW_UNREADABLE, StorageError
from mastra.failures import error_to_json
from mastra.jsonable import Json, load_json
from mastra.logs import get_logger

__all__ = ["UNREADABLE", "RowReader", "is_unreadable", "unreadable"]

T = TypeVar("T")

UNREADABLE: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What comes of reading data that is not as it was written."""

_LAST_MS: Final = 253_402_300_799_999
"""The end of the year 9999, as far as times can be shown."""


def unreadable(what: str, reason: object = "") -> StorageError:
    """Return the error for something stored that cannot be read.

    Args:
        what: Which thing, such as "Thread 't'".
        reason: What is wrong with it.
    """
    why = f": {reason}" if str(reason) else ""
    error = StorageError(
        f"{what} cannot be read{why}. It is damaged in the storage, or was written by another "
        "program; restore it from a backup, or delete it.",
        code=ROW_UNREADABLE,
    )
    error.is_lasting = True
    return error


def is_unreadable(error: BaseException) -> bool:
    """Return whether an error says that something stored cannot be read."""
    return isinstance(error, StorageError) and error.code == ROW_UNREADABLE


class RowReader:
    """Reads the columns of one row. What cannot be read is its default, and is noted."""

    __slots__ = ("_what", "faults")

    def __init__(self, what: str) -> None:
        self._what = what
        self.faults: list[str] = []

    def json(self, column: str, value: Any, default: T, kind: type | None = dict) -> T:
        """Read JSON of a kind; `None` for any."""
        try:
            found = load_json(value)
        except UNREADABLE:
            return self._fault(f"its {column} is no JSON that can be read", default)
        if kind is not None and not isinstance(found, kind):
            given = type(found).__name__
            return self._fault(f"its {column} is a {given}, not a {kind.__name__}", default)
        return cast("T", found)

    def text(self, column: str, value: Any) -> str:
        """Read text."""
        if isinstance(value, str):
            return value
        if isinstance(value, bytes):
            return self._fault(f"its {column} is no UTF-8", value.decode(errors="replace"))
        return self._fault(f"its {column} is no text", str(value))

    def moment(self, column: str, value: Any) -> int:
        """Read a time in milliseconds since 1970."""
        if isinstance(value, int) and abs(value) <= _LAST_MS:
            return value
        return self._fault(f"its {column} is no time", 0)

    def _fault(self, text: str, default: T) -> T:
        self.faults.append(text)
        return default

    @property
    def error(self) -> dict[str, Json] | None:
        """What is wrong with the row, as an error in JSON; the log has it too."""
        if not self.faults:
            return None
        error = unreadable(self._what, "; ".join(self.faults))
        get_logger().error("%s", error.message)
        return error_to_json(error)
