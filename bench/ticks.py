"""`python -m bench.ticks`: two processes on one PostgreSQL start 1,000 moments; how late, how often.

What is expected is counted from the clock, so a moment that nobody started is missed here.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from mastra.schedules import ScheduleTrigger
from tests.support.postgres import MISSING, find_postgres
from tests.support.schedule_process import build

SCHEDULES, SECONDS = 25, 40
WARM_MS = 5000
ROOT = Path(__file__).parents[1]


def start(url: str, notes: str) -> subprocess.Popen[str]:
    """Return a process that starts what is due, once it does."""
    command = [sys.executable, "-m", "tests.support.schedule_process", url, notes]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


async def measure(url: str, notes: Path) -> None:
    async with build(url, str(notes), is_starting=False) as mastra:
        processes = [await asyncio.to_thread(start, url, str(notes)) for _ in range(2)]
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
