"""A workflow as data, which a deploy can change, and a process that serves it.

    python -m tests.support.serving URL NOTES LEASE_S SHAPES

SHAPES is a list as JSON: the definitions that are kept, the one for new runs last. Steps note what
they do as lines of the file NOTES, with the process that they run in, each in one write, so that a
kill never tears one. The process
prints `serving`, looks after runs that nobody drives, and answers each line on stdin:

- `start RUN_ID`: `started`. A run called `asks-…` suspends at the step `ask`.
- `answer RUN_ID`, `restart RUN_ID`: `went on`, or the error's code.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import asdict, dataclass, replace
from typing import Any

from mastra import Mastra, MastraError, SQLStorage, StepContext, create_step, create_workflow

__all__ = ["FIRST", "Shape", "build"]


@dataclass(frozen=True)
class Shape:
    """One definition of the workflow `served`. Each step adds one to what it gets."""

    steps: tuple[str, ...]
    """Ids of steps. `choose` stands for a branch, of which the arm `right` is taken."""
    arms: tuple[str, ...] = ("left", "right")
    version: str | None = None

    @property
    def path(self) -> tuple[str, ...]:
        """The ids of the steps that a run goes through."""
        return tuple("right" if name == "choose" else name for name in self.steps)

    def insert(self, place: int, name: str) -> Shape:
        """Return it with one step more."""
        return replace(self, steps=(*self.steps[:place], name, *self.steps[place:]))

    def remove(self, name: str) -> Shape:
        """Return it with one step less."""
        return replace(self, steps=tuple(step for step in self.steps if step != name))


FIRST = Shape((*(f"s{n}" for n in range(12)), "choose", "ask", *(f"s{n}" for n in range(12, 24))))
"""What is served before the first deploy."""


def noting(step_id: str, notes: str) -> Any:
    """Return a step that notes when it begins and ends."""

    def note(text: str) -> None:
        file = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{text} {os.getpid()}\n".encode())
        os.close(file)

    async def execute(ctx: StepContext[int]) -> int:
        note(f"{ctx.run_id} begin {step_id}")
        await asyncio.sleep(0.005)
        if step_id == "ask" and ctx.run_id.startswith("asks") and ctx.resume_data is None:
            await ctx.suspend({"value": ctx.input_data})
        await ctx.set_state({step_id: ctx.input_data})
        note(f"{ctx.run_id} end {step_id}")
        return ctx.input_data + 1

    return create_step(id=step_id, input_schema=int, output_schema=int, execute=execute)


def is_negative(ctx: StepContext[int]) -> bool:
    """Choose the left arm."""
    return ctx.input_data < 0


def is_not_negative(ctx: StepContext[int]) -> bool:
    """Choose the right arm."""
    return ctx.input_data >= 0


def only_value(ctx: StepContext[dict[str, int]]) -> int:
    """Return what the arm gave that was taken."""
    [value] = ctx.input_data.values()
    return value


def workflow_of(shape: Shape, notes: str) -> Any:
    """Return the workflow of a shape."""
    workflow: Any = create_workflow(
        id="served", input_schema=int, output_schema=int, version=shape.version
    )
    for name in shape.steps:
        if name != "choose":
            workflow.then(noting(name, notes))
            continue
        conditions = {"left": is_negative, "right": is_not_negative}
        workflow.branch([(conditions[arm], noting(arm, notes)) for arm in shape.arms])
        workflow.map(only_value, id="chosen")
    return workflow.commit()


def build(url: str, shapes: list[Shape], notes: str, lease_s: float = 30.0) -> Mastra:
    """Return what a process has that serves these definitions."""
    kept = [workflow_of(shape, notes) for shape in shapes]
    return Mastra(workflows={"served": kept}, storage=SQLStorage(url, lease_s=lease_s))


async def obey(mastra: Mastra, command: str, run_id: str) -> str:
    """Do what the test says with a run; return how that went."""
    run = await mastra.get_workflow("served").create_run(run_id)
    try:
        match command:
            case "start":
                await run.start_async(0)
                return "started"
            case "answer":
                await run.resume_async("yes")
            case _:
                await run.restart_async()
    except MastraError as error:
        return str(error.code)
    return "went on"


async def main() -> None:
    """Serve until the test is gone."""
    url, notes, lease_s, given = sys.argv[1:]
    shapes = [
        Shape(tuple(one["steps"]), tuple(one["arms"]), one["version"]) for one in json.loads(given)
    ]

    def say(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    async with build(url, shapes, notes, float(lease_s)) as mastra:
        say("serving")
        while line := (await asyncio.to_thread(sys.stdin.readline)).split():
            say(await obey(mastra, *line))


def written(shapes: list[Shape]) -> str:
    """Return shapes as the command line takes them."""
    return json.dumps([asdict(shape) for shape in shapes])


if __name__ == "__main__":
    asyncio.run(main())
