"""Durable agents by themselves whose app, callers and readers are different processes."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from mastra import Agent
from mastra.inngest import InngestEngine
from mastra.inngest.mount import app_functions
from tests.inngest.agent_worker import build
from tests.support.agent_process import TURNS
from tests.support.inngest_env import DevServer, free_ports
from tests.support.inngest_production import close_client
from tests.support.inngest_server import FakeInngest

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).resolve().parents[2]


class App:
    """The app's process, which the server calls."""

    def __init__(self, folder: Path, server_url: str, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/api/inngest"
        self.notes = folder / "notes"
        self.database = f"sqlite:///{folder}/runs.db"
        self.server_url = server_url
        self._tail = ("serve", str(port), server_url)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, *dies_at: str) -> None:
        """Start it, and have the server know its functions."""
        module = [sys.executable, "-m", "tests.inngest.agent_worker", self.database]
        self._process = await asyncio.create_subprocess_exec(
            *module, str(self.notes), *self._tail, *dies_at, cwd=ROOT
        )
        async with httpx.AsyncClient() as http, asyncio.timeout(120):
            while self._process.returncode is None:
                try:
                    answer = await http.put(self.url, timeout=5)
                except httpx.HTTPError:
                    await asyncio.sleep(0.05)
                    continue
                if answer.status_code == 200:
                    return
        raise RuntimeError("The app does not answer.")

    async def died(self) -> None:
        """Wait until it has killed itself."""
        assert self._process is not None
        assert await self._process.wait() == -9

    async def kill(self) -> None:
        """Kill it, as `kill -9` does."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def noted(self) -> Counter[str]:
        """Return what model and tool have done, and how often."""
        return Counter(self.notes.read_text().splitlines())

    @asynccontextmanager
    async def process(self) -> AsyncGenerator[Agent]:
        """Return the agent as another process has it, which only calls and reads."""
        mastra, client = build(self.database, self.server_url)
        async with mastra:
            yield mastra.get_agent("counter")
        await close_client(client)


class Forward:
    """What the small server calls: the app's process, waited for where it is not there."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        url = f"{self._url}?{scope['query_string'].decode()}"
        async with httpx.AsyncClient(timeout=None) as http:
            while True:
                try:
                    answer = await http.request(
                        scope["method"], url, content=body, headers=scope["headers"]
                    )
                except httpx.ConnectError:
                    await asyncio.sleep(0.05)
                    continue
                except httpx.HTTPError:
                    await send({"type": "http.response.start", "status": 502, "headers": []})
                    await send({"type": "http.response.body", "body": b"{}"})
                    return
                break
        headers = [(k, v) for k, v in answer.headers.raw if k.lower() != b"transfer-encoding"]
        start = {"type": "http.response.start", "status": answer.status_code, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": answer.content})


SERVERS = (
    pytest.param("double", marks=pytest.mark.every_engine),
    pytest.param("real", marks=pytest.mark.devserver),
)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Any:
    """The small server, or the real one."""
    is_real = request.param == "real"
    return request.getfixturevalue("patient_server") if is_real else FakeInngest()


@pytest.fixture
async def app(server: FakeInngest | DevServer, tmp_path: Path) -> AsyncIterator[App]:
    """An app of a server, not yet started."""
    if isinstance(server, FakeInngest):
        await server.start()
        opened = App(tmp_path, server.url, free_ports(1)[0])
        server.app = Forward(opened.url)
    else:
        opened = App(tmp_path, server.url, server.app_port)
    yield opened
    await opened.kill()
    if isinstance(server, FakeInngest):
        await server.stop()


async def told(stream: Any) -> list[Any]:
    return [chunk.to_wire() async for chunk in stream]


def results_in(chunks: list[Any]) -> list[Any]:
    return [chunk["payload"]["result"] for chunk in chunks if chunk["type"] == "tool-result"]


EVERYTHING = [f"{kind} {i}" for i in range(1, TURNS + 1) for kind in ("model", "tool")]
EVERYTHING.append(f"model {TURNS + 1}")
NUMBERS = list(range(1, TURNS + 1))


@pytest.mark.parametrize("dies_at", ["tool 2", "model 4"])
async def test_kill_9_in_the_middle_repeats_nothing_that_had_ended(app: App, dies_at: str) -> None:
    await app.start(dies_at)
    async with app.process() as caller, app.process() as elsewhere:
        stream = caller.stream("Count.", run_id="r")
        reading = asyncio.create_task(told(stream))
        await app.died()
        looking = asyncio.create_task(told(elsewhere.observe("r")))
        await app.start()
        async with asyncio.timeout(120):
            chunks, seen = await reading, await looking
        assert (await stream.result()).text == f"I have seen {NUMBERS}."
        assert app.noted() == Counter([*EVERYTHING, dies_at])
        assert results_in(chunks) == NUMBERS
        assert [chunk["type"] for chunk in chunks].count("finish") == 1
        assert seen == chunks
        for offset in (1, len(chunks) // 2, len(chunks) - 1):
            assert await told(elsewhere.observe("r", offset)) == chunks[offset:]


async def test_calls_are_approved_by_processes_that_come_and_go(app: App) -> None:
    await app.start()
    async with app.process() as caller:
        stream = caller.stream("Count.", run_id="r", require_tool_approval=True)
        chunks = await told(stream)
        assert stream.status == "suspended"
    assert app.noted() == Counter(["model 1"])
    for number in NUMBERS:
        if number == 3:
            await app.kill()
            await app.start()
        async with app.process() as other:
            (waiting,) = (await other.list_suspended_runs()).runs
            assert waiting.tool_calls[0].args == {"number": number}
            chunks += await told(other.approve_tool_call("r"))
    assert app.noted() == Counter(EVERYTHING)
    assert results_in(chunks) == NUMBERS
    async with app.process() as reader:
        assert await told(reader.observe("r")) == chunks
        assert (await reader.observe("r").result()).text == f"I have seen {NUMBERS}."


async def test_the_app_serves_a_function_for_each_durable_agent(tmp_path: Path) -> None:
    mastra, client = build(f"sqlite:///{tmp_path}/runs.db", "http://127.0.0.1:9")
    ids = {function.id for function in app_functions(mastra, client)}
    assert "agents-workflow.durable-agent:counter" in ids
    assert isinstance(mastra.get_agent("counter").stored_runs.runtime.engine, InngestEngine)
    await mastra.aclose()
    await close_client(client)
