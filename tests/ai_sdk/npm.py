"""Packages of npm: development dependencies, fetched when asked."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "js"
_NODE = Path("node_modules", "node", "bin", "node")
PAGE = FOLDER / "dist" / "page.js"
EXAMPLE = Path(__file__).parents[2] / "examples" / "web"


async def _run(
    *command: str | Path, env: dict[str, str] | None = None, folder: Path = FOLDER
) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def install(folder: Path = FOLDER, package: str = "ai") -> None:
    """Fetch the packages of a folder, or skip the test. Other processes may want them too."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    async with _locked(Path(tempfile.gettempdir(), f"mastra-npm-{name}.lock")):
        # npm writes its own list last, so an install that was cut off is made again.
        there = [folder / _NODE, folder / "node_modules" / package]
        if all(path.exists() for path in [*there, folder / "node_modules" / ".package-lock.json"]):
            return
        code, output, errors = await _run(npm, "install", "--no-package-lock", folder=folder)
    if code:
        pytest.skip(f"npm cannot be reached: {(output + errors)[-300:]}")


@asynccontextmanager
async def _locked(path: Path) -> AsyncGenerator[None]:
    """Hold a file's lock, which ends with the process too."""
    with path.open("w") as file:
        await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
        yield


async def bundle(folder: Path) -> None:
    """Put the page of a folder together, as its `npm run build` does, from the packages that are here."""
    build = json.loads((folder / "package.json").read_text())["scripts"]["build"]
    _, page, *options = shlex.split(build)
    inside = [one for one in options if not one.startswith("--outfile=")]
    env = {**os.environ, "NODE_PATH": str(FOLDER / "node_modules")}
    tool = FOLDER / "node_modules" / ".bin" / "esbuild"
    out = f"--outfile={folder / 'dist' / 'page.js'}"
    code, _, errors = await _run(tool, folder / page, *inside, out, env=env)
    assert code == 0, errors


async def drive(script: str, *arguments: str, folder: Path = FOLDER) -> dict[str, Any]:
    """Run a script and return what it tells, by name."""
    code, output, errors = await _run(folder / _NODE, folder / script, *arguments, folder=folder)
    said: dict[str, Any] = {}
    for line in output.splitlines():
        fact = json.loads(line)
        said[fact["name"]] = fact.get("value")
    assert code == 0, (said.keys(), errors[-3000:])
    return said
