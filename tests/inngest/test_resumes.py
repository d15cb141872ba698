"""A suspended run is resumed elsewhere, by several at once, and long after."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mastra import SQLStorage
from mastra.testing import FakeClock
from tests.inngest import flows
from tests.inngest.test_processes import ROOT, Worker, opened
from tests.support.inngest_env import DevServer, Host, inngest_host

WEEK_S = 7 * 86_400


async def week_old(host: Host, folder: Path) -> None:
    """Suspend a run a week ago, and resume it now, in an app that has been started since."""
    url = f"sqlite:///{folder / 'runs.db'}"
    now, past = time.time, FakeClock(time.time() - WEEK_S)
    async with flows.on(host, flows.suspending(), storage=SQLStorage(url), clock=past) as mastra:
        run = await mastra.get_workflow("w").create_run()
        assert (await run.start({"value": 0})).status == "suspended"
    async with flows.on(host, flows.suspending(), storage=SQLStorage(url)) as mastra:
        (info,) = (await mastra.get_workflow("w").list_runs()).runs
        assert now() - info.created_at.timestamp() > WEEK_S - 60
        again = await mastra.get_workflow("w").create_run(run.run_id)
        assert (await again.resume({"add": 5})).unwrap().value == 6
        found: Any = await mastra.get_workflow("w").get_run(run.run_id)
        assert found.steps["ask"].ended_at.timestamp() > now() - 60


async def test_a_run_is_resumed_after_a_week(host: Host, tmp_path: Path) -> None:
    await week_old(host, tmp_path)


@pytest.mark.devserver
async def test_a_run_is_resumed_after_a_week_on_a_real_server(
    dev_server: DevServer, tmp_path: Path
) -> None:
    async with inngest_host(dev_server, checkpoint=True) as host:
        await week_old(host, tmp_path)


@pytest.mark.devserver
@pytest.mark.timeout(180)
async def test_four_processes_resume_at_once_and_one_wins(
    dev_server: DevServer, tmp_path: Path
) -> None:
    worker = Worker(dev_server, tmp_path, "shared")
    worker.start()
    resumers: list[subprocess.Popen[str]] = []
    try:
        async with opened(dev_server.url, tmp_path, is_shared=True) as mastra:
            run = await mastra.get_workflow("ask").create_run()
            assert (await run.start({"value": 1})).status == "suspended"
            for _ in range(4):
                resumers.append(_resumer(dev_server, tmp_path, run.run_id))  # noqa: PERF401
            for process in resumers:
                assert (process.stdout or sys.stdin).readline() == "ready\n"
            told = await asyncio.gather(
                *(asyncio.to_thread(process.communicate, "go\n", 30) for process in resumers)
            )
            assert Counter(out.strip() for out, _ in told) == {
                "3": 1,
                "WORKFLOW_RESUME_ALREADY_CLAIMED": 3,
            }
            info: Any = await mastra.get_workflow("ask").get_run(run.run_id)
            assert (info.status, info.result.value) == ("success", 3)
    finally:
        for process in resumers:
            process.kill()
            process.wait()
        worker.kill()


def _resumer(server: DevServer, folder: Path, run_id: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.inngest.worker_app", server.url]
    return subprocess.Popen(
        [*command, "resume", str(folder), run_id],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
