"""The smallest loop: a step that adds one, until the number is ten."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel

from mastra import create_workflow, step

__all__ = ["TARGET", "Count", "increment_workflow"]

TARGET: Final = 10


class Count(BaseModel):
    """A number on its way up."""

    value: int = 0
    """Where it stands."""


@step(id="increment", description="Adds one")
async def increment(count: Count) -> Count:
    """Return the next number."""
    return Count(value=count.value + 1)


increment_workflow = (
    create_workflow(
        id="increment-workflow",
        description="Counts to ten",
        input_schema=Count,
        output_schema=Count,
    )
    .dountil(increment, lambda ctx: ctx.input_data.value >= TARGET)
    .commit()
)
