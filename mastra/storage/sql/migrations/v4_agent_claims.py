"""Version 4: who has claimed a waiting run of an agent, and until when that holds."""

from __future__ import annotations

from sqlalchemy.engine import Dialect

__all__ = ["agent_claims"]


def agent_claims(dialect: Dialect) -> list[str]:
    """Return the statements that add the two columns.

    A run that was claimed before has no lease, so that whoever asks next may have it.
    """
    del dialect  # both read the same
    return [
        "ALTER TABLE mastra_agent_runs ADD COLUMN owner TEXT",
        "ALTER TABLE mastra_agent_runs ADD COLUMN lease_until BIGINT NOT NULL DEFAULT 0",
    ]
