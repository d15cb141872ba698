"""What a run costs on a real Inngest server, and how soon others hear of it.

`make bench-inngest`, or `python -m bench.inngest [rounds] [runs at once]`. Subjects take turns, so that all see the same machine. The
chain by hand on the SDK, and ours, run in this process. What crosses processes has its worker in
another one: how long after its last step a run is known to have ended, and how late tokens are.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import fastapi
import httpx
import inngest
import inngest.fast_api
import uvicorn
from pydantic import BaseModel

from bench.inngest_connect import spread
from bench.inngest_load import at_once, waiting
from bench.measure import Row
from bench.table import render
from mastra import Mastra, StepContext, Workflow, create_step
from mastra.inngest import init, serve
from tests.inngest.test_processes import Worker, opened
from tests.support.inngest_env import DevServer, free_ports, inngest_binary

TOKENS = 200


class Value(BaseModel):
    """A number."""

    value: int


def _step(number: int) -> Any:
    async def execute(ctx: StepContext[Value]) -> Value:
        return Value(value=ctx.input_data.value + 1)

    return create_step(id=f"s{number}", execute=execute)


def _workflow(ing: Any, name: str) -> Workflow[Any, Any, Any]:
    workflow = ing.create_workflow(id=name, input_schema=Value, output_schema=Value)
    for number in range(10):
        workflow.then(_step(number))
    return workflow.commit()


def _by_hand(client: inngest.Inngest, done: asyncio.Queue[float]) -> inngest.Function[Any]:
    @client.create_function(fn_id="by-hand", trigger=inngest.TriggerEvent(event="by-hand"))
    async def run(ctx: inngest.Context) -> int:
        value = 0

        async def add() -> int:
            return value + 1

        for number in range(10):
            value = await ctx.step.run(f"s{number}", add)
        done.put_nowait(time.perf_counter())
        return value

    return run


@asynccontextmanager
async def _app(server: DevServer) -> AsyncIterator[dict[str, Callable[[], Awaitable[None]]]]:
    """Serve the chain by hand and ours, both ways; yield what runs each once."""
    client = inngest.Inngest(
        app_id="bench", is_production=False, api_base_url=server.url, event_api_base_url=server.url
    )
    done: asyncio.Queue[float] = asyncio.Queue()
    posted = _workflow(init(client), "posted")
    through_sdk = _workflow(init(client, checkpoint=False), "sdk")
    mastra = Mastra(workflows={"posted": posted, "sdk": through_sdk})
    app = fastapi.FastAPI()
    serve(app, mastra, client, functions=[_by_hand(client, done)])
    port = free_ports(1)[0]
    web = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    serving = asyncio.create_task(web.serve())  # noqa: TID251
    while not web.started:  # noqa: ASYNC110 - it has no event for that
        await asyncio.sleep(0.01)

    async def by_hand() -> None:
        await client.send(inngest.Event(name="by-hand", data={}))
        await done.get()

    def ours(name: str) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            made = await mastra.get_workflow(name).create_run()
            (await made.start({"value": 0})).unwrap()

        return run

    try:
        async with httpx.AsyncClient() as http:
            (await http.put(f"http://127.0.0.1:{port}/api/inngest")).raise_for_status()
        yield {"by hand": by_hand, "checkpointed": ours("posted"), "through the SDK": ours("sdk")}
    finally:
        await mastra.aclose()
        web.should_exit = True
        await serving


async def _chains(server: DevServer, rounds: int) -> list[Row]:
    times: dict[str, list[float]] = {}
    async with _app(server) as subjects:
        for number in range(rounds + 1):
            for name, run in subjects.items():
                begun = time.perf_counter()
                await run()
                if number:
                    times.setdefault(name, []).append(time.perf_counter() - begun)
    hand = times.pop("by hand")
    targets = {"checkpointed": 0.25, "through the SDK": 1.1}
    return [
        _row(f"chain of 10, {name}, by hand on the SDK", found, hand, targets[name])
        for name, found in times.items()
    ]


def _row(name: str, ours: list[float], limit: list[float], target: float) -> Row:
    ratio = median(a / b for a, b in zip(ours, limit, strict=True))
    low, middle, high = quantiles(limit, n=4) if len(limit) > 3 else (1.0, 1.0, 1.0)
    return Row(
        "inngest", name, "ms", median(ours) * 1000, median(limit) * 1000, ratio, target,
        f"{target:.2f} x", spread=(high - low) / middle,
    )  # fmt: skip


def _milliseconds(name: str, found: list[float], most: float) -> Row:
    ms = median(found) * 1000
    return Row("inngest", name, "ms", ms, most, ms / most, 1.0, f"{most:.0f} ms")


async def _across(mastra: Mastra, rounds: int) -> list[Row]:
    """Measure what a caller hears of a worker in another process."""
    ends: list[float] = []
    delays: list[float] = []
    read: list[float] = []
    unread: list[float] = []
    for number in range(rounds + 1):
        run = await mastra.get_workflow("end").create_run()
        ended_at = (await run.start({"value": 0})).unwrap()
        late = time.time() - ended_at
        run = await mastra.get_workflow("tokens").create_run()
        alone = (await run.start({"value": TOKENS})).unwrap().value
        run = await mastra.get_workflow("tokens").create_run()
        numbers: list[int] = []
        found: list[float] = []
        async with run.stream({"value": TOKENS}) as stream:
            async for event in stream:
                if event.type == "workflow-step-output" and event.payload is not None:
                    found.append(time.time() - event.payload.output["at"])
                    numbers.append(event.payload.output["number"])
        if numbers != list(range(TOKENS)):
            raise RuntimeError(f"{len(numbers)} of {TOKENS} tokens came, or not in order")
        if number:
            ends.append(late)
            delays += found
            unread.append(alone / 1000)
            read.append((await stream.result()).unwrap().value / 1000)
    return [
        _milliseconds(
            "from the end of the last step to the return of start(), elsewhere", ends, 50
        ),
        _milliseconds(f"delay of {TOKENS} tokens, 10 ms apart, read elsewhere", delays, 80),
        _row("the step that writes them, read, not read", read, unread, 1.02),
    ]


async def main(rounds: int, runs: int) -> None:
    if inngest_binary() is None:
        sys.exit("No Inngest server: set INNGEST_BIN, or put `inngest` on the PATH.")
    port = free_ports(1)[0]
    server = DevServer(port, tick_ms=150)
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(server.start)
        stack.callback(server.kill)
        rows = await _chains(server, rounds)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for shared in ("shared", "apart"):
            worker = Worker(server, folder, shared)
            await asyncio.to_thread(worker.start)
            try:
                async with opened(server.url, folder, is_shared=shared == "shared") as mastra:
                    for row in await _across(mastra, rounds):
                        where = "one database" if shared == "shared" else "none in common"
                        rows.append(replace(row, name=f"{row.name} ({where})"))
            finally:
                worker.kill()
        server.kill()
        rows += await at_once(runs, max(2, rounds // 2))
        rows += await waiting()
        rows += await spread()
        print(render(rows))


if __name__ == "__main__":
    given = [int(number) for number in sys.argv[1:]]
    asyncio.run(main(*(given or [5]), *([] if len(given) > 1 else [100])))
