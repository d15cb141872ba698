"""Schedules and their fires in a SQL database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from typing import Any, Final, cast

from sqlalchemy import (
    ColumnElement,
    Delete,
    Select,
    Table,
    Update,
    case,
    delete,
    func,
    select,
    update,
)

from mastra.jsonable import dump_json
from mastra.storage.damage import RowReader
from mastra.storage.schedules import (
    ScheduleChanges,
    ScheduleRecord,
    ScheduleStatus,
    TriggerRecord,
    check_schedule,
    check_trigger,
)
from mastra.storage.sql.database import Row, Values
from mastra.storage.sql.statements import (
    Statement,
    equal,
    insert_new,
    limited,
    matches,
    named,
    padded,
    upsert,
)
from mastra.storage.sql.store import SQLStore
from mastra.storage.sql.tables import schedule_triggers as fires
from mastra.storage.sql.tables import schedules

__all__ = ["SQLSchedules"]

_COLUMNS: Final = tuple(one.name for one in fields(ScheduleRecord) if one.name != "error")
_FIRE_COLUMNS: Final = tuple(one.name for one in fields(TriggerRecord))
_c = schedules.c


class SQLSchedules(SQLStore):
    """Keeps schedules in one table, and their fires in another."""

    @property
    def is_shared(self) -> bool:
        """Whether another process can change them."""
        return self._database.is_shared

    async def create(self, record: ScheduleRecord) -> bool:
        """Store a schedule unless its id is taken."""
        names = (*_COLUMNS, "reserved_until")
        statement = self._statements.get(insert_new, schedules, names, ("id",), self._dialect)
        values = {f"new_{name}": getattr(record, name) for name in _COLUMNS}
        values |= {"new_data": check_schedule(record).decode(), "new_reserved_until": 0}
        what = f"store schedule {record.id!r}"
        return await self._database.change(statement, values, what=what) == 1

    async def get(self, schedule_id: str) -> ScheduleRecord | None:
        """Return a schedule, or `None`."""
        found = await self._database.fetch(
            self._statements.get(_list, ("of_id",)),
            {"of_id": schedule_id},
            what=f"read schedule {schedule_id!r}",
            is_point=True,
        )
        return _schedule(found[0]) if found else None

    async def list(
        self,
        *,
        target: str | None = None,
        status: ScheduleStatus | None = None,
        resource_id: str | None = None,
    ) -> Sequence[ScheduleRecord]:
        """Return schedules, the first made first."""
        asked = {"of_target": target, "of_status": status, "of_resource_id": resource_id}
        values = {name: value for name, value in asked.items() if value is not None}
        statement = self._statements.get(_list, tuple(values))
        rows = await self._database.fetch(statement, values, what="list schedules")
        return [_schedule(row) for row in rows]

    async def update(
        self,
        schedule_id: str,
        changes: ScheduleChanges,
        *,
        expected_next: int | None = None,
        expected_status: ScheduleStatus | None = None,
        trigger: TriggerRecord | None = None,
    ) -> bool:
        """Rewrite columns, and note a fire, in one transaction."""
        asked = {"next_fire_at": expected_next, "status": expected_status}
        expected = {name: value for name, value in asked.items() if value is not None}
        statement = self._statements.get(_update, tuple(sorted(changes)), tuple(expected))
        values: dict[str, object] = {f"new_{name}": value for name, value in changes.items()}
        if "data" in changes:
            what = f"Schedule {schedule_id!r}"
            values["new_data"] = dump_json(changes["data"], what=what).decode()
        values |= {f"expected_{name}": value for name, value in expected.items()}
        values |= {"of_id": schedule_id, "not_reserved": 0}
        writes: list[tuple[Statement, Values]] = [(statement, values)]
        if trigger is not None:
            writes.append(self._noted(trigger))
        what = f"update schedule {schedule_id!r}"
        return (await self._database.change_all(writes, what=what, needed=1))[0] == 1

    async def delete(self, schedule_id: str) -> bool:
        """Remove a schedule with its fires."""
        values = {"of_id": schedule_id, "of_schedule_id": schedule_id}
        writes = [
            (self._statements.get(_delete, schedules, "of_id"), values),
            (self._statements.get(_delete, fires, "of_schedule_id"), values),
        ]
        counts = await self._database.change_all(writes, what=f"delete schedule {schedule_id!r}")
        return counts[0] == 1

    async def reserve(
        self, targets: Collection[str], *, by: str, now: int, until: int, limit: int
    ) -> Sequence[ScheduleRecord]:
        """Return active schedules that are due, once the others leave them alone."""
        count, values = padded("target", sorted(targets))
        if not count:
            return []
        values |= {"now": now, "limit": limit, "of_status": "active"}
        values |= {"new_reserved_by": by, "new_reserved_until": until}
        reserve = self._statements.get(_reserve, self._dialect, count)
        if not await self._database.change(reserve, values, what="reserve schedules that are due"):
            return []
        mine = self._statements.get(_reserved, count)
        rows = await self._database.fetch(mine, values, what="read schedules that are due")
        return [_schedule(row) for row in rows]

    async def next_due(self, targets: Collection[str]) -> int | None:
        """Return when the next of the active ones can be reserved."""
        count, values = padded("target", sorted(targets))
        if not count:
            return None
        statement = self._statements.get(_next, count)
        values["of_status"] = "active"
        [[found]] = await self._database.fetch(
            statement, values, what="look when a schedule is due", is_point=True
        )
        return cast("int | None", found)

    async def add_trigger(self, trigger: TriggerRecord) -> None:
        """Note a fire."""
        statement, values = self._noted(trigger)
        await self._database.change(statement, values, what=f"store fire {trigger.id!r}")

    def _noted(self, trigger: TriggerRecord) -> tuple[Statement, Values]:
        statement = self._statements.get(upsert, fires, _FIRE_COLUMNS, ("id",), self._dialect)
        values = {f"new_{name}": getattr(trigger, name) for name in _FIRE_COLUMNS}
        return statement, values | {"new_data": check_trigger(trigger).decode()}

    async def list_triggers(
        self,
        schedule_id: str,
        *,
        from_ms: int | None = None,
        to_ms: int | None = None,
        limit: int | None = None,
    ) -> Sequence[TriggerRecord]:
        """Return the fires of a schedule, the latest first."""
        statement = self._statements.get(_fires)
        values = {
            "of_schedule_id": schedule_id,
            "from_ms": 0 if from_ms is None else from_ms,
            "to_ms": 2**62 if to_ms is None else to_ms,
            "limit": 2**62 if limit is None else limit,
        }
        what = f"list fires of schedule {schedule_id!r}"
        return [_fire(row) for row in await self._database.fetch(statement, values, what=what)]

    async def delete_triggers_before(self, before_ms: int) -> int:
        """Remove the fires of all schedules before a time."""
        statement = self._statements.get(_forget)
        values = {"before": before_ms}
        return await self._database.change(statement, values, what="delete old fires of schedules")


def _schedule(row: Row) -> ScheduleRecord:
    given = dict(zip(_COLUMNS, row, strict=True))
    reader = RowReader(f"schedule {given['id']!r}")
    given["data"] = reader.json("data", given["data"], dict[str, Any]())
    return ScheduleRecord(**given, error="; ".join(reader.faults) or None)


def _fire(row: Row) -> TriggerRecord:
    given = dict(zip(_FIRE_COLUMNS, row, strict=True))
    reader = RowReader(f"fire {given['id']!r}")
    given["data"] = reader.json("data", given["data"], dict[str, Any]())
    return TriggerRecord(**given)


# -- statements ------------------------------------------------------------------------------------


def _list(names: Iterable[str]) -> Select[Any]:
    query = select(*(_c[name] for name in _COLUMNS)).where(*equal(schedules, *names))
    return query.order_by(_c.schedule_key)


def _update(names: Iterable[str], expected: Iterable[str]) -> Update:
    conditions = [_c[name] == named(f"expected_{name}", _c[name]) for name in expected]
    conditions += equal(schedules, "of_id")
    changed: dict[str, Any] = {name: named(f"new_{name}", _c[name]) for name in names}
    changed["reserved_until"] = named("not_reserved", _c.reserved_until)
    return update(schedules).where(*conditions).values(changed)


def _delete(table: Table, name: str) -> Delete:
    return delete(table).where(*equal(table, name))


def _is_ours(count: int) -> list[ColumnElement[bool]]:
    targets = matches("target", _c.target, count)
    return [*equal(schedules, "of_status"), _c.target.in_(targets)]


def _reserve(dialect: str, count: int) -> Update:
    now = named("now", _c.next_fire_at)
    due = limited(
        select(_c.schedule_key)
        .where(*_is_ours(count), _c.next_fire_at <= now, _c.reserved_until < now)
        .order_by(_c.next_fire_at)
    )
    if dialect == "postgresql":  # so that two processes take different ones
        due = due.with_for_update(skip_locked=True)
    return (
        update(schedules)
        .where(_c.schedule_key.in_(due))
        .values(
            reserved_by=named("new_reserved_by", _c.reserved_by),
            reserved_until=named("new_reserved_until", _c.reserved_until),
        )
    )


def _reserved(count: int) -> Select[Any]:
    return (
        select(*(_c[name] for name in _COLUMNS))
        .where(
            *_is_ours(count),
            _c.next_fire_at <= named("now", _c.next_fire_at),
            _c.reserved_by == named("new_reserved_by", _c.reserved_by),
            _c.reserved_until == named("new_reserved_until", _c.reserved_until),
        )
        .order_by(_c.next_fire_at)
    )


def _next(count: int) -> Select[Any]:
    is_later = _c.reserved_until > _c.next_fire_at
    at = case((is_later, _c.reserved_until), else_=_c.next_fire_at)
    return select(func.min(at)).where(*_is_ours(count))


def _fires() -> Select[Any]:
    at = fires.c.actual_at
    is_asked = (at >= named("from_ms", at), at < named("to_ms", at))
    query = select(*(fires.c[name] for name in _FIRE_COLUMNS))
    query = query.where(*equal(fires, "of_schedule_id"), *is_asked)
    return limited(query.order_by(at.desc(), fires.c.trigger_key.desc()))


def _forget() -> Delete:
    return delete(fires).where(fires.c.actual_at < named("before", fires.c.actual_at))
