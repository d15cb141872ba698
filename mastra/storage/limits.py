"""What every store takes, whichever it is: databases differ in what they refuse."""

from __future__ import annotations

from typing import Any, Final

from mastra.errors import SerializationError

__all__ = ["check_columns"]

_LARGEST: Final = 2**63


def check_columns(what: str, record: Any, *names: str) -> None:
    """Refuse a record with a text or a number that one of the databases does not take.

    Args:
        what: Which record, such as "thread 't'".
        record: Has the columns as attributes.
        names: Which of them are texts and whole numbers.

    Raises:
        SerializationError: It has; the message says which column, and why.
    """
    for name in names:
        reason = _refused(getattr(record, name))
        if reason is not None:
            raise SerializationError(
                f"{what} cannot be stored: its {name} {reason}.",
                issues=[{"path": [name], "message": reason}],
            )


def _refused(value: object) -> str | None:
    if isinstance(value, str):
        if "\0" in value:
            return "holds a NUL character, which PostgreSQL does not take"
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                return "holds half of a surrogate pair, which is no text"
    elif isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        return "is a number of more than 64 bits"
    return None
