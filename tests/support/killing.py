"""Killing a process in the middle of a run, and looking whether anything was lost."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

from mastra import SQLStorage
from tests.support.run_process import STEPS, build

__all__ = ["kill_at_random"]

ROOT = Path(__file__).resolve().parents[2]


def _process(url: str, notes: Path, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.run_process", url, str(notes), *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def _noted(notes: Path) -> list[str]:
    return notes.read_text().splitlines() if notes.exists() else []


def _wait_for(notes: Path, lines: int, process: subprocess.Popen[str]) -> None:
    while len(_noted(notes)) < lines and process.poll() is None:
        time.sleep(0.0005)


async def _stored(url: str, run_id: str) -> set[int]:
    """Return which steps of a run are stored."""
    async with SQLStorage(url) as storage:
        rows = await storage.workflows.load_rows("line", run_id)
    return {int(row.key.removeprefix("s")) for row in rows if row.key}


async def _ended(url: str, run_id: str) -> None:
    """Check that a run has ended with everything that its steps did."""
    async with build(url) as mastra:
        info = await mastra.get_workflow("line").get_run(run_id)
    assert info is not None
    assert (info.status, info.result) == ("success", STEPS)
    assert dict(info.state) == {f"s{number}": number for number in range(STEPS)}
    assert {name: step.output for name, step in info.steps.items()} == {
        f"s{number}": number + 1 for number in range(STEPS)
    }


def kill_at_random(url: str, folder: Path, *, rounds: int, seed: int) -> None:
    """Run 30 steps in processes that are killed at random moments, until the last one ends it.

    Args:
        url: The database.
        folder: Where steps note what they do.
        rounds: How many kills in all, spread over as many runs as that takes.
        seed: Of the moments.
    """
    choose = random.Random(seed)
    kills, number = 0, 0
    while kills < rounds:
        number += 1
        run_id, notes = f"run-{number}", folder / f"notes-{number}"
        stored: set[int] = set()
        command = ["line", run_id]
        while True:
            before = len(_noted(notes))
            process = _process(url, notes, *command)
            command = ["recover"]
            # Somewhere in the next steps, and then a moment that may be within a commit.
            _wait_for(notes, before + choose.randint(1, STEPS // 2), process)
            time.sleep(choose.random() * 0.003)
            is_last = kills >= rounds or process.poll() is not None
            if not is_last:
                process.kill()
                kills += 1
            process.communicate(timeout=60)
            begun = {int(line.split()[1]) for line in _noted(notes)[before:] if line[0] == "b"}
            assert not begun & stored, "a stored step ran again"
            now_stored = asyncio.run(_stored(url, run_id))
            assert stored <= now_stored, "a stored step is lost"
            stored = now_stored
            if is_last:
                break
        assert process.returncode == 0
        asyncio.run(_ended(url, run_id))
