"""What a stored step costs late in a long run, beside what it costs early, and what it takes up.

A loop of 10,000 turns notes the processor's clock as it goes: nothing outside it is measured.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench.measure import Options, Row, missing
from mastra import Mastra, SQLStorage, StepContext, create_step, create_workflow

__all__ = ["measure"]

GROUP = "growth"
TURNS, WINDOW = 10_000, 1_000
TARGET = 1.2
"""By how much the last turns may cost more than the first."""

LINEAR = 1.1
"""By how much a turn may take up more in a long run than in a short one."""


def looping(turns: int, clock: list[float]) -> Any:
    """Return a workflow that counts, and notes the time before each turn."""

    async def count(ctx: StepContext[int]) -> int:
        clock.append(time.process_time())
        return ctx.input_data + 1

    step = create_step(id="count", input_schema=int, output_schema=int, execute=count)
    workflow = create_workflow(id=f"loop-{turns}", input_schema=int, output_schema=int)
    return workflow.dountil(step, lambda ctx: ctx.input_data >= turns).commit()


async def _run(storage: Any, turns: int) -> list[float]:
    """Run a loop in a storage and return the time before each of its turns."""
    clock: list[float] = []
    workflow = looping(turns, clock)
    mastra = Mastra(workflows={"loop": workflow}, storage=storage)
    run = await mastra.get_workflow("loop").create_run()
    assert (await run.start(0)).unwrap() == turns
    await mastra.engine.aclose()
    return clock


def _costs(clock: list[float]) -> tuple[float, float]:
    """Return what a turn costs in the first and in the last window, in µs."""
    first = clock[WINDOW] - clock[0]
    last = clock[-1] - clock[-1 - WINDOW]
    return first / WINDOW * 1e6, last / WINDOW * 1e6


async def _run_alone(storage: Any) -> list[float]:
    """Run a long loop as the first of its process would be.

    Python goes through all objects now and then: in whose turn it does so is chance, and how long it
    takes would be a matter of what the runs before have left.
    """
    gc.collect()
    gc.freeze()
    try:
        return await _run(storage, TURNS)
    finally:
        gc.unfreeze()


async def _cost_row(name: str, storage: Any, repeats: int) -> Row:
    await _run(storage, 500)
    found = [_costs(await _run_alone(storage)) for _ in range(repeats)]
    early, late = (median(costs) for costs in zip(*found, strict=True))
    ratio = median(last / first for first, last in found)
    return Row(
        GROUP,
        f"turns {TURNS - WINDOW:,} to {TURNS:,} of a loop {name}, beside turns 1 to {WINDOW:,}",
        "us of processor",
        late,
        early,
        ratio,
        TARGET,
        f"{TARGET} x",
    )


async def _bytes_a_turn(folder: Path, turns: int) -> float:
    path = folder / f"size-{turns}.db"
    async with SQLStorage(f"sqlite:///{path}") as storage:
        empty = path.stat().st_size
        await _run(storage, turns)
    return (path.stat().st_size - empty) / turns


async def _size_row(folder: Path) -> Row:
    short, long = await _bytes_a_turn(folder, WINDOW), await _bytes_a_turn(folder, TURNS)
    return Row(
        GROUP,
        f"bytes on disk of a turn of {TURNS:,}, beside one of {WINDOW:,}",
        "bytes",
        long,
        short,
        long / short,
        LINEAR,
        f"{LINEAR} x",
    )


@asynccontextmanager
async def _postgres(folder: Path) -> AsyncIterator[Any]:
    from tests.support.postgres import find_postgres  # noqa: PLC0415 - needs what the tests need

    server = find_postgres(folder)
    if server is None:
        yield None
        return
    server.start()
    try:
        async with SQLStorage(server.url) as storage:
            yield storage
    finally:
        server.stop()


async def measure(options: Options) -> list[Row]:
    """Measure the group."""
    repeats = 1 if options.quick else 9
    with tempfile.TemporaryDirectory(prefix="mastra-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        rows = [await _cost_row("in memory", None, repeats)]
        async with SQLStorage(f"sqlite:///{folder / 'cost.db'}") as storage:
            rows.append(await _cost_row("on SQLite", storage, repeats))
        if not options.quick:
            try:
                async with _postgres(folder / "postgres") as storage:
                    if storage is not None:
                        rows.append(await _cost_row("on PostgreSQL", storage, 2))
            except ImportError as error:
                rows += missing(GROUP, ["a loop on PostgreSQL"], str(error))
        return [*rows, await _size_row(folder)]


if __name__ == "__main__":
    for row in asyncio.run(measure(Options())):
        print(f"{row.name}: {row.ours:.1f} / {row.limit:.1f} {row.unit} = {row.ratio:.2f}")
