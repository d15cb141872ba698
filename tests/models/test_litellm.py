"""Other providers through the real litellm, which here reads from a server of our own."""

from __future__ import annotations

import asyncio

import pytest

from mastra.agents.agent import Agent
from mastra.errors import ConfigError, ModelError
from mastra.models.litellm import LiteLLMModel
from mastra.tools.tool import tool
from tests.support.openai_server import OpenAIServer, error_reply, text_reply, tool_reply

# Its import warns, and so does what it imports; the warnings are litellm's own.
pytestmark = pytest.mark.filterwarnings("default")


@tool
async def get_weather(city: str) -> str:
    """Get the weather."""
    return f"sunny in {city}"


def agent(server: OpenAIServer) -> Agent:
    model = LiteLLMModel(
        "llama-x",
        provider="groq",
        key_names=("GROQ_API_KEY",),
        api_key="k",
        base_url=server.url,
    )
    return Agent(id="a", model=model, tools=[get_weather])


@pytest.mark.timeout(120)  # importing litellm takes seconds
async def test_the_same_chunks_as_from_openai(server: OpenAIServer) -> None:
    tasks = asyncio.all_tasks()
    server.queue(tool_reply(("c1", "get_weather", '{"city": "Rome"}')), text_reply("sun", "ny"))
    stream = agent(server).stream("hi")
    assert [chunk.type async for chunk in stream] == [
        *("start", "step-start", "tool-call-input-streaming-start"),
        *("tool-call-delta", "tool-call-delta", "tool-call-input-streaming-end", "tool-call"),
        *("tool-result", "step-finish", "step-start"),
        *("text-start", "text-delta", "text-delta", "text-end", "step-finish", "finish"),
    ]
    assert await stream.text() == "sunny"
    usage = await stream.usage()
    assert (usage.input_tokens, usage.cached_input_tokens, usage.reasoning_tokens) == (20, 8, 4)
    assert server.requests[0]["model"] == "llama-x"
    assert asyncio.all_tasks() - tasks <= {t for t in asyncio.all_tasks() if "serve" in repr(t)}


@pytest.mark.timeout(120)
async def test_failures_and_retries(server: OpenAIServer) -> None:
    server.queue(error_reply(500), text_reply("ok"))
    assert (await agent(server).generate("q")).text == "ok"
    server.queue(error_reply(401, "bad key"))
    with pytest.raises(ModelError, match="GROQ_API_KEY") as caught:
        await agent(server).generate("q")
    assert caught.value.status_code == 401


@pytest.mark.timeout(120)
async def test_an_unknown_provider_lists_the_known() -> None:
    with pytest.raises(ConfigError, match=r"nonsuch.*anthropic"):
        await Agent(id="a", model="nonsuch/model").generate("q")
