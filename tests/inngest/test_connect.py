"""A worker that connects to a real server, so that it needs no address of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.inngest.test_processes import ROOT, opened
from tests.support.inngest_env import DevServer

pytestmark = pytest.mark.devserver


@pytest.fixture(params=["shared", "apart"])
def shared(request: pytest.FixtureRequest) -> str:
    """Whether caller and worker see the same storage."""
    return str(request.param)


@pytest.fixture
def worker(dev_server: DevServer, tmp_path: Path, shared: str) -> Iterator[subprocess.Popen[str]]:
    """A worker that is connected."""
    command = [sys.executable, "-m", "tests.inngest.worker_app"]
    arguments = [dev_server.url, "connect", str(tmp_path), shared]
    process = subprocess.Popen([*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "connected\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


async def test_runs_go_through_it(
    dev_server: DevServer, worker: subprocess.Popen[str], tmp_path: Path, shared: str
) -> None:
    async with opened(dev_server.url, tmp_path, is_shared=shared == "shared") as mastra:
        async with asyncio.timeout(30):
            run = await mastra.get_workflow("planner").create_run()
            assert (await run.start({"value": 1})).unwrap().value == 3
            speaking = await mastra.get_workflow("tokens").create_run()
            async with speaking.stream({"value": 20}) as stream:
                numbers = [
                    event.payload.output["number"]
                    async for event in stream
                    if event.type == "workflow-step-output" and event.payload is not None
                ]
            assert numbers == list(range(20))
            asking = await mastra.get_workflow("ask").create_run()
            assert (await asking.start({"value": 1})).status == "suspended"
            assert (await asking.resume({"add": 2})).unwrap().value == 3
    worker.terminate()
    assert await asyncio.to_thread(worker.wait, 15) == 0
