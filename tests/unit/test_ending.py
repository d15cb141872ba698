"""What tests start is ended: whatever it does against it, and with a word about what it was."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from tests.support.ending import end, end_process, end_tasks, listening

ROOT = Path(__file__).parents[2]

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("stubborn", flush=True)
time.sleep(600)
"""

# Ends, but leaves its output to one that does not.
LEAVING = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
"""

HUNG = """
import asyncio, pytest

@pytest.mark.anyio
@pytest.mark.timeout(1)
async def test_hung():
    while True:
        try:
            await asyncio.sleep(600)
        except BaseException:
            pass

def test_after():
    pass
"""

WAITING = """
import asyncio, pytest

@pytest.fixture
async def opened():
    yield
    await asyncio.sleep(0)
    print("tidied up")

@pytest.mark.anyio
@pytest.mark.timeout(1)
async def test_waiting(opened):
    await asyncio.sleep(600)

@pytest.mark.anyio
async def test_after(opened):
    pass
"""

HUNG_TEARDOWN = """
import time, pytest

@pytest.fixture
def slow():
    yield
    time.sleep(600)

@pytest.mark.timeout(1)
def test_hung(slow):
    assert False

def test_after():
    pass
"""


def _start(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


def test_a_process_ends_by_its_signal() -> None:
    process = _start("import time; time.sleep(600)")
    end(process, signal.SIGTERM)
    assert process.returncode == -signal.SIGTERM


def test_a_process_that_ignores_its_signal_is_killed_and_named() -> None:
    process = _start(STUBBORN)
    assert process.stdout is not None
    assert process.stdout.readline() == "stubborn\n"
    with pytest.raises(RuntimeError, match=rf"{process.pid} .*did not end within 0.2 s of SIGTERM"):
        end(process, signal.SIGTERM, within_s=0.2)
    assert process.returncode == -signal.SIGKILL
    process.stdout.close()


def test_whoever_holds_the_output_of_a_process_is_not_waited_for() -> None:
    process = _start(LEAVING)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        with pytest.raises(RuntimeError, match="something that it started has held its output"):
            end(process, within_s=0.2)
    finally:
        subprocess.run(["kill", "-9", str(child)], check=True)
        process.stdout.close()


@pytest.mark.anyio
async def test_a_process_of_asyncio_is_killed_and_named() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STUBBORN, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"stubborn\n"
    with pytest.raises(RuntimeError, match=r"\(stubborn\) did not end within 0.2 s of SIGTERM"):
        await end_process(process, signal.SIGTERM, what="stubborn", within_s=0.2)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.anyio
async def test_a_task_that_goes_on_is_named() -> None:
    may_end = asyncio.Event()

    async def goes_on() -> None:
        while not may_end.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await may_end.wait()

    async def fails() -> None:
        raise ValueError

    tasks: list[asyncio.Task[Any]] = [
        asyncio.ensure_future(work) for work in (goes_on(), fails(), asyncio.sleep(600))
    ]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    with pytest.raises(RuntimeError, match=r"Of work, 1 of 3 tasks (?s:.*)goes_on"):
        await end_tasks(tasks, what="work", within_s=0.2)
    may_end.set()
    await end_tasks(tasks, what="work")


@pytest.mark.anyio
async def test_a_server_that_does_not_begin_to_listen_is_named() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive, send
        await asyncio.sleep(600)

    config = uvicorn.Config(slow, port=0, log_level="critical", lifespan="on")
    with pytest.raises(RuntimeError, match=r"Could not start the server on port 0 within 0.2 s"):
        async with listening(uvicorn.Server(config), within_s=0.2):
            pass


@pytest.mark.parametrize(("program", "seconds"), [(HUNG, 2), (HUNG_TEARDOWN, 1)])
def test_a_test_that_does_not_let_itself_be_ended_ends_the_process(
    program: str, seconds: int, tmp_path: Path
) -> None:
    ended = _run_tests(program, tmp_path)
    assert ended.returncode == 1, ended.stdout
    assert ended.stderr.startswith(f"Timeout (0:00:0{seconds})!\nThread "), ended.stderr


def test_an_async_test_that_waits_for_ever_is_cancelled_and_tidied_up_after(tmp_path: Path) -> None:
    ended = _run_tests(WAITING, tmp_path, grace_s=60)
    assert ended.returncode == 1, ended.stdout
    assert ended.stderr == ""
    assert "The test and its fixtures took longer than its limit" in ended.stdout
    assert "await asyncio.sleep(600)" in ended.stdout, "where it waited"
    assert "tidied up" in ended.stdout
    assert "1 failed, 1 passed" in ended.stdout


def _run_tests(
    program: str, tmp_path: Path, *, grace_s: float = 1.0
) -> subprocess.CompletedProcess[str]:
    """Run a file of tests in a process of its own."""
    (tmp_path / "test_hung.py").write_text(program)
    (tmp_path / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\n")
    command = "import sys, pytest; from tests.support import hard_limit;"
    command += (
        f"hard_limit.GRACE_S = {grace_s}; sys.exit(pytest.main(sys.argv[1:], plugins=[hard_limit]))"
    )
    options = ["-q", "-p", "no:cacheprovider", "-p", "anyio", "-p", "pytest_timeout", str(tmp_path)]
    return subprocess.run(
        [sys.executable, "-c", command, *options],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
    )
