"""A worker of the soak: `python -m tests.support.inngest_soak_app SERVER_URL PORT DATABASE NOTES`.

Several listen on one port, as the processes of one deployment do behind one address. Each step
notes when it begins and ends, and its output says which of its executions it came from, so that
it can be told afterwards which of them counted.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import fastapi
import inngest
import uvicorn
from pydantic import BaseModel

from mastra import Mastra, SQLStorage, StepContext, create_step
from mastra.inngest import init, serve
from tests.support.inngest_production import EVENT_KEY, KEY
from tests.support.soak_memory import tell_when_asked

__all__ = ["ARMS", "CHAIN", "ITEMS", "STAGES", "Trace", "build"]

CHAIN = tuple(f"s{number}" for number in range(5))
ARMS = ("left", "middle", "right")
ITEMS = tuple(f"item{number}" for number in range(4))
STAGES: dict[str, tuple[tuple[str, ...], ...]] = {
    "chain": tuple((name,) for name in CHAIN),
    "chain-sdk": tuple((name,) for name in CHAIN),
    "mixed": (("first",), ARMS, ITEMS, ("last",)),
    "ask": (("before",), ("after",)),
}
"""Of each workflow: its steps, in the order of what they depend on."""
STEP_S = (0.02, 0.1)

_executions = itertools.count()


class Trace(BaseModel):
    """Which executions of which steps a value came from."""

    run: str
    step: str = ""
    executions: list[str] = []


class Notes:
    """A file that several processes add lines to."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def add(self, *words: str) -> None:
        """Add a line, in one write."""
        os.write(self._file, (" ".join(words) + "\n").encode())


def _noting(notes: Notes, name: str | None) -> Any:
    async def execute(ctx: StepContext[Trace]) -> Trace:
        data = ctx.input_data
        step = name or data.step
        execution = f"{step}:{os.getpid()}-{next(_executions)}"
        notes.add("begin", data.run, execution)
        await asyncio.sleep(random.uniform(*STEP_S))
        notes.add("end", data.run, execution)
        return data.model_copy(update={"executions": [*data.executions, execution]})

    return create_step(id=name or "item", execute=execute)


def _joined(values: list[Any]) -> dict[str, Any]:
    """Return what came of several steps side by side as one value, each execution once."""
    traces = [Trace.model_validate(value) for value in values]
    executions = dict.fromkeys(one for trace in traces for one in trace.executions)
    return {"run": traces[0].run, "executions": [*executions]}


def build(server_url: str, database: str, notes: str) -> tuple[Mastra, inngest.Inngest]:
    """Return the application, which callers and workers have alike."""
    client = inngest.Inngest(
        app_id="keyed",
        is_production=True,
        signing_key=f"signkey-prod-{KEY}",
        event_key=EVENT_KEY,
        api_base_url=server_url,
        event_api_base_url=server_url,
    )
    ing, through_sdk, noted = init(client), init(client, checkpoint=False), Notes(notes)
    plain: dict[str, Any] = {"input_schema": Trace, "output_schema": Trace}
    chain = ing.create_workflow(id="chain", **plain)
    chain_sdk = through_sdk.create_workflow(id="chain-sdk", **plain)
    for name in CHAIN:
        chain.then(_noting(noted, name))
        chain_sdk.then(_noting(noted, name))
    mixed = ing.create_workflow(id="mixed", **plain).then(_noting(noted, "first"))
    mixed.parallel([_noting(noted, name) for name in ARMS])
    mixed.map(
        lambda ctx: [_joined(list(ctx.input_data.values())) | {"step": name} for name in ITEMS],
        id="items",
    )
    mixed.sleep(2).foreach(_noting(noted, None), concurrency=len(ITEMS))
    mixed.map(lambda ctx: _joined(ctx.input_data), id="one").then(_noting(noted, "last"))

    async def wait(ctx: StepContext[Trace]) -> Trace:
        return ctx.input_data if ctx.resume_data else await ctx.suspend({"need": "an answer"})

    ask = ing.create_workflow(id="ask", **plain).then(_noting(noted, "before"))
    ask.then(create_step(id="wait", execute=wait)).then(_noting(noted, "after"))
    workflows = [one.commit() for one in (chain, chain_sdk, mixed, ask)]
    mastra = Mastra(workflows=workflows, engine=ing.engine, storage=SQLStorage(database))
    return mastra, client


def shared_port(port: int) -> socket.socket:
    """Return a socket on a port that other processes listen on too."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.bind(("127.0.0.1", port))
    return found


def main() -> None:
    """Serve until killed; say `ready` once requests are taken."""
    server_url, port, database, notes = sys.argv[1:5]
    mastra, client = build(server_url, database, notes)
    tell_when_asked(Path(f"{notes}.{os.getpid()}"))

    @asynccontextmanager
    async def lifespan(_: fastapi.FastAPI) -> AsyncGenerator[None]:
        async with mastra:
            yield

    app = fastapi.FastAPI(lifespan=lifespan)
    serve(app, mastra, client, serve_origin=f"http://127.0.0.1:{port}")

    async def run() -> None:
        web = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        serving = asyncio.create_task(web.serve(sockets=[shared_port(int(port))]))
        while not web.started:
            await asyncio.sleep(0.01)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await serving

    asyncio.run(run())


if __name__ == "__main__":
    main()
