"""What a peer's script does with its rows: time the one that it is asked for.

`python -m bench.peers.on_<peer> ROW` prints the seconds of one unit; without a row, the names of
those it has.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.measure import Subject, take_turns

__all__ = ["SIZES", "Factory", "main"]

Factory = Callable[[int, Path], Subject]
"""Makes the work of a row of some size; what it writes goes into the folder."""

SIZES = {
    "chain of 10, a step": 10,
    "chain of 100, a step": 100,
    "parallel of 50, a branch": 50,
    "foreach over 1,000, an item": 1000,
    "loop of 1,000, an iteration": 1000,
    "step and branch of two, a run": 1,
    "chain of 100 in SQLite, a step": 100,
}


def main(rows: Mapping[str, Factory]) -> None:
    """Time the row named on the command line."""
    if len(sys.argv) < 2:
        print(json.dumps(list(rows)))
        return
    name = sys.argv[1]
    with TemporaryDirectory(prefix="mastra-bench-") as folder:
        subject = rows[name](SIZES[name], Path(folder))

        async def time_it() -> float:
            taken = await take_turns({"it": subject}, 5, sample_s=0.03)
            return median(taken.samples["it"])

        print(json.dumps(asyncio.run(time_it())))
