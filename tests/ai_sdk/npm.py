"""The AI SDK from npm: a development dependency, fetched when asked."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "js"
NODE = FOLDER / "node_modules" / "node" / "bin" / "node"
PAGE = FOLDER / "dist" / "page.js"


async def _run(*command: str | Path) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=FOLDER,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def install() -> None:
    """Fetch the packages, or skip the test."""
    if NODE.exists() and (FOLDER / "node_modules" / "ai").exists():
        return
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    code, output, errors = await _run(npm, "install", "--no-package-lock")
    if code:
        pytest.skip(f"npm cannot be reached: {(output + errors)[-300:]}")


async def bundle() -> None:
    """Put the page together."""
    npm = shutil.which("npm") or "npm"
    code, _, errors = await _run(npm, "run", "build")
    assert code == 0, errors


async def drive(script: str, *arguments: str) -> dict[str, Any]:
    """Run a script and return what it tells, by name."""
    code, output, errors = await _run(NODE, FOLDER / script, *arguments)
    said: dict[str, Any] = {}
    for line in output.splitlines():
        fact = json.loads(line)
        said[fact["name"]] = fact.get("value")
    assert code == 0, (said.keys(), errors[-3000:])
    return said
