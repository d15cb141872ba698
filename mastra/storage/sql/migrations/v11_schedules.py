"""Version 11: schedules."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text, UniqueConstraint
from sqlalchemy.engine import Dialect

from mastra.storage.sql.migrations.made import created, row_key

__all__ = ["schedule_tables"]


def schedule_tables(dialect: Dialect) -> list[str]:
    """Return the statements that make the tables of schedules and of their fires."""
    metadata = MetaData()
    schedules = Table(
        "mastra_schedules",
        metadata,
        row_key("schedule_key"),
        Column("id", Text, nullable=False),
        Column("target", Text, nullable=False),
        Column("cron", Text, nullable=False),
        Column("timezone", Text),
        Column("status", Text, nullable=False),
        Column("next_fire_at", BigInteger, nullable=False),
        Column("last_fire_at", BigInteger),
        Column("last_run_id", Text),
        Column("resource_id", Text),
        Column("reserved_by", Text),
        Column("reserved_until", BigInteger, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
        Column("data", Text, nullable=False),
        UniqueConstraint("id"),
    )
    fires = Table(
        "mastra_schedule_triggers",
        metadata,
        row_key("trigger_key"),
        Column("id", Text, nullable=False),
        Column("schedule_id", Text, nullable=False),
        Column("run_id", Text),
        Column("scheduled_at", BigInteger, nullable=False),
        Column("actual_at", BigInteger, nullable=False),
        Column("outcome", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("error", Text),
        Column("data", Text, nullable=False),
        UniqueConstraint("id"),
    )
    indexes = [
        Index("mastra_schedules_due", schedules.c.status, schedules.c.next_fire_at),
        Index("mastra_schedule_triggers_of", fires.c.schedule_id, fires.c.actual_at),
        Index("mastra_schedule_triggers_age", fires.c.actual_at),
    ]
    return created(dialect, [schedules, fires], indexes)
