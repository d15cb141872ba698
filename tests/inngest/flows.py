"""Workflows of several shapes, whose requests are counted."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from mastra import Mastra, StepContext, Workflow, create_step, create_workflow
from tests.support.inngest_env import Host


class Value(BaseModel):
    """A number."""

    value: int


def plus_one(name: str) -> Any:
    """Return a step that adds one."""

    async def execute(ctx: StepContext[Value]) -> Value:
        return Value(value=ctx.input_data.value + 1)

    return create_step(id=name, execute=execute)


def waiting(name: str) -> Any:
    """Return a step that waits to be resumed."""

    async def execute(ctx: StepContext[Value]) -> Value:
        if ctx.resume_data is None:
            await ctx.suspend({"need": "add"})
        return Value(value=ctx.input_data.value + ctx.resume_data["add"])

    return create_step(id=name, execute=execute)


def begin(name: str = "w", output: Any = Value) -> Any:
    """Begin a workflow of numbers."""
    return create_workflow(id=name, input_schema=Value, output_schema=output)


def chain(count: int) -> Workflow[Any, Any, Any]:
    """Return steps in a row."""
    workflow = begin()
    for i in range(count):
        workflow.then(plus_one(f"s{i}"))
    return workflow.commit()


def planner(name: str = "w") -> Workflow[Any, Any, Any]:
    """Return a workflow of the shape of the activity planner."""
    workflow = begin(name).then(plus_one("fetch"))
    workflow.branch(
        [
            (lambda ctx: ctx.input_data.value > 50, plus_one("indoor")),
            (lambda ctx: ctx.input_data.value <= 50, plus_one("plan")),
        ]
    )
    return workflow.map(lambda ctx: next(iter(ctx.input_data.values()))).commit()


def counting() -> Workflow[Any, Any, Any]:
    """Return a loop to ten."""
    return begin().dountil(plus_one("increment"), lambda ctx: ctx.input_data.value >= 10).commit()


def wide(count: int) -> Workflow[Any, Any, Any]:
    """Return steps side by side."""
    return begin(output=dict[str, Any]).parallel([plus_one(f"p{i}") for i in range(count)]).commit()


def suspending() -> Workflow[Any, Any, Any]:
    """Return a step that suspends, and one after it."""
    return begin().then(waiting("ask")).then(plus_one("after")).commit()


def on(host: Host, *workflows: Any, **options: Any) -> Mastra:
    """Return a `Mastra` that is served by a host."""
    mastra = Mastra(workflows={w.id: w for w in workflows}, engine=host.make_engine(), **options)
    host.serve(mastra)
    return mastra
