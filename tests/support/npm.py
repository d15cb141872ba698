"""Packages of npm: development dependencies, fetched when asked.

npm resolves what the packages of a folder's `package.json` need on the day of the install. Tests that
want them are marked `npm` and run by `make test-npm`, never by what has to pass in a year.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shlex
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.ending import end_process

_DONE = Path("node_modules", ".installed-by-tests")


def node_of(folder: Path) -> Path:
    """Return the node that a folder's packages came with."""
    return folder / "node_modules" / "node" / "bin" / "node"


async def install(folder: Path) -> None:
    """Fetch the packages of a folder, once for what its `package.json` lists.

    The test is skipped, with the reason, where that cannot be done. A test that waits no longer ends
    the install.
    """
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    wanted = (folder / "package.json").read_text()
    done = folder / _DONE
    async with _locked(folder):
        # An install that was cut off is made again, and so is one of another list.
        if done.exists() and done.read_text() == wanted:
            return
        options = ["--no-package-lock", "--no-audit", "--no-fund"]
        code, said, errors = await _run("npm", "install", *options, folder=folder)
        if code != 0:
            pytest.skip(f"npm cannot be reached: {(said + errors)[-300:]}")
        done.write_text(wanted)


@asynccontextmanager
async def _locked(folder: Path) -> AsyncGenerator[None]:
    """Keep other processes from installing into a folder. The lock ends with the process too."""
    (folder / "node_modules").mkdir(exist_ok=True)
    with (folder / "node_modules" / ".lock-of-tests").open("w") as file:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            await asyncio.sleep(0.1)
        yield


async def _run(
    *command: str | Path, folder: Path, env: dict[str, str] | None = None
) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate()
    finally:
        await end_process(process, what=" ".join(map(str, command)))
    return process.returncode, output.decode(), errors.decode()


async def bundle(folder: Path, packages: Path) -> None:
    """Put the page of a folder together, as its `npm run build` does, from packages that are here."""
    build = json.loads((folder / "package.json").read_text())["scripts"]["build"]
    _, page, *options = shlex.split(build)
    inside = [one for one in options if not one.startswith("--outfile=")]
    env = {**os.environ, "NODE_PATH": str(packages / "node_modules")}
    tool = packages / "node_modules" / ".bin" / "esbuild"
    out = f"--outfile={folder / 'dist' / 'page.js'}"
    code, _, errors = await _run(tool, folder / page, *inside, out, env=env, folder=packages)
    assert code == 0, errors


async def drive(folder: Path, script: str, *arguments: str) -> dict[str, Any]:
    """Run a script of a folder and return what it tells, by name."""
    code, output, errors = await _run(node_of(folder), folder / script, *arguments, folder=folder)
    said: dict[str, Any] = {}
    for line in output.splitlines():
        fact = json.loads(line)
        said[fact["name"]] = fact.get("value")
    assert code == 0, (said, errors[-3000:])
    return said
