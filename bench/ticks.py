"""`python -m bench.ticks`: two processes on one PostgreSQL start 1,000 moments; how late, how often.

What is expected is counted from the clock, so a moment that nobody started is missed here. Before
that, what the two take while nothing is due.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from mastra.schedules import ScheduleTrigger
from tests.support.postgres import MISSING, find_postgres
from tests.support.schedule_process import build

SCHEDULES, SECONDS = 25, 40
IDLE_S = 20
LEASE_S = "30"
"""As it is by default."""
WARM_MS = 5000
ROOT = Path(__file__).parents[1]


def start(url: str, notes: str) -> subprocess.Popen[str]:
    """Return a process that starts what is due, once it does."""
    command = [sys.executable, "-m", "tests.support.schedule_process", url, notes, LEASE_S]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


async def measure(url: str, notes: Path) -> None:
    async with build(url, str(notes), is_starting=False) as mastra:
        processes = [await asyncio.to_thread(start, url, str(notes)) for _ in range(2)]
        await idle(url, processes, "nothing is scheduled")
        far = await mastra.schedules.create(workflow_id="ticked", cron="@yearly", id="far")
        await idle(url, processes, "one schedule, of next year")
        await mastra.schedules.delete(far.id)
        names = [
            (
                await mastra.schedules.create(
                    workflow_id="ticked", cron="* * * * * *", id=f"n{number}"
                )
            ).id
            for number in range(SCHEDULES)
        ]
        await asyncio.sleep(SECONDS + 1)
        for name in names:
            await mastra.schedules.pause(name)
        await asyncio.sleep(4)
        fires = [one for name in names for one in await mastra.schedules.list_triggers(name)]
        for process in processes:
            await asyncio.to_thread(process.communicate)
    begun = min(one.scheduled_fire_at for one in fires)
    late = _late(fires)
    warm = _late([one for one in fires if one.scheduled_fire_at > begun + WARM_MS])
    ran = Counter(await asyncio.to_thread(lambda: notes.read_text().splitlines()))
    lost = 0
    for name in names:
        moments = sorted(one.scheduled_fire_at for one in fires if one.schedule_id == name)
        lost += (moments[-1] - moments[0]) // 1000 + 1 - len(moments)
    print(
        f"{len(fires)} moments: {lost} lost, {sum(n - 1 for n in ran.values())} runs doubled, "
        f"{len(fires) - len(ran)} without a run; late in ms: median {late[len(late) // 2]}, "
        f"most {late[-1]}; after the first seconds: 99 % {warm[len(warm) * 99 // 100]}, most {warm[-1]}"
    )


async def idle(url: str, processes: list[subprocess.Popen[str]], what: str) -> None:
    """Print what the processes take while nothing is due."""
    found = [psutil.Process(process.pid) for process in processes]

    def cpu() -> float:
        return sum(sum(one.cpu_times()[:2]) for one in found)

    await asyncio.sleep(2)
    before, begun = (cpu(), *await _counts(url)), time.monotonic()
    await asyncio.sleep(IDLE_S)
    after, seconds = (cpu(), *await _counts(url)), time.monotonic() - begun
    a_second = [(b - a) / seconds / len(found) for a, b in zip(before, after, strict=True)]
    print(
        f"idle, {what}: a second and process {a_second[0] * 1000:.1f} ms of processor, "
        f"{a_second[1]:.1f} transactions, {a_second[2]:.2f} rows written"
    )


async def _counts(url: str) -> tuple[int, int]:
    """Return how many transactions and how many writes of rows the database has counted."""
    asyncpg: Any = import_module("asyncpg")
    connection = await asyncpg.connect(url)
    try:
        row = await connection.fetchrow(
            "SELECT xact_commit, tup_inserted + tup_updated + tup_deleted "
            "FROM pg_stat_database WHERE datname = current_database()"
        )
    finally:
        await connection.close()
    return row[0], row[1]


def _late(fires: list[ScheduleTrigger]) -> list[int]:
    return sorted(one.actual_fire_at - one.scheduled_fire_at for one in fires)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = find_postgres(Path(folder))
        if server is None:
            print(MISSING)
            return
        server.start()
        try:
            asyncio.run(measure(server.url, Path(folder, "notes")))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
