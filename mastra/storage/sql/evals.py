"""Scores, datasets, experiments and feedback in a SQL database."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Delete,
    Select,
    Update,
    bindparam,
    case,
    cast,
    delete,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import BigInteger

from mastra.clock import now_ms
from mastra.storage.damage import RowReader
from mastra.storage.evals import EvalFilter, EvalGuard, EvalKind, EvalPage, EvalRecord, check_eval
from mastra.storage.sql.database import Database, Row, Values
from mastra.storage.sql.statements import (
    Statement,
    StatementCache,
    in_chunks,
    matches,
    named,
    padded,
    upsert,
)
from mastra.storage.sql.tables import evals

__all__ = ["SQLEvals"]

_COLUMNS: Final = tuple(column.name for column in evals.columns if column.name != "record_key")
_TEXTS: Final = ("parent_id", "subject", "run_id", "trace_id", "resource_id")
_NUMBERS: Final = ("version", "valid_to", "created_at", "updated_at")


class SQLEvals:
    """Keeps evaluations in one table.

    Args:
        database: Where it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._statements = StatementCache(database.dialect)

    async def save(self, records: Sequence[EvalRecord], *, guard: EvalGuard | None = None) -> bool:
        """Store records, in place of older ones of the same kind and id."""
        dialect = self._database.dialect.name
        store = self._statements.get(
            ("save",), functools.partial(upsert, evals, _COLUMNS, "name", dialect)
        )
        now = now_ms()
        writes: list[tuple[Statement, Values]] = [(store, _values(one, now)) for one in records]
        if guard is not None:
            holds = self._statements.get(("guard",), _hold)
            values = {"of_name": _name(guard.kind, guard.id), "of_updated_at": guard.updated_at}
            writes.insert(0, (holds, values))
        if not writes:
            return True
        what = f"store {len(records)} {records[0].kind if records else guard}s"
        needed = 0 if guard is None else 1
        counts = await self._database.change_all(writes, what=what, needed=needed)
        return guard is None or counts[0] == 1

    async def get(self, kind: EvalKind, record_id: str) -> EvalRecord | None:
        """Return a record, or `None`."""
        statement = self._statements.get(("get",), _get)
        found = await self._database.fetch(
            statement,
            {"of_name": _name(kind, record_id)},
            what=f"read {kind} {record_id!r}",
            is_point=True,
        )
        return _record(found[0]) if found else None

    async def list(
        self,
        kind: EvalKind,
        where: EvalFilter = EvalFilter(),  # noqa: B008 - it is frozen
        *,
        offset: int = 0,
        limit: int | None = None,
        is_ascending: bool = False,
    ) -> EvalPage:
        """Return records in the order in which they were first stored, the newest first."""
        names, values = _asked(kind, where)
        count = self._statements.get(("count", names), functools.partial(_count, names))
        totals = await self._database.fetch(count, values, what=f"count {kind}s")
        is_paged = limit is not None or offset > 0
        listed = self._statements.get(
            ("list", names, is_ascending, is_paged),
            functools.partial(_list, names, is_ascending=is_ascending, is_paged=is_paged),
        )
        window = {"limit": -1 if limit is None else limit, "offset": offset}
        if limit is None and self._database.dialect.name != "sqlite":
            window["limit"] = 2**62
        rows = await self._database.fetch(listed, {**values, **window}, what=f"list {kind}s")
        return EvalPage([_record(row) for row in rows], totals[0][0])

    async def count_statuses(
        self,
        kind: EvalKind,
        where: EvalFilter = EvalFilter(),  # noqa: B008 - it is frozen
    ) -> dict[tuple[str | None, str | None], int]:
        """Return how many records there are by parent and by the `status` in their data."""
        names, values = _asked(kind, where)
        dialect = self._database.dialect.name
        statement = self._statements.get(
            ("statuses", names), functools.partial(_count_statuses, names, dialect)
        )
        rows: Any = await self._database.fetch(statement, values, what=f"count {kind}s")
        return {(parent, status): count for parent, status, count in rows}

    async def delete(
        self,
        kind: EvalKind,
        *,
        ids: Collection[str] | None = None,
        parent_id: str | None = None,
        subject: str | None = None,
        before_ms: int | None = None,
    ) -> int:
        """Delete the records that meet all that is given, and return how many there were."""
        given = {"parent_id": parent_id, "subject": subject, "created_at": before_ms}
        known = {name: value for name, value in given.items() if value is not None}
        writes: list[tuple[Statement, Values]] = []
        names = None if ids is None else [_name(kind, one) for one in ids]
        for chunk in [()] if names is None else in_chunks(names):
            count, values = padded("name", chunk)
            key = ("delete", tuple(known), count if names is not None else None)
            statement = self._statements.get(
                key, functools.partial(_delete, tuple(known), None if names is None else count)
            )
            found = {f"of_{name}": value for name, value in known.items()}
            writes.append((statement, {**values, **found, "of_kind": kind}))
        if not writes:
            return 0
        return sum(await self._database.change_all(writes, what=f"delete {kind}s"))


def _name(kind: str, record_id: str) -> str:
    return f"{kind}/{record_id}"


def _values(record: EvalRecord, now: int) -> dict[str, object]:
    values: dict[str, object] = {
        f"new_{name}": getattr(record, name) for name in (*_TEXTS, *_NUMBERS, "kind")
    }
    values |= {
        "new_name": _name(record.kind, record.id),
        "new_created_at": record.created_at or now,
        "new_updated_at": record.updated_at or now,
        "new_data": check_eval(record).decode(),
    }
    return values


def _record(row: Row) -> EvalRecord:
    given = dict(zip(_COLUMNS, row, strict=True))
    kind, _, record_id = given["name"].partition("/")
    reader = RowReader(f"{kind} {record_id!r}")
    data: dict[str, Any] = reader.json("data", given["data"], {})
    fields = {name: given[name] for name in (*_TEXTS, *_NUMBERS)}
    return EvalRecord(kind, record_id, data, **fields, error="; ".join(reader.faults) or None)


# -- statements ------------------------------------------------------------------------------------


def _hold() -> Update:
    is_it = evals.c.name == named("of_name", evals.c.name)
    is_same = evals.c.updated_at == named("of_updated_at", evals.c.updated_at)
    return update(evals).where(is_it, is_same).values(updated_at=evals.c.updated_at)


def _get() -> Select[Any]:
    columns = [evals.c[name] for name in _COLUMNS]
    return select(*columns).where(evals.c.name == named("of_name", evals.c.name))


def _asked(kind: str, where: EvalFilter) -> tuple[tuple[str, ...], dict[str, object]]:
    """Return the names of what is asked for, and its values."""
    columns = where.columns()
    more = {name: getattr(where, name) for name in ("at_version", "from_ms", "before_ms")}
    given = {name: value for name, value in more.items() if value is not None}
    values: dict[str, object] = {f"of_{name}": value for name, value in columns.items()}
    return (*columns, *given), {**values, **given, "of_kind": kind}


def _conditions(names: Iterable[str]) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [_condition("kind")]
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
                found.append(_condition(name))
    return found


def _condition(name: str) -> ColumnElement[bool]:
    return evals.c[name] == named(f"of_{name}", evals.c[name])


def _count(names: Iterable[str]) -> Select[int]:
    return select(func.count()).select_from(evals).where(*_conditions(names))


def _count_statuses(names: Iterable[str], dialect: str) -> Select[Any]:
    data: Any = evals.c.data
    if dialect == "sqlite":
        status: Any = case((func.json_valid(data) == 1, func.json_extract(data, "$.status")))
    else:
        status = cast(data, JSONB)["status"].astext
    # By their places: PostgreSQL takes two parameters of one value for two expressions.
    query: Any = select(evals.c.parent_id, status, func.count()).where(*_conditions(names))
    return query.group_by(text("1"), text("2"))


def _list(names: Iterable[str], *, is_ascending: bool, is_paged: bool) -> Select[Any]:
    query = select(*(evals.c[name] for name in _COLUMNS)).where(*_conditions(names))
    key = evals.c.record_key
    query = query.order_by(key.asc() if is_ascending else key.desc())
    if not is_paged:
        return query
    limit = bindparam("limit", type_=BigInteger)
    return query.limit(limit).offset(bindparam("offset", type_=BigInteger))


def _delete(names: Iterable[str], ids: int | None) -> Delete:
    conditions: list[ColumnElement[bool]] = []
    for name in ("kind", *names):
        column: Any = evals.c[name]
        value = named(f"of_{name}", column)
        conditions.append(column < value if name == "created_at" else column == value)
    if ids is not None:
        conditions.append(evals.c.name.in_(matches("name", evals.c.name, ids)))
    return delete(evals).where(*conditions)
