"""Statements on journals, which the two databases lay out differently."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Delete, Integer, Select, and_, delete, literal_column, select

from mastra.storage.sql.run_statements import is_run
from mastra.storage.sql.statements import matches, named
from mastra.storage.sql.tables import journal, run_journal, runs

__all__ = [
    "APPEND_ALL_TO_POSTGRES",
    "APPEND_TO_POSTGRES",
    "FIND_PLACE_IN_SQLITE",
    "PUT_IN_SQLITE",
    "delete_journal_keys",
    "load_journal",
]

FIND_PLACE_IN_SQLITE = """
SELECT run_key, coalesce((
    SELECT max(position) FROM mastra_workflow_journal
    WHERE position >= run_key << 32 AND position < (run_key + 1) << 32
), (run_key << 32) - 1) + 1
FROM mastra_workflow_runs WHERE workflow_id = ? AND run_id = ?
"""
"""Gives a run's key and its next position."""

PUT_IN_SQLITE = (
    "INSERT INTO mastra_workflow_journal (position, key, data) "
    "SELECT ?, ?, ? FROM mastra_workflow_runs WHERE run_key = ?"
)
"""Adds a row at a known place, unless its run has been deleted."""

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
