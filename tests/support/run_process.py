"""A process that runs workflows, for tests of several processes on one database.

    python -m tests.support.run_process URL NOTES COMMAND [RUN_ID]

Steps note what they do as lines of the file NOTES, each in one write, so that a kill never tears
one. Commands:

- `line RUN_ID`: start the run of 30 steps, and print its status.
- `hold RUN_ID`: start a run whose step never ends; print `holding` when it is in there.
- `resume RUN_ID`: print `ready`, wait for a line on stdin, resume; print `won` or the error's code.
- `recover`: restart all active runs, wait for them, and print how many there were.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from mastra import Mastra, MastraError, SQLStorage, StepContext, create_step, create_workflow

STEPS = 30


def note(text: str) -> None:
    """Add a line to the notes."""
    file = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{text}\n".encode())
    os.close(file)


def say(text: str) -> None:
    """Tell the test something."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def numbered(number: int) -> Any:
    """Return a step of the run of 30."""

    async def execute(ctx: StepContext[int]) -> int:
        note(f"begin {number} {os.getpid()}")
        await asyncio.sleep(0.001)
        await ctx.set_state({f"s{number}": ctx.input_data})
        note(f"end {number} {os.getpid()}")
        return ctx.input_data + 1

    return create_step(id=f"s{number}", input_schema=int, output_schema=int, execute=execute)


async def hold(ctx: StepContext[int]) -> int:
    """Never end."""
    say("holding")
    await asyncio.Event().wait()
    return ctx.input_data


async def ask(ctx: StepContext[int]) -> int:
    """Suspend once."""
    if ctx.resume_data is None:
        await ctx.suspend({"value": ctx.input_data})
    note("resumed")
    return ctx.input_data + ctx.resume_data["add"]


def build(url: str) -> Mastra:
    """Return the `Mastra` that every process of a test has."""
    line = create_workflow(id="line", input_schema=int, output_schema=int)
    for number in range(STEPS):
        line.then(numbered(number))
    holding = create_workflow(id="hold", input_schema=int, output_schema=int)
    holding.then(create_step(id="hold", execute=hold)).commit()
    asking = create_workflow(id="ask", input_schema=int, output_schema=int)
    asking.then(create_step(id="ask", execute=ask)).commit()
    workflows = {
        "line": line.commit(),
        "hold": holding,
        "ask": asking,
    }
    return Mastra(workflows=workflows, storage=SQLStorage(url))


async def resume(mastra: Mastra, run_id: str) -> str:
    """Resume at the word of the test; return how that went."""
    run = await mastra.get_workflow("ask").create_run(run_id)
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    try:
        await run.resume({"add": 1})
    except MastraError as error:
        return str(error.code)
    return "won"


async def recover(mastra: Mastra) -> str:
    """Restart what was cut off, and wait for it."""
    restarted = await mastra.restart_all_active_workflow_runs()
    count = 0
    for key, run_ids in restarted.items():
        for run_id in run_ids:
            run = await mastra.get_workflow(key).create_run(run_id)
            await run.result()
            count += 1
    return str(count)


async def main() -> None:
    """Do what the command line says."""
    url, command, *rest = sys.argv[1], *sys.argv[3:]
    async with build(url) as mastra:
        match command:
            case "line" | "hold":
                run = await mastra.get_workflow(command).create_run(rest[0])
                say((await run.start(0)).status)
            case "resume":
                say(await resume(mastra, rest[0]))
            case _:
                say(await recover(mastra))


if __name__ == "__main__":
    asyncio.run(main())
