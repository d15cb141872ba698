"""The first request that needs a protocol's SDK holds up nobody else while that is loaded."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SELDOM = [pytest.param(kind, marks=pytest.mark.every_engine) for kind in ("card", "resources")]


@pytest.mark.every_engine
@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["a2a", "mcp", *SELDOM])
async def test_the_event_loop_goes_on_while_an_sdk_is_loaded(kind: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.first_requests", kind),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    told = json.loads(output)
    # Loaded where it was asked for, the longest pause was nearly all of the time.
    assert told["first"] < told["took"] / 3, told
