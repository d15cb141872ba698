"""Version 13: what the tokens of a model's answer cost."""

from __future__ import annotations

from sqlalchemy.engine import Dialect

__all__ = ["costs"]


def costs(dialect: Dialect) -> list[str]:
    """Return the statements that add the two columns. Of what is there no cost is known."""
    del dialect  # both read the same
    return [
        f"ALTER TABLE mastra_spans ADD COLUMN {name} DOUBLE PRECISION"
        for name in ("input_cost_usd", "output_cost_usd")
    ]
