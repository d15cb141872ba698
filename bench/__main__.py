"""`python -m bench`: measure every group, each in a process of its own, and print one table."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from bench.measure import Options, Row, missing
from bench.table import render, summary

GROUPS = (
    "imports",
    "workflows",
    "durable",
    "tracing",
    "turns",
    "growth",
    "storage",
    "stream",
    "providers",
    "memory",
    "server",
    "front_ends",
    "console",
    "evals",
)
ROOT = Path(__file__).parents[1]
LONGEST_S = 150
"""A group that takes longer is stopped, so that the whole ends within its five minutes."""


def measure_here(group: str, options: Options) -> list[Row]:
    """Measure a group in this process."""
    module = importlib.import_module(f"bench.{group}")
    return asyncio.run(module.measure(options))


def measure_apart(group: str, options: Options) -> list[Row]:
    """Measure a group in a process of its own, where no other group has left anything."""
    command = [sys.executable, "-m", "bench", "--only", group, "--json"]
    if options.quick:
        command.append("--quick")
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, timeout=LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        return missing(group, ["the group"], f"not done after {LONGEST_S} s")
    if done.returncode:
        sys.stderr.write(done.stderr)
        return missing(group, ["the group"], f"ended with {done.returncode}; see above")
    return [Row.from_json(row) for row in json.loads(done.stdout)["rows"]]


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        metavar="GROUP",
        help=f"measure this group; may be given again ({', '.join(GROUPS)})",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="a few turns: does it work at all?")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit status."""
    given = _arguments(arguments)
    groups = [group for group in GROUPS if find_spec(f"bench.{group}") is not None]
    unknown = set(given.only or ()) - set(groups)
    if unknown:
        sys.stderr.write(f"No group {', '.join(sorted(unknown))}. There are {', '.join(groups)}.\n")
        return 2
    chosen = given.only or groups
    options = Options(quick=given.quick)
    begun = time.perf_counter()
    rows: list[Row] = []
    for group in chosen:
        if not given.json:
            sys.stderr.write(f"measuring {group} ...\n")
        rows += (measure_here if len(chosen) == 1 else measure_apart)(group, options)
    seconds = time.perf_counter() - begun
    if given.json:
        print(json.dumps({"seconds": seconds, "rows": [row.to_json() for row in rows]}, indent=1))
    else:
        print(render(rows))
        print(f"\n{summary(rows, seconds)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
