"""Waiting for processes and tasks to end, never for ever: what stays is killed, and named."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn

__all__ = ["end", "end_process", "end_tasks", "listening"]

PATIENCE_S = 20.0
"""How long something may take to end, on a machine that does much else."""


def end(
    process: subprocess.Popen[Any],
    how: signal.Signals = signal.SIGKILL,
    *,
    within_s: float = PATIENCE_S,
) -> None:
    """Send a signal to a process, if it still runs, and wait for its end and that of its output.

    Raises:
        RuntimeError: It did not end; it was killed. Or it did, and something that it has started
            holds its output.
    """
    process.send_signal(how)  # nothing, where it has ended
    try:
        process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        why = _why(process.poll(), how, within_s)
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE_S)
        raise RuntimeError(f"Process {process.pid} {process.args!r} {why}.") from None


def _why(code: int | None, how: signal.Signals, within_s: float) -> str:
    if code is None:
        return f"did not end within {within_s:g} s of {how.name}, and was killed"
    return f"has ended, but for {within_s:g} s something that it started has held its output"


async def end_process(
    process: asyncio.subprocess.Process,
    how: signal.Signals = signal.SIGKILL,
    *,
    what: str,
    within_s: float = PATIENCE_S,
) -> None:
    """Do as `end` does with a process of asyncio's.

    Args:
        process: The process. What is left of its output is read, and lost.
        how: The signal.
        what: What it is, for the error.
        within_s: How long it may take.

    Raises:
        RuntimeError: As `end`.
    """
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(how)
    try:
        await asyncio.wait_for(process.communicate(), within_s)
    except TimeoutError:
        why = _why(process.returncode, how, within_s)
        if process.returncode is None:
            process.kill()
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), PATIENCE_S)
        raise RuntimeError(f"Process {process.pid} ({what}) {why}.") from None


async def end_tasks(
    tasks: Iterable[asyncio.Future[Any]], *, what: str, within_s: float = PATIENCE_S
) -> None:
    """Wait for tasks that were told to end. How each of them ended is not looked at.

    Raises:
        RuntimeError: One goes on; where it stands is said.
    """
    tasks = list(tasks)
    if not tasks:
        return
    ended, left = await asyncio.wait(tasks, timeout=within_s)
    for task in ended:
        _ = task.cancelled() or task.exception()
    if left:
        raise RuntimeError(
            f"Of {what}, {len(left)} of {len(tasks)} tasks did not end within {within_s:g} s:\n"
            + "\n".join(repr(task) for task in left)
        )


@asynccontextmanager
async def listening(
    server: uvicorn.Server, *, within_s: float = PATIENCE_S
) -> AsyncGenerator[None]:
    """Have a server listen, from when it does until the block is left.

    Raises:
        RuntimeError: It did not begin, or did not end.
    """
    what = f"the server on port {server.config.port}"
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(within_s):
            while not server.started:
                if task.done():
                    await task
                    raise RuntimeError(f"Could not start {what}: it has ended at once.")
                await asyncio.sleep(0.005)
    except TimeoutError:
        task.cancel()
        raise RuntimeError(f"Could not start {what} within {within_s:g} s.") from None
    try:
        yield
    finally:
        server.should_exit = True
        await end_tasks([task], what=what, within_s=within_s)
        await task
