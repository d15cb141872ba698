"""Drivers and their leases, in a SQL database."""

from __future__ import annotations

from collections.abc import Callable

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
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert

from mastra.storage.drivers import DRIVER_ID_LENGTH, DriverFacts
from mastra.storage.sql.database import Database
from mastra.storage.sql.statements import StatementCache, named
from mastra.storage.sql.tables import drivers, runs

__all__ = ["SQLDrivers", "database_clock", "driver_of", "is_over", "is_unled"]

_columns = drivers.c
_HEARD = (_columns.driver_id, _columns.about, _columns.lease_until)

_KEPT_MS = 24 * 3600 * 1000
"""How long a driver whose lease has ended is remembered, for whoever looks into the database."""


class SQLDrivers:
    """Keeps one row a driver.

    Args:
        database: Where they are.
        lease_s: How long a lease is, in seconds.
        reopen: Makes another way to the same database.
    """

    def __init__(self, database: Database, lease_s: float, reopen: Callable[[], Database]) -> None:
        self._database = database
        self._dialect = database.dialect.name
        self._statements = StatementCache(database.dialect)
        self._reopen = reopen
        self.lease_s = lease_s

    async def beat(self, driver_id: str, about: str) -> None:
        """Begin a driver's lease, or prolong it."""
        values = {
            "new_driver_id": driver_id,
            "new_about": about,
            "lease_ms": int(self.lease_s * 1000),
        }
        statement = self._statements.get(("beat",), lambda: _beat(self._dialect))
        await self._database.change(statement, values, what=f"prolong the lease of {driver_id!r}")

    async def find(self, driver_id: str) -> DriverFacts | None:
        """Return what is known of a driver."""
        found = await self._database.fetch(
            self._statements.get(("find",), _find),
            {"of_driver_id": driver_id},
            what=f"read driver {driver_id!r}",
            is_point=True,
        )
        return DriverFacts(*found[0]) if found else None

    async def list_drivers(self) -> list[DriverFacts]:
        """Return those that hold a lease, or did not long ago."""
        statement = self._statements.get(("list",), lambda: select(*_HEARD))
        found = await self._database.fetch(statement, {}, what="read the drivers' leases")
        return [DriverFacts(*row) for row in found]

    async def release(self, owner: str) -> None:
        """Let others have at once what is claimed under a name."""
        await self._database.change(
            self._statements.get(("release runs",), _release_runs),
            {"of_owner": owner, "new_owner": None},
            what=f"release runs of {owner!r}",
        )

    async def forget(self, driver_id: str) -> None:
        """Remove a driver, and those whose lease ended long ago."""
        await self._database.change(
            self._statements.get(("forget",), lambda: _forget(self._dialect)),
            {"of_driver_id": driver_id, "kept_ms": _KEPT_MS},
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


def is_over(dialect: str, table: Table, *, is_shared: bool) -> ColumnElement[bool]:
    """Return the condition that the driver of a run's owner has no lease, or no longer one.

    In a database that no other process sees there are none: a claim holds until it is given up.
    """
    if not is_shared:
        return false()
    now = database_clock(dialect)
    has_lease = exists().where(_columns.driver_id == driver_of(table), _columns.lease_until >= now)
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
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    until = database_clock(dialect) + bindparam("lease_ms", type_=BigInteger)
    statement = insert(drivers).values(
        driver_id=named("new_driver_id", _columns.driver_id),
        about=named("new_about", _columns.about),
        lease_until=until,
    )
    return statement.on_conflict_do_update(
        index_elements=["driver_id"],
        set_={"lease_until": statement.excluded.lease_until, "about": statement.excluded.about},
    )


def _find() -> Select[str, str, int]:
    return select(*_HEARD).where(_columns.driver_id == named("of_driver_id", _columns.driver_id))


def _release_runs() -> Update:
    owner = runs.c.owner
    return (
        update(runs)
        .where(owner == named("of_owner", owner))
        .values(owner=named("new_owner", owner))
    )


def _forget(dialect: str) -> Delete:
    kept = bindparam("kept_ms", type_=BigInteger)
    return delete(drivers).where(
        or_(
            _columns.driver_id == named("of_driver_id", _columns.driver_id),
            _columns.lease_until + kept < database_clock(dialect),
        )
    )
