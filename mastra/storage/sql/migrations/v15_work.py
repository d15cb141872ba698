"""Version 15: which process is at work on which part of a run that a server drives."""

from __future__ import annotations

from sqlalchemy import Column, Index, MetaData, Table, Text
from sqlalchemy.engine import Dialect

from mastra.storage.sql.migrations.made import created

__all__ = ["work_table"]


def work_table(dialect: Dialect) -> list[str]:
    """Return the statements that make the table."""
    work = Table(
        "mastra_run_work",
        MetaData(),
        Column("workflow_id", Text, primary_key=True),
        Column("run_id", Text, primary_key=True),
        Column("part", Text, primary_key=True),
        Column("owner", Text, nullable=False),
    )
    return created(dialect, [work], [Index("mastra_run_work_owner", work.c.owner)])
