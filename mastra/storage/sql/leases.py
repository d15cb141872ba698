"""Drivers and their leases, in a SQL database."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Delete,
    Integer,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.sql.dml import Insert

from mastra.storage.drivers import DRIVER_ID_LENGTH, WHOLE, DriverFacts, Work, Worker
from mastra.storage.sql.database import Database
from mastra.storage.sql.statements import (
    equal,
    insert_into,
    matches,
    named,
    padded,
)
from mastra.storage.sql.store import SQLStore
from mastra.storage.sql.tables import drivers, runs, work

__all__ = ["SQLDrivers", "driver_of", "is_over", "is_unled", "lease_holds"]

_columns, _w = drivers.c, work.c
_HEARD = (_columns.driver_id, _columns.about, _columns.lease_until)

_KEPT_MS = 24 * 3600 * 1000
"""How long a driver whose lease has ended is remembered, for whoever looks into the database."""


class SQLDrivers(SQLStore):
    """Keeps one row a driver.

    Args:
        database: Where they are.
        lease_s: How long a lease is, in seconds.
        reopen: Makes another way to the same database.
    """

    def __init__(self, database: Database, lease_s: float, reopen: Callable[[], Database]) -> None:
        super().__init__(database)
        self._reopen = reopen
        self.lease_s = lease_s

    async def beat(self, driver_id: str, about: str) -> None:
        """Begin a driver's lease, or prolong it."""
        values = {
            "new_driver_id": driver_id,
            "new_about": about,
            "lease_ms": int(self.lease_s * 1000),
        }
        statement = self._statements.get(_beat, self._dialect)
        await self._database.change(statement, values, what=f"prolong the lease of {driver_id!r}")

    async def find(self, driver_id: str) -> DriverFacts | None:
        """Return what is known of a driver."""
        found = await self._database.fetch(
            self._statements.get(_find),
            {"of_driver_id": driver_id},
            what=f"read driver {driver_id!r}",
            is_point=True,
        )
        return DriverFacts(*found[0]) if found else None

    async def list_drivers(self) -> list[DriverFacts]:
        """Return those that hold a lease, or did not long ago."""
        statement = self._statements.get(_list)
        found = await self._database.fetch(statement, {}, what="read the drivers' leases")
        return [DriverFacts(*row) for row in found]

    async def begin_work(
        self, work: Work, owner: str, *, dead_owners: Collection[str] = ()
    ) -> bool:
        """Note who is at work on a part of a run, in one statement."""
        is_whole = work.part == WHOLE
        count, dead = padded("owner", list(dead_owners))
        statement = self._statements.get(_begin_work, self._dialect, count, is_whole=is_whole)
        values = {**_work_of(work), **dead, "new_owner": owner}
        values |= {f"new_{name}": getattr(work, name) for name in _PLACE}
        what = f"note who is at work on run {work.run_id!r}"
        return await self._database.change(statement, values, what=what) == 1

    async def workers(self, work: Work) -> list[Worker]:
        """Return who is noted as being at work on a part of a run, or on what is not beside it."""
        found = await self._database.fetch(
            self._statements.get(_workers, self._dialect, is_whole=work.part == WHOLE),
            _work_of(work),
            what=f"read who is at work on run {work.run_id!r}",
            is_point=True,
        )
        return [Worker(owner, until, bool(is_over)) for owner, until, is_over in found]

    async def end_work(self, work: Work, owner: str) -> None:
        """Note that an owner is no longer at work on a part of a run."""
        await self._database.change(
            self._statements.get(_end_work),
            {**_work_of(work), "of_owner": owner},
            what=f"note that nobody is at work on run {work.run_id!r}",
        )

    async def release(self, owner: str) -> None:
        """Let others have at once what is claimed under a name."""
        values = {"of_owner": owner, "new_owner": None}
        await self._database.change_all(
            [
                (self._statements.get(_release_runs), values),
                (self._statements.get(_release_work), values),
            ],
            what=f"release what is claimed as {owner!r}",
        )

    async def forget(self, driver_id: str) -> None:
        """Remove a driver, and those whose lease ended long ago."""
        values = {"of_driver_id": driver_id, "kept_ms": _KEPT_MS}
        await self._database.change_all(
            [
                (self._statements.get(_forget, self._dialect), values),
                (self._statements.get(_unowned_work), values),
            ],
            what=f"remove driver {driver_id!r}",
        )

    def apart(self) -> SQLDrivers:
        """Return the same store on a connection of its own."""
        return SQLDrivers(self._reopen(), self.lease_s, self._reopen)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._database.aclose()


def database_clock(dialect: str) -> ColumnElement[int]:
    """Return the database's own time in milliseconds since 1970."""
    text = (
        "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)"
        if dialect == "sqlite"
        else "CAST(extract(epoch from clock_timestamp()) * 1000 AS BIGINT)"
    )
    return literal_column(text, BigInteger)


def lease_holds(dialect: str) -> ColumnElement[bool]:
    """Return the condition that a driver's lease holds.

    One that ends later than a lease can is of a clock that has been put back since. Who lives
    prolongs it within a sixth of a lease.
    """
    now, until, length = database_clock(dialect), _columns.lease_until, _columns.lease_ms
    is_possible = or_(length == _number(0), until <= now + length)
    return and_(until >= now, is_possible)


def is_over(dialect: str, table: Table, *, is_shared: bool) -> ColumnElement[bool]:
    """Return the condition that the driver of a run's owner has no lease, or no longer one.

    In a database that no other process sees there are none: a claim holds until it is given up.
    """
    if not is_shared:
        return false()
    now = database_clock(dialect)
    has_lease = exists().where(_columns.driver_id == driver_of(table), lease_holds(dialect))
    # Programs of versions before drivers have their lease in the run itself.
    return and_(table.c.lease_until < now, not_(has_lease))


def driver_of(table: Table) -> ColumnElement[str]:
    """Return the driver that a run's owner is a claim of."""
    return func.substr(table.c.owner, _number(1), _number(DRIVER_ID_LENGTH))


def _number(value: int) -> ColumnElement[int]:
    return literal_column(str(value), Integer)


def is_unled(dialect: str, *, is_shared: bool) -> ColumnElement[bool]:
    """Return the condition that nobody drives a run."""
    return or_(runs.c.owner.is_(None), is_over(dialect, runs, is_shared=is_shared))


def _beat(dialect: str) -> Insert:
    until = database_clock(dialect) + bindparam("lease_ms", type_=BigInteger)
    statement = insert_into(drivers, dialect).values(
        driver_id=named("new_driver_id", _columns.driver_id),
        about=named("new_about", _columns.about),
        lease_until=until,
        lease_ms=bindparam("lease_ms", type_=BigInteger),
    )
    return statement.on_conflict_do_update(
        index_elements=["driver_id"],
        set_={name: statement.excluded[name] for name in ("lease_until", "lease_ms", "about")},
    )


def _find() -> Select[str, str, int]:
    return select(*_HEARD).where(*equal(drivers, "of_driver_id"))


def _list() -> Select[str, str, int]:
    return select(*_HEARD)


def _release_runs() -> Update:
    released = named("new_owner", runs.c.owner)
    return update(runs).where(*equal(runs, "of_owner")).values(owner=released)


def _forget(dialect: str) -> Delete:
    kept = bindparam("kept_ms", type_=BigInteger)
    return delete(drivers).where(
        or_(
            *equal(drivers, "of_driver_id"),
            _columns.lease_until + kept < database_clock(dialect),
        )
    )


# -- work ------------------------------------------------------------------------------------------

_PLACE = ("workflow_id", "run_id", "part")


def _work_of(work: Work) -> dict[str, object]:
    return {
        "of_workflow_id": work.workflow_id,
        "of_run_id": work.run_id,
        "of_part": work.part,
        "of_whole": WHOLE,
    }


def _is_in_the_way(*, is_whole: bool) -> ColumnElement[bool]:
    """Return the condition that work is not to be done beside other work: both are in the table."""
    parts = (named("of_part", _w.part), named("of_whole", _w.part))
    is_of_run = equal(work, "of_workflow_id", "of_run_id")
    return and_(*is_of_run, true() if is_whole else _w.part.in_(parts))


def _begin_work(dialect: str, dead_owners: int, *, is_whole: bool) -> Insert:
    # Leases are left to whoever asks: a clock that is set ends them all, and nobody is dead for that.
    nobody = [named("new_owner", _w.owner), *matches("owner", _w.owner, dead_owners)]
    is_others = _w.owner.not_in(nobody)
    names = (*_PLACE, "owner")
    free = select(*(named(f"new_{name}", _w[name]) for name in names)).where(
        not_(exists().where(_is_in_the_way(is_whole=is_whole), is_others))
    )
    statement = insert_into(work, dialect).from_select(names, free)
    return statement.on_conflict_do_update(
        index_elements=_PLACE, set_={"owner": statement.excluded.owner}, where=not_(is_others)
    )


def _workers(dialect: str, *, is_whole: bool) -> Select[Any, Any, bool]:
    until = _columns.lease_until
    both = work.outerjoin(drivers, _columns.driver_id == driver_of(work))
    columns = (_w.owner, until, not_(lease_holds(dialect)))
    return select(*columns).select_from(both).where(_is_in_the_way(is_whole=is_whole))


def _end_work() -> Delete:
    return delete(work).where(*equal(work, "of_workflow_id", "of_run_id", "of_part", "of_owner"))


def _release_work() -> Delete:
    return delete(work).where(*equal(work, "of_owner"))


def _unowned_work() -> Delete:
    return delete(work).where(not_(exists().where(_columns.driver_id == driver_of(work))))
