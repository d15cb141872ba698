"""A process that starts what is scheduled, for tests of several on one database.

    python -m tests.support.schedule_process URL NOTES [LEASE_S]

Each run adds its id as a line to the file NOTES, in one write. It prints `open`, and ends when its
stdin is closed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from mastra import Mastra, SQLStorage, StepContext, create_step, create_workflow
from mastra.schedules import SchedulerConfig

__all__ = ["build"]


def build(url: str, notes: str, lease_s: str = "2", *, is_starting: bool = True) -> Mastra:
    """Return the application."""

    def note(ctx: StepContext[Any]) -> str:
        file = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{ctx.run_id}\n".encode())
        os.close(file)
        return "noted"

    step = create_step(id="note", input_schema=Any, output_schema=str, execute=note)
    workflow = create_workflow(id="ticked", input_schema=Any, output_schema=str).then(step).commit()
    return Mastra(
        workflows=[workflow],
        storage=SQLStorage(url, lease_s=float(lease_s)),
        scheduler=SchedulerConfig(enabled=is_starting),
    )


async def main() -> None:
    """Start what is due until nobody wants it any more."""
    async with build(*sys.argv[1:4]):
        sys.stdout.write("open\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
