"""`python -m bench.inngest_soak [runs] [minutes] [samples]`: is a run lost, or done twice, when things die?

Three worker processes behind one address, an Inngest server with a Redis behind it, one caller.
Two of the workers are killed (-9) at random and started again; the third lives, so that its
memory can be seen. The server is killed once and stopped once, and started again each time.
Interrupted, it starts no more runs, waits for those under way and tells what came of them.
The memory of every process is noted all along, each on its own: of the caller, of each worker by
its age (one that is killed begins anew), of the server between two restarts, of its Redis and of
PostgreSQL. With a third argument the samples go to that file, a line each.

    lost      a run that has not ended as it must ten minutes after it was started
    doubled   a step that began again after one that depends on it had begun, or whose execution
              that counted was not its last; and a run that ended twice
    cut off   a step that began again because its worker, or the server, was gone
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM
from typing import Any

import psutil

from mastra import Mastra, RunError, WorkflowResult
from tests.support.inngest_env import DevServer, free_ports, inngest_binary
from tests.support.inngest_production import close_client, keyed_server, redis, synced
from tests.support.inngest_soak_app import STAGES, Trace, build
from tests.support.postgres import MISSING, find_postgres
from tests.support.soak_memory import Memory

__all__ = ["Report", "soak"]

ROOT = Path(__file__).parents[1]
WORKERS = 3
KINDS = {"chain": 60, "mixed": 25, "ask": 10, "chain-sdk": 5}
"""How many of a hundred runs are of which workflow."""
LONGEST_RUN_S = 600.0
UNDER_WAY = 60
"""So many runs at most: on a busy machine the soak takes longer."""
KILL_EVERY_S = 25.0
SAMPLE_S = 5.0
SERVER_ENDS_S = 120.0
"""How long a server that is told to end may take: it tries to send its own traces until then."""
RETRIED = ("INNGEST_NOT_REACHED", "INNGEST_RUN_NOT_BEGUN", "INNGEST_EVENT_REFUSED")
"""After which a caller is told to try again: the run is as it was."""


@dataclass
class Report:
    """What came of a soak."""

    runs: int = 0
    seconds: float = 0.0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    kills: int = 0
    restarts: int = 0
    done: Counter[str] = field(default_factory=Counter)
    """How many executions of steps were begun, by workflow."""
    cut_off: int = 0
    """Steps that began again because what drove them was gone."""
    tries: Counter[str] = field(default_factory=Counter)
    """How often a caller had to try again, by the error's code."""
    late: array[float] = field(default_factory=lambda: array("d"))
    """How long runs took, in seconds, in the order in which they ended."""
    memory: Memory = field(default_factory=Memory)

    def __str__(self) -> str:
        late = sorted(self.late) or [0.0]
        lines = [
            f"{self.runs:,} runs, {sum(self.done.values()):,} steps in {self.seconds / 60:.1f} minutes: {len(self.lost)} lost, "
            f"{len(self.doubled)} doubled; {self.kills} workers killed, server restarted "
            f"{self.restarts} times; {self.cut_off} steps cut off and begun again; "
            f"callers tried again {dict(self.tries)}",
            f"a run took {late[len(late) // 2]:.2f} s in the middle, 99 % at most "
            f"{late[len(late) * 99 // 100]:.1f} s, the longest {late[-1]:.1f} s",
        ]
        lines += self.memory.lines()
        lines += [f"LOST {text}" for text in self.lost[:20]]
        lines += [f"DOUBLED {text}" for text in self.doubled[:20]]
        return "\n".join(lines)


class Workers:
    """The worker processes."""

    def __init__(self, *arguments: str) -> None:
        self._command = [sys.executable, "-m", "tests.support.inngest_soak_app", *arguments]
        self.processes: list[subprocess.Popen[str]] = []
        self.started = 0
        self.names: dict[int, str] = {}

    def start(self) -> subprocess.Popen[str]:
        """Start one, and wait until it takes requests."""
        process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        self.started += 1
        self.names[process.pid] = f"worker {self.started}"
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("a worker has not started")
        return process

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Kill one, as `kill -9` does."""
        process.kill()
        process.communicate()
        self.processes.remove(process)

    def stop(self) -> None:
        """Kill all."""
        for process in list(self.processes):
            self.kill(process)


class Caller:
    """Starts runs evenly over the time, and waits for each."""

    def __init__(self, mastra: Mastra, report: Report, choose: random.Random, ended: Path) -> None:
        self._mastra, self._report, self._choose = mastra, report, choose
        # Not kept here: what this process takes is what a caller's takes.
        self._ended = ended
        self._places = asyncio.Semaphore(UNDER_WAY)
        self._is_told_to_stop = asyncio.Event()

    async def start_all(self, runs: int, seconds: float) -> None:
        """Start so many runs, in so many seconds if the machine keeps up, and wait for them."""
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(runs):
                await self._places.acquire()
                if self._is_told_to_stop.is_set():
                    break
                self._report.runs += 1
                kind = self._choose.choices([*KINDS], [*KINDS.values()])[0]
                group.create_task(self._one(kind, f"{kind}.{number}"))
                late = time.monotonic() - begun - (number + 1) * seconds / runs
                await asyncio.sleep(max(0.0, -late))

    def stop(self) -> None:
        """Start no more."""
        self._is_told_to_stop.set()

    async def _one(self, kind: str, run_id: str) -> None:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(LONGEST_RUN_S):
                result = await self._to_its_end(kind, run_id)
        except (TimeoutError, RunError) as error:
            info = await self._mastra.get_workflow(kind).get_run(run_id)
            status = "unknown" if info is None else info.status
            self._report.lost.append(f"{run_id} is {status}: {error!r}")
            return
        finally:
            self._places.release()
        self._report.late.append(time.monotonic() - begun)
        if result.status != "success":
            self._report.lost.append(f"{run_id} ended as {result.status}: {result.to_wire()}")
            return
        executions = Trace.model_validate(result.unwrap()).executions
        with self._ended.open("a") as file:
            file.write(json.dumps([run_id, executions]) + "\n")

    def counted(self) -> dict[str, list[str]]:
        """Return of each run that has ended the executions that its result came from."""
        return dict(json.loads(line) for line in self._ended.read_text().splitlines())

    async def _to_its_end(self, kind: str, run_id: str) -> WorkflowResult[Any]:
        result = await self._tried(kind, run_id, "pending", lambda run: run.start({"run": run_id}))
        if kind == "ask" and result.status == "suspended":
            await asyncio.sleep(self._choose.random())
            result = await self._tried(
                kind, run_id, "suspended", lambda run: run.resume({"ok": True})
            )
        return result

    async def _tried(
        self, kind: str, run_id: str, before: str, call: Callable[[Any], Awaitable[Any]]
    ) -> WorkflowResult[Any]:
        """Do what a caller does: try again where the run is as it was, else wait for it."""
        workflow = self._mastra.get_workflow(kind)
        while True:
            run = await workflow.create_run(run_id)
            info = await workflow.get_run(run_id)
            try:
                if info is None or info.status == before:
                    return await call(run)
                return await run.result()
            except RunError as error:
                if error.code not in RETRIED:
                    raise
                self._report.tries[error.code] += 1
            await asyncio.sleep(1)


async def _kill_workers(workers: Workers, report: Report, choose: random.Random) -> None:
    while True:
        await asyncio.sleep(choose.expovariate(1 / KILL_EVERY_S))
        # The first one lives.
        await asyncio.to_thread(workers.kill, choose.choice(workers.processes[1:]))
        report.kills += 1
        await asyncio.to_thread(workers.start)


async def _restart_server(server: DevServer, report: Report, runs: int) -> None:
    for part, how in enumerate((SIGKILL, SIGTERM), 1):
        while report.runs < runs * part / 3:  # noqa: ASYNC110 - others count
            await asyncio.sleep(0.1)
        await asyncio.to_thread(server.kill, how, within_s=SERVER_ENDS_S)
        await asyncio.sleep(1)
        await asyncio.to_thread(server.start)
        report.restarts += 1


def _stop_where_failed(caller: Caller, task: asyncio.Task[None]) -> None:
    """Start no more runs where what kills, restarts or measures has failed: it would go unseen."""
    if not task.cancelled() and task.exception() is not None:
        caller.stop()


def _named_processes(report: Report, workers: Workers) -> dict[str, int]:
    mine = psutil.Process()
    named = {"caller": mine.pid}
    servers = {"inngest": f"server after {report.restarts} restarts", "redis-server": "redis"}
    for child in mine.children():
        name = workers.names.get(child.pid) or servers.get(child.name())
        if name is not None:
            named[name] = child.pid
    return named


async def _watch_memory(report: Report, workers: Workers) -> None:
    begun = time.monotonic()
    said = begun
    while True:
        await asyncio.sleep(SAMPLE_S)
        now = time.monotonic()
        report.memory.sample(_named_processes(report, workers), len(report.late))
        if now - said >= 60:
            said = now
            sys.stderr.write(
                f"{(now - begun) / 60:.0f} min: {len(report.late)} ended, {len(report.lost)} lost, "
                f"{report.kills} kills, {report.restarts} restarts, {dict(report.tries)}\n"
            )


def judge(report: Report, lines: list[str], counted: dict[str, list[str]]) -> None:
    """Find steps that ran again though they had finished."""
    begun: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        what, run_id, execution = line.split()
        if what == "begin":
            begun[run_id].append(execution)
    for run_id, executions in counted.items():
        kind = run_id.partition(".")[0]
        stage_of = {step: n for n, stage in enumerate(STAGES[kind]) for step in stage}
        steps = Counter(execution.partition(":")[0] for execution in executions)
        if steps != Counter(stage_of.keys()):
            report.lost.append(f"{run_id} came of {executions}")
        last: dict[str, str] = {}
        reached = 0
        report.done[kind] += len(begun[run_id])
        for execution in begun[run_id]:
            step = execution.partition(":")[0]
            if stage_of[step] < reached:
                report.doubled.append(f"{run_id}: {execution} began after what depends on it")
            reached = max(reached, stage_of[step])
            report.cut_off += step in last
            last[step] = execution
        if set(executions) != set(last.values()):
            late = sorted(set(last.values()) - set(executions))
            report.doubled.append(f"{run_id}: {late} began after the one that counts")


async def _ended_once(mastra: Mastra, report: Report, counted: dict[str, list[str]]) -> None:
    """See that storage has each run once, as ended."""
    for kind in KINDS:
        workflow = mastra.get_workflow(kind)
        mine = sum(run_id.startswith(f"{kind}.") for run_id in counted)
        stored = (await workflow.list_runs(status="success", per_page=1)).total
        everything = (await workflow.list_runs(per_page=1)).total
        if (stored, everything) != (mine, mine):
            report.lost.append(f"{kind}: {mine} heard of, {stored} stored as done, of {everything}")


async def soak(runs: int, minutes: float, *, seed: int = 1, samples: Path | None = None) -> Report:
    """Do so many runs in so many minutes, while workers and the server die.

    Args:
        runs: How many.
        minutes: In how many minutes they are started, where the machine keeps up.
        seed: Of what is chosen at random.
        samples: A file that samples of memory are added to.
    """
    report, choose = Report(memory=Memory(samples)), random.Random(seed)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        (folder / "pg").mkdir()
        postgres = find_postgres(folder / "pg")
        if postgres is None:
            sys.exit(MISSING)
        await asyncio.to_thread(postgres.start)
        stack.callback(postgres.stop)
        port = free_ports(1)[0]
        server = keyed_server(port, "--redis-uri", stack.enter_context(redis()))
        await asyncio.to_thread(server.start)
        stack.callback(server.kill)
        notes = str(folder / "notes")
        workers = Workers(server.url, str(port), postgres.url, notes)
        stack.callback(workers.stop)
        for _ in range(WORKERS):
            await asyncio.to_thread(workers.start)
        await synced(port)
        mastra, client = build(server.url, postgres.url, notes)
        stack.push_async_callback(close_client, client)
        await stack.enter_async_context(mastra)
        caller, begun = Caller(mastra, report, choose, folder / "ended"), time.monotonic()
        others = [
            asyncio.create_task(work)  # noqa: TID251 - ended below
            for work in (
                _kill_workers(workers, report, choose),
                _restart_server(server, report, runs),
                _watch_memory(report, workers),
            )
        ]
        for task in others:
            task.add_done_callback(partial(_stop_where_failed, caller))
        for told in (SIGINT, SIGTERM):
            asyncio.get_running_loop().add_signal_handler(told, caller.stop)
        await caller.start_all(runs, minutes * 60)
        for task in others:
            task.cancel()
        for found in await asyncio.gather(*others, return_exceptions=True):
            if isinstance(found, Exception):
                raise found
        report.seconds = time.monotonic() - begun
        counted = caller.counted()
        await _ended_once(mastra, report, counted)
        lines = (await asyncio.to_thread(Path(notes).read_text)).splitlines()
        judge(report, lines, counted)
    return report


def main() -> None:
    if inngest_binary() is None:
        sys.exit("No Inngest server: set INNGEST_BIN, or put `inngest` on the PATH.")
    given = [float(text) for text in sys.argv[1:3]]
    runs, minutes = (int(given[0]), given[1]) if len(given) > 1 else (10_000, 60.0)
    samples = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    report = asyncio.run(soak(runs, minutes, samples=samples))
    print(report)
    sys.exit(bool(report.lost or report.doubled))


if __name__ == "__main__":
    main()
