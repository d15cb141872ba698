"""Steps that wait: for whoever resumes the run, or for the test itself.

Each notes in `calls` that its function ran.
"""

from __future__ import annotations

import asyncio
from typing import Any

from mastra import Step, StepContext, create_step
from tests.support.engines import Calls

__all__ = ["Gate", "asking", "blocking", "failing", "plus", "until_stored"]


def plus(calls: Calls, step_id: str, amount: int = 1) -> Step[Any, Any]:
    """Return a step that adds to a number."""

    async def execute(ctx: StepContext[int]) -> int:
        calls.add(step_id)
        return ctx.input_data + amount

    return create_step(id=step_id, input_schema=int, output_schema=int, execute=execute)


def asking(calls: Calls, step_id: str, *, times: int = 1, **options: Any) -> Step[Any, Any]:
    """Return a step that suspends until it was resumed `times` times, then adds what it was given.

    It suspends with `{"value": its input, "asked": how often it asked before}`, and notes a call
    as `<id>` each time and as `<id>:done` when it ends.
    """

    async def execute(ctx: StepContext[int]) -> int:
        calls.add(step_id)
        asked = 0 if ctx.suspend_data is None else ctx.suspend_data["asked"] + 1
        if ctx.resume_data is None or asked < times:
            await ctx.suspend({"value": ctx.input_data, "asked": asked})
        calls.add(f"{step_id}:done")
        data = ctx.resume_data
        return ctx.input_data + (data["add"] if isinstance(data, dict) else data.add)

    return create_step(id=step_id, input_schema=int, output_schema=int, execute=execute, **options)


def failing(calls: Calls, step_id: str, *, times: int = 10**6, **options: Any) -> Step[Any, Any]:
    """Return a step that raises for its first `times` calls, then passes its input on."""

    async def execute(ctx: StepContext[int]) -> int:
        if calls.add(step_id) < times:
            raise ValueError(f"{step_id} refuses {ctx.input_data}")
        return ctx.input_data

    return create_step(id=step_id, input_schema=int, output_schema=int, execute=execute, **options)


async def until_stored(workflow: Any, *names: str, statuses: Any = ("success",)) -> None:
    """Wait until the storage has a record of some steps of the run `r`."""
    for name in names:
        while True:
            info = await workflow.get_run("r")
            if name in info.steps and info.steps[name].status in statuses:
                break
            await asyncio.sleep(0.005)


class Gate:
    """Where a step waits until the test lets it on.

    Attributes:
        reached: Set when a step has come to the gate.
        opened: Set by the test to let it on.
    """

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def pass_through(self) -> None:
        """Wait for the gate to open, as a step does."""
        self.reached.set()
        await self.opened.wait()


def blocking(calls: Calls, step_id: str, gate: Gate, amount: int = 1) -> Step[Any, Any]:
    """Return a step that waits at a gate and then adds to a number."""

    async def execute(ctx: StepContext[int]) -> int:
        calls.add(step_id)
        await gate.pass_through()
        calls.add(f"{step_id}:done")
        return ctx.input_data + amount

    return create_step(id=step_id, input_schema=int, output_schema=int, execute=execute)
