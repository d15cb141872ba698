"""What stays in memory: after many runs, and while a reader does not read.

Each figure comes from a process of its own, started with `python -m bench.memory PART`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from pathlib import Path

from bench.measure import Options, Row
from bench.workflows import Number, chain
from mastra import create_step, create_workflow
from mastra.workflows.step_context import StepContext

__all__ = ["measure"]

GROUP = "memory"
ROOT = Path(__file__).parents[1]
RUNS, CHUNKS = 10_000, 200_000
TEXT = "a chunk of text, as a model sends it, "


def resident_mb() -> float:
    """Return the memory that the process holds now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


async def many_runs(count: int) -> tuple[float, float]:
    """Return the memory before and after, once the store is full of the runs it keeps."""
    workflow = chain(10)

    async def one() -> None:
        result = await (await workflow.create_run()).start(input_data={"n": 1})
        result.unwrap()

    for _ in range(2_000):
        await one()
    before = resident_mb()
    for _ in range(count):
        await one()
    return before, resident_mb()


async def written(count: int, *, is_watched: bool) -> tuple[float, float]:
    """Return the memory before and after a step that writes, with or without a stalled reader."""

    async def write(ctx: StepContext[Number]) -> Number:
        for place in range(count):
            await ctx.writer.write(TEXT + str(place))
            if place % 1000 == 0:
                await asyncio.sleep(0)
        return ctx.input_data

    step = create_step(id="write", input_schema=Number, output_schema=Number, execute=write)
    workflow = create_workflow(id="unread", input_schema=Number, output_schema=Number)
    run = await workflow.then(step).commit().create_run()
    before = resident_mb()
    stream = run.stream(input_data={"n": 1})
    async with stream:
        events = aiter(stream)
        if is_watched:
            await anext(events)  # and no further
        (await stream.result()).unwrap()
        return before, resident_mb()


def _measured(part: str, count: int) -> tuple[float, float]:
    command = [sys.executable, "-m", "bench.memory", part, str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    before, after = json.loads(done.stdout)
    return before, after


def _row(name: str, ours: float, limit: float, target: float) -> Row:
    return Row(GROUP, name, "MB", ours, limit, ours / limit, target, f"{target} x")


async def measure(options: Options) -> list[Row]:
    """Measure the group."""
    runs = RUNS // 10 if options.quick else RUNS
    chunks = CHUNKS // 10 if options.quick else CHUNKS
    before, after = _measured("runs", runs)
    _, watched = _measured("watched", chunks)
    _, unwatched = _measured("unwatched", chunks)
    return [
        _row(f"resident after {runs:,} more runs, beside before", after, before, 1.05),
        _row(
            f"resident after {chunks:,} chunks with a reader that never reads, beside none",
            watched,
            unwatched,
            1.05,
        ),
    ]


async def _part(part: str, count: int) -> tuple[float, float]:
    if part == "runs":
        return await many_runs(count)
    return await written(count, is_watched=part == "watched")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_part(sys.argv[1], int(sys.argv[2])))))
