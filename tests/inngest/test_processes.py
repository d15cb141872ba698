"""Callers and workers that are different processes, on a real server."""

from __future__ import annotations

import asyncio
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from mastra import Mastra, ResumeClaimedError
from tests.inngest.worker_app import build
from tests.support.inngest_env import DevServer, free_ports, inngest_host

pytestmark = pytest.mark.devserver
ROOT = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def opened(url: str, folder: Path, *, is_shared: bool) -> AsyncIterator[Mastra]:
    """Open what a caller has, and close the SDK's connections after it."""
    mastra, client = build(url, folder, is_shared=is_shared)
    async with mastra:
        yield mastra
    await client._http_client._http_client.aclose()
    client._http_client._http_client_sync.close()


class Worker:
    """The worker's process."""

    def __init__(
        self, server: DevServer, folder: Path, shared: str, port: int | None = None
    ) -> None:
        port = server.app_port if port is None else port
        self._arguments = [server.url, str(port), str(folder), shared]
        self._url = f"http://127.0.0.1:{port}/api/inngest"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until the server knows its functions."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.inngest.worker_app", *self._arguments], cwd=ROOT
        )
        for _ in range(2000):
            if self.process.poll() is not None:
                break
            try:
                if httpx.put(self._url, timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)
        self.kill()
        raise RuntimeError("the worker does not answer")

    def kill(self) -> None:
        """Kill it, as `kill -9` does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(params=["shared", "apart"])
def shared(request: pytest.FixtureRequest) -> str:
    """Whether caller and worker see the same storage."""
    return str(request.param)


@pytest.fixture
def worker(dev_server: DevServer, tmp_path: Path, shared: str) -> Iterator[Worker]:
    """A worker that is running."""
    started = Worker(dev_server, tmp_path, shared)
    started.start()
    yield started
    started.kill()


@pytest.mark.usefixtures("worker")
async def test_tokens_reach_another_process_in_order(
    dev_server: DevServer, tmp_path: Path, shared: str
) -> None:
    async with opened(dev_server.url, tmp_path, is_shared=shared == "shared") as mastra:
        run = await mastra.get_workflow("tokens").create_run()
        delays: list[float] = []
        numbers: list[int] = []
        seqs: list[int] = []
        async with run.stream({"value": 200}) as stream:
            async for event in stream:
                seqs.append(event.seq)
                if event.type == "workflow-step-output" and event.payload is not None:
                    delays.append(time.time() - event.payload.output["at"])
                    numbers.append(event.payload.output["number"])
        result = await stream.result()
        assert result.status == "success"
        assert numbers == list(range(200))
        assert seqs == list(range(len(seqs)))
        assert statistics.median(delays) < 0.08


class TimingOut:
    """A proxy before several workers: it gives the server up on its first requests too early."""

    def __init__(self, ports: list[int], is_begun: asyncio.Event) -> None:
        self._urls = [f"http://127.0.0.1:{port}" for port in ports]
        self._is_begun = is_begun
        self._http = httpx.AsyncClient(timeout=None)
        self._given_up: list[asyncio.Task[httpx.Response]] = []
        self.asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        is_post = request.method == "POST"
        self.asked += is_post
        url = f"{self._urls[self.asked % len(self._urls)]}{scope['path']}?{request.url.query}"
        # The host stays the proxy's: by that the server is told where to ask.
        headers = [one for one in request.headers.raw if one[0] != b"content-length"]
        body = await request.body()
        asking = asyncio.create_task(
            self._http.request(request.method, url, content=body, headers=headers)
        )
        if is_post and self.asked <= 3:
            self._given_up.append(asking)
            await self._is_begun.wait()
            await PlainTextResponse("Gateway Timeout", 504)(scope, receive, send)
            return
        answer = await asking
        told = Response(answer.content, answer.status_code, dict(answer.headers))
        await told(scope, receive, send)

    async def aclose(self) -> None:
        """Wait for what nobody listens to."""
        await asyncio.gather(*self._given_up)
        await self._http.aclose()


async def test_a_proxy_gives_up_on_a_request_that_another_worker_gets_then(
    dev_server: DevServer, tmp_path: Path
) -> None:
    ports, notes = free_ports(2), tmp_path / "ran.txt"
    workers = [Worker(dev_server, tmp_path, "shared", port) for port in ports]
    for worker in workers:
        await asyncio.to_thread(worker.start)
    proxy = TimingOut(ports, begun := asyncio.Event())
    try:
        async with (
            inngest_host(dev_server) as host,
            opened(dev_server.url, tmp_path, is_shared=True) as mastra,
        ):
            host.call(proxy)
            await host.sync()
            run = await mastra.get_workflow("slow").create_run()
            await run.start_async({"value": 0})
            await _begun(notes, 1)
            begun.set()
            async with asyncio.timeout(30):
                assert (await run.result()).unwrap().value == 2
            assert proxy.asked > 2
            await proxy.aclose()
    finally:
        for worker in workers:
            worker.kill()
    assert notes.read_text().splitlines() == ["begin 0", "end 0", "begin 1", "end 1"]


@pytest.mark.usefixtures("worker")
async def test_a_run_is_suspended_and_resumed_from_here(
    dev_server: DevServer, tmp_path: Path, shared: str
) -> None:
    async with opened(dev_server.url, tmp_path, is_shared=shared == "shared") as mastra:
        run = await mastra.get_workflow("ask").create_run()
        assert (await run.start({"value": 1})).status == "suspended"
        answers = await asyncio.gather(
            *[run.resume({"add": 2}) for _ in range(4)], return_exceptions=True
        )
        won = [answer for answer in answers if not isinstance(answer, BaseException)]
        assert len(won) == 1
        assert won[0].unwrap().value == 3
        assert sum(isinstance(answer, ResumeClaimedError) for answer in answers) == 3
        (info,) = (await mastra.get_workflow("ask").list_runs()).runs
        assert info.status == "success"


def _noted(notes: Path) -> int:
    return len(notes.read_text().splitlines()) if notes.exists() else 0


async def _begun(notes: Path, lines: int) -> None:
    """Wait until the steps have noted so much: each notes that it begins, and that it ends."""
    async with asyncio.timeout(30):
        while _noted(notes) < lines:
            await asyncio.sleep(0.002)


async def _killed(server: DevServer, folder: Path, workflow_id: str, rounds: int) -> None:
    worker = Worker(server, folder, "shared")
    worker.start()
    try:
        async with opened(server.url, folder, is_shared=True) as mastra:
            for _ in range(rounds):
                (folder / "ran.txt").write_text("")
                run = await mastra.get_workflow(workflow_id).create_run()
                await run.start_async({"value": 0})
                await _begun(folder / "ran.txt", random.randint(1, 19))
                await asyncio.sleep(random.random() * 0.02)
                worker.kill()
                await asyncio.to_thread(worker.start)
                async with asyncio.timeout(150):
                    assert (await run.result()).unwrap().value == 10
                ran = Counter((folder / "ran.txt").read_text().splitlines())
                # A step that was cut off begins again; one that has finished does not.
                assert all(ran[f"begin {number}"] <= 2 for number in range(10))
                assert sum(ran[f"begin {number}"] for number in range(10)) <= 11
    finally:
        worker.kill()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("workflow_id", ["long", "long-sdk"])
async def test_a_worker_is_killed_at_random(
    patient_server: DevServer, tmp_path: Path, workflow_id: str
) -> None:
    await _killed(patient_server, tmp_path, workflow_id, 3)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("workflow_id", ["long", "long-sdk"])
async def test_a_worker_is_killed_fifty_times(
    patient_server: DevServer, tmp_path: Path, workflow_id: str
) -> None:
    await _killed(patient_server, tmp_path, workflow_id, 50)
