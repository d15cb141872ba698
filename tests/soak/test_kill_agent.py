"""A durable agent whose process is killed with `kill -9`: no answer that is stored is asked again."""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mastra import SQLStorage
from tests.support.agent_process import TURNS
from tests.support.postgres import *  # noqa: F403

ROOT = Path(__file__).resolve().parents[2]
SAID = f"I have seen {list(range(1, TURNS + 1))}.\n"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that outlives the processes."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'runs.db'}"
    return str(request.getfixturevalue("postgres_url"))


class Processes:
    """Processes on one database, and what they have noted."""

    def __init__(self, url: str, notes: Path) -> None:
        self.url = url
        self.notes = notes

    def begin(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.support.agent_process", self.url, self.notes, *command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

    def noted(self) -> list[str]:
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    def stored(self) -> set[str]:
        """Return what is stored of the run, in the words of the notes."""

        async def read() -> set[str]:
            async with SQLStorage(self.url) as storage:
                rows = [
                    row
                    for workflow_id in ("count", "durable-agent:counter")
                    for row in await storage.workflows.load_rows(workflow_id, "r")
                ]
            found = [re.search(r"\.(model|tool)\[(\d+)\]", row.key) for row in rows]
            return {f"{match[1]} {match[2]}" for match in found if match}

        return asyncio.run(read())


@pytest.mark.every_engine
@pytest.mark.parametrize(
    ("command", "dies_at"),
    [
        pytest.param("start", "tool 1", id="between a model call and its tool"),
        pytest.param("start", "model 2", id="between a tool and the next model call"),
        pytest.param("ask", "tool 2", id="by itself, between a model call and its tool"),
    ],
)
def test_what_was_answered_before_a_kill_is_not_asked_again(
    tmp_path: Path, command: str, dies_at: str
) -> None:
    processes = Processes(f"sqlite:///{tmp_path / 'runs.db'}", tmp_path / "notes")
    first = processes.begin(command, dies_at)
    first.communicate(timeout=60)
    assert first.returncode == -9
    before = processes.noted()
    assert before[-1] == dies_at
    assert processes.stored() == set(before[:-1])

    second = processes.begin("recover")
    assert second.communicate(timeout=60)[0] == SAID
    everything = [f"{kind} {turn}" for turn in range(1, TURNS + 2) for kind in ("model", "tool")]
    assert processes.noted() == [*before[:-1], dies_at, *everything[len(before) - 1 : -1]]


def kill_at_random(processes: Processes, *, kills: int, seed: int) -> None:
    """Kill the processes of one run again and again, until one ends it."""
    choose = random.Random(seed)
    stored: set[str] = set()
    command = "start"
    while True:
        before = len(processes.noted())
        process = processes.begin(command)
        command = "recover"
        awaited = before + choose.randint(1, 3)
        while len(processes.noted()) < awaited and process.poll() is None:
            time.sleep(0.0005)
        time.sleep(choose.random() * 0.003)
        is_last = kills <= 0 or process.poll() is not None
        if not is_last:
            process.kill()
            kills -= 1
        said = process.communicate(timeout=60)[0]
        assert not set(processes.noted()[before:]) & stored, "what is stored was asked again"
        now_stored = processes.stored()
        assert stored <= now_stored, "what was stored is lost"
        stored = now_stored
        if is_last:
            assert process.returncode == 0
            assert said == SAID
            return


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_many_kills(url: str, tmp_path: Path, seed: int) -> None:
    kill_at_random(Processes(url, tmp_path / "notes"), kills=8, seed=seed)
