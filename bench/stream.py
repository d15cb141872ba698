"""Streaming through an agent, beside the SDK it stands on and beside bare httpx.

All three read the same local server, which is a process of its own, by turns. What must hold:
chunks at least 0.8 times as fast as bare httpx reads lines and JSON, the first text at most half a
millisecond later, and 50 streams at once and a run with one tool call at most 1.5 times its time.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import openai

from bench.measure import Options, Row, Subject, compare
from mastra.agents.agent import Agent
from mastra.models.resolve import ModelConfig
from mastra.tools.tool import tool

__all__ = ["first_text", "measure", "stream_server"]

GROUP = "stream"
CHUNKS = 2_000
STREAMS, STREAM_CHUNKS = 50, 200
SYSTEM, QUESTION = "You are a weather expert.", "What is the weather?"

Work = Callable[[], Awaitable[object]]
Texts = Callable[[int], AsyncIterator[str]]
"""From a number of chunks to their texts."""


@tool
async def get_weather(city: str) -> dict[str, Any]:
    """Get the weather of a city."""
    return {"city": city, "degrees": 20}


@asynccontextmanager
async def stream_server() -> AsyncIterator[str]:
    command = [sys.executable, str(Path(__file__).with_name("stream_server.py"))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: ASYNC220 - before any clock runs
    assert process.stdout is not None
    try:
        port = int(await asyncio.to_thread(process.stdout.readline))
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class _Bare:
    """What a program without any library but httpx would do."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/chat/completions"
        self.client = httpx.AsyncClient(limits=httpx.Limits(max_connections=200))

    async def pieces(self, model: str, messages: list[Any]) -> AsyncIterator[dict[str, Any]]:
        body = {
            "model": model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        async with self.client.stream("POST", self._url, json=body) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    event = json.loads(line[6:])
                    if event["choices"]:
                        yield event["choices"][0]["delta"]

    def messages(self) -> list[Any]:
        return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]

    async def texts(self, count: int) -> AsyncIterator[str]:
        async for delta in self.pieces(str(count), self.messages()):
            if delta.get("content"):
                yield delta["content"]

    def text(self, count: int) -> Work:
        async def work() -> str:
            texts: list[str] = []
            async for delta in self.pieces(str(count), self.messages()):
                if delta.get("content"):
                    texts.append(delta["content"])  # noqa: PERF401 - as a reader would
            return "".join(texts)

        return work

    async def tool_run(self) -> str:
        messages = self.messages()
        args = ""
        async for delta in self.pieces("tool", messages):
            for call in delta.get("tool_calls") or ():
                args += call["function"]["arguments"]
        result = await get_weather(**json.loads(args))
        function = {"name": "get_weather", "arguments": args}
        call = {"id": "call_1", "type": "function", "function": function}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        content = json.dumps(result)
        messages.append({"role": "tool", "tool_call_id": "call_1", "content": content})
        texts = [
            delta["content"]
            async for delta in self.pieces("tool", messages)
            if delta.get("content")
        ]
        return "".join(texts)


class _Ours:
    """The same through `Agent.stream().text_stream`."""

    def __init__(self, url: str) -> None:
        self._url = url

    def agent(self, model: str, **options: Any) -> Agent:
        config = ModelConfig(f"openai/{model}", url=self._url, api_key="bench")
        return Agent(id="bench", instructions=SYSTEM, model=config, **options)

    def text(self, count: int) -> Work:
        agent = self.agent(str(count))

        async def work() -> str:
            texts: list[str] = []
            async for text in agent.stream(QUESTION).text_stream:
                texts.append(text)  # noqa: PERF401 - as a reader would
            return "".join(texts)

        return work

    async def texts(self, count: int) -> AsyncIterator[str]:
        async for text in self.agent(str(count)).stream(QUESTION).text_stream:
            yield text

    def tool_run(self) -> Work:
        agent = self.agent("tool", tools={"get_weather": get_weather})

        async def work() -> str:
            return (await agent.generate(QUESTION)).text

        return work


def _sdk_text(client: openai.AsyncOpenAI, count: int) -> Work:
    async def work() -> str:
        texts: list[str] = []
        stream = await client.chat.completions.create(
            model=str(count),
            messages=[
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": QUESTION},
            ],
            stream=True,
        )
        async for event in stream:
            if event.choices and event.choices[0].delta.content:
                texts.append(event.choices[0].delta.content)  # noqa: PERF401 - as a reader would
        return "".join(texts)

    return work


def _many(work: Work) -> Work:
    async def together() -> None:
        await asyncio.gather(*(work() for _ in range(STREAMS)))

    return together


async def first_text(group: str, name: str, bare: Texts, ours: Texts, turns: int) -> Row:
    """Time from the call to the first text; reading the rest is not counted."""

    async def once(texts: Texts) -> float:
        began = time.perf_counter()
        took = 0.0
        async for _ in texts(20):
            took = took or time.perf_counter() - began
        return took

    taken: list[tuple[float, float]] = []
    for _ in range(10):
        await once(bare)
        await once(ours)
    for _ in range(turns):
        pair = (await once(bare) * 1000, await once(ours) * 1000)
        taken.append(pair)
    more = median(agent_ms - httpx_ms for httpx_ms, agent_ms in taken)
    return Row(
        group,
        name,
        "ms",
        median(agent_ms for _, agent_ms in taken),
        median(httpx_ms for httpx_ms, _ in taken),
        # The part of the half millisecond that is used up; below zero we are the faster.
        more / 0.5,
        1.0,
        "0.5 ms more (1 x is all of it)",
        ours_least=min(agent_ms for _, agent_ms in taken),
        limit_least=min(httpx_ms for httpx_ms, _ in taken),
        note=f"{more:+.2f} ms",
    )


async def measure(options: Options) -> list[Row]:
    """Measure the group."""
    async with stream_server() as url:
        bare, ours = _Bare(url), _Ours(url)
        sdk = openai.AsyncOpenAI(api_key="bench", base_url=url)
        try:
            return await _rows(bare, ours, sdk, options)
        finally:
            await sdk.close()
            await bare.client.aclose()


async def _rows(bare: _Bare, ours: _Ours, sdk: openai.AsyncOpenAI, options: Options) -> list[Row]:
    streaming = await compare(
        GROUP,
        f"text_stream of {CHUNKS} chunks over httpx, a chunk",
        ours=Subject(ours.text(CHUNKS), CHUNKS),
        limit=Subject(bare.text(CHUNKS), CHUNKS),
        larger=Subject(ours.text(CHUNKS * 10), CHUNKS * 10),
        turns=options.turns(24),
        target=1 / 0.8,
    )
    beside_sdk = await compare(
        GROUP,
        "the same over the openai SDK, a chunk",
        ours=Subject(ours.text(CHUNKS), CHUNKS),
        limit=Subject(_sdk_text(sdk, CHUNKS), CHUNKS),
        turns=options.turns(8),
    )
    first = await first_text(GROUP, "first text", bare.texts, ours.texts, options.turns(200))
    many = await compare(
        GROUP,
        f"{STREAMS} streams of {STREAM_CHUNKS} at once",
        ours=Subject(_many(ours.text(STREAM_CHUNKS)), 1),
        limit=Subject(_many(bare.text(STREAM_CHUNKS)), 1),
        turns=options.turns(16),
        unit="ms",
        target=1.5,
    )
    with_tool = await compare(
        GROUP,
        "agent run with one tool call",
        ours=Subject(ours.tool_run(), 1),
        limit=Subject(bare.tool_run, 1),
        turns=options.turns(64),
        unit="ms",
        target=1.5,
        sample_s=0.03,
    )
    return [streaming, beside_sdk, first, many, with_tool]
