"""Processes killed with `kill -9` at random moments: every run ends, and no stored step runs again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.killing import kill_at_random
from tests.support.postgres import *  # noqa: F403


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that outlives the processes."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'runs.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.mark.every_engine
def test_a_few_kills(url: str, tmp_path: Path) -> None:
    kill_at_random(url, tmp_path, rounds=4, seed=1)


@pytest.mark.soak
def test_two_hundred_kills(url: str, tmp_path: Path) -> None:
    kill_at_random(url, tmp_path, rounds=200, seed=2)
