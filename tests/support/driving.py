"""Processes that drive runs of one database at the same time, and what is done to them."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mastra import SQLStorage
from tests.support.postgres import PostgresServer
from tests.support.run_process import STEPS, build

__all__ = ["Driving", "Figures"]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0


class Server:
    """A process that drives what it is told to start, and what nobody drives any more."""

    def __init__(self, url: str, notes: Path, lease_s: float) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.support.run_process", url, str(notes)),
                *("serve", str(lease_s)),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "serving\n"

    def begin(self, run_id: str) -> None:
        """Have it start a run, and wait until it has."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{run_id}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == f"{run_id} started\n"

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.process.pid, number)

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.communicate()


@dataclass(slots=True)
class Figures:
    """What was done in all rounds, and what it cost."""

    rounds: int = 0
    done: dict[str, int] = field(default_factory=dict)
    repeated: int = 0
    """Steps that were under way when their driver was stopped, and ran again."""
    slowest_s: float = 0.0

    def __str__(self) -> str:
        done = ", ".join(f"{name} {count}" for name, count in sorted(self.done.items()))
        return (
            f"{self.rounds} runs, each ended once: {done}; steps that were cut off and ran again: "
            f"{self.repeated}; the slowest run took {self.slowest_s:.1f} s"
        )


class Driving:
    """Two servers on one database, and rounds in which one thing is done to them.

    Args:
        url: The database.
        folder: Where steps note what they do.
        lease_s: How long a lease is.
        postgres: The server, where the database is one that can be stopped.
        seed: Of what is done and when.
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        lease_s: float,
        postgres: PostgresServer | None,
        seed: int,
    ) -> None:
        self._url = url
        self._notes = folder / "notes"
        self._lease_s = lease_s
        self._postgres = postgres
        self._choose = random.Random(seed)
        self._servers: list[Server] = []
        self.figures = Figures()

    def __enter__(self) -> Driving:
        self._servers = [self._server() for _ in range(2)]
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.end()

    def _server(self) -> Server:
        return Server(self._url, self._notes, self._lease_s)

    def round(self) -> None:
        """Have one server start a run, do something in the middle of it, and wait for its end."""
        choose, run_id = self._choose, f"run-{self.figures.rounds}"
        place = choose.randrange(2)
        doings: dict[str, Callable[[int], None]] = {
            "stopped": self._stop,
            "killed": self._kill,
            "database away": self._take_database_away,
        }
        what = choose.choice(list(doings))
        begun_at = time.monotonic()
        self._servers[place].begin(run_id)
        self._wait_for(run_id, choose.randint(1, STEPS - 5))
        time.sleep(choose.random() * 0.004)
        doings[what](place)
        self._wait_for_end(run_id)
        asyncio.run(self._check(run_id))
        figures = self.figures
        figures.rounds += 1
        figures.done[what] = figures.done.get(what, 0) + 1
        figures.slowest_s = max(figures.slowest_s, time.monotonic() - begun_at)

    # -- what is done --------------------------------------------------------------------------

    def _stop(self, place: int) -> None:
        server = self._servers[place]
        server.send(signal.SIGSTOP)
        time.sleep(2.5 * self._lease_s)
        server.send(signal.SIGCONT)

    def _kill(self, place: int) -> None:
        self._servers[place].end()
        self._servers[place] = self._server()

    def _take_database_away(self, place: int) -> None:
        del place
        if self._postgres is not None:
            self._postgres.stop()
            time.sleep(self._choose.random())
            self._postgres.start()
            return
        connection = sqlite3.connect(self._url.removeprefix("sqlite:///"), timeout=30)
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(self._choose.random())
        connection.close()

    # -- what is looked at ---------------------------------------------------------------------

    def _noted(self, run_id: str) -> list[tuple[str, int, str]]:
        """Return what steps of a run have noted: begin or end, number, process."""
        if not self._notes.exists():
            return []
        found = [line.split() for line in self._notes.read_text().splitlines()]
        return [(kind, int(number), pid) for run, kind, number, pid in found if run == run_id]

    def _wait_for(self, run_id: str, lines: int) -> None:
        until = time.monotonic() + PATIENCE_S
        while len(self._noted(run_id)) < lines:
            assert time.monotonic() < until, f"{run_id} does not begin"
            time.sleep(0.0005)

    def _wait_for_end(self, run_id: str) -> None:
        async def status() -> str:
            async with SQLStorage(self._url) as storage:
                head = await storage.workflows.get_run("served", run_id)
            assert head is not None
            return head.status

        until = time.monotonic() + PATIENCE_S
        while (found := asyncio.run(status())) in ("running", "pending"):
            assert time.monotonic() < until, f"{run_id} is still {found}"
            time.sleep(0.05)

    async def _check(self, run_id: str) -> None:
        """Check that a run has ended once, with everything that its steps did, each once."""
        mastra = build(self._url)
        async with SQLStorage(self._url) as storage:
            info = await mastra.get_workflow("served").get_run(run_id)
            rows = await storage.workflows.load_rows("served", run_id)
        await mastra.aclose()
        assert info is not None
        assert (info.status, info.result) == ("success", STEPS)
        assert dict(info.state) == {f"s{number}": number for number in range(STEPS)}
        stored = [row.key for row in rows if row.key]
        assert len(stored) == len(set(stored)) == STEPS, "a step is stored twice"
        begun = [number for kind, number, _ in self._noted(run_id) if kind == "begin"]
        assert sorted(set(begun)) == list(range(STEPS))
        # One step may have been under way when its process stood still or was killed.
        assert len(begun) <= STEPS + 1, "a finished step ran again"
        self.figures.repeated += len(begun) - STEPS
