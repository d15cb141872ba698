"""Packages of npm are fetched once, by one process, and no longer than a test waits for them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.support.npm import install

# Stands for a network: says what it was asked for, and does what the folder's list says.
NPM = """#!/bin/sh
echo "$$ $*" >> asked
exec sh -c "$(cat package.json)"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose packages come from a program beside it."""
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(NPM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    folder = tmp_path / "page"
    folder.mkdir()
    return folder


def asked(folder: Path) -> list[str]:
    found = folder / "asked"
    return found.read_text().splitlines() if found.exists() else []


async def test_packages_are_fetched_once_for_a_list(folder: Path) -> None:
    (folder / "package.json").write_text("sleep 0.3")
    await asyncio.gather(install(folder), install(folder))
    await install(folder)
    assert len(asked(folder)) == 1
    assert "install --no-package-lock" in asked(folder)[0]
    (folder / "package.json").write_text("true")
    await install(folder)
    assert len(asked(folder)) == 2


async def test_where_they_cannot_be_had_the_reason_is_said(folder: Path) -> None:
    (folder / "package.json").write_text("echo no such host >&2; exit 1")
    for _ in range(2):
        with pytest.raises(pytest.skip.Exception, match="npm cannot be reached: no such host"):
            await install(folder)
    assert len(asked(folder)) == 2


async def test_an_install_ends_with_the_test_that_waits_for_it(folder: Path) -> None:
    (folder / "package.json").write_text("exec sleep 600")
    waiting = asyncio.ensure_future(install(folder))
    while not asked(folder):
        await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(ProcessLookupError):
        os.kill(int(asked(folder)[0].split()[0]), 0)
    (folder / "package.json").write_text("true")
    await install(folder)  # nobody has the lock
