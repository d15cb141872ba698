"""Many runs at once of the TypeScript original, in a process of its own that measures itself.

Its packages come from npm, Node 22 among them; without npm there are no rows of it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.npm import install, node_of

__all__ = ["Original", "original"]

FOLDER = Path(__file__).parents[1] / "tests" / "inngest" / "js"


class Original:
    """The program of the original, told what to do."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def hear(self) -> dict[str, Any]:
        """Return what it says next."""
        assert self._process.stdout is not None
        said = await self._process.stdout.readline()
        if not said:
            raise RuntimeError("the program of the original has ended")
        return json.loads(said)

    async def ask(self, what: str, count: int) -> dict[str, Any]:
        """Have it do something, and return what it measured."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what} {count}\n".encode())
        return await self.hear()

    async def at_once(self, runs: int) -> tuple[float, float]:
        """Return the seconds that so many runs at once take, and those of its processor."""
        found = await self.ask("at-once", runs)
        if found["bad"]:
            raise RuntimeError(f"{found['bad']} runs of the original did not end as they must")
        return found["wall"], found["cpu"]

    async def memory_of_sleeping(self, runs: int, before: int = 100) -> float:
        """Return how many bytes a run that sleeps takes, after some that load what they need."""
        await self.ask("nap", before)
        found = await self.ask("nap", runs)
        return (found["after"] - found["before"]) / runs


@asynccontextmanager
async def original(server_url: str) -> AsyncGenerator[Original | None]:
    """Start the program for a server; `None` where its packages cannot be had."""
    try:
        await install(FOLDER)
    except pytest.skip.Exception as reason:
        sys.stderr.write(f"{reason}, so the original is not measured\n")
        yield None
        return
    process = await asyncio.create_subprocess_exec(
        *(node_of(FOLDER), "--expose-gc", FOLDER / "many.mjs", server_url),
        cwd=FOLDER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    found = Original(process)
    try:
        served = await found.hear()
        if served["status"] != 200:
            raise RuntimeError(f"the server does not take the original's functions: {served}")
        yield found
    finally:
        process.kill()
        await process.communicate()
