"""OpenAI's responses API over a real connection."""

from __future__ import annotations

from typing import Any

import pytest

from mastra.agents.agent import Agent
from mastra.errors import ModelError
from mastra.models.resolve import ModelConfig
from mastra.tools.tool import tool
from tests.support.openai_server import OpenAIServer, Reply, recorded, recorded_events

_TEXT = recorded_events("responses_text")
_CALL = recorded_events("responses_call")
_USAGE = {
    "input_tokens": 11,
    "output_tokens": 5,
    "total_tokens": 16,
    "input_tokens_details": {"cached_tokens": 3},
    "output_tokens_details": {"reasoning_tokens": 2},
}


def of_type(events: list[dict[str, Any]], kind: str, **values: Any) -> dict[str, Any]:
    """The first recorded event of a type, with other values."""
    return {**next(event for event in events if event["type"] == kind), **values}


def ending(kind: str, **values: Any) -> dict[str, Any]:
    """The event that ends an answer, with other values in its response."""
    recorded = of_type(_TEXT, "response.completed")
    return {"type": kind, "response": {**recorded["response"], **values}}


CREATED = of_type(_TEXT, "response.created")
COMPLETED = ending("response.completed", usage=_USAGE)
CALL = {
    **of_type(_CALL, "response.output_item.added")["item"],
    "id": "fc_1",
    "call_id": "call_9",
    "name": "double",
}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "zzz"}


def reply(*events: dict[str, Any]) -> Reply:
    return Reply([CREATED, *events], named=True, done=False)


def text(*pieces: str) -> list[dict[str, Any]]:
    first = [event for event in _TEXT if event["type"].endswith(".added")]
    return [
        *first,
        *(of_type(_TEXT, "response.output_text.delta", delta=piece) for piece in pieces),
    ]


def agent(server: OpenAIServer, **options: Any) -> Agent:
    config = ModelConfig("openai/gpt-5-x", url=server.url, api_key="k", api="responses")
    return Agent(id="a", instructions="Be brief.", model=config, **options)


@tool
async def double(n: int) -> int:
    """Double a number."""
    return n * 2


@pytest.mark.parametrize(
    ("api", "name", "said", "called", "tokens"),
    [
        ("responses", "responses_text", "The capital of France is Paris.", [], (278, 9)),
        ("responses", "responses_call", "", [("get_capital", {"country": "France"})], (255, 16)),
        ("chat", "chat_text", "The capital of the UK is London.", [], (78, 9)),
        ("chat", "chat_call", "", [("get_capital", {"country": "UK"})], (53, 15)),
        ("chat", "chat_calls", "", [("get_country", {}), ("get_product_name", {})], (364, 40)),
    ],
)
async def test_recorded_answers(
    server: OpenAIServer,
    api: Any,
    name: str,
    said: str,
    called: list[tuple[str, Any]],
    tokens: tuple[int, int],
) -> None:
    server.queue(recorded(name))
    config = ModelConfig("openai/gpt-4o", url=server.url, api_key="k", api=api)
    result = await Agent(id="a", model=config).generate("q", max_steps=1)
    assert result.text == said
    calls = [(call.payload.tool_name, call.payload.args) for call in result.tool_calls]
    assert calls == called
    assert (result.usage.input_tokens, result.usage.output_tokens) == tokens


async def test_text(server: OpenAIServer) -> None:
    server.queue(reply(*text("hel", "lo"), COMPLETED))
    stream = agent(server).stream("hi", model_settings={"reasoning": "low"})
    assert await stream.text() == "hello"
    usage = await stream.usage()
    assert (usage.input_tokens, usage.cached_input_tokens, usage.reasoning_tokens) == (11, 3, 2)
    assert server.paths == ["/v1/responses"]
    assert server.requests[0] == {
        "model": "gpt-5-x",
        "input": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        ],
        "stream": True,
        "reasoning": {"effort": "low"},
    }


async def test_a_tool_turn_with_reasoning(server: OpenAIServer) -> None:
    server.queue(
        reply(
            {"type": "response.reasoning_summary_text.delta", "delta": "hm"},
            {"type": "response.output_item.done", "item": THOUGHT},
            of_type(_CALL, "response.output_item.added", item=CALL),
            of_type(
                _CALL,
                "response.function_call_arguments.delta",
                item_id="fc_1",
                delta='{"n": 4}',
            ),
            of_type(
                _CALL,
                "response.output_item.done",
                item={**CALL, "arguments": '{"n": 4}', "status": "completed"},
            ),
            COMPLETED,
        ),
        reply(*text("eight"), COMPLETED),
    )
    stream = agent(server, tools=[double]).stream("hi")
    assert [chunk.type async for chunk in stream] == [
        *("start", "step-start", "reasoning-start", "reasoning-delta", "reasoning-signature"),
        *("reasoning-end", "tool-call-input-streaming-start", "tool-call-delta"),
        *("tool-call-input-streaming-end", "tool-call", "tool-result", "step-finish"),
        *("step-start", "text-start", "text-delta", "text-end", "step-finish", "finish"),
    ]
    assert server.requests[0]["tools"][0]["name"] == "double"
    assert server.requests[1]["input"][2:] == [
        THOUGHT,
        {
            "id": "fc_1",
            "type": "function_call",
            "call_id": "call_9",
            "name": "double",
            "arguments": '{"n":4}',
        },
        {"type": "function_call_output", "call_id": "call_9", "output": "8"},
    ]


async def test_an_answer_that_is_too_long(server: OpenAIServer) -> None:
    end = ending("response.incomplete", incomplete_details={"reason": "max_output_tokens"})
    server.queue(reply(*text("par"), end))
    assert (await agent(server).generate("q")).finish_reason == "length"


@pytest.mark.parametrize(
    "failure",
    [
        {"type": "error", "message": "overheated"},
        ending("response.failed", error={"message": "overheated"}),
    ],
    ids=["error", "failed"],
)
async def test_failures(server: OpenAIServer, failure: dict[str, Any]) -> None:
    server.queue(reply(*text("a"), failure))
    with pytest.raises(ModelError, match="overheated"):
        await agent(server).generate("q")


async def test_cut_off(server: OpenAIServer) -> None:
    server.queue(reply(*text("a")))
    with pytest.raises(ModelError, match="cut off"):
        await agent(server).generate("q")


async def test_structured_output(server: OpenAIServer) -> None:
    server.queue(reply(*text('{"value": ', "[1, 2]}"), COMPLETED))
    result = await agent(server).generate("q", structured_output=list[int])
    assert result.object == [1, 2]
    assert server.requests[0]["text"]["format"]["type"] == "json_schema"
    assert server.requests[0]["text"]["format"]["strict"] is True
