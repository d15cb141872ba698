"""Two processes drive runs of one database: stopped, killed, replaced, and with the database away."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.driving import Driving
from tests.support.postgres import *  # noqa: F403

LEASE_S = 1.5


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.every_engine)])
def driving(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Driving]:
    """Two processes on a database of their own."""
    url, postgres = f"sqlite:///{tmp_path / 'runs.db'}", None
    if request.param == "postgres":
        postgres = request.getfixturevalue("own_postgres_server")
        url = postgres.url
    with Driving(url, tmp_path, lease_s=LEASE_S, postgres=postgres, seed=3) as opened:
        yield opened


@pytest.mark.every_engine
def test_a_few_rounds(driving: Driving) -> None:
    for what in ("stopped", "deployed", "deployed while it waits"):
        driving.round(what)


@pytest.mark.soak
def test_two_hundred_rounds(driving: Driving) -> None:
    for _ in range(200):
        driving.round()
    sys.stderr.write(f"\n{driving.figures}\n")
