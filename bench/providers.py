"""Streaming from providers whose own APIs are spoken, through an agent and by bare httpx.

As in `bench.stream`: the same local server, by turns. What must hold of each provider is what must
hold of OpenAI: chunks at least 0.8 times as fast as bare httpx reads them, the first text at most
half a millisecond later.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from bench.measure import Options, Row, Subject, compare
from bench.stream import CHUNKS, QUESTION, SYSTEM, Work, first_text, stream_server
from mastra.agents.agent import Agent
from mastra.models.resolve import ModelConfig

__all__ = ["measure"]

GROUP = "providers"


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider's API, as a program without any library but httpx would use it."""

    name: str
    """What it is called in a model's id."""
    path: Callable[[str], str]
    """From the model's name to the path below the server's address."""
    body: Callable[[str], dict[str, Any]]
    """From the model's name to the request."""
    text: Callable[[dict[str, Any]], str | None]
    """The text in an event, if it has any."""


def _anthropic_body(model: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": QUESTION}]
    head = {"model": model, "system": SYSTEM, "messages": messages}
    return {**head, "max_tokens": 4096, "stream": True}


def _anthropic_text(event: dict[str, Any]) -> str | None:
    return event["delta"].get("text") if event["type"] == "content_block_delta" else None


def _gemini_path(model: str) -> str:
    return f"/v1beta/models/{model}:streamGenerateContent?alt=sse"


def _gemini_body(_: str) -> dict[str, Any]:
    contents = [{"role": "user", "parts": [{"text": QUESTION}]}]
    return {"contents": contents, "systemInstruction": {"parts": [{"text": SYSTEM}]}}


def _gemini_text(event: dict[str, Any]) -> str | None:
    return event["candidates"][0]["content"]["parts"][0].get("text")


PROVIDERS = (
    Provider("anthropic", lambda _: "/v1/messages", _anthropic_body, _anthropic_text),
    Provider("gemini", _gemini_path, _gemini_body, _gemini_text),
)


class _Bare:
    def __init__(self, provider: Provider, url: str) -> None:
        self._provider = provider
        self._url = url.removesuffix("/v1")
        self.client = httpx.AsyncClient()

    async def texts(self, count: int) -> AsyncIterator[str]:
        provider, model = self._provider, str(count)
        url = self._url + provider.path(model)
        async with self.client.stream("POST", url, json=provider.body(model)) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    text = provider.text(json.loads(line[6:]))
                    if text:
                        yield text


class _Ours:
    def __init__(self, provider: Provider, url: str) -> None:
        self._name = provider.name
        self._url = url.removesuffix("/v1")

    async def texts(self, count: int) -> AsyncIterator[str]:
        config = ModelConfig(f"{self._name}/{count}", url=self._url, api_key="bench", api="native")
        agent = Agent(id="bench", instructions=SYSTEM, model=config)
        async for text in agent.stream(QUESTION).text_stream:
            yield text


def _all(source: _Bare | _Ours, count: int) -> Work:
    async def work() -> str:
        texts: list[str] = []
        async for text in source.texts(count):
            texts.append(text)  # noqa: PERF401 - as a reader would
        return "".join(texts)

    return work


async def measure(options: Options) -> list[Row]:
    """Measure the group."""
    rows: list[Row] = []
    async with stream_server() as url:
        for provider in PROVIDERS:
            bare, ours = _Bare(provider, url), _Ours(provider, url)
            try:
                rows += await _rows(provider.name, bare, ours, options)
            finally:
                await bare.client.aclose()
    return rows


async def _rows(name: str, bare: _Bare, ours: _Ours, options: Options) -> list[Row]:
    streaming = await compare(
        GROUP,
        f"{name}: text_stream of {CHUNKS} chunks over httpx, a chunk",
        ours=Subject(_all(ours, CHUNKS), CHUNKS),
        limit=Subject(_all(bare, CHUNKS), CHUNKS),
        larger=Subject(_all(ours, CHUNKS * 10), CHUNKS * 10),
        turns=options.turns(24),
        target=1 / 0.8,
    )
    first = await first_text(
        GROUP, f"{name}: first text", bare.texts, ours.texts, options.turns(200)
    )
    return [streaming, first]
