"""A piece of an agent's answer on its way to a page, beside a bare FastAPI stream of the same bytes.

All send one piece at a time over a real socket, from a process of their own. One has the agent's chunks made beforehand,
so that what it takes more is the adapter's; one has the agent with its loop and a model behind it; the third has the bytes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from multiprocessing.process import BaseProcess
from statistics import median
from typing import Any

import uvicorn
from ag_ui.encoder import EventEncoder
from fastapi import FastAPI
from starlette.responses import Response, StreamingResponse

from bench.measure import Options, Row, processor_s
from bench.server import serving
from mastra import Agent, Mastra, ServerConfig
from mastra.ag_ui.agent_teller import AgentTeller, Telling
from mastra.ag_ui.outbox import Outbox
from mastra.ag_ui.page import RunInput
from mastra.agents.chunks import AgentChunk
from mastra.ai_sdk import chat_route
from mastra.ai_sdk.agent_translator import AgentTranslator
from mastra.ai_sdk.chunks import StreamOptions
from mastra.ai_sdk.endpoints import stream_response
from mastra.ai_sdk.ui_stream import DONE, HEADERS
from mastra.models.chunks import FinishChunk, ModelChunk, TextDelta, Usage
from mastra.server import ApiRoute, serve
from mastra.server.context import ServerDep
from mastra.server.openai.answers import answered
from mastra.server.openai.chat_completions import CompletionEvents
from mastra.server.streaming import OPENED
from mastra.testing import FunctionModel

__all__ = ["measure"]

GROUP = "front ends"
PIECES = 3000
PIECE = "a word "
BARE = "/bare"
MESSAGE = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "Go."}]}
BODY = json.dumps({"messages": [MESSAGE]}).encode()


class _Source:
    request: Mapping[str, Any]

    def __init__(self) -> None:
        self.request = {}
        self.left = PIECES

    async def read(self) -> Sequence[ModelChunk]:
        await asyncio.sleep(0)
        self.left -= 1
        if self.left >= 0:
            return (TextDelta(PIECE),)
        return (FinishChunk("stop"),) if self.left == -1 else ()

    def interrupt(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


class _Model(FunctionModel):
    """Read as models of providers are: by whoever reads the stream."""

    def __init__(self) -> None:
        super().__init__(lambda _: PIECE)

    async def open(self, _request: Any) -> _Source:
        return _Source()


def _serve_ours(port: int) -> None:
    async def adapted(server: ServerDep, body: dict[str, Any]) -> Response:
        if not made:
            made.extend([chunk async for chunk in agent.stream(body["messages"])])
        return stream_response(server, _adapted(made))

    async def as_ag_ui(server: ServerDep, body: dict[str, Any]) -> Response:
        if not made:
            made.extend([chunk async for chunk in agent.stream(body["messages"])])
        return stream_response(server, _as_ag_ui(made))

    async def as_openai(server: ServerDep, body: dict[str, Any]) -> Response:
        if not made:
            made.extend([chunk async for chunk in agent.stream(body["messages"])])
        return stream_response(server, _as_openai(made))

    made: list[AgentChunk] = []
    agent = Agent(id="a", model=_Model())
    own = [
        ApiRoute(path="/adapter", method="POST", handler=adapted),
        ApiRoute(path="/events", method="POST", handler=as_ag_ui),
        ApiRoute(path="/openai", method="POST", handler=as_openai),
    ]
    server = ServerConfig(port=port, drain_timeout=0, api_routes=[*own, chat_route()])
    serve(Mastra(agents={"a": agent}, server=server))


async def _adapted(chunks: Sequence[AgentChunk]) -> AsyncGenerator[bytes, None]:
    translator = AgentTranslator(StreamOptions())
    yield OPENED
    for chunk in chunks:
        await asyncio.sleep(0)
        made = translator.frames((chunk,))
        if made:
            yield made
    yield DONE


async def _as_ag_ui(chunks: Sequence[AgentChunk]) -> AsyncGenerator[bytes, None]:
    outbox = Outbox(RunInput(thread_id="t", run_id="r", messages=[]), EventEncoder())
    teller = AgentTeller(Telling(outbox, str))
    yield OPENED
    for chunk in chunks:
        await asyncio.sleep(0)
        teller.tell((chunk,))
        made = outbox.taken()
        if made:
            yield made
    yield DONE


class _Made:
    """A stream whose chunks are there, and come one by one."""

    run_id, status = "r", "finished"

    def __init__(self, chunks: Sequence[AgentChunk]) -> None:
        self._chunks = chunks

    async def batches(self, _limit: int) -> AsyncGenerator[Sequence[AgentChunk], None]:
        for chunk in self._chunks:
            await asyncio.sleep(0)
            yield (chunk,)

    async def finish_reason(self) -> str:
        return "stop"

    async def usage(self) -> Usage:
        return Usage()

    async def aclose(self) -> None:
        pass


def _as_openai(chunks: Sequence[AgentChunk]) -> AsyncGenerator[bytes, None]:
    stream: Any = _Made(chunks)
    return answered(stream, "a", (), CompletionEvents("r", "a", with_usage=False))


def _serve_bare(port: int) -> None:
    app = FastAPI()
    chunk = {"type": "text-delta", "id": "0" * 36, "delta": PIECE}
    event = b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"

    async def events() -> AsyncIterator[bytes]:
        for _ in range(PIECES):
            await asyncio.sleep(0)
            yield event
        yield b"data: [DONE]\n\n"

    @app.post(BARE)
    async def chat(_body: dict[str, Any]) -> StreamingResponse:
        return StreamingResponse(events(), headers=dict(HEADERS))

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical")


async def _read(port: int, path: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n"
    )
    writer.write(head.encode() + BODY)
    sent = await reader.read()
    writer.close()
    assert sent.count(PIECE.encode()) == PIECES, sent[:300]
    assert b"[DONE]" in sent


async def _cost(port: int, process: BaseProcess, path: str, times: int) -> float:
    """Return the processor time of the server for one piece, in microseconds."""
    assert process.pid is not None
    before = processor_s(process.pid)
    for _ in range(times):
        await _read(port, path)
    return (processor_s(process.pid) - before) / (times * PIECES) * 1e6


async def measure(options: Options) -> list[Row]:
    """Let the two servers take turns."""
    taken: dict[str, list[float]] = {
        path: [] for path in ("/adapter", "/events", "/openai", "/chat/a", BARE)
    }
    with serving(_serve_ours) as ours, serving(_serve_bare) as bare:
        for _ in range(options.turns(8) + 1):
            for path, samples in taken.items():
                port, process = bare if path == BARE else ours
                samples.append(await _cost(port, process, path, 1 if options.quick else 4))
    return [
        _row(taken, "/adapter", "a chunk through the adapter to a page, processor time", 1.5),
        _row(taken, "/chat/a", "the same with the agent behind it"),
        _row(taken, "/events", "a chunk to a page of AG-UI, processor time", 1.5),
        _row(taken, "/openai", "a chunk to a client of OpenAI's API, processor time", 1.5),
    ]


def _row(taken: dict[str, list[float]], path: str, name: str, target: float | None = None) -> Row:
    # The first turn of each loads what is loaded once.
    ours, bare = taken[path][1:], taken[BARE][1:]
    return Row(
        GROUP,
        name,
        "us",
        median(ours),
        median(bare),
        median(one / other for one, other in zip(ours, bare, strict=True)),
        target,
        "" if target is None else f"{target:.2f} x",
        ours_least=min(ours),
        limit_least=min(bare),
    )
