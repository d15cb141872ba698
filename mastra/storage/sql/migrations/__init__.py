"""Steps from an empty database to the latest schema. Forward only; what was released is final."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from sqlalchemy.engine import Dialect

from mastra.errors import StorageError
from mastra.storage.sql.migrations.v1_workflows import workflow_tables
from mastra.storage.sql.migrations.v2_agents import agent_tables
from mastra.storage.sql.migrations.v3_memory import memory_tables
from mastra.storage.sql.migrations.v4_agent_claims import agent_claims
from mastra.storage.sql.migrations.v5_vectors import vector_tables
from mastra.storage.sql.migrations.v6_drivers import driver_tables
from mastra.storage.sql.migrations.v7_evals import eval_tables
from mastra.storage.sql.migrations.v8_answers import answers
from mastra.storage.sql.migrations.v9_agent_runs import agent_runs_as_runs
from mastra.storage.sql.migrations.v10_observability import observability_tables
from mastra.storage.sql.migrations.v11_schedules import schedule_tables
from mastra.storage.sql.migrations.v12_flow import flow_tables
from mastra.storage.sql.migrations.v13_costs import costs
from mastra.storage.sql.migrations.v14_json_fields import json_fields
from mastra.storage.sql.migrations.v15_work import work_table
from mastra.storage.sql.migrations.v16_lease_lengths import lease_lengths

__all__ = ["LATEST", "MIGRATIONS", "VERSION_TABLE", "Migration", "pending", "sql_of"]

VERSION_TABLE = """
CREATE TABLE IF NOT EXISTS mastra_schema_version (
    version INTEGER NOT NULL PRIMARY KEY,
    applied_at BIGINT NOT NULL
)
"""
"""Has one row for each migration that was applied."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step."""

    version: int
    statements: Callable[[Dialect], list[str]]
    """Gives the SQL to run, in order, in one transaction."""


MIGRATIONS = (
    Migration(1, workflow_tables),
    Migration(2, agent_tables),
    Migration(3, memory_tables),
    Migration(4, agent_claims),
    Migration(5, vector_tables),
    Migration(6, driver_tables),
    Migration(7, eval_tables),
    Migration(8, answers),
    Migration(9, agent_runs_as_runs),
    Migration(10, observability_tables),
    Migration(11, schedule_tables),
    Migration(12, flow_tables),
    Migration(13, costs),
    Migration(14, json_fields),
    Migration(15, work_table),
    Migration(16, lease_lengths),
)
LATEST = MIGRATIONS[-1].version


@cache
def sql_of(step: Migration, dialect: Dialect) -> tuple[str, ...]:
    """Return the statements of a migration, in order.

    They are put together once: that takes longer than SQLite takes to run them, and a program may
    open many databases, such as one for each of its tests.
    """
    return tuple(step.statements(dialect))


def pending(version: int, *, to: int = LATEST) -> list[Migration]:
    """Return the migrations that a database at some version still needs.

    Raises:
        StorageError: The database is ahead of this program.
    """
    if version > LATEST:
        raise StorageError(
            f"The database has schema version {version}, and this version of mastra-py knows "
            f"{LATEST} at most. Upgrade mastra-py, or use another database.",
            details={"found": version, "known": LATEST},
        )
    return [step for step in MIGRATIONS if version < step.version <= to]
