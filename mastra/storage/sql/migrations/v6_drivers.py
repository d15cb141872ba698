"""Version 6: who drives runs, in a lease on the database's clock."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, MetaData, Table, Text
from sqlalchemy.engine import Dialect

from mastra.storage.sql.migrations.made import created

__all__ = ["driver_tables"]


def driver_tables(dialect: Dialect) -> list[str]:
    """Return the statements that make the table of drivers.

    The index on owners is no longer asked for: leases are prolonged in the new table. In its
    place comes one that tells whether a run is still its driver's without reading the run.
    """
    drivers = Table(
        "mastra_drivers",
        MetaData(),
        Column("driver_id", Text, primary_key=True),
        Column("about", Text, nullable=False),
        Column("lease_until", BigInteger, nullable=False),
    )
    statements = [*created(dialect, [drivers]), "DROP INDEX mastra_workflow_runs_owner"]
    if dialect.name == "sqlite":
        statements.append(
            "CREATE INDEX mastra_workflow_runs_driver ON mastra_workflow_runs (run_key, owner) "
            "WHERE owner IS NOT NULL"
        )
    return statements
