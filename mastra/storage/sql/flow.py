"""Tickets of flow control in a SQL database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Delete,
    Select,
    Update,
    and_,
    case,
    delete,
    exists,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.sql.dml import Insert

from mastra.storage.flow import DoorView, Ticket
from mastra.storage.sql.database import Values
from mastra.storage.sql.leases import driver_of, lease_holds
from mastra.storage.sql.statements import (
    Statement,
    equal,
    insert_into,
    insert_new,
    limited,
    matches,
    named,
    padded,
    upsert,
)
from mastra.storage.sql.store import SQLStore
from mastra.storage.sql.tables import drivers, flow_marks, flow_tickets

__all__ = ["SQLFlow"]

_COLUMNS: Final = tuple(one.name for one in fields(Ticket))
_MARK: Final = ("name", "value")
_c, _m = flow_tickets.c, flow_marks.c
_LANES: Final = (_c.lane_a, _c.lane_b, _c.lane_s, _c.lane_t)
_DOOR: Final = "door/"
"""What the name of the mark begins with that is a door's version."""


class SQLFlow(SQLStore):
    """Keeps tickets in one table, and marks in another."""

    async def read(self, door: str, *, lane: str | None = None) -> DoorView:
        """Return the tickets at a door that are in, and all of a lane."""
        # The version first: what changes in between makes the write fail.
        version = (await self.marks([_DOOR + door])).get(_DOOR + door, 0)
        is_shared, has_lane = self._database.is_shared, lane is not None
        statement = self._statements.get(
            _read, self._dialect, is_shared=is_shared, has_lane=has_lane
        )
        values = {"of_door": door, "of_lane": lane, "in": "in", "waiting": "waiting"}
        rows = await self._database.fetch(statement, values, what=f"read who is in at {door!r}")
        return DoorView(version, [Ticket(*row) for row in rows])

    async def waiting(
        self, door: str, *, now: int, without: Collection[str], limit: int
    ) -> Sequence[Ticket]:
        """Return tickets that may begin, the first first."""
        count, values = padded("lane", sorted(without))
        is_shared = self._database.is_shared
        statement = self._statements.get(_waiting, self._dialect, count, is_shared=is_shared)
        values |= {"of_door": door, "now": now, "limit": limit, "waiting": "waiting"}
        rows = await self._database.fetch(statement, values, what=f"read who waits at {door!r}")
        return [Ticket(*row) for row in rows]

    async def put(self, ticket: Ticket) -> None:
        """Store a ticket."""
        statement, values = self._kept(ticket)
        await self._database.change(statement, values, what=f"queue run {ticket.run_id!r}")

    def _kept(self, ticket: Ticket) -> tuple[Statement, Values]:
        key = ("workflow_id", "run_id")
        keep = self._statements.get(upsert, flow_tickets, _COLUMNS, key, self._dialect)
        return keep, {f"new_{column}": getattr(ticket, column) for column in _COLUMNS}

    async def write(
        self,
        door: str,
        version: int,
        *,
        called: Sequence[Ticket] = (),
        new: Ticket | None = None,
        marks: Mapping[str, int] | None = None,
    ) -> bool:
        """Change what stands at a door, unless it has another version, in one transaction."""
        name = _DOOR + door
        if version == 0:
            first = self._statements.get(insert_new, flow_marks, _MARK, ("name",), self._dialect)
            guard: tuple[Statement, Values] = (first, {"new_name": name, "new_value": 1})
        else:
            values = {"of_name": name, "of_value": version, "new_value": version + 1}
            guard = (self._statements.get(_next_version), values)
        call = self._statements.get(_call)
        mark = self._statements.get(upsert, flow_marks, _MARK, ("name",), self._dialect)
        writes: list[tuple[Statement, Values]] = [guard]
        writes += [(call, _state_of(one)) for one in called]
        writes += [] if new is None else [self._kept(new)]
        given = (marks or {}).items()
        writes += [(mark, {"new_name": one, "new_value": at}) for one, at in given]
        what = f"let in at {door!r}"
        return (await self._database.change_all(writes, what=what, needed=1))[0] == 1

    async def marks(self, names: Collection[str]) -> dict[str, int]:
        """Return marks by their names."""
        count, values = padded("name", sorted(names))
        if not count:
            return {}
        statement = self._statements.get(_marks, count)
        rows = await self._database.fetch(statement, values, what="read marks", is_point=True)
        return {name: value for name, value in rows}  # noqa: C416 - rows are no pairs to a checker

    async def take(self, name: str, *, now_us: int, emission_us: int, tolerance_us: int) -> bool:
        """Move a mark on, if it stays within a tolerance."""
        statement = self._statements.get(_take, self._dialect)
        values = {
            "new_name": name,
            "new_value": now_us + emission_us,
            "now": now_us,
            "emission": emission_us,
            "latest": now_us + tolerance_us,
        }
        is_taken = await self._database.change(statement, values, what=f"count {name!r}") == 1
        if not is_taken:
            back = self._statements.get(_put_back)
            await self._database.change(back, values, what=f"count {name!r}")
        return is_taken

    async def called(self, driver_id: str) -> Sequence[Ticket]:
        """Return the tickets of a driver that do not wait any more."""
        statement = self._statements.get(_called)
        values = {"of_driver": driver_id, "waiting": "waiting"}
        rows = await self._database.fetch(statement, values, what="read who was let in")
        return [Ticket(*row) for row in rows]

    async def remove(self, workflow_id: str, run_id: str, owner: str) -> None:
        """Remove a leg's ticket."""
        statement = self._statements.get(_remove)
        values = {"of_workflow_id": workflow_id, "of_run_id": run_id, "of_owner": owner}
        await self._database.change(statement, values, what=f"let run {run_id!r} leave")

    async def prune(self, before_ms: int) -> None:
        """Remove tickets of nobody, and marks, that are older."""
        dead = self._statements.get(_dead, self._dialect, is_shared=self._database.is_shared)
        old = self._statements.get(_old)
        values = {"before": before_ms, "before_us": before_ms * 1000, "doors": f"{_DOOR}%"}
        writes = [(dead, values), (old, values)]
        await self._database.change_all(writes, what="forget old tickets")


# -- statements ------------------------------------------------------------------------------------


def _tickets() -> Select[Any]:
    return select(*(_c[name] for name in _COLUMNS))


def _is_alive(dialect: str, *, is_shared: bool) -> ColumnElement[bool]:
    """Return the condition that a ticket's driver has a lease, where others see the database."""
    is_its = drivers.c.driver_id == driver_of(flow_tickets)
    return exists().where(is_its, lease_holds(dialect)) if is_shared else true()


def _read(dialect: str, *, is_shared: bool, has_lane: bool) -> Select[Any]:
    wanted: ColumnElement[bool] = _c.state == named("in", _c.state)
    if has_lane:
        lane = named("of_lane", _c.lane_d)
        waits = _c.state == named("waiting", _c.state)
        wanted = or_(wanted, and_(waits, or_(_c.lane_d == lane, _c.lane_s == lane)))
    is_alive = _is_alive(dialect, is_shared=is_shared)
    return _tickets().where(*equal(flow_tickets, "of_door"), wanted, is_alive)


def _waiting(dialect: str, without: int, *, is_shared: bool) -> Select[Any]:
    conditions = [
        *equal(flow_tickets, "of_door"),
        _c.state == named("waiting", _c.state),
        _c.due_at <= named("now", _c.due_at),
        _is_alive(dialect, is_shared=is_shared),
    ]
    if without:
        conditions += [
            or_(lane.is_(None), lane.not_in(matches("lane", lane, without))) for lane in _LANES
        ]
    return limited(_tickets().where(*conditions).order_by(_c.rank, _c.ticket_key))


def _next_version() -> Update:
    is_it = equal(flow_marks, "of_name", "of_value")
    return update(flow_marks).where(*is_it).values(value=named("new_value", _m.value))


def _marks(count: int) -> Select[str, int]:
    return select(_m.name, _m.value).where(_m.name.in_(matches("name", _m.name, count)))


def _take(dialect: str) -> Insert:
    now, emission = named("now", _m.value), named("emission", _m.value)
    moved = case((_m.value > now, _m.value), else_=now) + emission
    statement = insert_into(flow_marks, dialect).values(
        name=named("new_name", _m.name), value=named("new_value", _m.value)
    )
    return statement.on_conflict_do_update(
        index_elements=["name"],
        set_={"value": moved},
        where=moved <= named("latest", _m.value),
    )


def _put_back() -> Update:
    latest = named("latest", _m.value)
    is_it = _m.name == named("new_name", _m.name)
    return update(flow_marks).where(is_it, _m.value > latest).values(value=latest)


def _called() -> Select[Any]:
    return _tickets().where(
        driver_of(flow_tickets) == named("of_driver", _c.owner),
        _c.state != named("waiting", _c.state),
    )


def _call() -> Update:
    is_it = equal(flow_tickets, "of_workflow_id", "of_run_id", "of_owner", "of_state")
    return update(flow_tickets).where(*is_it).values(state=named("new_state", _c.state))


def _state_of(ticket: Ticket) -> dict[str, object]:
    return {
        "of_workflow_id": ticket.workflow_id,
        "of_run_id": ticket.run_id,
        "of_owner": ticket.owner,
        "of_state": "waiting",
        "new_state": ticket.state,
    }


def _remove() -> Delete:
    is_it = equal(flow_tickets, "of_workflow_id", "of_run_id", "of_owner")
    return delete(flow_tickets).where(*is_it)


def _dead(dialect: str, *, is_shared: bool) -> Delete:
    is_old = _c.first_at < named("before", _c.first_at)
    return delete(flow_tickets).where(is_old, ~_is_alive(dialect, is_shared=is_shared))


def _old() -> Delete:
    return delete(flow_marks).where(
        _m.value < named("before_us", _m.value), _m.name.not_like(named("doors", _m.name))
    )
