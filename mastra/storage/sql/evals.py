"""Scores, datasets, experiments and feedback in a SQL database."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from mastra.clock import now_ms
from mastra.observability.percentiles import between
from mastra.storage.damage import RowReader
from mastra.storage.evals import (
    PAGE,
    EvalFilter,
    EvalGuard,
    EvalKind,
    EvalPage,
    EvalRecord,
    Path,
    Percentiles,
    check_eval,
    eval_taken,
)
from mastra.storage.sql import eval_statements as build
from mastra.storage.sql.database import Row, Values
from mastra.storage.sql.eval_statements import COLUMNS, NUMBERS, TEXTS, Shape
from mastra.storage.sql.statements import Statement, in_chunks, padded
from mastra.storage.sql.store import SQLStore

__all__ = ["SQLEvals"]


class SQLEvals(SQLStore):
    """Keeps evaluations in one table."""

    async def save(self, records: Sequence[EvalRecord], *, guard: EvalGuard | None = None) -> bool:
        """Store records, in place of older ones of the same kind and id."""
        store = self._statements.get(build.save, self._dialect)
        now = now_ms()
        writes: list[tuple[Statement, Values]] = [(store, _values(one, now)) for one in records]
        if guard is not None:
            holds = self._statements.get(build.hold)
            values = {"of_name": _name(guard.kind, guard.id), "of_updated_at": guard.updated_at}
            writes.insert(0, (holds, values))
        if not writes:
            return True
        what = f"store {len(records)} {records[0].kind if records else guard}s"
        counts = await self._database.change_all(writes, what=what, needed=len(writes))
        if guard is not None and not counts.pop(0):
            return False
        # Older rows that stay are another resource's.
        for record, count in zip(records, counts, strict=False):
            if not count:
                raise eval_taken(record)
        return True

    async def get(self, kind: EvalKind, record_id: str) -> EvalRecord | None:
        """Return a record, or `None`."""
        statement = self._statements.get(build.get)
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
        shape, values = _asked(kind, where)
        count = self._statements.get(build.count, shape, self._dialect)
        totals = await self._database.fetch(count, values, what=f"count {kind}s")
        is_paged = limit is not None or offset > 0
        listed = self._statements.get(
            build.listed, shape, self._dialect, is_ascending=is_ascending, is_paged=is_paged
        )
        window = {"limit": -1 if limit is None else limit, "offset": offset}
        if limit is None and self._dialect != "sqlite":
            window["limit"] = 2**62
        rows = await self._database.fetch(listed, {**values, **window}, what=f"list {kind}s")
        return EvalPage([_record(row) for row in rows], totals[0][0])

    async def count_statuses(
        self,
        kind: EvalKind,
        where: EvalFilter = EvalFilter(),  # noqa: B008 - it is frozen
    ) -> dict[tuple[str | None, str | None], int]:
        """Return how many records there are by parent and by the `status` in their data."""
        shape, values = _asked(kind, where)
        statement = self._statements.get(build.count_statuses, shape, self._dialect)
        rows: Any = await self._database.fetch(statement, values, what=f"count {kind}s")
        return {(parent, status): count for parent, status, count in rows}

    async def pages(
        self,
        kind: EvalKind,
        where: EvalFilter = EvalFilter(),  # noqa: B008 - it is frozen
    ) -> AsyncIterator[Sequence[EvalRecord]]:
        """Yield all records, the oldest first, a few hundred at a time."""
        shape, values = _asked(kind, where)
        statement = self._statements.get(build.page, shape, self._dialect)
        after = 0
        while True:
            given = {**values, "after": after, "limit": PAGE}
            rows = await self._database.fetch(statement, given, what=f"list {kind}s")
            if rows:
                yield [_record(row[1:]) for row in rows]
                after = rows[-1][0]
            if len(rows) < PAGE:
                return

    async def percentiles(
        self,
        kind: EvalKind,
        path: Path,
        where: EvalFilter = EvalFilter(),  # noqa: B008 - it is frozen
        *,
        shares: Sequence[float],
        interval_ms: int,
    ) -> Percentiles:
        """Return percentiles of a number in the data, by when the records were first stored."""
        shape, values = _asked(kind, where)
        is_sqlite = self._dialect == "sqlite"
        # PostgreSQL gives them; SQLite the values beside them, two at most for each.
        make = build.nearest_values if is_sqlite else build.percentiles
        statement = self._statements.get(make, shape, path)
        given = json.dumps([*shares]) if is_sqlite else [*shares]
        rows = await self._database.fetch(
            statement,
            {**values, "interval": interval_ms, "shares": given},
            what=f"put {kind}s together",
        )
        if not is_sqlite:
            return [(begin, [*found]) for begin, found in rows if found is not None]
        return [_between(begin, [*found], shares) for begin, found in groupby(rows, itemgetter(0))]

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
        given = {"of_parent_id": parent_id, "of_subject": subject, "before_ms": before_ms}
        known = {name: value for name, value in given.items() if value is not None}
        writes: list[tuple[Statement, Values]] = []
        names = None if ids is None else [_name(kind, one) for one in ids]
        for chunk in [()] if names is None else in_chunks(names):
            count, values = padded("name", chunk)
            ids_count = None if names is None else count
            statement = self._statements.get(build.delete_of, tuple(known), ids_count)
            writes.append((statement, {**values, **known, "of_kind": kind}))
        if not writes:
            return 0
        return sum(await self._database.change_all(writes, what=f"delete {kind}s"))


def _name(kind: str, record_id: str) -> str:
    return f"{kind}/{record_id}"


def _values(record: EvalRecord, now: int) -> dict[str, object]:
    values: dict[str, object] = {
        f"new_{name}": getattr(record, name) for name in (*TEXTS, *NUMBERS, "kind")
    }
    values |= {
        "new_name": _name(record.kind, record.id),
        "new_created_at": record.created_at or now,
        "new_updated_at": record.updated_at or now,
        "new_data": check_eval(record).decode(),
    }
    return values


def _record(row: Row) -> EvalRecord:
    given = dict(zip(COLUMNS, row, strict=True))
    kind, _, record_id = given["name"].partition("/")
    reader = RowReader(f"{kind} {record_id!r}")
    data: dict[str, Any] = reader.json("data", given["data"], {})
    fields = {name: given[name] for name in (*TEXTS, *NUMBERS)}
    return EvalRecord(kind, record_id, data, **fields, error="; ".join(reader.faults) or None)


def _asked(kind: str, where: EvalFilter) -> tuple[Shape, dict[str, object]]:
    """Return what is asked for, and its values."""
    more = {name: getattr(where, name) for name in ("at_version", "from_ms", "before_ms")}
    given = {name: value for name, value in more.items() if value is not None}
    values: dict[str, object] = {f"of_{name}": value for name, value in where.columns().items()}
    names = (*values, *given)
    fields: list[tuple[tuple[Path, ...], int]] = []
    for place, condition in enumerate(where.fields):
        count, texts = padded(f"field_{place}", condition.values)
        fields.append((condition.paths, count))
        values |= texts
    return Shape(names, tuple(fields)), {**values, **given, "of_kind": kind}


def _between(
    begin: int, nearest: Sequence[Row], shares: Sequence[float]
) -> tuple[int, list[float]]:
    """Return the percentiles of a stretch of time from the values beside them, each with its place."""
    count: int = nearest[0][1]
    values: dict[int, float] = {place: value for _, _, place, value in nearest}
    return begin, [between(count, share, values.__getitem__) for share in shares]
