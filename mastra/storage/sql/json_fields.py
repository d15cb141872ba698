"""Values within stored JSON, told by the database itself.

A row whose data is no JSON has no value at any place; it never makes a statement fail.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Literal

from sqlalchemy import Column, ColumnElement, case, func, or_

__all__ = ["number_at", "text_at"]

_NAME: Final = re.compile(r"\w+", re.ASCII)
_TYPES: Final = {"text": ("text",), "number": ("integer", "real")}
"""What SQLite calls them."""


def text_at(data: Column[str], path: Sequence[str], dialect: str) -> ColumnElement[str | None]:
    """Return the text at a place in the data, or null.

    Args:
        data: The column.
        path: Names, each within the one before. They become part of the statement.
        dialect: `sqlite` or `postgresql`.

    Raises:
        ValueError: A name has more than letters, digits and underscores.
    """
    return _at(data, path, dialect, "text")


def number_at(data: Column[str], path: Sequence[str], dialect: str) -> ColumnElement[float | None]:
    """Return the number at a place in the data, or null; see `text_at`."""
    return _at(data, path, dialect, "number")


def _at(
    data: Column[str], path: Sequence[str], dialect: str, kind: Literal["text", "number"]
) -> ColumnElement[Any]:
    if not all(map(_NAME.fullmatch, path)):
        raise ValueError(f"no place in stored data: {path!r}")
    if dialect != "sqlite":
        # Version 14 of the schema makes them.
        return getattr(func, f"mastra_json_{kind}")(data, *path)
    place = "$." + ".".join(path)
    is_it = or_(*(func.json_type(data, place) == name for name in _TYPES[kind]))
    # One `CASE` in another: only so is the inner one never worked out for what is no JSON.
    found = case((is_it, func.json_extract(data, place)))
    return case((func.json_valid(data) == 1, found))
