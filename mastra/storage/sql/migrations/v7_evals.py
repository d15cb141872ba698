"""Version 7: evaluations."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text, UniqueConstraint
from sqlalchemy.engine import Dialect

from mastra.storage.sql.migrations.made import created, row_key

__all__ = ["eval_tables"]


def eval_tables(dialect: Dialect) -> list[str]:
    """Return the statements that make the table of scores, datasets, experiments and feedback."""
    evals = Table(
        "mastra_evals",
        MetaData(),
        row_key("record_key"),
        Column("name", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("parent_id", Text),
        Column("subject", Text),
        Column("run_id", Text),
        Column("trace_id", Text),
        Column("resource_id", Text),
        Column("version", BigInteger, nullable=False),
        Column("valid_to", BigInteger),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
        Column("data", Text, nullable=False),
        UniqueConstraint("name"),
    )
    indexes = [
        Index(f"mastra_evals_{name}", evals.c.kind, evals.c[name], evals.c.record_key)
        for name in ("parent_id", "subject", "run_id", "trace_id", "resource_id")
    ]
    return created(dialect, [evals], indexes)
