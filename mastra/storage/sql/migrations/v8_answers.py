"""Version 8: answers that came while steps beside the one that asked still worked."""

from __future__ import annotations

from sqlalchemy.engine import Dialect

__all__ = ["answers"]


def answers(dialect: Dialect) -> list[str]:
    """Return the statements that add the column."""
    del dialect  # both read the same
    return ["ALTER TABLE mastra_workflow_runs ADD COLUMN answers TEXT"]
