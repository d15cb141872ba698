"""A process that holds a place is killed with `kill -9`: the place is free again after its lease."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mastra import SQLStorage

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.anyio, pytest.mark.every_engine, pytest.mark.timeout(180)]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that outlives the processes."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/places.db"
    return str(request.getfixturevalue("postgres_url"))


class Process:
    """A process with places, and what it says."""

    def __init__(self, url: str, notes: Path) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "tests.support.place_process", url, str(notes)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.line() == "open"

    def line(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    async def hear(self) -> str:
        """Return what it says next."""
        async with asyncio.timeout(60):
            return await asyncio.to_thread(self.line)

    def start(self, workflow: str, *run_ids: str) -> None:
        assert self.popen.stdin is not None
        for run_id in run_ids:
            self.popen.stdin.write(f"start {workflow} {run_id}\n")
        self.popen.stdin.flush()


class Pair:
    """Two processes on one database: one is killed, the other one lives."""

    def __init__(self, url: str, notes: Path, dies: Process, lives: Process) -> None:
        self.url, self.notes, self.dies, self.lives = url, notes, dies, lives

    def noted(self) -> list[list[str]]:
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        return [line.split() for line in lines]

    async def is_in(self, run_id: str) -> None:
        """Wait until a run is in its long step."""
        async with asyncio.timeout(60):
            while not any(line[:3] == ["begin", "long", run_id] for line in self.noted()):
                await asyncio.sleep(0.005)

    async def ended(self, workflow: str, *run_ids: str) -> list[str]:
        """Return how runs end, as storage has it."""
        async with SQLStorage(self.url) as storage, asyncio.timeout(90):
            statuses: dict[str, str] = {}
            while len(statuses) < len(run_ids):
                for run_id in run_ids:
                    head = await storage.workflows.get_run(workflow, run_id)
                    if head is not None and head.status not in ("pending", "running", "waiting"):
                        statuses[run_id] = head.status
                await asyncio.sleep(0.05)
        return [statuses[run_id] for run_id in run_ids]

    def check(self, *, cancelled: str = "") -> None:
        """See that no two were in at once and no step that had ended began again.

        Args:
            cancelled: A run whose steps another one may have cut off.
        """
        pid = str(self.dies.popen.pid)
        ended: set[tuple[str, str]] = set()
        cut_off: set[str] = set()
        under_way: dict[str, str] = {}
        begun: Counter[tuple[str, str]] = Counter()
        for what, step, run_id, by in self.noted():
            if what == "end":
                ended.add((step, run_id))
                del under_way[run_id]
                continue
            if by != pid:  # what the dead one had begun has no end; its place is free
                cut_off |= {run for run, whose in under_way.items() if whose == pid}
                under_way = {run: whose for run, whose in under_way.items() if whose != pid}
            assert (step, run_id) not in ended, "a step that had ended began again"
            assert under_way.keys() <= {cancelled}, "two were in at once"
            under_way[run_id] = by
            begun[step, run_id] += 1
        assert len(cut_off) <= 1
        assert all(count == 1 for (_, run_id), count in begun.items() if run_id not in cut_off)
        assert max(begun.values()) <= 2


@asynccontextmanager
async def two(url: str, folder: Path) -> AsyncGenerator[Pair]:
    """Start both, and end them afterwards."""
    notes = folder / "notes"
    processes = [await asyncio.to_thread(Process, url, notes) for _ in range(2)]
    try:
        yield Pair(url, notes, *processes)
    finally:
        for process in processes:
            process.popen.kill()
            process.popen.communicate()


async def test_those_that_wait_come_in_and_the_run_that_was_cut_off_too(
    url: str, tmp_path: Path
) -> None:
    async with two(url, tmp_path) as pair:
        pair.dies.start("one-at-once", "d0")
        await pair.is_in("d0")
        pair.dies.start("one-at-once", "d1", "d2")
        pair.lives.start("one-at-once", "l0", "l1", "l2")
        async with SQLStorage(url) as storage, asyncio.timeout(60):
            flow, waiting = storage.workflows.flow, set[str]()
            # All of the one that dies stand at the door: of others nobody would ever know.
            while not waiting >= {"d1", "d2", "l0"}:
                found = await flow.waiting("one-at-once", now=2**53, without=(), limit=10)
                waiting = {ticket.run_id for ticket in found}
                await asyncio.sleep(0.02)
        pair.dies.popen.kill()
        names = ["d0", "d1", "d2", "l0", "l1", "l2"]
        assert await pair.ended("one-at-once", *names) == ["success"] * 6
        pair.check()


async def test_the_only_one_of_its_kind_ends_and_the_next_may_begin(
    url: str, tmp_path: Path
) -> None:
    async with two(url, tmp_path) as pair:
        pair.dies.start("alone-or-skipped", "d0")
        await pair.is_in("d0")
        pair.dies.popen.kill()
        assert await pair.ended("alone-or-skipped", "d0") == ["success"]
        pair.lives.start("alone-or-skipped", "l0")
        assert await pair.lives.hear() == "l0 success"
        pair.check()


async def test_one_that_cancels_it_does_not_wait_for_the_dead(url: str, tmp_path: Path) -> None:
    async with two(url, tmp_path) as pair:
        pair.dies.start("alone-or-cancelled", "d0")
        await pair.is_in("d0")
        pair.dies.popen.kill()
        pair.lives.start("alone-or-cancelled", "l0")
        assert await pair.lives.hear() == "l0 success"
        (status,) = await pair.ended("alone-or-cancelled", "d0")
        assert status in ("canceled", "success")
        pair.check(cancelled="d0")
