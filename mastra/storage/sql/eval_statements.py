"""The statements of the table of evaluations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Delete,
    Select,
    Subquery,
    Update,
    bindparam,
    cast,
    delete,
    false,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import Insert
from sqlalchemy.types import BigInteger, Double, Text

from mastra.storage.evals import Path
from mastra.storage.sql.json_fields import number_at, text_at
from mastra.storage.sql.statements import equal, limited, matches, named, paged, upsert
from mastra.storage.sql.tables import evals

__all__ = [
    "COLUMNS",
    "NUMBERS",
    "TEXTS",
    "Shape",
    "count",
    "count_statuses",
    "delete_of",
    "get",
    "hold",
    "listed",
    "nearest_values",
    "page",
    "percentiles",
    "save",
]

COLUMNS: Final = tuple(column.name for column in evals.columns if column.name != "record_key")
TEXTS: Final = ("parent_id", "subject", "run_id", "trace_id", "resource_id")
NUMBERS: Final = ("version", "valid_to", "created_at", "updated_at")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a filter asks for, without the values."""

    names: tuple[str, ...]
    """`at_version`, `from_ms`, `before_ms`, and `of_<column>` for what is equal to something."""
    fields: tuple[tuple[tuple[Path, ...], int], ...] = ()
    """Of each condition on the data its paths, and how many values it lists."""


def save(dialect: str) -> Insert:
    """Build the statement that stores a row, unless there is one of another resource."""
    owner = evals.c.resource_id
    is_same = owner.is_not_distinct_from(named("new_resource_id", owner))
    return upsert(evals, COLUMNS, ("name",), dialect, where=is_same)


def hold() -> Update:
    """Build the statement that changes nothing of a row, if it is as it was read."""
    is_it = equal(evals, "of_name", "of_updated_at")
    return update(evals).where(*is_it).values(updated_at=evals.c.updated_at)


def get() -> Select[Any]:
    """Build the statement that reads one row."""
    columns = [evals.c[name] for name in COLUMNS]
    return select(*columns).where(*equal(evals, "of_name"))


def _named_conditions(names: Iterable[str]) -> list[ColumnElement[bool]]:
    found = equal(evals, "of_kind")
    for name in names:
        number: Any = bindparam(name, type_=BigInteger)
        match name:
            case "at_version":
                found.append(evals.c.version <= number)
                found.append(or_(evals.c.valid_to.is_(None), evals.c.valid_to > number))
            case "from_ms":
                found.append(evals.c.created_at >= number)
            case "before_ms":
                found.append(evals.c.created_at < number)
            case _:
                found += equal(evals, name)
    return found


def _conditions(shape: Shape, dialect: str) -> list[ColumnElement[bool]]:
    found = _named_conditions(shape.names)
    for place, (paths, count) in enumerate(shape.fields):
        texts = [func.nullif(text_at(evals.c.data, path, dialect), "") for path in paths]
        value: Any = func.coalesce(*texts) if len(texts) > 1 else texts[0]
        listed = [bindparam(f"field_{place}_{at}", type_=Text) for at in range(count)]
        found.append(value.in_(listed) if listed else false())
    return found


def count(shape: Shape, dialect: str) -> Select[int]:
    """Build the statement that counts rows."""
    return select(func.count()).select_from(evals).where(*_conditions(shape, dialect))


def count_statuses(shape: Shape, dialect: str) -> Select[Any]:
    """Build the statement that counts rows by parent and by the status in their data."""
    status = func.nullif(text_at(evals.c.data, ("status",), dialect), "")
    query: Any = select(evals.c.parent_id, status, func.count())
    # By their places: PostgreSQL takes two parameters of one value for two expressions.
    return query.where(*_conditions(shape, dialect)).group_by(text("1"), text("2"))


def listed(shape: Shape, dialect: str, *, is_ascending: bool, is_paged: bool) -> Select[Any]:
    """Build the statement that lists rows."""
    query = select(*(evals.c[name] for name in COLUMNS)).where(*_conditions(shape, dialect))
    key = evals.c.record_key
    query = query.order_by(key.asc() if is_ascending else key.desc())
    return paged(query) if is_paged else query


def page(shape: Shape, dialect: str) -> Select[Any]:
    """Build the statement that lists the rows after one, each with its key."""
    key = evals.c.record_key
    query = select(key, *(evals.c[name] for name in COLUMNS))
    query = query.where(*_conditions(shape, dialect), key > named("after", key)).order_by(key)
    return limited(query)


def _numbers(shape: Shape, path: Path, dialect: str) -> Subquery:
    """Build the table of the begin of a stretch of time and a number for each row."""
    interval: Any = bindparam("interval", type_=BigInteger)
    begin = evals.c.created_at // interval * interval
    number = number_at(evals.c.data, path, dialect)
    query = select(begin.label("begin"), number.label("number"))
    return query.where(*_conditions(shape, dialect)).subquery("found")


def percentiles(shape: Shape, path: Path) -> Select[Any]:
    """Build the statement that gives, for each stretch of time, its percentiles."""
    found = _numbers(shape, path, "postgresql")
    shares: Any = cast(bindparam("shares", type_=ARRAY(Double)), ARRAY(Double))
    values = func.percentile_cont(shares).within_group(found.c.number)
    # Numbers that are not there count for nothing; where none is, there is no value either.
    query: Any = select(found.c.begin, values)
    return query.group_by(found.c.begin).order_by(found.c.begin)


def nearest_values(shape: Shape, path: Path) -> Select[Any]:
    """Build the statement that gives the two values nearest to each percentile.

    A row has the begin of the stretch of time, how many values it has, and a value with its place.
    """
    found = _numbers(shape, path, "sqlite")
    of_begin: Any = {"partition_by": found.c.begin}
    place = func.row_number().over(**of_begin, order_by=found.c.number) - 1
    ranked = (
        select(
            found.c.begin,
            func.count().over(**of_begin).label("many"),
            place.label("place"),
            found.c.number,
        )
        .where(found.c.number.is_not(None))
        .subquery("ranked")
    )
    shares = func.json_each(bindparam("shares", type_=Text)).table_valued("value")
    distance: Any = ranked.c.place - (ranked.c.many - 1) * shares.c.value
    is_near = select(1).select_from(shares).where(distance > -1, distance < 1).exists()
    query: Any = select(ranked.c.begin, ranked.c.many, ranked.c.place, ranked.c.number)
    return query.where(is_near).order_by(ranked.c.begin)


def delete_of(names: Iterable[str], ids: int | None) -> Delete:
    """Build the statement that deletes rows."""
    conditions = _named_conditions(names)
    if ids is not None:
        conditions.append(evals.c.name.in_(matches("name", evals.c.name, ids)))
    return delete(evals).where(*conditions)
