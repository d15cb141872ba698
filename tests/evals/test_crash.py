"""An experiment whose process is killed goes on: what had ended is not run again."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path

import pytest

from mastra import SQLStorage
from tests.support.databases import shared_url

__all__ = ["shared_url"]

pytestmark = [pytest.mark.anyio, pytest.mark.every_engine, pytest.mark.timeout(600)]

SCRIPT = Path(__file__).parent / "experiment_process.py"


def lines(folder: Path) -> list[list[str]]:
    log = folder / "log"
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


async def begin(folder: Path, concurrency: int, url: str) -> asyncio.subprocess.Process:
    """Start the experiment, or go on with it, in a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable, SCRIPT, folder, str(concurrency), url
    )


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_no_item_runs_twice(shared_url: str, tmp_path: Path, concurrency: int) -> None:
    under_way = 0
    for killed_at in (30, 80):
        process = await begin(tmp_path, concurrency, shared_url)
        while sum(line[0] == "end" for line in lines(tmp_path)) < killed_at:
            assert process.returncode is None
            await asyncio.sleep(0.005)
        process.kill()
        await process.wait()
        under_way += concurrency
    process = await begin(tmp_path, concurrency, shared_url)
    assert await process.wait() == 0
    found = lines(tmp_path)
    assert found[-1] == ["done", "completed", "120", "120", "1.0"]
    begun = Counter(line[1] for line in found if line[0] == "begin")
    assert len(begun) == 120
    # Only what was under way when the process was killed is begun again.
    assert sum(count - 1 for count in begun.values()) <= under_way
    async with SQLStorage(shared_url) as storage:
        rows = await storage.evals.list("experiment_result")
        scores = await storage.evals.list("score")
    # And of everything there is one row, whichever process stored it.
    assert sorted(str(row.data["input"]) for row in rows.records) == sorted(begun)
    assert scores.total == 120
