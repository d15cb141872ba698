"""Other providers through the real litellm, which here reads from a server of our own."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from mastra.agents.agent import Agent
from mastra.errors import ConfigError, ModelError
from mastra.models.base import ModelRequest
from mastra.models.chunks import FinishChunk, ReasoningDelta, TextDelta
from mastra.models.litellm import LiteLLMModel
from mastra.models.messages import Message
from mastra.models.settings import ModelSettings
from mastra.tools.tool import tool
from tests.support.anthropic_replies import reply, text
from tests.support.openai_server import OpenAIServer, Reply, error_reply, text_reply, tool_reply

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
async def test_an_unknown_provider_lists_the_known_and_how_another_is_given() -> None:
    with pytest.raises(ConfigError, match=r"nonsuch.*anthropic.*url=.*'NON_SUCH_AI_API_KEY'"):
        await Agent(id="a", model="non-such.ai/nonsuch").generate("q")


ASKED = ModelRequest([Message("user", "hi")])


@pytest.mark.timeout(120)
async def test_a_key_that_litellm_knows_of_is_named(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    known = LiteLLMModel("m", provider="groq", key_names=("MY_KEY",), base_url=server.url)
    asked = LiteLLMModel("m", provider="groq", base_url=server.url)
    for model, name in ((known, "MY_KEY"), (asked, "GROQ_API_KEY")):
        with pytest.raises(ConfigError, match=f"set the environment variable {name}"):
            await Agent(id="a", model=model).generate("q")
    monkeypatch.setenv("GROQ_API_KEY", "k")
    server.queue(text_reply("ok"))
    assert (await Agent(id="a", model=asked).generate("q")).text == "ok"


@pytest.mark.timeout(120)
async def test_a_provider_that_is_not_there_may_be_there_soon() -> None:
    model = LiteLLMModel("m", provider="groq", api_key="k", base_url="http://127.0.0.1:1")
    with pytest.raises(ModelError) as caught:
        await Agent(id="a", model=model).generate("q", model_settings={"max_retries": 0})
    assert caught.value.is_retryable


@pytest.mark.timeout(120)
async def test_thoughts_and_raw_fields_go_through_it(server: OpenAIServer) -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    server.queue(reply(thought, text("So.")))
    model = LiteLLMModel("m", provider="anthropic", api_key="k", base_url=server.url)
    settings = ModelSettings(extra_body={"metadata": {"user_id": "u"}})
    chunks = [chunk async for chunk in model.stream(replace(ASKED, settings=settings))]
    kinds = {type(chunk): chunk for chunk in chunks}
    assert "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta)) == "So."
    thoughts = [chunk.text for chunk in chunks if isinstance(chunk, ReasoningDelta)]
    assert "".join(thoughts) == "Hm."
    assert kinds[FinishChunk].reason == "stop"
    assert server.requests[0]["metadata"] == {"user_id": "u"}


@pytest.mark.timeout(120)
async def test_a_provider_that_is_silent_may_answer_later(server: OpenAIServer) -> None:
    server.queue(Reply(hang=True))
    model = LiteLLMModel("m", provider="anthropic", api_key="k", base_url=server.url)
    settings = ModelSettings(extra_body={"timeout": 0.03})
    with pytest.raises(ModelError, match="Could not reach") as caught:
        _ = [chunk async for chunk in model.stream(replace(ASKED, settings=settings))]
    assert caught.value.is_retryable


@pytest.mark.timeout(120)
async def test_a_chunk_without_a_choice_says_nothing(server: OpenAIServer) -> None:
    """Azure begins with one, of what its filter found."""
    said = text_reply("ok")
    server.queue(replace(said, events=[{**said.events[0], "choices": []}, *said.events]))
    assert (await agent(server).generate("q")).text == "ok"
