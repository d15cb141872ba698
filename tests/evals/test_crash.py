"""An experiment whose process is killed goes on: what had ended is not run again."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.every_engine, pytest.mark.timeout(120)]

SCRIPT = Path(__file__).parent / "experiment_process.py"


def lines(folder: Path) -> list[list[str]]:
    log = folder / "log"
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_no_item_runs_twice(tmp_path: Path, concurrency: int) -> None:
    under_way = 0
    for killed_at in (30, 80):
        process = await asyncio.create_subprocess_exec(
            sys.executable, SCRIPT, tmp_path, str(concurrency)
        )
        while sum(line[0] == "end" for line in lines(tmp_path)) < killed_at:
            assert process.returncode is None
            await asyncio.sleep(0.005)
        process.kill()
        await process.wait()
        under_way += concurrency
    process = await asyncio.create_subprocess_exec(
        sys.executable, SCRIPT, tmp_path, str(concurrency)
    )
    assert await process.wait() == 0
    found = lines(tmp_path)
    assert found[-1] == ["done", "completed", "120", "120", "1.0"]
    begun = Counter(line[1] for line in found if line[0] == "begin")
    assert len(begun) == 120
    # Only what was under way when the process was killed is begun again.
    assert sum(count - 1 for count in begun.values()) <= under_way
