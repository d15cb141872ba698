"""OpenAI's responses API over a real connection."""

from __future__ import annotations

from typing import Any

import pytest

from mastra.agents.agent import Agent
from mastra.errors import ModelError
from mastra.models.resolve import ModelConfig
from mastra.tools.tool import tool
from tests.support.openai_server import OpenAIServer, Reply

CREATED = {
    "type": "response.created",
    "response": {"id": "resp_1", "model": "gpt-5-x", "created_at": 1700000000},
}
COMPLETED = {
    "type": "response.completed",
    "response": {
        "usage": {
            "input_tokens": 11,
            "output_tokens": 5,
            "total_tokens": 16,
            "input_tokens_details": {"cached_tokens": 3},
            "output_tokens_details": {"reasoning_tokens": 2},
        }
    },
}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_9", "name": "double"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "zzz"}


def reply(*events: dict[str, Any]) -> Reply:
    return Reply([CREATED, *events], named=True, done=False)


def text(*pieces: str) -> list[dict[str, Any]]:
    return [
        {"type": "response.output_text.delta", "item_id": "m", "delta": piece} for piece in pieces
    ]


def agent(server: OpenAIServer, **options: Any) -> Agent:
    config = ModelConfig("openai/gpt-5-x", url=server.url, api_key="k", api="responses")
    return Agent(id="a", instructions="Be brief.", model=config, **options)


@tool
async def double(n: int) -> int:
    """Double a number."""
    return n * 2


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
            {"type": "response.output_item.added", "item": CALL},
            {
                "type": "response.function_call_arguments.delta",
                "item_id": "fc_1",
                "delta": '{"n": 4}',
            },
            {"type": "response.output_item.done", "item": {**CALL, "arguments": '{"n": 4}'}},
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
    end = {
        "type": "response.incomplete",
        "response": {"incomplete_details": {"reason": "max_output_tokens"}},
    }
    server.queue(reply(*text("par"), end))
    assert (await agent(server).generate("q")).finish_reason == "length"


@pytest.mark.parametrize(
    "failure",
    [
        {"type": "error", "message": "overheated"},
        {"type": "response.failed", "response": {"error": {"message": "overheated"}}},
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
