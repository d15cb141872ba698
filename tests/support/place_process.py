"""A process whose workflows have flow control, for tests in which it is killed.

    python -m tests.support.place_process URL NOTES

It prints `open`, then does what lines on its standard input say, each at once:
`start WORKFLOW RUN_ID`. What came of one it says as `RUN_ID STATUS`, or its error's code. Steps
note `begin STEP RUN_ID PID` and `end STEP RUN_ID PID` as lines of the file NOTES, each in one write.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from mastra import Mastra, MastraError, SQLStorage, StepContext, create_step, create_workflow

__all__ = ["LEASE_S"]

LEASE_S = 2.0
FLOWS: dict[str, Any] = {
    "one-at-once": {"concurrency": 1},
    "alone-or-skipped": {"singleton": "skip"},
    "alone-or-cancelled": {"singleton": "cancel"},
}


def say(text: str) -> None:
    """Tell the test something."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def noting(name: str, seconds: float) -> Any:
    """Return a step that notes when it begins and ends."""

    def note(what: str, run_id: str) -> None:
        file = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{what} {name} {run_id} {os.getpid()}\n".encode())
        os.close(file)

    async def execute(ctx: StepContext[int]) -> int:
        note("begin", ctx.run_id)
        await asyncio.sleep(seconds)
        note("end", ctx.run_id)
        return ctx.input_data + 1

    return create_step(id=name, input_schema=int, output_schema=int, execute=execute)


def build(url: str) -> Mastra:
    """Return the application."""
    workflows = [
        create_workflow(id=name, input_schema=int, output_schema=int, **flow)
        .then(noting("short", 0.02))
        .then(noting("long", 1.0))
        .commit()
        for name, flow in FLOWS.items()
    ]
    return Mastra(workflows=workflows, storage=SQLStorage(url, lease_s=LEASE_S))


async def start(mastra: Mastra, name: str, run_id: str) -> None:
    """Start a run, wait for it, and say what came of it."""
    try:
        run = await mastra.get_workflow(name).create_run(run_id)
        told = (await run.start(0)).status
    except MastraError as error:
        told = error.code
    say(f"{run_id} {told}")


async def main() -> None:
    """Do what the standard input says, until it is closed."""
    async with build(sys.argv[1]) as mastra, asyncio.TaskGroup() as group:
        say("open")
        while line := await asyncio.to_thread(sys.stdin.readline):
            group.create_task(start(mastra, *line.split()[1:]))


if __name__ == "__main__":
    asyncio.run(main())
