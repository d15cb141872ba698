"""A worker in a process of its own: `python -m tests.inngest.worker_app SERVER_URL PORT FOLDER SHARED`.

With `connect` in place of the port it connects to the server, and says so on its standard output.
With `resume` it is no worker: it says `ready`, waits for a line, resumes the run whose id stands in
place of SHARED, and tells what came of it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import fastapi
import inngest
import uvicorn
from inngest.connect import ConnectionState

from mastra import Mastra, MastraError, StepContext, create_step
from mastra.inngest import connect, init, serve
from tests.inngest.flows import Value, begin, planner, plus_one, waiting


def build(url: str, folder: Path, *, is_shared: bool) -> tuple[Mastra, inngest.Inngest]:
    """Return the app of the worker, which its callers have too."""
    client = inngest.Inngest(
        app_id="worker", is_production=False, api_base_url=url, event_api_base_url=url
    )
    ing = init(client)

    def noting(number: int, takes_s: float = 0.05) -> Any:
        async def execute(ctx: StepContext[Value]) -> Value:
            with (folder / "ran.txt").open("a") as ran:
                ran.write(f"begin {number}\n")
            await asyncio.sleep(takes_s)
            with (folder / "ran.txt").open("a") as ran:
                ran.write(f"end {number}\n")
            return Value(value=ctx.input_data.value + 1)

        return create_step(id=f"n{number}", execute=execute)

    async def speak(ctx: StepContext[Value]) -> Value:
        begun = time.perf_counter()
        for number in range(ctx.input_data.value):
            await ctx.writer.write({"number": number, "at": time.time()})
            await asyncio.sleep(0.01)
        return Value(value=int((time.perf_counter() - begun) * 1000))

    async def stamp(ctx: StepContext[Value]) -> float:
        return time.time()

    # A busy machine starts a worker in many of the server's tries.
    plain: dict[str, Any] = {"input_schema": Value, "output_schema": Value, "retries": 20}
    long = ing.create_workflow(id="long", **plain)
    through_sdk = init(client, checkpoint=False).create_workflow(id="long-sdk", **plain)
    for number in range(10):
        long.then(noting(number))
        through_sdk.then(noting(number))
    slow = ing.create_workflow(id="slow", **plain).then(noting(0, 3.0)).then(noting(1))
    workflows = {
        "slow": slow.commit(),
        "long": long.commit(),
        "long-sdk": through_sdk.commit(),
        "tokens": begin("tokens").then(create_step(execute=speak)).commit(),
        "planner": planner("planner"),  # an id that no other app on the tests' server has
        "end": begin("end", output=float)
        .then(plus_one("a"))
        .then(create_step(execute=stamp))
        .commit(),
        "ask": begin("ask").then(waiting("wait")).commit(),
        "nap": begin("nap").then(plus_one("a")).sleep(3600).then(plus_one("b")).commit(),
    }
    storage: Any = None
    if is_shared:
        from mastra import SQLStorage

        storage = SQLStorage(f"sqlite:///{folder / 'runs.db'}")
    return Mastra(workflows=workflows, engine=ing.engine, storage=storage), client


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def _resume(url: str, folder: Path, run_id: str) -> None:
    mastra, _ = build(url, folder, is_shared=True)
    async with mastra:
        run = await mastra.get_workflow("ask").create_run(run_id)
        _say("ready")
        sys.stdin.readline()
        try:
            result = await run.resume({"add": 2})
        except MastraError as error:
            _say(error.code)
        else:
            _say(str(result.unwrap().value))


async def _connected(mastra: Mastra, client: inngest.Inngest) -> None:
    async with mastra:
        worker = connect(mastra, client, instance_id="tests")
        running = asyncio.create_task(worker.start())
        await worker.wait_for_state(ConnectionState.ACTIVE)
        _say("connected")
        await running


def main() -> None:
    """Serve until killed."""
    url, port, folder, shared = sys.argv[1:5]
    if port == "resume":
        asyncio.run(_resume(url, Path(folder), shared))
        return
    mastra, client = build(url, Path(folder), is_shared=shared == "shared")
    if port == "connect":
        asyncio.run(_connected(mastra, client))
        return

    @asynccontextmanager
    async def lifespan(_: fastapi.FastAPI) -> AsyncIterator[None]:
        async with mastra:
            yield

    app = fastapi.FastAPI(lifespan=lifespan)
    serve(app, mastra, client)
    uvicorn.run(app, port=int(port), log_level="error")


if __name__ == "__main__":
    main()
