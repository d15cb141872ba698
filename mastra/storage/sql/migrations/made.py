"""What several migrations are written with; final as they are."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, Table
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateIndex, CreateTable

__all__ = ["created", "row_key"]


def row_key(name: str) -> Column[int]:
    """Return the column of a key that the database gives."""
    kind = BigInteger().with_variant(Integer, "sqlite")
    return Column(name, kind, Identity(), primary_key=True)


def created(dialect: Dialect, tables: Iterable[Table], indexes: Iterable[Index] = ()) -> list[str]:
    """Return the statements that make tables, and then indexes."""
    made = [*map(CreateTable, tables), *map(CreateIndex, indexes)]
    return [str(one.compile(dialect=dialect)) for one in made]
