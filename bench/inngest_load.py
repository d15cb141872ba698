"""Many runs at once on a real Inngest server, and what runs cost that wait.

The chain by hand on the SDK and ours take turns in one process, which is caller and app at once.
The processor's time is that of this process: the server's is not counted.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import fastapi
import httpx
import inngest
import psutil
import uvicorn
from pydantic import BaseModel

from bench.inngest_original import original
from bench.measure import Row
from mastra import Mastra, StepContext, Workflow, create_step
from mastra.inngest import init, serve
from tests.inngest.test_processes import Worker, opened
from tests.support.inngest_env import DevServer, free_ports

__all__ = ["at_once", "waiting"]

STEPS, STEP_S = 10, 0.02
SLEEPING = 1000
FEWER = 5
"""The original gives a run up after five minutes, which many at once take on a busy machine."""


Subjects: TypeAlias = dict[str, Callable[[], Awaitable[tuple[float, float]]]]
"""What takes turns, and tells the seconds, and those of the processor, that one took."""


class Value(BaseModel):
    """A number."""

    value: int


def _step(number: int) -> Any:
    async def execute(ctx: StepContext[Value]) -> Value:
        await asyncio.sleep(STEP_S)
        return Value(value=ctx.input_data.value + 1)

    return create_step(id=f"s{number}", execute=execute)


def _chain(ing: Any, name: str) -> Workflow[Any, Any, Any]:
    workflow = ing.create_workflow(id=name, input_schema=Value, output_schema=Value)
    for number in range(STEPS):
        workflow.then(_step(number))
    return workflow.commit()


def _by_hand(
    client: inngest.Inngest, done: dict[str, asyncio.Future[int]]
) -> inngest.Function[Any]:
    @client.create_function(fn_id="many-by-hand", trigger=inngest.TriggerEvent(event="many"))
    async def run(ctx: inngest.Context) -> int:
        value = 0

        async def add() -> int:
            await asyncio.sleep(STEP_S)
            return value + 1

        for number in range(STEPS):
            value = await ctx.step.run(f"s{number}", add)
        found = done[str(ctx.event.data["key"])]
        if not found.done():
            found.set_result(value)
        return value

    return run


@asynccontextmanager
async def _serving(
    server: DevServer, mastra: Mastra, client: inngest.Inngest, functions: list[Any]
) -> AsyncGenerator[None]:
    app = fastapi.FastAPI()
    serve(app, mastra, client, functions=functions)
    config = uvicorn.Config(app, port=server.app_port, log_level="error")
    web = uvicorn.Server(config)
    serving = asyncio.create_task(web.serve())  # noqa: TID251
    while not web.started:  # noqa: ASYNC110 - it has no event for that
        await asyncio.sleep(0.01)
    try:
        async with httpx.AsyncClient() as http:
            url = f"http://127.0.0.1:{server.app_port}/api/inngest"
            (await http.put(url)).raise_for_status()
        yield
    finally:
        await mastra.aclose()
        web.should_exit = True
        await serving


def _client(server: DevServer) -> inngest.Inngest:
    return inngest.Inngest(
        app_id="many", is_production=False, api_base_url=server.url, event_api_base_url=server.url
    )


async def _take(work: Callable[[], Awaitable[None]], runs: int) -> tuple[float, float]:
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*[work() for _ in range(runs)])
    wall = time.perf_counter() - wall
    await asyncio.sleep(0.5)  # the answers to the last requests belong to it
    return wall, time.process_time() - cpu


async def _by_turns(subjects: Subjects, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Let subjects take turns; the first round is not counted."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in subjects}
    for number in range(rounds + 1):
        for name, take in subjects.items():
            taken = await take()
            if number:
                found[name].append(taken)
    return found


async def at_once(runs: int, rounds: int) -> list[Row]:
    """Measure so many runs of ten steps at once.

    Args:
        runs: How many.
        rounds: How often each subject takes its turn, after one that is not counted.
    """
    server = DevServer(free_ports(1)[0], tick_ms=150)
    await asyncio.to_thread(server.start)
    client = _client(server)
    done: dict[str, asyncio.Future[int]] = {}
    workflows = {
        "checkpointed": _chain(init(client), "many-posted"),
        "five steps to a post": _chain(init(client, buffered_steps=4), "many-buffered"),
    }
    mastra = Mastra(workflows=workflows)

    async def by_hand() -> None:
        key = str(len(done))
        done[key] = asyncio.get_running_loop().create_future()
        await client.send(inngest.Event(name="many", data={"key": key}))
        await done[key]

    def ours(name: str) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            made = await mastra.get_workflow(name).create_run()
            (await made.start({"value": 0})).unwrap()

        return run

    try:
        async with (
            _serving(server, mastra, client, [_by_hand(client, done)]),
            original(server.url) as typescript,
        ):
            subjects: Subjects = {"by hand": partial(_take, by_hand, runs)}
            subjects |= {name: partial(_take, ours(name), runs) for name in workflows}
            if typescript is not None:
                few = runs // FEWER
                subjects |= {
                    "the original": partial(typescript.at_once, few),
                    "as many of ours": partial(_take, ours("checkpointed"), few),
                }
            found = await _by_turns(subjects, rounds)
    finally:
        await asyncio.to_thread(server.kill)
    hand, theirs = found.pop("by hand"), found.pop("the original", None)
    few, mine = runs // FEWER, found.pop("as many of ours", [])
    rows: list[Row] = []
    for name, taken in found.items():
        what = f"{runs} runs of {STEPS} steps at once, {name}"
        rows.append(_row(f"{what}: a run", taken, hand, 0, runs, 1 / 3))
        rows.append(_row(f"{what}: processor of the app, a run", taken, hand, 1, runs, 0.6))
    if theirs:
        what = f"{few} runs of {STEPS} steps at once, beside the original"
        rows.append(_row(f"{what}: a run", mine, theirs, 0, few, 1.0))
        rows.append(_row(f"{what}: processor of the app, a run", mine, theirs, 1, few, 1.0))
    return rows


def _row(
    name: str,
    ours: list[tuple[float, float]],
    hand: list[tuple[float, float]],
    which: int,
    runs: int,
    target: float,
) -> Row:
    mine, limit = [one[which] for one in ours], [one[which] for one in hand]
    ratio = median(a / b for a, b in zip(mine, limit, strict=True))
    ms = 1000 / runs
    return Row(
        "inngest", name, "ms", median(mine) * ms, median(limit) * ms, ratio, target,
        f"{target:.2f} x",
    )  # fmt: skip


async def waiting(runs: int = SLEEPING) -> list[Row]:
    """Measure what runs that sleep take in the memory of whoever waits for them.

    The caller is a process of its own, that has done nothing else, and so is the worker. The
    original's is its app too.
    """
    server = DevServer(free_ports(1)[0], tick_ms=150)
    theirs: float | None = None
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(server, Path(folder), "shared")
        try:
            await asyncio.to_thread(server.start)
            await asyncio.to_thread(worker.start)
            caller = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bench.inngest_load", server.url, folder, str(runs),
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            output, _ = await caller.communicate()
            async with original(server.url) as typescript:
                if typescript is not None:
                    theirs = await typescript.memory_of_sleeping(runs) / 1024
        finally:
            worker.kill()
            await asyncio.to_thread(server.kill)
    kb = float(output) / 1024
    name = f"{runs:,} runs waiting in sleep: memory a run in the caller"
    rows = [Row("inngest", name, "KB", kb, 10.0, kb / 10.0, 1.0, "10 KB")]
    if theirs is not None:
        beside = f"{name}, beside the original's app and caller"
        rows.append(Row("inngest", beside, "KB", kb, theirs, kb / theirs, 1.0, "1.00 x"))
    return rows


async def _wait_for_many(url: str, folder: Path, runs: int) -> float:
    """Wait for runs that sleep; return how many bytes each takes."""
    process, tasks = psutil.Process(), list[asyncio.Task[Any]]()
    async with opened(url, folder, is_shared=True) as mastra:
        nap = mastra.get_workflow("nap")

        async def begin(count: int) -> int:
            for _ in range(count // 50):
                made = [await nap.create_run() for _ in range(50)]
                tasks.extend(asyncio.create_task(run.start({"value": 0})) for run in made)  # noqa: TID251
                while (await nap.list_runs(status="waiting", per_page=1)).total < len(tasks):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            gc.collect()
            return process.memory_info().rss

        before = await begin(100)
        grown = await begin(runs) - before
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return grown / runs


if __name__ == "__main__":
    given = sys.argv[1:]
    print(asyncio.run(_wait_for_many(given[0], Path(given[1]), int(given[2]))))
