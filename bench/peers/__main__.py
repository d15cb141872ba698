"""`python -m bench.peers`: every row with ours and each peer, a process each, by turns."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.imports import process_s
from bench.peers.timing import SIZES
from bench.table import aligned

ROOT = Path(__file__).parents[2]
PEERS_PYTHON = ROOT / ".venv-peers/bin/python"
OURS, LIMIT = "mastra", "nothing"
PEERS = ("agno", "burr", "pydantic_graph", "langgraph")

IMPORTS = {
    LIMIT: "import pydantic; pydantic.BaseModel",
    OURS: "from mastra import StepContext, create_step, create_workflow",
    "agno": "from agno.workflow import Workflow",
    "burr": "import burr.core, burr.integrations.pydantic",
    "pydantic_graph": "import pydantic_graph; pydantic_graph.GraphBuilder",
    "langgraph": "import langgraph.graph",
}
"""What has to be imported for a workflow."""


def python_of(subject: str) -> str:
    return sys.executable if subject in (OURS, LIMIT) else str(PEERS_PYTHON)


def ask(subject: str, *row: str) -> object:
    """Run a subject's script and return what it prints."""
    # The telemetry of a peer is no part of what it does.
    quiet = {"DO_NOT_TRACK": "1", "AGNO_TELEMETRY": "false", "LANGSMITH_TRACING": "false"}
    command = [python_of(subject), "-m", f"bench.peers.on_{subject}", *row]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=120,
        env={**os.environ, **quiet},
    )
    if done.returncode:
        sys.stderr.write(f"{subject}: {' '.join(row)}: {done.stderr[-600:]}\n")
        return None
    return json.loads(done.stdout.splitlines()[-1])


def by_turns(subjects: Sequence[str], row: str, turns: int) -> dict[str, float]:
    """Return the median cost of a unit for each subject."""
    samples: dict[str, list[float]] = {subject: [] for subject in subjects}
    for _ in range(turns):
        for subject in subjects:
            sample = ask(subject, row)
            if isinstance(sample, float):
                samples[subject].append(sample)
    return {subject: median(found) for subject, found in samples.items() if found}


def imports(turns: int) -> dict[str, float]:
    """Return the median time to import each subject, less that of an empty program."""
    samples: dict[str, list[float]] = {subject: [] for subject in IMPORTS}
    for turn in range(turns + 1):
        for subject, statement in IMPORTS.items():
            python = python_of(subject)
            taken = process_s(statement, python) - process_s("pass", python)
            if turn:  # the first turn writes the byte code
                samples[subject].append(taken)
    return {subject: median(found) for subject, found in samples.items()}


def _cell(figure: float | None, ours: float | None) -> str:
    if figure is None:
        return "-"
    text = f"{figure * 1e6:,.1f}" if figure < 1e-3 else f"{figure * 1e6:,.0f}"
    return text if ours is None else f"{text} ({figure / ours:.1f} x)"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    begun = time.perf_counter()
    subjects = (LIMIT, OURS, *PEERS)
    known = {subject: ask(subject) for subject in subjects}
    table = {"import of a workflow engine": imports(given.turns * 2)}
    for row in SIZES:
        sys.stderr.write(f"measuring {row} ...\n")
        able = [subject for subject in subjects if row in (known[subject] or ())]
        table[row] = by_turns(able, row, given.turns)
    if given.json:
        print(json.dumps(table, indent=1))
        return 0
    lines = [("us", "limit", "mastra", *PEERS)]
    for row, figures in table.items():
        ours = figures.get(OURS)
        cells = [_cell(figures.get(subject), ours) for subject in PEERS]
        lines.append((row, _cell(figures.get(LIMIT), None), _cell(ours, None), *cells))
    print("\n".join(aligned(lines)))
    print(f"\nIn brackets: over ours. {time.perf_counter() - begun:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
