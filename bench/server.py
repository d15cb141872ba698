"""Streams to many slow readers, beside a bare FastAPI application that sends the same bytes.

Each reader takes a little of its stream every half second, while its run writes a hundred pieces a
second. Meanwhile somebody asks for something small, again and again: that must stay as quick as in
an application that only sends bytes made beforehand. The two take turns, each in a process of its
own, since one server must not pay for the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from statistics import median
from typing import Any

import httpx
import psutil
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from bench.measure import Options, Row, processor_s
from mastra import Mastra, ServerConfig, create_step, create_workflow
from mastra.server import serve

__all__ = ["measure", "serving"]

GROUP = "server"
PIECE = "x" * 200
BURST, PAUSE_S = 20, 0.2
"""A run writes so many pieces, and then rests."""
READERS, SECONDS, PIECES = 200, 3.0, 600
HEAD = "POST /api/workflows/flow/stream?runId=run-{number} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"


class Size(BaseModel):
    """What a run is told."""

    pieces: int


def _serve_ours(port: int) -> None:
    async def write(ctx: Any) -> int:
        for number in range(1, ctx.input_data.pieces + 1):
            await ctx.writer.write(PIECE)
            if number % BURST == 0:
                await asyncio.sleep(PAUSE_S)
        return ctx.input_data.pieces

    step = create_step(id="write", input_schema=Size, output_schema=int, execute=write)
    flow = create_workflow(id="flow", input_schema=Size, output_schema=int).then(step).commit()
    serve(Mastra(workflows={"flow": flow}), ServerConfig(port=port, drain_timeout=0))


def _serve_bare(port: int) -> None:
    app = FastAPI()
    event = {"type": "workflow-step-output", "runId": "run-100", "from": "USER"}
    payload = {"output": PIECE, "runId": "run-100", "stepName": "write"}
    record = json.dumps({**event, "payload": payload}, separators=(",", ":")).encode() + b"\x1e"

    async def records(pieces: int) -> AsyncIterator[bytes]:
        for number in range(1, pieces + 1):
            yield record
            if number % BURST == 0:
                await asyncio.sleep(PAUSE_S)

    @app.post("/api/workflows/flow/stream")
    async def stream(body: dict[str, Any]) -> StreamingResponse:
        return StreamingResponse(records(body["inputData"]["pieces"]), media_type="text/plain")

    @app.get("/api/workflows")
    async def workflows() -> dict[str, Any]:
        return {"flow": {"name": "flow", "steps": {"write": {"id": "write", "schema": "x" * 400}}}}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical")


async def _read_slowly(
    port: int, number: int, begun: asyncio.Semaphore, stop: asyncio.Event
) -> int:
    body = json.dumps({"inputData": {"pieces": PIECES}})
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    writer.write((HEAD.format(number=number, length=len(body)) + body).encode())
    first = await reader.read(1024)
    begun.release()
    if not first.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"no stream, but {first.decode()}")
    seen = len(first)
    while not stop.is_set():
        await asyncio.sleep(0.5)
        seen += len(await reader.read(1024))
    writer.close()
    return seen


async def _ask(port: int, seconds: float) -> list[float]:
    """Ask for something small, again and again; return how long each took."""
    times: list[float] = []
    until = time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        while time.monotonic() < until or not times:
            started = time.perf_counter()
            (await client.get("/api/workflows")).raise_for_status()
            times.append(time.perf_counter() - started)
            await asyncio.sleep(0.02)
    return times


@dataclass(frozen=True, slots=True)
class Seen:
    """What one turn saw."""

    alone_ms: float
    median_ms: float
    late_ms: float
    """What one request in twenty takes longer than."""
    cpu_s: float
    """Processor time of the server while the streams were open."""
    kb_per_stream: float
    """How much the server's memory grew."""


async def _watch(port: int, pid: int, readers: int, seconds: float) -> Seen:
    process = psutil.Process(pid)
    alone = await _ask(port, seconds / 3)
    memory, clock = process.memory_info().rss, processor_s(pid)
    begun, stop = asyncio.Semaphore(0), asyncio.Event()
    tasks = [asyncio.ensure_future(_read_slowly(port, n, begun, stop)) for n in range(readers)]
    for _ in range(readers):
        await begun.acquire()  # opening them is work of another kind
    for task in tasks:
        if task.done():
            task.result()
    busy = sorted(await _ask(port, seconds))
    grown, spent = process.memory_info().rss - memory, processor_s(pid) - clock
    stop.set()
    await asyncio.gather(*tasks)
    return Seen(
        median(alone) * 1e3,
        median(busy) * 1e3,
        busy[int(len(busy) * 0.95)] * 1e3,
        spent,
        grown / 1024 / readers,
    )


@contextmanager
def serving(run: Callable[[int], None]) -> Iterator[tuple[int, BaseProcess]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(target=run, args=(port,), daemon=True)
    process.start()
    try:
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 0.1).close()
                break
            if not process.is_alive():
                raise RuntimeError(f"the server ended with {process.exitcode}")
            time.sleep(0.05)
        yield port, process
    finally:
        process.kill()
        process.join()


async def measure(options: Options) -> list[Row]:
    """Let the two servers take turns."""
    readers = 20 if options.quick else READERS
    seconds = 0.6 if options.quick else SECONDS
    taken: dict[str, list[Seen]] = {"ours": [], "bare": []}
    for _ in range(1 if options.quick else 3):
        for name, run in (("ours", _serve_ours), ("bare", _serve_bare)):
            with serving(run) as (port, process):
                assert process.pid is not None
                taken[name].append(await _watch(port, process.pid, readers, seconds))
    return [
        _row(taken, f"a request, {readers} slow readers", "ms", "median_ms", target=2.0),
        _row(taken, f"the slowest in twenty, {readers} slow readers", "ms", "late_ms"),
        _row(taken, "a request, nobody reads", "ms", "alone_ms"),
        _row(taken, f"processor time for {readers} streams", "s", "cpu_s"),
        _row(taken, "memory a stream", "KB", "kb_per_stream", target=2.0),
    ]


def _row(
    taken: dict[str, list[Seen]], name: str, unit: str, fact: str, target: float | None = None
) -> Row:
    ours, bare = ([float(getattr(seen, fact)) for seen in taken[who]] for who in ("ours", "bare"))
    return Row(
        GROUP,
        name,
        unit,
        median(ours),
        median(bare),
        median(one / other for one, other in zip(ours, bare, strict=True) if other > 0),
        target,
        "" if target is None else f"{target:.2f} x",
        ours_least=min(ours),
        limit_least=min(bare),
    )
