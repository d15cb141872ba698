"""Runs an experiment in a process of its own, which a test may kill."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mastra import SQLStorage
from mastra.evals import Dataset, Experiment, create_scorer


async def main(folder: Path, concurrency: int, url: str) -> None:
    log = folder / "log"

    def note(line: str) -> None:
        with log.open("a") as lines:
            lines.write(f"{line}\n")

    async def target(text: str) -> str:
        note(f"begin {text}")
        await asyncio.sleep(0.002)
        note(f"end {text}")
        return text

    experiment = Experiment(
        "e",
        dataset=Dataset("d", [{"input": str(at)} for at in range(120)]),
        target=target,
        scorers=[create_scorer(id="s", description="").generate_score(lambda ctx: 1)],
        concurrency=concurrency,
        storage=SQLStorage(url),
    )
    result = await experiment.run("experiment-1")
    note(f"done {result.status} {len(result.items)} {result.succeeded_count} {result.scores['s']}")


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
