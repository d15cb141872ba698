"""The benchmarks run, and say what they measured in a form that programs read."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench.__main__ import GROUPS

ROOT = Path(__file__).parents[2]


# A machine that has much else to do takes its time; nothing here depends on how long.
@pytest.mark.timeout(180)
def test_a_group_gives_its_rows_as_json() -> None:
    """Each row has a name, figures for both sides, their ratio, and whether that is enough."""
    command = [sys.executable, "-m", "bench", "--quick", "--json", "--only", "workflows"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    rows = json.loads(done.stdout)["rows"]
    assert len({row["name"] for row in rows}) == len(rows) > 5
    for row in rows:
        assert row["group"] == "workflows"
        assert row["ours"] > 0
        assert row["limit"] > 0
        assert row["ratio"] > 0
        assert row["reached"] is (None if row["target"] is None else row["ratio"] <= row["target"])


def test_an_unknown_group_is_refused() -> None:
    """The message names the groups that there are."""
    command = [sys.executable, "-m", "bench", "--only", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "workflows" in done.stderr


@pytest.mark.every_engine
@pytest.mark.timeout(300)
@pytest.mark.parametrize("group", sorted(GROUPS))
def test_every_group_measures(group: str) -> None:
    command = [sys.executable, "-m", "bench", "--quick", "--json", "--only", group]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["rows"]


def test_those_that_need_a_server_can_be_imported() -> None:
    names = [name for _, name, _ in pkgutil.iter_modules(bench.__path__) if name != "__main__"]
    assert "inngest" in names
    for name in names:
        importlib.import_module(f"bench.{name}")
