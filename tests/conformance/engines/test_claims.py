"""One process at a time drives a run: claims, their owners' lives, and taking over."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mastra import Mastra, ResumeClaimedError, RunClaimedError, RunStateError, create_workflow
from tests.support.databases import *  # noqa: F403 - a fixture
from tests.support.engines import Calls, Env, engine_env
from tests.support.run_process import build
from tests.support.waiting import Gate, blocking

ROOT = Path(__file__).resolve().parents[3]


class Other:
    """Another process on the same database."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def says(self) -> str:
        """Return its next line."""
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()

    async def go(self) -> None:
        """Let it on."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        await self._process.stdin.drain()

    async def kill(self) -> None:
        """Kill it, so that it cannot tidy up."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """What the steps of other processes have done."""
    return tmp_path / "notes"


@asynccontextmanager
async def other(url: str, notes: Path, *command: str) -> AsyncIterator[Other]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.run_process",
        url,
        str(notes),
        *command,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    opened = Other(process)
    try:
        yield opened
    finally:
        await opened.kill()


async def lines_of(notes: Path) -> list[str]:
    return (await asyncio.to_thread(notes.read_text)).splitlines()


@asynccontextmanager
async def here(url: str) -> AsyncIterator[Mastra]:
    async with build(url) as mastra:
        yield mastra


async def test_a_run_that_a_live_process_drives_is_refused(shared_url: str, notes: Path) -> None:
    async with other(shared_url, notes, "hold", "r") as process, here(shared_url) as mastra:
        assert await process.says() == "holding"
        run = await mastra.get_workflow("hold").create_run("r")
        with pytest.raises(RunClaimedError, match="'r'") as caught:
            await run.restart()
        assert caught.value.code == "RUN_CLAIMED"


async def test_restarting_all_leaves_it_alone(shared_url: str, notes: Path) -> None:
    async with other(shared_url, notes, "hold", "r") as process, here(shared_url) as mastra:
        assert await process.says() == "holding"
        assert not any((await mastra.restart_all_active_workflow_runs()).values())


async def test_a_run_of_a_killed_process_is_taken_over_at_once(
    shared_url: str, notes: Path
) -> None:
    async with other(shared_url, notes, "hold", "r") as process, here(shared_url) as mastra:
        assert await process.says() == "holding"
        await process.kill()
        restarted = await mastra.restart_all_active_workflow_runs()
        assert restarted["hold"] == ["r"]
        await (await mastra.get_workflow("hold").create_run("r")).cancel()


async def test_cancel_reaches_a_run_of_another_process(shared_url: str, notes: Path) -> None:
    async with other(shared_url, notes, "hold", "r") as process, here(shared_url) as mastra:
        assert await process.says() == "holding"
        run = await mastra.get_workflow("hold").create_run("r")
        await run.cancel()
        assert await run.status() == "canceled"
        assert await process.says() == "canceled"


async def test_of_processes_that_resume_at_once_one_wins(shared_url: str, notes: Path) -> None:
    async with here(shared_url) as mastra:
        run = await mastra.get_workflow("ask").create_run("r")
        await run.start(1)
        async with (
            other(shared_url, notes, "resume", "r") as first,
            other(shared_url, notes, "resume", "r") as second,
            other(shared_url, notes, "resume", "r") as third,
        ):
            processes = [first, second, third]
            assert [await process.says() for process in processes] == ["ready"] * 3
            await asyncio.gather(*[process.go() for process in processes])
            said = sorted([await process.says() for process in processes])
        assert said.count("won") == 1
        lost = {ResumeClaimedError.code, "RUN_NOT_SUSPENDED"}
        assert {answer for answer in said if answer != "won"} <= lost
        assert await lines_of(notes) == ["resumed"]


async def test_two_engines_of_one_process_do_not_drive_the_same_run(
    shared_url: str, calls: Calls
) -> None:
    gate = Gate()
    workflow = create_workflow(id="w", input_schema=int, output_schema=int)
    workflow.then(blocking(calls, "b", gate)).commit()
    async with engine_env("inprocess", shared_url) as env:
        run = await env.workflow(workflow).create_run("r")
        await run.start_async(1)
        await gate.reached.wait()
        second = await env.again(run)
        with pytest.raises(RunClaimedError):
            await second.restart()
        gate.opened.set()
        assert (await run.result()).unwrap() == 2


async def test_a_closed_engine_leaves_its_runs_to_others_at_once(env: Env, calls: Calls) -> None:
    gate = Gate()
    workflow = create_workflow(id="w", input_schema=int, output_schema=int)
    run = await env.workflow(workflow.then(blocking(calls, "b", gate)).commit()).create_run("r")
    await run.start_async(1)
    await gate.reached.wait()
    mastra = await env.crash()
    gate.opened.set()
    again = await mastra.get_workflow("w").create_run("r")
    assert (await again.restart()).unwrap() == 2


async def test_whoever_waits_for_a_run_of_a_closed_engine_is_told(env: Env, calls: Calls) -> None:
    gate = Gate()
    workflow = create_workflow(id="w", input_schema=int, output_schema=int)
    run = await env.workflow(workflow.then(blocking(calls, "b", gate)).commit()).create_run("r")
    waiting = asyncio.ensure_future(run.start(1))
    await gate.reached.wait()
    await env.crash()
    with pytest.raises(RunStateError, match="engine was closed") as caught:
        await waiting
    assert caught.value.code == "RUN_STOPPED"


async def test_of_two_restarts_at_once_one_drives(env: Env, calls: Calls) -> None:
    gate = Gate()
    workflow = create_workflow(id="w", input_schema=int, output_schema=int)
    workflow = workflow.then(blocking(calls, "b", gate)).commit()
    run = await env.workflow(workflow).create_run("r")
    await run.start_async(1)
    await gate.reached.wait()
    registered = (await env.crash()).get_workflow("w")
    gate.opened.set()
    runs = [await registered.create_run("r") for _ in range(3)]
    answers = await asyncio.gather(*[run.restart() for run in runs], return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert all(isinstance(error, RunStateError) for error in refused)
    assert calls["b:done"] == 1
