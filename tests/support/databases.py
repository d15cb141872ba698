"""Databases for cases: files, and what several processes see."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

__all__ = ["shared_url", "sqlite_template", "sqlite_url"]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that a storage has been opened on, and nothing stored in."""
    from mastra.storage.sql.sqlite_connections import upgrade

    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    path.touch(0o600)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    upgrade(connection)
    connection.close()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a copy of that file: to make its tables takes longer than most cases."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'runs.db')}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.every_engine)])
def shared_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database without any row."""
    return str(request.getfixturevalue(f"{request.param}_url"))
