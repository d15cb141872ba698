"""What a storage may be named, and what is said where it cannot be used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mastra.errors import ConfigError, MissingDependencyError, StorageError
from mastra.storage.sql import SQLStorage
from tests.support.storage import head


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("runs.db", "no scheme.*'sqlite:///file.db'"),
        ("mysql://root:hunter2@db/runs", "'mysql' are not known"),
        ("sqlite://runs.db", "two slashes"),
        ("sqlite:///runs.db?mode=ro", "takes no options.*'mode=ro'"),
        ("postgresql://u:hunter2@[::1/runs", "cannot be read"),
        ("postgresql://u:hunter2@localhost:many/runs", "check the port"),
        ("postgresql://u:hunter2/x@localhost/runs", "password as %XX"),
        ("postgresql://u:12/hunter2@localhost/runs", "password as %XX"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        SQLStorage(url)
    assert "hunter2" not in str(caught.value)


def test_a_durability_that_does_not_exist_is_refused() -> None:
    wrong: Any = "most"
    with pytest.raises(ConfigError, match=r"'most'.*'normal' or 'full'"):
        SQLStorage("sqlite:///:memory:", durability=wrong)


@pytest.mark.parametrize("lease_s", [0, -1.5])
def test_a_lease_that_has_no_length_is_refused(lease_s: float) -> None:
    with pytest.raises(ConfigError, match="seconds above 0"):
        SQLStorage("sqlite:///:memory:", lease_s=lease_s)


def test_postgres_without_its_driver_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    for name in ("postgres", "postgres_pool"):
        monkeypatch.delitem(sys.modules, f"mastra.storage.sql.{name}", raising=False)
    with pytest.raises(MissingDependencyError, match=r"pip install 'mastra-py\[postgres\]'"):
        SQLStorage("postgres://localhost/runs")


def test_sqlite_does_not_load_the_driver_of_postgres() -> None:
    code = (
        "import sys; from mastra import SQLStorage; SQLStorage('sqlite:///:memory:');"
        "sys.exit('asyncpg' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_a_relative_file_lies_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with SQLStorage("sqlite:///runs.db") as storage:
        await storage.workflows.create_run(head())
    assert (tmp_path / "runs.db").stat().st_size > 0


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    storage = SQLStorage(f"sqlite:///{tmp_path}/nowhere/runs.db")
    with pytest.raises(StorageError, match=r"Could not open .*nowhere/runs\.db.*folder is there"):
        await storage.open()


async def test_a_file_that_is_no_database_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database\n" * 100)
    storage = SQLStorage(f"sqlite:///{tmp_path}/notes.txt")
    with pytest.raises(StorageError, match="Name another file"):
        await storage.workflows.get_run("w", "r")
    assert (tmp_path / "notes.txt").read_text() == "not a database\n" * 100


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://u:hunter2@localhost:1/runs", "'runs' on localhost:1: .*server running"),
        ("postgresql://u:hunter2@[::1]:1/runs", r"'runs' on \[::1\]:1: .*server running"),
        ("postgresql://u:hunter2@/runs?host=/nowhere", "'runs' on /nowhere: .*server running"),
        ("postgresql://u:hunter2@localhost/runs?sslmode=odd", "options .*'runs' on localhost"),
    ],
)
async def test_a_server_that_is_not_there_is_named_without_the_password(
    url: str, message: str
) -> None:
    storage = SQLStorage(url)
    with pytest.raises((ConfigError, StorageError), match=message) as caught:
        await storage.open()
    assert "hunter2" not in str(caught.value)


async def test_a_database_that_is_not_there_is_to_be_created(postgres_url: str) -> None:
    storage = SQLStorage(postgres_url.replace("/postgres?", "/nothing?"))
    with pytest.raises(StorageError, match=r'"nothing" does not exist\. Create the database first'):
        await storage.open()
