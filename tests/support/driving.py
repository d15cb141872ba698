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
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from mastra import SQLStorage
from mastra.storage.base import RunHead
from tests.support.ending import end
from tests.support.postgres import PostgresServer
from tests.support.serving import FIRST, Shape, build, written

__all__ = ["Driving", "Figures"]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0
UNDER_WAY = ("running", "pending", "waiting")


class Server:
    """A process that drives what it is told to start, and what nobody drives any more."""

    def __init__(self, url: str, notes: Path, lease_s: float, shapes: list[Shape]) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.support.serving", url, str(notes)),
                *(str(lease_s), written(shapes)),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> None:
        """Wait until it serves."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "serving\n"

    def tell(self, command: str, run_id: str) -> str:
        """Have it do something with a run; return how that went."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command} {run_id}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.process.pid, number)

    def end(self) -> None:
        """Kill it."""
        end(self.process)


class Note(NamedTuple):
    """What a step has noted."""

    kind: str
    """`begin` or `end`."""
    step: str
    process: int


@dataclass(slots=True)
class Figures:
    """What was done in all rounds, and what it cost."""

    rounds: int = 0
    done: Counter[str] = field(default_factory=Counter[str])
    repeated: int = 0
    """Steps that were under way when their driver was stopped, and ran again."""
    frozen: int = 0
    """Steps that a process was about to begin when it was stopped, and began when it went on."""
    slowest_s: float = 0.0

    def __str__(self) -> str:
        done = ", ".join(f"{name} {count}" for name, count in sorted(self.done.items()))
        return (
            f"{self.rounds} runs, each ended once: {done}; steps that were cut off and ran again: "
            f"{self.repeated}, on the verge of beginning: {self.frozen}; the slowest run took {self.slowest_s:.1f} s"
        )


@dataclass(frozen=True, slots=True)
class Change:
    """A deploy in the middle of a run."""

    name: str
    deployed: list[Shape]
    ends_by: Shape
    """By which of them, or of those before, the run ends."""
    is_refused: bool = False


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
        self._shapes = [FIRST]
        self._names = 0
        self._servers: list[Server] = []
        self._frozen: set[int] = set()
        """Processes that have stood still."""
        self.figures = Figures()

    def __enter__(self) -> Driving:
        self._serve(self._shapes)
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.end()

    def _server(self, shapes: list[Shape]) -> Server:
        return Server(self._url, self._notes, self._lease_s, shapes)

    def _serve(self, shapes: list[Shape]) -> None:
        """Put two servers with these definitions in place of those that there are."""
        for server in self._servers:
            server.end()
        self._shapes = shapes
        self._servers = [self._server(shapes) for _ in range(2)]
        for server in self._servers:
            server.wait()

    def round(self, what: str = "") -> None:
        """Have one server start a run, do something in the middle of it, and wait for its end."""
        doings: dict[str, Callable[[int, str], Shape | None]] = {
            "stopped": self._stop,
            "killed": self._kill,
            "database away": self._take_database_away,
            "deployed": self._deploy,
            "deployed while it waits": self._deploy,
        }
        choose = self._choose
        what = what or choose.choice(list(doings))
        is_asking = what == "deployed while it waits"
        run_id = f"{'asks' if is_asking else 'run'}-{self.figures.rounds}"
        place, shape = choose.randrange(2), self._shapes[-1]
        begun_at = time.monotonic()
        assert self._servers[place].tell("start", run_id) == "started"
        if is_asking:
            self._wait_for_status(run_id, UNDER_WAY)
        else:
            self._wait_for(run_id, choose.randint(1, 2 * len(shape.path) - 8))
            time.sleep(choose.random() * 0.004)
        shape = doings[what](place, run_id) or shape
        self._wait_for_status(run_id, UNDER_WAY)
        asyncio.run(self._check(run_id, shape))
        figures = self.figures
        figures.rounds += 1
        figures.done[what] += 1
        figures.slowest_s = max(figures.slowest_s, time.monotonic() - begun_at)

    # -- what is done --------------------------------------------------------------------------

    def _stop(self, place: int, _: str) -> None:
        server = self._servers[place]
        self._freeze(server)
        time.sleep(2.5 * self._lease_s)
        server.send(signal.SIGCONT)

    def _freeze(self, server: Server) -> None:
        self._frozen.add(server.process.pid)
        server.send(signal.SIGSTOP)

    def _kill(self, place: int, _: str) -> None:
        self._servers[place].end()
        self._servers[place] = self._server(self._shapes)
        self._servers[place].wait()

    def _take_database_away(self, place: int = 0, _: str = "") -> None:
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

    def _deploy(self, place: int, run_id: str) -> Shape:
        """Put another definition in place while the run goes on; return by which it ends.

        The process that drives it is killed, or stands still until the others have looked.
        """
        choose, before = self._choose, self._shapes
        is_asking, stopped = run_id.startswith("asks"), None
        if choose.random() < 0.3:
            stopped = self._servers.pop(place)
            self._freeze(stopped)
        for server in self._servers:
            server.end()
        change = self._change(run_id, before[-1])
        self._serve(change.deployed)
        if choose.random() < 0.3:
            self._take_database_away()
        if stopped is not None:
            time.sleep(1.5 * self._lease_s)
        if change.is_refused:
            self._check_refused(run_id)
        # The one that stands still has what it drives, but nobody to tell it of an answer.
        goes_on = stopped is not None and not is_asking and choose.random() < 0.5
        if change.is_refused and not goes_on:
            back = choose.choice(["put back", "kept beside"])
            new = replace(change.deployed[-1], version=self._name("v"))
            self._serve(before if back == "put back" else [change.ends_by, new])
            self.figures.done[f"refused, then {back}"] += 1
        self.figures.done[change.name] += 1
        if is_asking:
            told = choose.choice(self._servers).tell("answer", run_id)
            assert told == "went on", told
        elif not change.is_refused or stopped is None:
            self._wait_for_status(run_id, UNDER_WAY)
        if stopped is not None:
            stopped.send(signal.SIGCONT)
            self._wait_for_status(run_id, UNDER_WAY)
            time.sleep(self._lease_s / 3)
            stopped.end()
        return change.ends_by

    def _name(self, letter: str) -> str:
        self._names += 1
        return f"{letter}{self._names}"

    def _change(self, run_id: str, old: Shape) -> Change:
        """Return a change behind the place that the run has reached, or before it."""
        begun = [note.step for note in self._noted(run_id) if note.kind == "begin"]
        at = old.path.index(begun[-1])
        before = self._choose.randint(0, at)
        upset = old.insert(before, self._name("x"))
        kept = replace(upset, version=self._name("v"))
        turned = replace(old, arms=old.arms[::-1])
        changes = [
            Change("added before", [upset], old, is_refused=True),
            Change("arms reordered", [turned], turned),
            Change("version added", [old, kept], old),
        ]
        if at + 3 <= len(old.steps):
            added = old.insert(self._choose.randint(at + 3, len(old.steps)), self._name("x"))
            changes.append(Change("added behind", [added], added))
        for step in old.steps:
            if step.startswith("x"):
                less = old.remove(step)
                if old.steps.index(step) >= at + 3:
                    changes.append(Change("removed behind", [less], less))
                elif old.steps.index(step) < at:
                    changes.append(Change("removed before", [less], old, is_refused=True))
        if begun[-1] == old.path[-1]:  # it may have ended before its process was stopped
            changes = [Change("deployed too late", [old], old)]
        name = self._choose.choice(sorted({change.name for change in changes}))
        return self._choose.choice([change for change in changes if change.name == name])

    # -- what is looked at ---------------------------------------------------------------------

    def _noted(self, run_id: str) -> list[Note]:
        """Return what steps of a run have noted."""
        if not self._notes.exists():
            return []
        # The last line may be half written.
        whole = self._notes.read_text().rpartition("\n")[0]
        found = [line.split() for line in whole.splitlines()]
        return [
            Note(kind, step, int(process)) for run, kind, step, process in found if run == run_id
        ]

    def _wait_for(self, run_id: str, lines: int) -> None:
        until = time.monotonic() + PATIENCE_S
        while len(self._noted(run_id)) < lines:
            assert time.monotonic() < until, f"{run_id} does not begin"
            time.sleep(0.0005)

    def _head(self, run_id: str) -> RunHead:
        async def load() -> RunHead | None:
            async with SQLStorage(self._url) as storage:
                return await storage.workflows.get_run("served", run_id)

        head = asyncio.run(load())
        assert head is not None
        return head

    def _wait_for_status(self, run_id: str, others: tuple[str, ...]) -> None:
        """Wait until a run has none of these states any more."""
        until = time.monotonic() + PATIENCE_S
        while (found := self._head(run_id).status) in others:
            assert time.monotonic() < until, f"{run_id} is still {found}"
            time.sleep(0.05)

    def _check_refused(self, run_id: str) -> None:
        """Check that the servers are told that they cannot go on with a run, and leave it alone."""
        before, noted = self._head(run_id), self._noted(run_id)
        command = "answer" if run_id.startswith("asks") else "restart"
        for server in self._servers:
            assert server.tell(command, run_id) == "DEFINITION_CHANGED"
        time.sleep(self._lease_s)  # in which they look for runs that nobody drives
        after = self._head(run_id)
        assert after.status in ("suspended", "running")
        assert (after.status, after.owner, after.data) == (before.status, before.owner, before.data)
        assert self._noted(run_id) == noted, "a step ran by a definition that does not fit"

    async def _check(self, run_id: str, shape: Shape) -> None:
        """Check that a run has ended once, with everything that its steps did, each once."""
        path = shape.path
        mastra = build(self._url, [shape], str(self._notes))
        async with SQLStorage(self._url) as storage:
            info = await mastra.get_workflow("served").get_run(run_id)
            rows = await storage.workflows.load_rows("served", run_id)
        await mastra.aclose()
        assert info is not None
        assert (info.status, info.result) == ("success", len(path))
        assert dict(info.state) == {step: number for number, step in enumerate(path)}
        stored = Counter(row.key for row in rows if row.key)
        # A step that waits for an answer is stored when it asks, and when it has ended.
        asked = {"ask"} if run_id.startswith("asks") else set[str]()
        assert {name for name, count in stored.items() if count > 1} == asked, "stored twice"
        notes = [note for note in self._noted(run_id) if note.kind == "begin"]
        late = self._begun_on_waking(notes, path)
        begun = [note.step for place, note in enumerate(notes) if place not in late]
        assert set(begun) == set(path)
        # A step that was under way when its process stood still or was killed begins once more. One
        # that had finished does not: the one after it has begun by then.
        assert begun == sorted(begun, key=path.index), f"a finished step ran again: {notes}"
        self.figures.repeated += len(begun) - len(path) - len(asked)
        self.figures.frozen += len(late)

    def _begun_on_waking(self, notes: Sequence[Note], path: Sequence[str]) -> list[int]:
        """Return the places of steps that a process began on going on after it had stood still.

        It may stand still between its last look at the clock and the first line of the step, which
        nothing inside the process can tell. So it begins that one step, the next of its own, and
        no other: nothing of it is stored.
        """
        late: list[int] = []
        for process in self._frozen:
            mine = [place for place, note in enumerate(notes) if note.process == process]
            if not mine:
                continue
            at = [path.index(note.step) for note in notes]
            is_passed = max(at[: mine[-1]], default=-1) > at[mine[-1]]
            is_next = len(mine) == 1 or at[mine[-1]] == at[mine[-2]] + 1
            if is_passed and is_next:
                late.append(mine[-1])
        return late
