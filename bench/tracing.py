"""What a step costs in a run that is traced, beside the same run that nobody traces.

Once by the clock, which is the run's own way, and once by the processor's time of all threads, which
is what is written behind it, too.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from bench.measure import Options, Row, Subject, compare
from bench.workflows import Number, chain
from mastra import Mastra, SQLStorage
from mastra.observability import Observability

__all__ = ["measure"]

GROUP = "tracing"
STEPS = 10
RUNS = 20


def _subject(storage: Any, observability: Observability | None, *, waits: bool) -> Subject:
    mastra = Mastra(workflows={"chain": chain(STEPS)}, storage=storage, observability=observability)
    workflow = mastra.get_workflow("chain")

    async def work() -> None:
        for _ in range(RUNS):
            run = await workflow.create_run()
            (await run.start(Number(n=1))).unwrap()

    return Subject(work, RUNS * STEPS, waits=waits, close=mastra.aclose)


async def _row(name: str, traced: Any, untraced: Any, options: Options, *, waits: bool) -> Row:
    return await compare(
        GROUP,
        name,
        ours=_subject(traced, Observability(), waits=waits),
        limit=_subject(untraced, None, waits=waits),
        turns=options.turns(40),
    )


async def measure(options: Options) -> list[Row]:
    """Measure in memory and in SQLite."""
    rows = [await _row("a traced step in memory", None, None, options, waits=False)]
    for name, waits in (("by the clock", True), ("by the processor", False)):
        with tempfile.TemporaryDirectory() as folder:
            one, two = (SQLStorage(f"sqlite:///{Path(folder)}/{n}.db") for n in "ab")
            rows.append(
                await _row(f"a traced step in SQLite: {name}", one, two, options, waits=waits)
            )
    return rows
