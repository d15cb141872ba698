"""A fixture for cases that need a database which several processes see."""

from __future__ import annotations

from pathlib import Path

import pytest

__all__ = ["shared_url"]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.every_engine)])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'runs.db'}"
    return str(request.getfixturevalue("postgres_url"))
