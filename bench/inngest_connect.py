"""Items of a foreach, and arms, on ten connected workers beside one, on a real Inngest server.

Each worker takes one request at a time, so that an item on one worker stands for a machine that is
busy with it; the item itself waits, since ten machines' work does not fit on the cores of one. What
does not shrink with more workers is what requests cost: it is measured as processor time, also of
eight times as many items.

    python -m bench.inngest_connect [items]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import inngest
import psutil
from inngest.connect import ConnectionState
from pydantic import BaseModel

from bench.measure import Row
from bench.table import render
from mastra import Mastra, SQLStorage, StepContext, create_step
from mastra.inngest import connect, init
from tests.support.inngest_env import DevServer, free_ports, inngest_binary

__all__ = ["spread"]

ITEMS, ITEM_S = 60, 1.0
MORE, SHORT_S = 8, 0.02
ARMS, ARM_S = 10, 3.0
WORKERS = 10
TARGET: Final = 1 / 6


class Item(BaseModel):
    """One of many."""

    number: int
    seconds: float = 0.0
    """How long it takes."""


def build(url: str, database: str, count: int) -> tuple[Mastra, inngest.Inngest]:
    """Return what callers and workers have alike.

    Args:
        url: Of the server.
        database: Of the application.
        count: How many requests the server sends at once: one for each worker.
    """
    client = inngest.Inngest(
        app_id="spread", is_production=False, api_base_url=url, event_api_base_url=url
    )
    ing = init(client, checkpoint=False)  # each item is a request, to whichever worker

    async def wait(ctx: StepContext[Item]) -> Item:
        await asyncio.sleep(ctx.input_data.seconds)
        return ctx.input_data

    def waiting(name: str) -> Any:
        return create_step(id=name, input_schema=Item, output_schema=Item, execute=wait)

    each = ing.create_workflow(
        id="items", input_schema=list[Item], output_schema=list[Item], concurrency=count
    )
    # All are planned at once: how many are under way is the server's business.
    each.foreach(waiting("item"), concurrency=ITEMS * MORE)
    arms = ing.create_workflow(
        id="arms", input_schema=Item, output_schema=dict[str, Item], concurrency=count
    )
    arms.parallel([waiting(f"arm{number}") for number in range(ARMS)])
    workflows = [each.commit(), arms.commit()]
    return Mastra(workflows=workflows, engine=ing.engine, storage=SQLStorage(database)), client


async def work(url: str, database: str, count: int, name: str) -> None:
    """Be a worker that takes one request at a time."""
    mastra, client = build(url, database, count)
    async with mastra:
        worker = connect(mastra, client, instance_id=name, max_worker_concurrency=1)
        running = asyncio.create_task(worker.start())  # noqa: TID251 - the process ends with it
        await worker.wait_for_state(ConnectionState.ACTIVE)
        print("connected", flush=True)
        await running


@asynccontextmanager
async def workers(count: int, url: str, database: str) -> AsyncGenerator[list[psutil.Process]]:
    """Have so many workers connected."""
    started: list[asyncio.subprocess.Process] = []
    try:
        for number in range(count):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bench.inngest_connect", "work", url, database, str(count),
                f"w{number}",
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            started.append(process)
        for process in started:
            assert process.stdout is not None
            await process.stdout.readline()
        yield [psutil.Process(process.pid) for process in started]
    finally:
        for process in started:
            process.kill()
            await process.communicate()


async def _timed(mastra: Mastra, workflow: str, data: Any) -> float:
    begun = time.perf_counter()
    run = await mastra.get_workflow(workflow).create_run()
    (await run.start(data)).unwrap()
    return time.perf_counter() - begun


@dataclass(frozen=True, slots=True)
class Measured:
    """What so many workers took, in seconds."""

    each: float
    """An item."""
    arms: float
    """All arms."""
    cpu: float
    """Of the workers' processor, an item."""
    cpu_of_more: float = 0.0
    """The same, of many items."""


async def _measure(server: DevServer, count: int, items: int) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{Path(folder, 'runs.db')}"
        async with workers(count, server.url, database) as processes:
            mastra, _ = build(server.url, database, count)
            async with mastra:

                async def take(number: int, seconds: float) -> tuple[float, float]:
                    given = [{"number": n, "seconds": seconds} for n in range(number)]
                    before = _cpu(processes)
                    wall = await _timed(mastra, "items", given)
                    return wall / number, (_cpu(processes) - before) / number

                await take(2 * count, 0.0)  # loads what workers need
                each, cpu = await take(items, ITEM_S)
                arms = await _timed(mastra, "arms", {"number": 0, "seconds": ARM_S})
                more = (await take(items * MORE, SHORT_S))[1] if count > 1 else 0.0
    return Measured(each, arms, cpu, more)


def _cpu(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


async def spread(items: int = ITEMS) -> list[Row]:
    """Measure a foreach and arms on ten workers and on one."""
    found: list[Measured] = []
    for count in (WORKERS, 1):
        server = DevServer(free_ports(1)[0])
        await asyncio.to_thread(server.start)
        try:
            found.append(await _measure(server, count, items))
        finally:
            await asyncio.to_thread(server.kill)
    many, one = found
    where = f"on {WORKERS} connected workers, beside one"
    item = f"foreach over {items} {where}: an item of {ITEM_S:.0f} s"
    cpu = _row("processor of the workers for an item", many.cpu, one.cpu, None)
    return [
        _row(item, many.each, one.each, TARGET),
        replace(cpu, growth=many.cpu_of_more / many.cpu),
        _row(f"{ARMS} arms of {ARM_S:.0f} s {where}", many.arms, one.arms, TARGET),
    ]


def _row(name: str, ours: float, limit: float, target: float | None) -> Row:
    text = "" if target is None else f"{target:.2f} x"
    return Row("inngest", name, "ms", ours * 1000, limit * 1000, ours / limit, target, text)


async def main(items: int) -> None:
    if inngest_binary() is None:
        sys.exit("No Inngest server: set INNGEST_BIN, or put `inngest` on the PATH.")
    print(render(await spread(items)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        asyncio.run(work(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]))
    else:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ITEMS))
