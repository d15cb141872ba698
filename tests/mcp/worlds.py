"""Starts the server of `world_server.py`, kills it, and starts it again at the same place."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

PROGRAM = str(Path(__file__).parent / "world_server.py")
OLD_PROGRAM = str(Path(__file__).parent / "old_server.py")
STDIO: dict[str, Any] = {"command": sys.executable, "args": [PROGRAM]}


class HttpWorld:
    """The server over HTTP, in a process of its own."""

    def __init__(self, program: str = PROGRAM) -> None:
        self._program = program
        self.port = 0
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    async def start(self) -> None:
        """Start it; it listens when this returns."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, self._program, str(self.port), stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.port = int(await self._process.stdout.readline())

    async def kill(self) -> None:
        """End it as a crash would."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def __aenter__(self) -> HttpWorld:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            await self.kill()


def kill(pid: int) -> None:
    """End a program as a crash would."""
    os.kill(pid, signal.SIGKILL)


async def gone(pid: int) -> bool:
    """Return whether a program ends."""
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        await asyncio.sleep(0.01)
    return False
