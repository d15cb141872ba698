"""OpenAI's format over a real connection: what is sent, what is read, and every way to fail."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from typing import Any

import pytest

from mastra.agents.agent import Agent
from mastra.errors import ConfigError, ModelError
from mastra.models import sessions
from mastra.models.messages import FilePart, ImagePart, Message
from mastra.models.resolve import Fallback, ModelConfig
from mastra.stream.abort import AbortController
from mastra.testing.models import ScriptedModel
from mastra.tools.tool import tool
from tests.support.openai_server import (
    OpenAIServer,
    Reply,
    chunk,
    error_reply,
    openai_server,
    text_reply,
    tool_reply,
)


def model(server: OpenAIServer, **options: Any) -> ModelConfig:
    return ModelConfig("openai/gpt-test", url=server.url, api_key="sk-test", **options)


def agent(server: OpenAIServer, **options: Any) -> Agent:
    return Agent(id="a", instructions="Be brief.", model=model(server), **options)


@tool
async def get_weather(city: str) -> dict[str, Any]:
    """Get the weather.

    Args:
        city: The city's name.
    """
    return {"city": city, "degrees": 20}


async def test_text(server: OpenAIServer) -> None:
    server.queue(text_reply("hel", "lo", " wörld €"))
    stream = agent(server).stream("hi")
    texts = [text async for text in stream.text_stream]
    assert texts == ["hel", "lo", " wörld €"]
    usage = await stream.usage()
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (10, 6, 16)
    assert (usage.cached_input_tokens, usage.reasoning_tokens) == (4, 2)
    assert server.requests == [
        {
            "model": "gpt-test",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "hi"},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]
    assert server.paths == ["/v1/chat/completions"]
    assert server.headers[0]["authorization"] == "Bearer sk-test"
    step = (await stream.steps())[0]
    assert step.response["modelId"] == "fake-1"
    assert step.response["timestamp"] == "2023-11-14T22:13:20.000Z"
    assert step.request["url"] == server.url + "/chat/completions"


async def test_text_arrives_while_the_model_goes_on(server: OpenAIServer) -> None:
    server.queue(text_reply("one", "two", "three", pause=0.05))
    began = time.perf_counter()
    arrived = [time.perf_counter() - began async for _ in agent(server).stream("q").text_stream]
    assert arrived[2] - arrived[0] > 0.08


async def test_a_tool_turn(server: OpenAIServer) -> None:
    server.queue(tool_reply(("call_1", "get_weather", '{"city": "Paris"}')), text_reply("20"))
    stream = agent(server, tools=[get_weather]).stream("hi")
    assert [item.type async for item in stream] == [
        *("start", "step-start", "tool-call-input-streaming-start"),
        *("tool-call-delta", "tool-call-delta", "tool-call-input-streaming-end", "tool-call"),
        *("tool-result", "step-finish", "step-start", "text-start", "text-delta", "text-end"),
        *("step-finish", "finish"),
    ]
    first, second = server.requests
    assert first["tools"][0]["function"]["name"] == "get_weather"
    assert first["tools"][0]["function"]["parameters"]["properties"]["city"] == {
        "type": "string",
        "title": "City",
        "description": "The city's name.",
    }
    assert first["tool_choice"] == "auto"
    assert second["messages"][2:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": '{"city":"Paris","degrees":20}'},
    ]


async def test_two_calls_in_one_turn(server: OpenAIServer) -> None:
    server.queue(
        tool_reply(("a", "get_weather", '{"city": "A"}'), ("b", "get_weather", '{"city": "B"}')),
        text_reply("ok"),
    )
    result = await agent(server, tools=[get_weather]).generate("hi")
    assert [item.payload.result["city"] for item in result.tool_results] == ["A", "B"]
    assert len(server.requests[1]["messages"]) == 5


async def test_settings_and_headers(server: OpenAIServer) -> None:
    server.queue(text_reply("x"))
    await Agent(id="a", model=model(server, headers={"x-own": "1"})).generate(
        "q",
        model_settings={
            "temperature": 0.5,
            "maxOutputTokens": 9,
            "topP": 0.9,
            "stop": ["END"],
            "seed": 7,
            "headers": {"x-call": "2"},
        },
        provider_options={"openai": {"reasoningEffort": "low"}},
    )
    sent = server.requests[0]
    assert {key: sent[key] for key in ("temperature", "max_tokens", "top_p", "stop", "seed")} == {
        "temperature": 0.5,
        "max_tokens": 9,
        "top_p": 0.9,
        "stop": ["END"],
        "seed": 7,
    }
    assert sent["reasoning_effort"] == "low"
    assert server.headers[0]["x-own"] == "1"
    assert server.headers[0]["x-call"] == "2"


async def test_images_and_files(server: OpenAIServer) -> None:
    server.queue(text_reply("x"))
    await agent(server).generate(
        [
            Message.user(
                "look",
                ImagePart(url="https://example.org/a.png"),
                FilePart("application/pdf", data="QUJD", filename="a.pdf"),
            ),
            {"role": "user", "content": [{"type": "image", "image": b"ABC"}]},
        ]
    )
    first, second = server.requests[0]["messages"][1:]
    assert first["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"},
        },
    ]
    assert second["content"][0]["image_url"]["url"] == "data:image/png;base64,QUJD"


async def test_reasoning_from_compatible_servers(server: OpenAIServer) -> None:
    server.queue(
        Reply([chunk({"reasoning_content": "hm"}), chunk({"content": "yes"}), chunk({}, "stop")])
    )
    stream = agent(server).stream("q")
    kinds = [item.type async for item in stream]
    assert kinds[2:8] == [
        *("reasoning-start", "reasoning-delta", "reasoning-end"),
        *("text-start", "text-delta", "text-end"),
    ]
    assert await stream.reasoning() == "hm"


async def test_an_endpoint_without_a_key_is_sent_none(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server.queue(text_reply("x"))
    await Agent(id="a", model=ModelConfig("own/model", url=server.url)).generate("q")
    assert "authorization" not in server.headers[0]


async def test_the_environment_names_key_and_address(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    server.queue(text_reply("x"))
    assert (await Agent(id="a", model="openai/gpt-4o").generate("q")).text == "x"
    assert server.headers[0]["authorization"] == "Bearer sk-env"


# -- failures ----------------------------------------------------------------------------------


async def test_429_with_retry_after(server: OpenAIServer) -> None:
    server.queue(error_reply(429, "slow down", retry_after="0.7"), text_reply("ok"))
    began = time.perf_counter()
    assert (await agent(server).generate("q")).text == "ok"
    # Longer than the wait that would be chosen without it.
    assert time.perf_counter() - began >= 0.7
    assert len(server.requests) == 2


async def test_500_then_success(server: OpenAIServer) -> None:
    server.queue(error_reply(500), text_reply("ok"))
    assert (await agent(server).generate("q")).text == "ok"


async def test_retries_end(server: OpenAIServer) -> None:
    server.queue(*[error_reply(503, "overloaded", retry_after_ms="10") for _ in range(4)])
    with pytest.raises(ModelError, match="overloaded") as caught:
        await agent(server).generate("q")
    assert caught.value.status_code == 503
    assert caught.value.model_id == "openai/gpt-test"
    assert len(server.requests) == 3


@pytest.mark.parametrize("options", [{"model_settings": {"max_retries": 0}}, {}])
async def test_no_retries(server: OpenAIServer, options: dict[str, Any]) -> None:
    server.queue(error_reply(500), text_reply("ok"))
    subject = agent(server, max_retries=0 if not options else None)
    with pytest.raises(ModelError):
        await subject.generate("q", **options)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "says"), [(401, "check the api_key"), (404, "model's name"), (400, "no")]
)
async def test_refusals_are_not_tried_again(server: OpenAIServer, status: int, says: str) -> None:
    server.queue(error_reply(status), text_reply("ok"))
    with pytest.raises(ModelError, match=says):
        await agent(server).generate("q")
    assert len(server.requests) == 1


async def test_a_wrong_key_from_the_environment_names_the_variable(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    server.queue(error_reply(401, "Incorrect API key provided"))
    with pytest.raises(ModelError, match=r"OPENAI_API_KEY.*Incorrect API key"):
        await Agent(id="a", model="openai/gpt-4o").generate("q")


async def test_a_wait_that_is_too_long_is_not_waited(server: OpenAIServer) -> None:
    server.queue(error_reply(429, "tomorrow", retry_after="7200"))
    with pytest.raises(ModelError, match="tomorrow"):
        await agent(server).generate("q")


async def test_connection_refused() -> None:
    config = ModelConfig("openai/x", url="http://127.0.0.1:1/v1", api_key="k")
    with pytest.raises(ModelError, match=r"http://127\.0\.0\.1:1/v1") as caught:
        await Agent(id="a", model=config, max_retries=0).generate("q")
    assert caught.value.is_retryable
    assert caught.value.status_code is None


@pytest.mark.parametrize("cut_after", [0, 1])
async def test_cut_before_the_first_chunk_is_tried_again(
    server: OpenAIServer, cut_after: int
) -> None:
    server.queue(text_reply("lost", cut_after=cut_after), text_reply("ok"))
    assert (await agent(server).generate("q")).text == "ok"
    assert len(server.requests) == 2


async def test_cut_after_the_first_chunk_is_an_error(server: OpenAIServer) -> None:
    server.queue(text_reply("one", "two", cut_after=2, pause=0.01), text_reply("never"))
    stream = agent(server).stream("q")
    kinds = [item.type async for item in stream]
    assert kinds == [
        *("start", "step-start", "text-start", "text-delta"),
        *("error", "text-end", "step-finish", "finish"),
    ]
    with pytest.raises(ModelError) as caught:
        await stream.text()
    assert caught.value.code == "MODEL_STREAM_CUT"
    assert len(server.requests) == 1


async def test_an_answer_without_an_end_is_an_error(server: OpenAIServer) -> None:
    server.queue(Reply([chunk({"content": "half"})], done=False))
    with pytest.raises(ModelError, match="cut off"):
        await agent(server).generate("q")


async def test_malformed_json_in_a_chunk(server: OpenAIServer) -> None:
    server.queue(Reply([chunk({"content": "a"}), 'data: {"choices": [{]}\n\n', chunk({}, "stop")]))
    with pytest.raises(ModelError, match="not JSON") as caught:
        await agent(server).generate("q")
    assert caught.value.code == "MODEL_RESPONSE_INVALID"


async def test_an_error_inside_the_stream(server: OpenAIServer) -> None:
    server.queue(Reply([chunk({"content": "a"}), {"error": {"message": "overheated"}}]))
    with pytest.raises(ModelError, match="overheated"):
        await agent(server).generate("q")


async def test_chunks_split_anywhere(server: OpenAIServer) -> None:
    text = "data: " + '{"choices":[{"index":0,"delta":{"content":"päris"},"finish_reason":"stop"}]}'
    pieces = [*(text[at : at + 7] for at in range(0, len(text), 7)), "\r\n", "\r\n", ": ping\n"]
    server.queue(Reply(pieces))
    assert (await agent(server).generate("q")).text == "päris"


async def test_a_slow_first_chunk(server: OpenAIServer) -> None:
    server.queue(text_reply("late", delay=5))
    with pytest.raises(ModelError) as caught:
        await agent(server).generate(
            "q", model_settings={"timeout": {"first_chunk": 0.05}, "max_retries": 0}
        )
    assert caught.value.code == "MODEL_TIMEOUT"
    server.queue(text_reply("in", "time", delay=0.02, pause=0.03))
    result = await agent(server).generate("q", model_settings={"timeout": {"first_chunk": 0.5}})
    assert result.text == "intime"


@pytest.mark.parametrize("limit", ["total", "step", "first_chunk"])
async def test_a_server_that_never_answers(server: OpenAIServer, limit: str) -> None:
    server.queue(Reply(hang=True))
    asking = agent(server, max_retries=0)
    async with asyncio.timeout(20):  # it would hang
        with pytest.raises(ModelError) as caught:
            await asking.generate("q", model_settings={"timeout": {limit: 0.1}})
    assert caught.value.code == "MODEL_TIMEOUT"


@pytest.mark.parametrize("limit", ["total", "step"])
async def test_a_server_that_stops_in_the_middle(server: OpenAIServer, limit: str) -> None:
    server.queue(text_reply("one", "two", pause=5, pause_from=1))
    stream = agent(server).stream("q", model_settings={"timeout": {limit: 0.2}})
    kinds = [item.type async for item in stream]
    assert kinds[-2:] == ["step-finish", "finish"]
    assert "error" in kinds
    with pytest.raises(ModelError, match=f"{limit} limit"):
        await stream.text()


async def test_fallbacks(server: OpenAIServer) -> None:
    server.queue(error_reply(500), error_reply(500), error_reply(400), text_reply("third"))
    models = [
        Fallback(model(server), max_retries=1, settings={"temperature": 0.1}),
        Fallback("openai/never", enabled=False),
        Fallback(model(server), max_retries=0),
        ModelConfig("other/last", url=server.url),
    ]
    result = await Agent(id="a", model=models).generate("q")
    assert result.text == "third"
    assert result.steps[0].model == "other/last"
    assert [sent.get("temperature") for sent in server.requests] == [0.1, 0.1, None, None]
    server.queue(error_reply(400, "first"), error_reply(400, "second"))
    with pytest.raises(ModelError, match="second"):
        await Agent(id="a", model=[model(server), model(server)]).generate("q")


async def test_a_missing_key_and_an_unknown_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        await Agent(id="a", model="openai/gpt-4o").generate("q")
    with pytest.raises(ConfigError, match="ANTHROPIC_API_KEY"):
        await Agent(id="a", model="anthropic/claude-x").generate("q")
    with pytest.raises(ConfigError, match="openai/gpt-4o"):
        await Agent(id="a", model="gpt-4o").generate("q")
    with pytest.raises(ConfigError, match="smollm2"):
        await Agent(id="a", model="local/nothing").generate("q")
    with pytest.raises(ConfigError, match="empty"):
        await Agent(id="a", model=[]).generate("q")


# -- connections -------------------------------------------------------------------------------


async def test_connections_are_reused(server: OpenAIServer) -> None:
    server.queue(text_reply("a"), text_reply("b"), text_reply("c"))
    subject = agent(server)
    for _ in range(3):
        await subject.generate("q")
        await asyncio.sleep(0.01)
    assert server.open_connections == 1


async def test_cookies_are_not_kept(server: OpenAIServer) -> None:
    for _ in range(2):
        server.queue(text_reply("a", headers={"set-cookie": "who=me"}))
        assert await agent(server).stream("hi").text() == "a"
    assert ["cookie" in headers for headers in server.headers] == [False, False]


async def test_closing_early_closes_the_connection(server: OpenAIServer) -> None:
    server.queue(text_reply("one", "two", "three", pause=0.02))
    tasks = asyncio.all_tasks()
    async with agent(server).stream("q") as stream:
        async for _ in stream.text_stream:
            break
    await asyncio.sleep(0.05)
    assert server.open_connections == 0
    assert asyncio.all_tasks() == tasks


async def test_dropping_a_stream_closes_the_connection(server: OpenAIServer) -> None:
    import gc

    server.queue(text_reply("one", "two", "three", pause=0.02))
    async for _ in agent(server).stream("q").text_stream:
        break
    gc.collect()
    await asyncio.sleep(0.08)
    assert server.open_connections == 0


async def test_cancelling_closes_the_connection(server: OpenAIServer) -> None:
    server.queue(text_reply("one", "two", pause=5, pause_from=1))
    stream = agent(server).stream("q")
    task = asyncio.ensure_future(stream.text())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.02)
    assert server.open_connections == 0


async def test_two_readers_of_which_one_is_cancelled(server: OpenAIServer) -> None:
    server.queue(text_reply("one ", "two ", "three ", "four", pause=0.03))
    stream = agent(server).stream("q")
    first = asyncio.ensure_future(stream.text())
    await asyncio.sleep(0.04)
    second = asyncio.ensure_future(stream.text())
    await asyncio.sleep(0.01)
    first.cancel()
    assert await second == "one two three four"


def test_a_program_that_ends_before_the_body_does_leaves_no_connection() -> None:
    async def main() -> str:
        async with openai_server() as server:
            server.queue(text_reply("a", ended=False))
            return await agent(server).stream("hi").text()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert asyncio.run(main()) == "a"
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


async def test_an_answer_may_be_let_end_twice(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_END_S", 0.01)
    raised: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
    server.queue(text_reply("a", ended=False))
    clients = await sessions.loop_clients()
    response = await clients.session.post(server.url, json={})
    sessions.let_end(response)
    sessions.let_end(response)
    while not response.closed:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert raised == []


async def test_many_at_once(server: OpenAIServer) -> None:
    server.queue(*[text_reply("a", "b") for _ in range(50)])
    subject = agent(server)
    results = await asyncio.gather(*(subject.generate("q") for _ in range(50)))
    assert {result.text for result in results} == {"ab"}


async def test_blocked_requests() -> None:
    from mastra.testing.models import block_model_requests

    config = ModelConfig("openai/x", url="https://example.org/v1", api_key="k")
    with block_model_requests(), pytest.raises(ConfigError, match="blocked"):
        await Agent(id="a", model=config).generate("q")
    assert (await Agent(id="a", model=ScriptedModel("x")).generate("q")).text == "x"


@pytest.mark.parametrize("how", ["close", "abort", "total"])
async def test_stopping_while_a_tool_runs(server: OpenAIServer, how: str) -> None:
    started = asyncio.Event()
    cancelled: list[str] = []

    @tool
    async def wait() -> str:
        """Wait for ever."""
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(how)
        return ""

    tasks = asyncio.all_tasks()
    server.queue(tool_reply(("c1", "wait", "{}")))
    controller = AbortController()
    options: Any = {"model_settings": {"timeout": {"total": 0.2}}} if how == "total" else {}
    subject = Agent(id="a", model=ModelConfig("own/m", url=server.url, api_key="k"), tools=[wait])
    stream = subject.stream("q", abort_signal=controller.signal, **options)

    async def stop() -> None:
        await started.wait()
        if how == "close":
            await stream.aclose()
        elif how == "abort":
            controller.abort()

    stopping = asyncio.get_running_loop().create_task(stop())
    async with asyncio.timeout(10):
        kinds = [chunk.type async for chunk in stream]
        await stopping
    ends = {"close": "tool-call", "abort": "abort", "total": "error"}
    assert ends[how] in kinds[-3:]
    assert cancelled == [how]
    assert {task for task in asyncio.all_tasks() - tasks if "serve" not in repr(task)} == set()
