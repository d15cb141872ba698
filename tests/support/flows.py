"""Small steps and workflows that many cases are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from mastra import Event, Step, StepContext, Workflow, create_step, create_workflow
from tests.support.engines import Calls

__all__ = ["Number", "adding", "chain", "failing", "outline", "text_step"]


class Number(BaseModel):
    """What most cases pass from step to step."""

    value: int


def adding(id: str = "add", by: int = 1, calls: Calls | None = None, **options: Any) -> Step:
    """Return a step that adds to a number."""

    async def execute(number: Number) -> Number:
        if calls is not None:
            calls.add(id)
        return Number(value=number.value + by)

    return create_step(id=id, execute=execute, **options)


def failing(
    id: str = "fail", error: Exception | None = None, calls: Calls | None = None, **options: Any
) -> Step:
    """Return a step that raises."""

    async def execute(number: Number) -> Number:
        if calls is not None:
            calls.add(id)
        raise error or ValueError("no good")

    return create_step(id=id, execute=execute, **options)


def text_step(id: str, text: str, calls: Calls | None = None) -> Step:
    """Return a step that takes anything and gives a text."""

    async def execute(ctx: StepContext[Any]) -> str:
        if calls is not None:
            calls.add(id)
        return text

    return create_step(id=id, execute=execute)


def chain(id: str, *steps: Any, **options: Any) -> Workflow[Any, Any, Any]:
    """Return a committed workflow of steps one after the other, from a number to a number."""
    types = {"input_schema": Number, "output_schema": Number}
    workflow: Workflow[Any, Any, Any] = create_workflow(id=id, **{**types, **options})
    for step in steps:
        workflow.then(step)
    return workflow.commit()


def outline(events: Iterable[Event]) -> list[str]:
    """Return events as `type` or `type:step`, without the common beginning of their types."""
    lines: list[str] = []
    for event in events:
        step = None if event.payload is None else event.payload.id or event.payload.step_name
        kind = event.type.removeprefix("workflow-")
        lines.append(f"{kind}:{step}" if step else kind)
    return lines
