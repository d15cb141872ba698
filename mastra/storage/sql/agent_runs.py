"""Runs of agents that wait for somebody's answer, in a SQL database."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Delete, Select, Update, delete, select, update

from mastra.clock import Clock, SystemClock
from mastra.jsonable import Json, dump_json, load_json
from mastra.storage.sql.database import Database
from mastra.storage.sql.statements import StatementCache, named, upsert
from mastra.storage.sql.tables import agent_runs

__all__ = ["SQLAgentRuns"]

_columns = agent_runs.c
_SAVED = ("run_id", "agent_id", "saved_at", "is_waiting", "record")


class SQLAgentRuns:
    """Keeps one record a run, as JSON, and whether it waits.

    Args:
        database: Where they are.
        clock: Where times come from.
    """

    def __init__(self, database: Database, *, clock: Clock | None = None) -> None:
        self._database = database
        self._statements = StatementCache(database.dialect)
        self._clock = clock or SystemClock()

    async def save_agent_run(self, run_id: str, agent_id: str, record: Mapping[str, Json]) -> None:
        """Store a record as waiting, in place of an older one of the run."""
        whole = {**record, "agentId": agent_id, "runId": run_id}
        values = {
            "new_run_id": run_id,
            "new_agent_id": agent_id,
            "new_saved_at": int(self._clock.time() * 1000),
            "new_is_waiting": True,
            "new_record": dump_json(whole, what=f"Run {run_id!r} of agent {agent_id!r}").decode(),
        }
        statement = self._statements.get(
            ("save",),
            lambda: upsert(agent_runs, _SAVED, "run_id", self._database.dialect.name),
        )
        await self._database.change(statement, values, what=f"store agent run {run_id!r}")

    async def claim_agent_run(self, run_id: str) -> dict[str, Json] | None:
        """Return a record that waits and mark it as taken; one of several callers wins."""
        if not await self._mark(run_id, is_waiting=False):
            return None
        found = await self._database.fetch(
            self._statements.get(("read",), _read),
            {"of_run_id": run_id},
            what=f"read agent run {run_id!r}",
            is_point=True,
        )
        return load_json(found[0][0]) if found else None

    async def release_agent_run(self, run_id: str) -> None:
        """Mark a record that was taken as waiting again."""
        await self._mark(run_id, is_waiting=True)

    async def _mark(self, run_id: str, *, is_waiting: bool) -> bool:
        values = {
            "of_run_id": run_id,
            "new_is_waiting": is_waiting,
            "expected_is_waiting": not is_waiting,
        }
        statement = self._statements.get(("mark",), _mark)
        what = f"update agent run {run_id!r}"
        return await self._database.change(statement, values, what=what) == 1

    async def delete_agent_run(self, run_id: str) -> None:
        """Delete a record, if there is one."""
        await self._database.change(
            self._statements.get(("delete",), _delete),
            {"of_run_id": run_id},
            what=f"delete agent run {run_id!r}",
        )

    async def list_agent_runs(self, agent_id: str) -> list[dict[str, Json]]:
        """Return an agent's records that wait, the latest first."""
        found = await self._database.fetch(
            self._statements.get(("list",), _list),
            {"of_agent_id": agent_id, "expected_is_waiting": True},
            what=f"list runs of agent {agent_id!r}",
        )
        return [load_json(record) for (record,) in found]


def _read() -> Select[str]:
    return select(_columns.record).where(_columns.run_id == named("of_run_id", _columns.run_id))


def _mark() -> Update:
    waiting = _columns.is_waiting
    return (
        update(agent_runs)
        .where(
            _columns.run_id == named("of_run_id", _columns.run_id),
            waiting == named("expected_is_waiting", waiting),
        )
        .values(is_waiting=named("new_is_waiting", waiting))
    )


def _delete() -> Delete:
    return delete(agent_runs).where(_columns.run_id == named("of_run_id", _columns.run_id))


def _list() -> Select[str]:
    waiting = _columns.is_waiting
    return (
        select(_columns.record)
        .where(
            _columns.agent_id == named("of_agent_id", _columns.agent_id),
            waiting == named("expected_is_waiting", waiting),
        )
        .order_by(_columns.saved_at.desc(), _columns.run_key.desc())
    )
