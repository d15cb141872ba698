"""Runs and their journals in a SQL database."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Any

from mastra.clock import Clock, now_ms
from mastra.jsonable import Json, dump_json
from mastra.storage.base import JournalRow, RunChanges, RunHead, RunPage, StoredRow, UnledRun
from mastra.storage.damage import RowReader
from mastra.storage.sql import run_statements as build
from mastra.storage.sql.database import Database, Row
from mastra.storage.sql.flow import SQLFlow
from mastra.storage.sql.journal import delete_journal_keys, load_journal
from mastra.storage.sql.leases import SQLDrivers
from mastra.storage.sql.statements import in_chunks, insert_new, padded
from mastra.storage.sql.store import SQLStore
from mastra.storage.sql.tables import HEAD_COLUMNS, JSON_COLUMNS, runs

__all__ = ["SQLWorkflowStore"]

_DELETED_AT_ONCE = 200
"""Runs a transaction when old ones are removed, so that other writers get their turn."""

_TIMES = frozenset({"created_at", "updated_at", "lease_until"})
_OBJECTS = frozenset({"error", "state", "request_context", "data"})


class SQLWorkflowStore(SQLStore):
    """Keeps runs in two tables: one row a run, rewritten, and one an operation, appended.

    Args:
        database: Where they are.
        drivers: Who drives them.
        clock: Where times come from. Leases have the database's own.
    """

    def __init__(
        self, database: Database, drivers: SQLDrivers, *, clock: Clock | None = None
    ) -> None:
        super().__init__(database)
        self._drivers = drivers
        self._clock = clock
        self.flow = SQLFlow(database)
        """Which runs wait to begin."""

    quiet = None

    @property
    def is_shared(self) -> bool:
        """Whether another process can see the runs."""
        return self._database.is_shared

    @property
    def drivers(self) -> SQLDrivers | None:
        """Who drives them."""
        return self._drivers if self._database.is_shared else None

    async def open(self) -> None:
        """Connect, and bring the schema up to date."""
        await self._database.open()

    async def aclose(self) -> None:
        """Close the database."""
        await self._database.aclose()

    def _now(self) -> int:
        return now_ms() if self._clock is None else int(self._clock.now() * 1000)

    async def create_run(self, head: RunHead) -> bool:
        """Store a run unless its id is taken."""
        now = self._now()
        values = _encode({name: getattr(head, name) for name in HEAD_COLUMNS}, head.run_id)
        values["new_created_at"] = head.created_at or now
        values["new_updated_at"] = head.updated_at or now
        statement = self._statements.get(
            insert_new, runs, HEAD_COLUMNS, ("workflow_id", "run_id"), self._dialect
        )
        what = f"store {_name(head.workflow_id, head.run_id)}"
        return await self._database.change(statement, values, what=what) == 1

    async def get_run(self, workflow_id: str, run_id: str) -> RunHead | None:
        """Return a run's head."""
        found = await self._database.fetch(
            self._statements.get(build.select_run),
            _run(workflow_id, run_id),
            what=f"read {_name(workflow_id, run_id)}",
            is_point=True,
        )
        return _decode(found[0]) if found else None

    async def update_run(
        self,
        workflow_id: str,
        run_id: str,
        changes: RunChanges,
        *,
        expected_status: Collection[str] | None = None,
        expected_owner: str | None = None,
        expected_updated_at: int | None = None,
    ) -> bool:
        """Rewrite columns if the expectations are met, in one statement."""
        values = _encode({"updated_at": self._now(), **changes}, run_id)
        names = tuple(sorted({"updated_at", *changes}))
        count = None
        if expected_status is not None:
            count, statuses = padded("status", list(expected_status))
            values |= statuses
        is_now = "updated_at" not in changes
        expected = {"owner": expected_owner, "updated_at": expected_updated_at}
        held = tuple(name for name, value in expected.items() if value is not None)
        statement = self._statements.get(build.update_run, names, count, held, is_now=is_now)
        values |= _run(workflow_id, run_id)
        values |= {f"expected_{name}": expected[name] for name in held}
        what = f"update {_name(workflow_id, run_id)}"
        return await self._database.change(statement, values, what=what) == 1

    async def keep_answer(
        self, workflow_id: str, run_id: str, answer: Json, *, expected_status: Collection[str]
    ) -> bool:
        """Add an answer behind those that are kept, in one statement."""
        count, values = padded("status", list(expected_status))
        statement = self._statements.get(build.keep_answer, count)
        values |= _run(workflow_id, run_id)
        values |= _encode({"answers": [answer]}, run_id)
        what = f"keep an answer to {_name(workflow_id, run_id)}"
        return await self._database.change(statement, values, what=what) == 1

    def append(
        self,
        workflow_id: str,
        run_id: str,
        rows: Sequence[JournalRow],
        *,
        owner: str | None = None,
        is_again: bool = False,
    ) -> Awaitable[None] | None:
        """Add rows to a run's journal; they are committed when it returns or is awaited."""
        if not rows:
            return None
        encoded = [(row.key, row.encode().decode()) for row in rows]
        return self._database.append(workflow_id, run_id, encoded, owner=owner, is_again=is_again)

    async def load_rows(self, workflow_id: str, run_id: str, after: int = -1) -> list[StoredRow]:
        """Return a run's journal from a position on, in order."""
        found = await self._database.fetch(
            self._statements.get(load_journal, self._dialect),
            {**_run(workflow_id, run_id), "after": after},
            what=f"read the journal of {_name(workflow_id, run_id)}",
        )
        return [
            # Text that SQLite could not decode comes as bytes.
            StoredRow(position, str(key), data if isinstance(data, bytes) else str(data).encode())
            for position, key, data in found
        ]

    async def delete_rows(self, workflow_id: str, run_id: str, keys: Collection[str]) -> None:
        """Remove the rows of some operations, all or none."""
        deletions = [
            (
                self._statements.get(delete_journal_keys, self._dialect, count),
                values | _run(workflow_id, run_id),
            )
            for count, values in (padded("key", chunk) for chunk in in_chunks(list(keys)))
        ]
        if deletions:
            what = f"remove rows of {_name(workflow_id, run_id)}"
            await self._database.change_all(deletions, what=what)

    async def list_runs(
        self,
        workflow_id: str | None = None,
        *,
        status: Collection[str] | None = None,
        resource_id: str | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> RunPage:
        """Return runs, the newest first."""
        exact: dict[str, object] = {
            "of_workflow_id": workflow_id,
            "of_resource_id": resource_id,
            "from_ms": from_ms,
            "to_ms": to_ms,
        }
        values = {name: value for name, value in exact.items() if value is not None}
        filters = tuple((name, 1) for name in values)
        if status is not None:
            count, statuses = padded("status", list(status))
            filters += (("status", count),)
            values |= statuses
        has_limit = limit is not None
        page = self._statements.get(build.list_runs, filters, has_limit=has_limit)
        total = self._statements.get(build.count_runs, filters)
        [[count]] = await self._database.fetch(total, values, what="count runs")
        found = await self._database.fetch(
            page, {**values, "limit": limit, "offset": offset}, what="list runs"
        )
        return RunPage([_decode(row) for row in found], count)

    async def list_waiting(
        self,
        workflow_ids: Collection[str],
        agent_id: str,
        *,
        thread_id: str | None = None,
        resource_id: str | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> RunPage:
        """Return an agent's runs that wait, the latest to wait first."""
        wanted: dict[str, object] = {
            "thread_id": thread_id,
            "of_resource_id": resource_id,
            "from_ms": from_ms,
            "to_ms": to_ms,
        }
        values = {name: value for name, value in wanted.items() if value is not None}
        filters = tuple(values)
        count, workflows = padded("workflow_id", list(workflow_ids))
        values |= workflows
        values["agent_id"] = agent_id
        values |= {"waiting_status": "suspended", "answered_status": "running"}
        built = (self._dialect, count, filters)
        page = self._statements.get(build.list_waiting, *built, has_limit=limit is not None)
        total = self._statements.get(build.count_waiting, *built)
        what = f"list the runs of agent {agent_id!r} that wait"
        [[count]] = await self._database.fetch(total, values, what=what)
        values |= {"limit": limit, "offset": offset}
        found = await self._database.fetch(page, values, what=what)
        return RunPage([_decode(row) for row in found], count)

    async def delete_run(self, workflow_id: str, run_id: str) -> bool:
        """Remove a run with its journal."""
        statement = self._statements.get(build.delete_run)
        what = f"delete {_name(workflow_id, run_id)}"
        values = _run(workflow_id, run_id)
        return await self._database.change_all([(statement, values)], what=what) == [1]

    async def delete_runs_before(
        self, before_ms: int, *, statuses: Collection[str], workflow_id: str | None = None
    ) -> int:
        """Remove runs in these states that were last updated before a time, in small batches."""
        count, values = padded("status", list(statuses))
        filters: tuple[build.Filter, ...] = (("status", count),)
        values |= {"before": before_ms, "limit": _DELETED_AT_ONCE}
        if workflow_id is not None:
            filters += (("of_workflow_id", 1),)
            values["of_workflow_id"] = workflow_id
        statement = self._statements.get(build.delete_old_runs, filters)
        total = 0
        while True:
            [deleted] = await self._database.change_all(
                [(statement, values)], what="delete old runs"
            )
            total += deleted
            if deleted < _DELETED_AT_ONCE:
                return total

    async def claim(
        self,
        workflow_id: str,
        run_id: str,
        owner: str,
        *,
        dead_owners: Collection[str] = (),
    ) -> bool:
        """Make a claim the one under which a run is driven, in one statement."""
        count, values = padded("owner", list(dead_owners))
        is_shared = self._database.is_shared
        statement = self._statements.get(build.claim_run, self._dialect, count, is_shared=is_shared)
        values |= _run(workflow_id, run_id)
        values |= {"new_owner": owner, "new_lease_until": 0}
        what = f"claim {_name(workflow_id, run_id)}"
        return await self._database.change(statement, values, what=what) == 1

    async def list_unled(
        self, workflow_ids: Collection[str], *, dead_drivers: Collection[str] = (), limit: int
    ) -> list[UnledRun]:
        """Return runs that are under way and that nobody drives, the oldest first."""
        count, values = padded("workflow_id", list(workflow_ids))
        dead_count, dead = padded("owner", list(dead_drivers))
        statement = self._statements.get(build.list_unled, self._dialect, count, dead_count)
        values |= dead
        values |= {"limit": limit, "status_0": "running", "status_1": "waiting"}
        values["waiting_status"] = "suspended"
        found = await self._database.fetch(statement, values, what="look for runs to go on with")
        return [UnledRun(*row) for row in found]


def _run(workflow_id: str, run_id: str) -> dict[str, object]:
    return {"of_workflow_id": workflow_id, "of_run_id": run_id}


def _name(workflow_id: str, run_id: str) -> str:
    return f"run {run_id!r} of workflow {workflow_id!r}"


def _encode(columns: Mapping[str, object], run_id: str) -> dict[str, object]:
    """Return columns of a head as parameters, `new_<column>`."""
    values: dict[str, object] = {}
    for name, value in columns.items():
        is_json = name in JSON_COLUMNS and value is not None
        values[f"new_{name}"] = (
            dump_json(value, what=f"{name} of run {run_id!r}").decode() if is_json else value
        )
    if "answers" in columns:
        written = dump_json(columns["answers"], what=f"answers to run {run_id!r}").decode()
        values["new_answers"] = written[1:-1] or None
    return values


def _decode(row: Row) -> RunHead:
    columns: dict[str, Any] = dict(zip(HEAD_COLUMNS, row, strict=True))
    reader = RowReader(_name(str(columns["workflow_id"]), str(columns["run_id"])))
    for name, value in columns.items():
        if name in _TIMES:
            columns[name] = reader.moment(name, value)
        elif name == "answers":
            text = reader.text(name, value or "")
            columns[name] = reader.json(name, f"[{text}]", list[Any](), list)
        elif name in JSON_COLUMNS:
            is_object = name in _OBJECTS
            if value is not None:
                kind = dict if is_object else None
                default = dict[str, Any]() if is_object and name != "error" else None
                columns[name] = reader.json(name, value, default, kind)
        elif value is not None:
            columns[name] = reader.text(name, value)
    return RunHead(**columns, damage="; ".join(reader.faults) or None)
