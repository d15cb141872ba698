"""Version 16: how long a driver's lease is, so that one that ends later than it can is none."""

from __future__ import annotations

from sqlalchemy.engine import Dialect

__all__ = ["lease_lengths"]


def lease_lengths(dialect: Dialect) -> list[str]:
    """Return the statements that add the column; 0 is of programs that do not say."""
    del dialect  # both read the same
    return ["ALTER TABLE mastra_drivers ADD COLUMN lease_ms BIGINT NOT NULL DEFAULT 0"]
