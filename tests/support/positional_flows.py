"""Workflows whose runs `tests/workflows/data/positional_ids.sql` has.

That database was written when an operation's id was its position in the graph (`2.1.ask`). What is
here must not change: its runs are to go on by these definitions.
"""

from __future__ import annotations

from typing import Any

from mastra import StepContext, Workflow, create_workflow, step

__all__ = ["RAN", "WAKES", "flows"]

RAN: list[str] = []
"""Which steps ran in this process."""

WAKES = 60.0
"""For how many seconds the run sleeps that was cut off."""

CRASHES: list[str] = []
"""Steps in which the process ends."""


def _note(name: str) -> None:
    RAN.append(name)
    if name in CRASHES:
        import os

        os._exit(9)


@step
async def price(ctx: StepContext[int]) -> int:
    """Give a price."""
    _note("price")
    return ctx.input_data * 100


@step
async def pay(ctx: StepContext[int]) -> str:
    """Pay at once."""
    _note("pay")
    return f"paid {ctx.input_data}"


@step
async def ask(ctx: StepContext[int]) -> str:
    """Wait for an answer."""
    _note("ask")
    if ctx.resume_data is None:
        await ctx.suspend({"pay": ctx.input_data})
    return f"{ctx.resume_data} to {ctx.input_data}"


@step
async def check(ctx: StepContext[int]) -> int:
    """Check an item."""
    _note(f"check {ctx.input_data}")
    return ctx.input_data + 1


@step
async def count(ctx: StepContext[int]) -> int:
    """Count up."""
    _note("count")
    return ctx.input_data + 1


@step
async def finish(ctx: StepContext[Any]) -> str:
    """End with what there is."""
    _note("finish")
    return str(ctx.input_data)


def _flow(name: str) -> Workflow[Any, Any, Any]:
    return create_workflow(id=name, input_schema=int, output_schema=Any)


def flows() -> dict[str, Workflow[Any, Any, Any]]:
    """Return the workflows by id, which is also the id of their run."""
    arms = [
        (lambda ctx: ctx.input_data < 100, pay),
        (lambda ctx: ctx.input_data >= 100, ask),
    ]
    item = _flow("item").then(check).then(ask).commit()
    found = [
        _flow("branching").then(price).branch(arms).map(lambda ctx: ctx.input_data).then(finish),
        _flow("sleeping").then(price).sleep(WAKES).then(finish),
        _flow("blocks")
        .dountil(count, lambda ctx: ctx.input_data >= 3)
        .map(lambda ctx: [ctx.input_data, ctx.input_data * 2])
        .foreach(item)
        .then(finish),
        _flow("twice")
        .parallel([count, price])
        .map(lambda ctx: ctx.input_data["count"])
        .then(count)
        .map(lambda ctx: ctx.input_data)
        .branch([(lambda ctx: True, ask), (lambda ctx: False, pay)])
        .then(finish),
        _flow("crashed").then(price).then(check).then(count).then(finish),
        _flow("travelled").then(price).then(check).then(ask).then(finish),
    ]
    return {flow.id: flow.commit() for flow in found}
