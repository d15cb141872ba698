"""What a run costs on a real Inngest server, beside the same chain by hand on the SDK.

`python -m bench.inngest [rounds]`. Takes turns, so that all see the same machine.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import fastapi
import httpx
import inngest
import inngest.fast_api
import uvicorn
from pydantic import BaseModel

from mastra import Mastra, StepContext, Workflow, create_step
from mastra.inngest import init, serve
from tests.support.inngest_env import DevServer, free_ports


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


async def main(rounds: int) -> None:
    port = free_ports(1)[0]
    server = DevServer(port, tick_ms=150)
    client = inngest.Inngest(
        app_id="bench", is_production=False, api_base_url=server.url, event_api_base_url=server.url
    )
    done: asyncio.Queue[float] = asyncio.Queue()
    posted = _workflow(init(client), "posted")
    through_sdk = _workflow(init(client, checkpoint=False), "sdk")
    mastra = Mastra(workflows={"posted": posted, "sdk": through_sdk})
    app = fastapi.FastAPI()
    serve(app, mastra, client, functions=[_by_hand(client, done)])
    web = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    serving = asyncio.create_task(web.serve())  # noqa: TID251
    await asyncio.to_thread(server.start)
    try:
        async with httpx.AsyncClient() as http:
            await http.put(f"http://127.0.0.1:{port}/api/inngest")

        async def by_hand() -> None:
            await client.send(inngest.Event(name="by-hand", data={}))
            await done.get()

        def ours(name: str) -> Callable[[], Awaitable[None]]:
            async def run() -> None:
                made = await mastra.get_workflow(name).create_run()
                (await made.start({"value": 0})).unwrap()

            return run

        rows = {"by hand": by_hand, "checkpointed": ours("posted"), "through the SDK": ours("sdk")}
        times: dict[str, list[float]] = {name: [] for name in rows}
        for number in range(rounds + 1):
            for name, run in rows.items():
                begun = time.perf_counter()
                await run()
                if number:
                    times[name].append(time.perf_counter() - begun)
        base = statistics.median(times["by hand"])
        for name, found in times.items():
            median = statistics.median(found)
            print(f"chain of 10, {name:16} {median * 1000:7.0f} ms  {median / base:.2f}x")
    finally:
        await mastra.aclose()
        web.should_exit = True
        await serving
        server.kill()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
