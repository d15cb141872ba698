"""Runs of agents that wait for somebody's answer, in a SQL database."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, Delete, Select, Update, delete, false, or_, select, update
from sqlalchemy.sql.dml import Insert

from mastra.clock import Clock, current_clock
from mastra.errors import StorageError
from mastra.jsonable import Json, dump_json
from mastra.storage.agent_runs import check_id_is_own
from mastra.storage.damage import RowReader, unreadable
from mastra.storage.sql import leases
from mastra.storage.sql.database import Database
from mastra.storage.sql.leases import SQLDrivers
from mastra.storage.sql.statements import StatementCache, matches, named, padded, upsert
from mastra.storage.sql.tables import agent_runs

__all__ = ["SQLAgentRuns"]

_columns = agent_runs.c
_SAVED = ("run_id", "agent_id", "saved_at", "is_waiting", "record", "owner", "lease_until")


class SQLAgentRuns:
    """Keeps one record a run, as JSON, and who has claimed it.

    Args:
        database: Where they are.
        drivers: Who goes on with them.
        clock: Where times come from. Leases have the database's own.
    """

    def __init__(
        self, database: Database, drivers: SQLDrivers, *, clock: Clock | None = None
    ) -> None:
        self._database = database
        self._drivers = drivers
        self._statements = StatementCache(database.dialect)
        self._clock = clock or current_clock.get()

    @property
    def drivers(self) -> SQLDrivers | None:
        """Who goes on with runs."""
        return self._drivers if self._database.is_shared else None

    async def save_agent_run(
        self,
        run_id: str,
        agent_id: str,
        record: Mapping[str, Json],
        *,
        expected_owner: str | None = None,
    ) -> bool:
        """Store a record as waiting, in place of an older one of the run."""
        whole = {**record, "agentId": agent_id, "runId": run_id}
        values: dict[str, object] = {
            "new_run_id": run_id,
            "new_agent_id": agent_id,
            "new_saved_at": int(self._clock.now() * 1000),
            "new_is_waiting": True,
            "new_record": dump_json(whole, what=f"Run {run_id!r} of agent {agent_id!r}").decode(),
            "new_owner": None,
            "new_lease_until": 0,
        }
        what = f"store agent run {run_id!r}"
        is_owned = expected_owner is not None
        statement = self._statements.get(
            ("save", is_owned), functools.partial(_save, self._database.dialect.name, is_owned)
        )
        if is_owned:
            values["expected_owner"] = expected_owner
            return await self._database.change(statement, values, what=what) == 1
        values["seen_record"] = ""
        while await self._database.change(statement, values, what=what) != 1:
            # There is one under that id; it is replaced only as it was when it was looked at.
            known = await self._read(run_id)
            values["seen_record"] = "" if known is None else known[0]
            if known is not None:
                check_id_is_own(run_id, agent_id, record, _readable(run_id, known[0]))
        return True

    async def get_agent_run(self, run_id: str) -> dict[str, Json] | None:
        """Return a record, or `None`."""
        found = await self._read(run_id)
        return None if found is None else _readable(run_id, found[0])

    async def claim_agent_run(
        self,
        run_id: str,
        owner: str,
        *,
        dead_owners: Collection[str] = (),
        agent_id: str | None = None,
    ) -> dict[str, Json] | None:
        """Return a record that waits and make it somebody's; one of several callers wins."""
        count, values = padded("dead", list(dead_owners))
        values |= {
            "of_run_id": run_id,
            "new_owner": owner,
            "new_lease_until": 0,
            "new_is_waiting": False,
        }
        if agent_id is not None:
            values["of_agent_id"] = agent_id
        of_agent = agent_id is not None
        statement = self._statements.get(
            ("claim", count, of_agent),
            functools.partial(_claim, self._database, count, of_agent),
        )
        what = f"claim agent run {run_id!r}"
        if await self._database.change(statement, values, what=what) != 1:
            return None
        found = await self._read(run_id)
        try:
            return None if found is None else _readable(run_id, found[0])
        except StorageError:
            await self.release_agent_run(run_id, owner)
            raise

    async def agent_run_owner(self, run_id: str) -> str | None:
        """Return who has claimed a run."""
        found = await self._read(run_id)
        return None if found is None else found[1]

    async def _read(self, run_id: str) -> tuple[str, str | None] | None:
        found = await self._database.fetch(
            self._statements.get(("read",), _read),
            {"of_run_id": run_id},
            what=f"read agent run {run_id!r}",
            is_point=True,
        )
        return (found[0][0], found[0][1]) if found else None

    async def release_agent_run(self, run_id: str, owner: str) -> None:
        """Let a run wait again."""
        values = {
            "of_run_id": run_id,
            "expected_owner": owner,
            "new_is_waiting": True,
            "new_owner": None,
        }
        statement = self._statements.get(("release",), _release)
        await self._database.change(statement, values, what=f"release agent run {run_id!r}")

    async def delete_agent_run(self, run_id: str, owner: str | None = None) -> None:
        """Delete a record, if there is one."""
        values: dict[str, object] = {"of_run_id": run_id}
        if owner is not None:
            values["expected_owner"] = owner
        is_owned = owner is not None
        await self._database.change(
            self._statements.get(("delete", is_owned), functools.partial(_delete, is_owned)),
            values,
            what=f"delete agent run {run_id!r}",
        )

    async def list_agent_runs(self, agent_id: str) -> list[dict[str, Json]]:
        """Return an agent's records that wait, the latest first."""
        found = await self._database.fetch(
            self._statements.get(("list",), functools.partial(_list, self._database)),
            {"of_agent_id": agent_id, "expected_is_waiting": True},
            what=f"list runs of agent {agent_id!r}",
        )
        return [_listed(agent_id, *row) for row in found]


def _readable(run_id: str, record: str) -> dict[str, Json]:
    """Return a record.

    Raises:
        StorageError: It cannot be read.
    """
    reader = RowReader(f"Run {run_id!r} of an agent")
    found = _decode(reader, record)
    if reader.faults:
        raise unreadable(f"Run {run_id!r} of an agent", "; ".join(reader.faults))
    return found


def _listed(agent_id: str, run_id: object, saved_at: object, record: str) -> dict[str, Json]:
    reader = RowReader(f"Run {run_id!r} of agent {agent_id!r}")
    found = _decode(reader, record)
    if not reader.faults:
        return found
    known: dict[str, Json] = {
        "runId": reader.text("run_id", run_id),
        "agentId": agent_id,
        "createdAt": reader.moment("saved_at", saved_at),
    }
    return {**known, "error": reader.error}


def _decode(reader: RowReader, record: str) -> dict[str, Json]:
    found = reader.json("record", record, dict[str, Json]())
    if not reader.faults and not {"runId", "agentId"} <= found.keys():
        reader.faults.append("its record is not that of a run")
    return found


def _is_run() -> ColumnElement[bool]:
    return _columns.run_id == named("of_run_id", _columns.run_id)


def _is_owned() -> ColumnElement[bool]:
    return _columns.owner == named("expected_owner", _columns.owner)


def _is_over(database: Database) -> ColumnElement[bool]:
    return leases.is_over(database.dialect.name, agent_runs, is_shared=database.is_shared)


def _save(dialect: str, is_owned: bool) -> Insert:
    is_seen = _columns.record == named("seen_record", _columns.record)
    where = _is_owned() if is_owned else is_seen
    return upsert(agent_runs, _SAVED, "run_id", dialect, where=where)


def _is_of_agent() -> ColumnElement[bool]:
    return _columns.agent_id == named("of_agent_id", _columns.agent_id)


def _claim(database: Database, dead_owners: int, of_agent: bool) -> Update:
    owner, waiting = _columns.owner, _columns.is_waiting
    is_dead = owner.in_(matches("dead", owner, dead_owners)) if dead_owners else false()
    return (
        update(agent_runs)
        .where(_is_run(), *((_is_of_agent(),) if of_agent else ()))
        .where(or_(waiting, is_dead, _is_over(database)))
        .values(
            is_waiting=named("new_is_waiting", waiting),
            owner=named("new_owner", owner),
            lease_until=named("new_lease_until", _columns.lease_until),
        )
    )


def _read() -> Select[str, str]:
    return select(_columns.record, _columns.owner).where(_is_run())


def _release() -> Update:
    return (
        update(agent_runs)
        .where(_is_run(), _is_owned())
        .values(
            is_waiting=named("new_is_waiting", _columns.is_waiting),
            owner=named("new_owner", _columns.owner),
        )
    )


def _delete(is_owned: bool) -> Delete:
    conditions = (_is_run(), _is_owned()) if is_owned else (_is_run(),)
    return delete(agent_runs).where(*conditions)


def _list(database: Database) -> Select[str, int, str]:
    waiting = _columns.is_waiting
    return (
        select(_columns.run_id, _columns.saved_at, _columns.record)
        .where(
            _is_of_agent(),
            or_(waiting == named("expected_is_waiting", waiting), _is_over(database)),
        )
        .order_by(_columns.saved_at.desc(), _columns.run_key.desc())
    )
