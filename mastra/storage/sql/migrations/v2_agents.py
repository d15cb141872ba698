"""Version 2: runs of agents that wait for somebody's answer."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, MetaData, Table, Text, UniqueConstraint
from sqlalchemy.engine import Dialect

from mastra.storage.sql.migrations.made import created, row_key

__all__ = ["agent_tables"]


def agent_tables(dialect: Dialect) -> list[str]:
    """Return the statements that make the table of agents' runs."""
    table = Table(
        "mastra_agent_runs",
        MetaData(),
        row_key("run_key"),
        Column("run_id", Text, nullable=False),
        Column("agent_id", Text, nullable=False),
        Column("saved_at", BigInteger, nullable=False),
        Column("is_waiting", Boolean, nullable=False),
        Column("record", Text, nullable=False),
        UniqueConstraint("run_id"),
    )
    index = Index("mastra_agent_runs_agent", table.c.agent_id, table.c.saved_at)
    return created(dialect, [table], [index])
