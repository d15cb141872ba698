"""Version 12: flow control."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text, UniqueConstraint
from sqlalchemy.engine import Dialect

from mastra.storage.sql.migrations.made import created, row_key

__all__ = ["flow_tables"]


def flow_tables(dialect: Dialect) -> list[str]:
    """Return the statements that make the tables of tickets, and of marks and versions of doors."""
    metadata = MetaData()
    tickets = Table(
        "mastra_flow_tickets",
        metadata,
        row_key("ticket_key"),
        Column("workflow_id", Text, nullable=False),
        Column("run_id", Text, nullable=False),
        Column("door", Text, nullable=False),
        Column("owner", Text, nullable=False),
        Column("rank", BigInteger, nullable=False),
        Column("due_at", BigInteger, nullable=False),
        Column("first_at", BigInteger, nullable=False),
        Column("state", Text, nullable=False),
        Column("lane_a", Text),
        Column("limit_a", BigInteger, nullable=False),
        Column("lane_b", Text),
        Column("limit_b", BigInteger, nullable=False),
        Column("lane_s", Text),
        Column("lane_d", Text),
        Column("lane_t", Text),
        Column("emission_us", BigInteger, nullable=False),
        Column("tolerance_us", BigInteger, nullable=False),
        UniqueConstraint("workflow_id", "run_id"),
    )
    marks = Table(
        "mastra_flow_marks",
        metadata,
        Column("name", Text, primary_key=True),
        Column("value", BigInteger, nullable=False),
    )
    indexes = [
        Index("mastra_flow_tickets_door", tickets.c.door, tickets.c.state, tickets.c.rank),
        Index("mastra_flow_tickets_owner", tickets.c.owner),
    ]
    return created(dialect, [tickets, marks], indexes)
