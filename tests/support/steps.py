"""Steps of whole numbers: one that adds, one that asks."""

from __future__ import annotations

from typing import Any

from mastra import Step, StepContext, create_step
from tests.support.engines import Calls

__all__ = ["asking", "plus"]


def plus(calls: Calls, id: str, by: int = 1, **options: Any) -> Step:
    """Return a step that adds to a whole number."""

    async def execute(number: int) -> int:
        calls.add(id)
        return number + by

    return create_step(id=id, execute=execute, **options)


def asking(calls: Calls, id: str, *, times: int = 1, **options: Any) -> Step:
    """Return a step that suspends a number of times, then adds `resume_data["add"]`."""

    async def execute(ctx: StepContext[int]) -> int:
        calls.add(id)
        before = ctx.suspend_data
        asked = 0 if before is None else before["asked"] + 1
        if asked < times:
            await ctx.suspend({"value": ctx.input_data, "asked": asked})
        answer = ctx.resume_data
        add = answer["add"] if isinstance(answer, dict) else answer.add
        return ctx.input_data + add

    return create_step(id=id, execute=execute, **options)
