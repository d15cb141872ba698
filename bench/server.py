"""200 streams open at once to readers that hardly read: memory stays bounded, others stay quick.

    python bench/server.py [--readers 200] [--seconds 5]

Each reader takes a little of its stream every half second, while its run writes a hundred pieces a second.
Printed: how the process's memory grew, and how long `GET /api/workflows` took meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import socket
import statistics
import time
from typing import Any

import httpx
import psutil
from pydantic import BaseModel

from mastra import Mastra, create_step, create_workflow
from mastra.server import ServerConfig
from mastra.server import serve as run

PIECE = "x" * 200


class Size(BaseModel):
    """What a run is told."""

    pieces: int


def build() -> Any:
    """Return the application: one workflow that writes, one that does not."""

    async def write(ctx: Any) -> int:
        for number in range(ctx.input_data.pieces):
            await ctx.writer.write(PIECE)
            if number % 20 == 0:
                await asyncio.sleep(0.2)
        return ctx.input_data.pieces

    step = create_step(id="write", input_schema=Size, output_schema=int, execute=write)
    flow = create_workflow(id="flow", input_schema=Size, output_schema=int).then(step).commit()
    return Mastra(workflows={"flow": flow})


def serve(port: int) -> None:
    """Run the server in a process of its own."""
    run(build(), ServerConfig(port=port, drain_timeout=0))


async def slow_reader(port: int, number: int, pieces: int, stop: asyncio.Event) -> int:
    """Open a stream and read a little of it now and then."""
    body = json.dumps({"inputData": {"pieces": pieces}}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    path = f"/api/workflows/flow/stream?runId=run-{number}"
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    seen = 0
    while not stop.is_set():
        seen += len(await reader.read(1024))
        await asyncio.sleep(0.5)
    writer.close()
    return seen


async def quick_requests(port: int, seconds: float) -> list[float]:
    """Ask for something small, again and again; return how long each took."""
    times: list[float] = []
    until = time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        while time.monotonic() < until:
            started = time.perf_counter()
            (await client.get("/api/workflows")).raise_for_status()
            times.append(time.perf_counter() - started)
            await asyncio.sleep(0.02)
    return times


async def measure(port: int, pid: int, readers: int, seconds: float, pieces: int) -> dict[str, Any]:
    """Open the streams and look at the server meanwhile."""
    process = psutil.Process(pid)
    alone = await quick_requests(port, 1)
    before = process.memory_info().rss
    stop = asyncio.Event()
    tasks = [
        asyncio.ensure_future(slow_reader(port, number, pieces, stop)) for number in range(readers)
    ]
    await asyncio.sleep(0.5)
    busy = await quick_requests(port, seconds)
    after = process.memory_info().rss
    stop.set()
    read = sum(await asyncio.gather(*tasks))
    return {
        "readers": readers,
        "requests": len(busy),
        "alone_ms": round(statistics.median(alone) * 1000, 1),
        "median_ms": round(statistics.median(busy) * 1000, 1),
        "p95_ms": round(sorted(busy)[int(len(busy) * 0.95)] * 1000, 1),
        "grew_mb": round((after - before) / 2**20, 1),
        "grew_kb_per_stream": round((after - before) / 1024 / readers, 1),
        "written_mb": round(readers * pieces * len(PIECE) / 2**20, 1),
        "read_mb": round(read / 2**20, 2),
    }


def main() -> None:
    """Run the benchmark and print what came of it as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--pieces", type=int, default=600)
    options = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(port,), daemon=True)
    server.start()
    is_up = False
    while not is_up:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 0.1).close()
            is_up = True
        time.sleep(0.05)
    try:
        facts = asyncio.run(
            measure(
                port, server.pid or os.getpid(), options.readers, options.seconds, options.pieces
            )
        )
    finally:
        server.terminate()
        server.join()
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
