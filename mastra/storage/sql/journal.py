"""Statements on journals, which the two databases lay out differently."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Delete, Integer, Select, and_, delete, literal_column, select

from mastra.storage.sql.database import EncodedRow
from mastra.storage.sql.run_statements import is_run
from mastra.storage.sql.statements import matches, named
from mastra.storage.sql.tables import journal, run_journal, runs

__all__ = [
    "APPEND_ALL_TO_POSTGRES",
    "APPEND_TO_POSTGRES",
    "FIND_PLACE_IN_SQLITE",
    "LAST_IN_POSTGRES",
    "LAST_IN_SQLITE",
    "LOCK_IN_POSTGRES",
    "OWNED_ALL_IN_POSTGRES",
    "OWNED_IN_POSTGRES",
    "PUT_IN_SQLITE",
    "PUT_OWNED_IN_SQLITE",
    "already_there",
    "delete_journal_keys",
    "load_journal",
]

FIND_PLACE_IN_SQLITE = """
SELECT run_key, coalesce((
    SELECT max(position) FROM mastra_workflow_journal
    WHERE position >= run_key << 32 AND position < (run_key + 1) << 32
), (run_key << 32) - 1) + 1, owner
FROM mastra_workflow_runs WHERE workflow_id = ? AND run_id = ?
"""
"""Gives a run's key, its next position and who drives it."""

PUT_IN_SQLITE = (
    "INSERT INTO mastra_workflow_journal (position, key, data) "
    "SELECT ?, ?, ? FROM mastra_workflow_runs WHERE run_key = ?"
)
"""Adds a row at a known place, unless its run has been deleted."""

PUT_OWNED_IN_SQLITE = (
    "INSERT INTO mastra_workflow_journal (position, key, data) SELECT ?, ?, ? "
    "FROM mastra_workflow_runs INDEXED BY mastra_workflow_runs_driver "
    "WHERE run_key = ? AND owner = ?"
)
"""The same, if the run is still its driver's. The index spares reading past a large input."""

LAST_IN_SQLITE = (
    "SELECT key, data FROM mastra_workflow_journal WHERE position >= ? << 32 AND position < ? "
    "ORDER BY position DESC LIMIT ?"
)
"""Gives the last rows of a run before a position, the last first."""

APPEND_TO_POSTGRES = (
    "INSERT INTO mastra_workflow_journal (run_key, key, data) "
    "SELECT run_key, $3, $4 FROM mastra_workflow_runs WHERE workflow_id = $1 AND run_id = $2"
)

APPEND_ALL_TO_POSTGRES = """
INSERT INTO mastra_workflow_journal (run_key, key, data)
SELECT run_key, added.key, added.data
FROM mastra_workflow_runs, unnest($3::text[], $4::text[]) WITH ORDINALITY AS added(key, data, place)
WHERE workflow_id = $1 AND run_id = $2
ORDER BY place
"""

OWNED_IN_POSTGRES = (
    "INSERT INTO mastra_workflow_journal (run_key, key, data) "
    "SELECT run_key, $3, $4 FROM mastra_workflow_runs "
    "WHERE workflow_id = $1 AND run_id = $2 AND owner = $5 FOR SHARE"
)
"""Adds a row if the run is still its driver's. Who claims the run meanwhile waits for the end."""

OWNED_ALL_IN_POSTGRES = """
WITH owned AS (
    SELECT run_key FROM mastra_workflow_runs
    WHERE workflow_id = $1 AND run_id = $2 AND owner = $5 FOR SHARE
)
INSERT INTO mastra_workflow_journal (run_key, key, data)
SELECT run_key, added.key, added.data
FROM owned, unnest($3::text[], $4::text[]) WITH ORDINALITY AS added(key, data, place)
ORDER BY place
"""

LOCK_IN_POSTGRES = (
    "SELECT run_key, owner FROM mastra_workflow_runs WHERE workflow_id = $1 AND run_id = $2 "
    "FOR NO KEY UPDATE"
)
"""Keeps a run from being claimed, and waits for what is being appended to it."""

LAST_IN_POSTGRES = (
    "SELECT key, data FROM mastra_workflow_journal WHERE run_key = $1 "
    "ORDER BY position DESC LIMIT $2"
)
"""Gives the last rows of a run, the last first."""


def already_there(rows: Sequence[EncodedRow], last: Sequence[EncodedRow]) -> int:
    """Return how many of the rows to add are there already, by the last rows of the journal.

    Args:
        rows: What to add, the first first.
        last: What is there, the last first.
    """
    stored = [(key, data) for key, data in reversed(last)]
    for count in range(min(len(rows), len(stored)), 0, -1):
        if stored[-count:] == [*rows[:count]]:
            return count
    return 0


def load_journal(dialect: str) -> Select[int, str, str]:
    """Build the query for a run's rows after a position, in order."""
    if dialect == "sqlite":
        rows, belongs = journal, _lies_in_run(runs.c.run_key)
    else:
        rows, belongs = run_journal, run_journal.c.run_key == runs.c.run_key
    position = rows.c.position
    return (
        select(position, rows.c.key, rows.c.data)
        .select_from(runs.join(rows, belongs))
        .where(is_run(), position > named("after", position))
        .order_by(position)
    )


def delete_journal_keys(dialect: str, count: int) -> Delete:
    """Build the statement that removes the rows of some operations of a run."""
    run_key = select(runs.c.run_key).where(is_run()).scalar_subquery()
    if dialect == "sqlite":
        rows, belongs = journal, _lies_in_run(run_key)
    else:
        rows, belongs = run_journal, run_journal.c.run_key == run_key
    return delete(rows).where(belongs, rows.c.key.in_(matches("key", rows.c.key, count)))


def _lies_in_run(run_key: ColumnElement[int]) -> ColumnElement[bool]:
    bits = literal_column("32", Integer)
    first = run_key.bitwise_lshift(bits)
    end = (run_key + literal_column("1", Integer)).bitwise_lshift(bits)
    return and_(journal.c.position >= first, journal.c.position < end)
