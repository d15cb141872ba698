"""Statements, built and compiled with SQLAlchemy once and then run on the drivers as they are.

Compiling takes about 300 µs and running 20, so what has been compiled is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from sqlalchemy import BindParameter, Column, ColumnElement, Table, bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.dml import Insert
from sqlalchemy.sql.selectable import GenerativeSelect
from sqlalchemy.types import BigInteger

__all__ = [
    "Statement",
    "StatementCache",
    "compile_statement",
    "equal",
    "in_chunks",
    "insert_into",
    "insert_new",
    "limited",
    "matches",
    "named",
    "padded",
    "paged",
    "upsert",
]

P = ParamSpec("P")
S = TypeVar("S", bound=GenerativeSelect)
T = TypeVar("T")

_LARGEST_LIST = 512
"""SQLite takes 32,766 parameters and PostgreSQL 32,767; a short list compiles faster."""


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL text of one dialect, and in which order its parameters go to the driver."""

    sql: str
    names: tuple[str, ...]
    constants: Mapping[str, object] = field(default_factory=dict[str, object])

    def arguments(self, values: Mapping[str, object]) -> list[object]:
        """Return the values in the order in which the driver wants them."""
        constants = self.constants
        return [constants[name] if name in constants else values[name] for name in self.names]


def compile_statement(clause: ClauseElement, dialect: Dialect) -> Statement:
    """Compile a clause whose open parameters are all `named`."""
    compiled = clause.compile(dialect=dialect)
    given = compiled.params or {}
    constants = {name: value for name, value in given.items() if value is not None}
    return Statement(str(compiled), tuple(getattr(compiled, "positiontup", None) or ()), constants)


class StatementCache:
    """Compiled statements of one dialect, by what builds them and of what."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._kept: dict[tuple[object, ...], Statement] = {}

    def get(
        self, build: Callable[P, ClauseElement], *args: P.args, **kwargs: P.kwargs
    ) -> Statement:
        """Return the statement that a function builds, compiled once for the same arguments."""
        key = (build, args, tuple(kwargs.items()))
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = compile_statement(build(*args, **kwargs), self.dialect)
        return found


def named(name: str, column: Column[T]) -> BindParameter[T]:
    """Return a parameter of a column's type, to be given when the statement runs."""
    return bindparam(name, type_=column.type)


def matches(name: str, column: Column[T], count: int) -> list[BindParameter[T]]:
    """Return the parameters of `column IN (…)`: `name_0`, `name_1` and so on."""
    return [named(f"{name}_{index}", column) for index in range(count)]


def equal(table: Table, *names: str) -> list[ColumnElement[bool]]:
    """Return the conditions that columns have the values given as `of_<column>`."""
    columns = [(name, table.c[name.removeprefix("of_")]) for name in names]
    return [column == named(name, column) for name, column in columns]


def padded(name: str, values: Sequence[str]) -> tuple[int, dict[str, object]]:
    """Name the values of an `IN` list, repeating the last up to a power of two.

    So lists of any length need a handful of statements.

    Returns:
        How many parameters there are, and their values.
    """
    if not values:
        return 0, {}
    count = 1 << (len(values) - 1).bit_length()
    last = len(values) - 1
    return count, {f"{name}_{index}": values[min(index, last)] for index in range(count)}


def in_chunks(values: Sequence[T], size: int = _LARGEST_LIST) -> list[Sequence[T]]:
    """Cut a list into pieces that an `IN` list can take."""
    return [values[start : start + size] for start in range(0, len(values), size)]


def insert_into(table: Table, dialect: str) -> sqlite.Insert | postgresql.Insert:
    """Begin a statement that stores a row, and may say what happens to an older one."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def upsert(
    table: Table,
    columns: Sequence[str],
    key: Sequence[str],
    dialect: str,
    *,
    where: ColumnElement[bool] | None = None,
    kept: str | None = None,
) -> Insert:
    """Build the statement that stores a row, in place of an older one of that key.

    The values are given as `new_<column>`. An older row that does not meet `where` stays, and of
    one that does, the column `kept`.
    """
    values = {name: named(f"new_{name}", table.c[name]) for name in columns}
    statement = insert_into(table, dialect).values(values)
    return statement.on_conflict_do_update(
        index_elements=key,
        set_={name: statement.excluded[name] for name in columns if name not in (*key, kept)},
        where=where,
    )


def insert_new(table: Table, columns: Sequence[str], key: Sequence[str], dialect: str) -> Insert:
    """Build the statement that stores a row, unless there is one of that key."""
    values = {name: named(f"new_{name}", table.c[name]) for name in columns}
    return insert_into(table, dialect).values(values).on_conflict_do_nothing(index_elements=key)


def limited(query: S) -> S:
    """Return a query of at most `limit` rows."""
    return query.limit(bindparam("limit", type_=BigInteger))


def paged(query: S) -> S:
    """Return a query of a page: `limit` rows from `offset` on."""
    return limited(query).offset(bindparam("offset", type_=BigInteger))
