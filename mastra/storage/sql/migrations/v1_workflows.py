"""Version 1: runs and their journals."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect

from mastra.storage.sql.migrations.made import created, row_key

__all__ = ["workflow_tables"]

_CASCADE_IN_SQLITE = """
CREATE TRIGGER mastra_workflow_runs_delete AFTER DELETE ON mastra_workflow_runs
BEGIN
    DELETE FROM mastra_workflow_journal
    WHERE position >= OLD.run_key << 32 AND position < (OLD.run_key + 1) << 32;
END
"""


def workflow_tables(dialect: Dialect) -> list[str]:
    """Return the statements that make the tables of workflow runs."""
    metadata = MetaData()
    runs = _runs(metadata)
    if dialect.name == "sqlite":
        journal, extra = _journal_of_sqlite(metadata), [_CASCADE_IN_SQLITE]
    else:
        journal, extra = _journal_of_postgres(metadata), []
    indexes = sorted(runs.indexes, key=lambda index: str(index.name))
    return [*created(dialect, [runs, journal], indexes), *extra]


def _runs(metadata: MetaData) -> Table:
    # AUTOINCREMENT: SQLite would give the key of a deleted run to the next one, and a process
    # that still drives the deleted run would write into the other's journal.
    runs = Table(
        "mastra_workflow_runs",
        metadata,
        row_key("run_key"),
        Column("workflow_id", Text, nullable=False),
        Column("run_id", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("resource_id", Text),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
        Column("input", Text),
        Column("result", Text),
        Column("error", Text),
        Column("state", Text),
        Column("request_context", Text),
        Column("owner", Text),
        Column("lease_until", BigInteger, nullable=False),
        Column("data", Text),
        UniqueConstraint("workflow_id", "run_id"),
        sqlite_autoincrement=True,
    )
    columns = runs.c
    Index("mastra_workflow_runs_created", columns.created_at)
    Index("mastra_workflow_runs_workflow", columns.workflow_id, columns.created_at)
    Index("mastra_workflow_runs_status", columns.status, columns.created_at)
    for name, column in (("resource", columns.resource_id), ("owner", columns.owner)):
        is_set = column.is_not(None)
        Index(
            f"mastra_workflow_runs_{name}",
            column,
            columns.created_at,
            sqlite_where=is_set,
            postgresql_where=is_set,
        )
    return runs


def _journal_of_sqlite(metadata: MetaData) -> Table:
    return Table(
        "mastra_workflow_journal",
        metadata,
        # The upper bits are the key of the run, so a trigger stands in for a foreign key.
        Column("position", Integer, primary_key=True),
        Column("key", Text, nullable=False),
        Column("data", Text, nullable=False),
    )


def _journal_of_postgres(metadata: MetaData) -> Table:
    return Table(
        "mastra_workflow_journal",
        metadata,
        Column(
            "run_key",
            BigInteger,
            ForeignKey("mastra_workflow_runs.run_key", ondelete="CASCADE"),
            primary_key=True,
        ),
        Column("position", BigInteger, Identity(), primary_key=True),
        Column("key", Text, nullable=False),
        Column("data", Text, nullable=False),
    )
