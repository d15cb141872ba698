"""The reference app's command line as a real process."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.ending import end_process

ROOT = Path(__file__).parents[2]

NOWHERE = {
    # Port 9 is nobody's: the connection is refused at once.
    "OPEN_METEO_GEOCODING_URL": "http://127.0.0.1:9",
    "OPEN_METEO_FORECAST_URL": "http://127.0.0.1:9",
}
"""A machine that cannot reach Open-Meteo."""


@dataclass
class Ended:
    """What came of a process."""

    code: int
    out: str
    err: str
    seconds: float


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without what leads to real providers or proxies."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().endswith(("_API_KEY", "_PROXY", "_BASE_URL"))
    }
    return {**kept, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "COLUMNS": "200", **extra}


@asynccontextmanager
async def running(
    *args: str, env: Mapping[str, str], module: str = "app", program: str | None = None
) -> AsyncGenerator[Process]:
    """Start `python -m app` with arguments, or another program."""
    what = ["-m", module] if program is None else ["-c", program]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *what, *args, cwd=ROOT, env=environment(env), stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        # A test that fails leaves nothing that goes on, or that a later test is warned of.
        await end_process(process, what=" ".join([*what, *args]))


async def run(*args: str, env: Mapping[str, str], program: str | None = None) -> Ended:
    """Run `python -m app` with arguments to its end."""
    started = time.monotonic()
    async with running(*args, env=env, program=program) as process:
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode(), time.monotonic() - started)
