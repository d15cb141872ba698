"""Several processes on one database, and processes that are killed while they write."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from mastra.storage.sql import SQLStorage
from tests.support.storage import keys

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(
    params=["sqlite", pytest.param("sqlite-full", marks=pytest.mark.every_engine), "postgres"]
)
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """The URL and the durability of a database that processes share."""
    name: str = request.param
    if name == "postgres":
        return request.getfixturevalue("postgres_url"), "normal"
    return f"sqlite:///{tmp_path}/runs.db", "full" if name == "sqlite-full" else "normal"


def start_writer(shared: tuple[str, str], run_id: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.journal_writer", *shared, run_id, str(count)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


def kill_after(writer: subprocess.Popen[str], rows: int) -> int:
    """Kill a writer while it goes on after some rows, and return the last that it had stored."""
    assert writer.stdout is not None
    for _ in range(rows):
        if writer.stdout.readline() == "":
            raise AssertionError(writer.communicate()[1])
    writer.kill()
    said = writer.stdout.read().split("\n")  # what `readline` has buffered included
    writer.communicate()
    # The last line may be cut off, and is then as good as not said.
    return max([rows - 1, *map(int, said[:-1])])


async def test_what_a_killed_process_had_stored_is_there(shared: tuple[str, str]) -> None:
    url, durability = shared
    wanted: Any = durability
    chance = random.Random(7)
    for number in range(4):
        run_id = f"r{number}"
        writer = start_writer(shared, run_id, 1_000_000)
        last = await anyio.to_thread.run_sync(kill_after, writer, chance.randint(1, 150))
        async with SQLStorage(url, durability=wanted) as storage:
            found = keys(await storage.workflows.load_rows("w", run_id))
            run = await storage.workflows.get_run("w", run_id)
        assert found == [f"k{n}" for n in range(len(found))]
        # The row after the last may have been stored before its line was printed.
        assert last + 1 <= len(found) <= last + 2
        assert run is not None
        assert run.state.get("number", 0) <= last + 1


@pytest.mark.every_engine
async def test_processes_write_at_the_same_time(shared: tuple[str, str]) -> None:
    writers = [start_writer(shared, f"r{number}", 150) for number in range(3)]
    for writer in writers:
        _, errors = await anyio.to_thread.run_sync(writer.communicate)
        assert (writer.returncode, errors) == (0, "")
    async with SQLStorage(shared[0]) as storage:
        for number in range(3):
            rows = await storage.workflows.load_rows("w", f"r{number}")
            assert keys(rows) == [f"k{n}" for n in range(150)]
