"""Tokens that were cached, written and thought, as each provider tells them, and what they cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mastra import Agent, Mastra
from mastra.agents.records.meter import Meter
from mastra.models.base import ModelRequest
from mastra.models.chunks import FinishChunk, Usage
from mastra.models.messages import Message
from mastra.models.prices import Spending, cost_usd
from mastra.models.resolve import ModelConfig, resolve_model
from mastra.observability import Observability
from tests.support.openai_server import OpenAIServer, Reply, chunk

OPENAI = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
    "completion_tokens_details": {"reasoning_tokens": 8},
}
BESIDE = {
    **OPENAI,
    "completion_tokens": 12,  # without the thinking
    "prompt_tokens_details": None,
    "cache_read_input_tokens": 60,
    "cache_creation_input_tokens": 30,
}
CHAT = [chunk({"content": "hi"}), chunk({}, "stop"), {**chunk({}), "choices": [], "usage": OPENAI}]
RESPONSES = [
    {
        "type": "response.completed",
        "response": {
            "id": "r",
            "usage": {
                "input_tokens": 100,
                "output_tokens": 20,
                "total_tokens": 120,
                "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
                "output_tokens_details": {"reasoning_tokens": 8},
            },
        },
    }
]
ANTHROPIC = [
    {
        "type": "message_start",
        "message": {
            "id": "m",
            "model": "c",
            "usage": {
                "input_tokens": 10,
                "cache_creation_input_tokens": 30,
                "cache_read_input_tokens": 60,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 10,
                    "ephemeral_1h_input_tokens": 20,
                },
                "output_tokens": 1,
            },
        },
    },
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 20, "output_tokens_details": {"thinking_tokens": 8}},
    },
    {"type": "message_stop"},
]
GEMINI = [
    {
        "candidates": [
            {"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP"}
        ],
        "usageMetadata": {
            "promptTokenCount": 100,
            "cachedContentTokenCount": 60,
            "candidatesTokenCount": 12,
            "thoughtsTokenCount": 8,
            "totalTokenCount": 120,
        },
    }
]


async def used(server: OpenAIServer, name: str, api: str, reply: Reply) -> Usage:
    url = server.url if api != "native" else server.url.removesuffix("/v1")
    made: Any = {"id": name, "url": url, "api_key": "k", "api": api}
    model: Any = resolve_model(ModelConfig(**made))
    server.queue(reply)
    chunks = [item async for item in model.stream(ModelRequest([Message("user", "Hi.")]))]
    assert isinstance(chunks[-1], FinishChunk)
    return chunks[-1].usage


ODD = {"prompt_tokens": "100", "completion_tokens": 20.0, "total_tokens": None}
ODD_GEMINI = {"promptTokenCount": "100", "candidatesTokenCount": 20.0, "thoughtsTokenCount": "?"}


@pytest.mark.parametrize(
    ("name", "api", "reply"),
    [
        ("x/m", "chat", Reply([*CHAT[:2], {**CHAT[2], "usage": ODD}])),
        ("gemini/m", "native", Reply([{**GEMINI[0], "usageMetadata": ODD_GEMINI}], done=False)),
    ],
)
async def test_counts_that_are_no_integers_are_read(
    server: OpenAIServer, name: str, api: str, reply: Reply
) -> None:
    usage = await used(server, name, api, reply)
    assert (usage.input_tokens, usage.output_tokens) == (100, 20)
    assert usage.total_tokens in {120, None}


@pytest.mark.parametrize(
    ("name", "api", "reply", "written"),
    [
        ("openai/gpt-4o", "chat", Reply(CHAT), 30),
        ("xai/grok-4", "chat", Reply([*CHAT[:2], {**CHAT[2], "usage": BESIDE}]), 30),
        ("openai/gpt-5", "responses", Reply(RESPONSES, named=True, done=False), 30),
        ("anthropic/claude-sonnet-4-5", "native", Reply(ANTHROPIC, named=True, done=False), 30),
        ("gemini/gemini-2.5-flash", "native", Reply(GEMINI, done=False), None),
    ],
)
async def test_every_provider_counts_its_tokens(
    server: OpenAIServer, name: str, api: str, reply: Reply, written: int | None
) -> None:
    usage = await used(server, name, api, reply)
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (100, 20, 120)
    assert (usage.cached_input_tokens, usage.cache_creation_input_tokens) == (60, written)
    assert usage.reasoning_tokens == 8
    wire = usage.to_wire()
    assert (wire["cachedInputTokens"], wire["reasoningTokens"]) == (60, 8)
    assert wire.get("cacheCreationInputTokens") == written
    assert (cost_usd(name, usage) or 0) < (cost_usd(name, Usage(100, 20, 120)) or 0)


async def test_what_is_kept_for_an_hour_costs_more_also_after_a_wait(server: OpenAIServer) -> None:
    name = "anthropic/claude-sonnet-4-5"
    usage = await used(server, name, "native", Reply(ANTHROPIC, named=True, done=False))
    cost = (10 * 3 + 60 * 0.3 + 10 * 3.75 + 20 * 6 + 20 * 15) / 1e6
    assert cost_usd(name, usage) == pytest.approx(cost)
    meter, later = Meter(), Meter()
    meter.add(Spending(name, usage))
    later.restore(meter.to_json())
    assert later.spent[0].cost_usd == pytest.approx(cost)
    assert replace(later.spent[0].usage, raw=None) == replace(usage, raw=None)


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("openai/no-such-model", Usage(10, 5, 15)),
        ("nobody/gpt-4o", Usage(10, 5, 15)),
        ("local/smollm2-135m", Usage(10, 5, 15)),
        ("gpt-4o", Usage(10, 5, 15)),
        ("openai/gpt-4o", Usage()),
        ("openai/gpt-4o", Usage(10, 5, 15, cached_input_tokens=50)),
    ],
)
def test_there_is_no_price_where_none_is_known(name: str, usage: Usage) -> None:
    assert cost_usd(name, usage) is None


def test_the_name_that_the_provider_gives_has_a_price_too() -> None:
    assert cost_usd("openai/my-deployment", Usage(10, 5), "gpt-4o") == pytest.approx(75e-6)


async def test_spans_tell_what_was_cached_written_and_thought(server: OpenAIServer) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    model = ModelConfig(id="openai/gpt-4o", url=server.url, api_key="k")
    mastra = Mastra(
        agents={"a": Agent(id="a", instructions="", model=model)},
        observability=Observability(tracer_provider=provider, traces=None),
    )
    server.queue(Reply(CHAT))
    await mastra.get_agent("a").generate("Hi.")
    spans = exporter.get_finished_spans()
    assert {span.name for span in spans} == {"chat gpt-4o", "invoke_agent a"}
    for span in spans:
        told = span.attributes or {}
        assert told["gen_ai.usage.input_tokens"] == 100
        assert told["gen_ai.usage.cache_read.input_tokens"] == 60
        assert told["gen_ai.usage.cache_creation.input_tokens"] == 30
        assert told["gen_ai.usage.reasoning.output_tokens"] == 8
