"""The PostgreSQL of the tests leaves nothing, however it and they end."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.postgres import WATCH, find_postgres, watched

pytestmark = pytest.mark.timeout(120)


def _pid(folder: Path) -> int:
    files = [folder / "postmaster.pid", folder / "data" / "postmaster.pid"]
    return int(next(file for file in files if file.exists()).read_text().splitlines()[0])


def test_a_server_that_was_killed_is_removed() -> None:
    folder = Path(tempfile.mkdtemp(prefix="mastra-pg-"))
    with watched(folder):
        server = find_postgres(folder, is_safe=False)
        if server is None:
            pytest.skip("no PostgreSQL")
        server.start()
        os.kill(_pid(folder), signal.SIGKILL)
    assert not folder.exists()


@pytest.mark.every_engine
def test_a_server_that_stands_still_is_killed_and_removed() -> None:
    folder = Path(tempfile.mkdtemp(prefix="mastra-pg-"))
    with watched(folder):
        server = find_postgres(folder, is_safe=False)
        if server is None:
            pytest.skip("no PostgreSQL")
        server.start()
        os.kill(_pid(folder), signal.SIGSTOP)
    assert not folder.exists()


def test_a_process_that_has_got_the_number_of_the_server_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "600"])
    folder = tmp_path / "mastra-pg-stale"
    folder.mkdir()
    (folder / "postmaster.pid").write_text(f"{other.pid}\n{folder}\n")
    try:
        subprocess.run(["sh", "-c", WATCH, folder], stdin=subprocess.DEVNULL, check=True)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
    assert not folder.exists()
