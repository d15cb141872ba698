"""Anthropic over a real HTTP server: failures, keys, time-outs, answers held to a schema."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from pydantic import BaseModel

from mastra import Agent, ConfigError, Fallback, ModelConfig
from mastra.errors import ModelError
from mastra.models.resolve import resolve_model
from tests.support.anthropic_replies import call, message, reply, text
from tests.support.openai_server import OpenAIServer, Reply, error_reply, text_reply


class City(BaseModel):
    name: str
    size: int = 0


def config(url: str, model: str = "claude-sonnet-4-5", **options: Any) -> ModelConfig:
    return ModelConfig(
        id=f"anthropic/{model}", url=url, api_key="k", **{"api": "native", **options}
    )


def agent(server: OpenAIServer, model: str = "claude-sonnet-4-5", **options: Any) -> Agent:
    return Agent(id="a", name="a", model=config(server.url, model), **options)


async def test_what_is_sent_beside_the_body(server: OpenAIServer) -> None:
    server.queue(reply(text("hi")))
    subject = Agent(id="a", name="a", model=config(server.url, headers={"X-Team": "t"}))
    await subject.generate("q", model_settings={"headers": {"x-call": "c"}})
    (headers,) = server.headers
    assert server.paths == ["/v1/messages"]
    assert (headers["x-api-key"], headers["anthropic-version"]) == ("k", "2023-06-01")
    assert (headers["x-team"], headers["x-call"]) == ("t", "c")
    assert "authorization" not in headers
    assert headers["content-type"] == "application/json"


async def test_a_connection_is_used_again(server: OpenAIServer) -> None:
    server.queue(reply(text("a")), reply(text("b")))
    subject = agent(server)
    await subject.generate("q")
    await subject.generate("q")
    assert server.open_connections == 1


async def test_a_key_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="ANTHROPIC_API_KEY") as caught:
        resolve_model("anthropic/claude-sonnet-4-5")
    assert caught.value.code == "MISSING_API_KEY"


async def test_openais_format_is_asked_for_by_api(server: OpenAIServer) -> None:
    server.queue(text_reply("hi"))
    subject = Agent(id="a", name="a", model=config(server.url, api="chat"))
    assert (await subject.generate("q")).text == "hi"
    assert server.paths == ["/v1/chat/completions"]


async def test_a_server_that_is_not_there() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    subject = Agent(id="a", name="a", model=config(url))
    with pytest.raises(ModelError, match="Could not reach anthropic/claude") as caught:
        await subject.generate("q", model_settings={"max_retries": 0})
    assert (caught.value.code, caught.value.is_retryable) == ("MODEL_UNREACHABLE", True)
    assert "object at 0x" not in str(caught.value)


async def test_a_host_that_there_is_not() -> None:
    subject = Agent(id="a", name="a", model=config("https://nonsuch.invalid"))
    with pytest.raises(
        ModelError, match=r"Could not reach .* at https://nonsuch\.invalid"
    ) as caught:
        await subject.generate("q", model_settings={"max_retries": 0})
    assert "object at 0x" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "headers", "may_pass", "said"),
    [
        (401, {}, False, "refused the API key"),
        (404, {}, False, "was not found"),
        (413, {}, False, "refused the request"),
        (429, {"retry-after": "7"}, True, "takes no more requests"),
        (500, {"x-should-retry": "false"}, False, "failed at"),
        (529, {}, True, "failed at"),
    ],
)
async def test_refusals(
    server: OpenAIServer, status: int, headers: dict[str, str], may_pass: bool, said: str
) -> None:
    body = {"type": "error", "error": {"type": "some_error", "message": "In its words."}}
    server.queue(Reply(status=status, body=body, headers=headers))
    with pytest.raises(ModelError, match=r"In its words\.") as caught:
        await agent(server).generate("q", model_settings={"max_retries": 0})
    error = caught.value
    assert said in str(error)
    assert (error.status_code, error.is_retryable) == (status, may_pass)
    assert error.details["retry_after_s"] == (7 if headers.get("retry-after") else None)


async def test_a_page_of_a_gateway_says_what_a_reader_would_see(server: OpenAIServer) -> None:
    page = "<html><head><style>p{}</style></head><body><h1>502</h1><p>Bad gateway</p></body></html>"
    server.queue(Reply([page], status=502, done=False))
    with pytest.raises(ModelError, match="It said: 502 Bad gateway") as caught:
        await agent(server).generate("q", model_settings={"max_retries": 0})
    assert caught.value.is_retryable


async def test_the_next_model_of_a_list_answers(server: OpenAIServer) -> None:
    server.queue(error_reply(400, "no"), reply(text("hi")))
    models = [
        Fallback(config(server.url, "claude-a"), max_retries=0),
        config(server.url, "claude-b"),
    ]
    subject = Agent(id="a", name="a", model=models)
    assert (await subject.generate("q")).text == "hi"
    assert [body["model"] for body in server.requests] == ["claude-a", "claude-b"]


async def test_a_model_that_says_nothing_in_time(server: OpenAIServer) -> None:
    server.queue(Reply(hang=True))
    limits = {"timeout": {"first_chunk": 0.1}, "max_retries": 0}
    with pytest.raises(ModelError) as caught:
        await agent(server).generate("q", model_settings=limits)
    assert caught.value.code == "MODEL_TIMEOUT"


async def test_a_reader_who_leaves_closes_the_connection(server: OpenAIServer) -> None:
    server.queue(
        Reply(message(text("hello there")), named=True, done=False, pause=0.5, pause_from=4)
    )
    async with agent(server).stream("q") as stream:
        async for _ in stream.text_stream:
            break
    async with asyncio.timeout(5):
        while server.open_connections:
            await asyncio.sleep(0.01)


async def test_an_answer_held_to_a_schema(server: OpenAIServer) -> None:
    server.queue(reply(text('{"name": "Rome", "size": 3}')))
    result = await agent(server).generate("q", structured_output=City)
    assert result.object == City(name="Rome", size=3)
    (body,) = server.requests
    assert body["output_config"]["format"]["schema"]["additionalProperties"] is False


@pytest.mark.parametrize("thinks", [False, True])
async def test_an_answer_by_a_tool_is_text_as_it_comes(server: OpenAIServer, thinks: bool) -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    answer = {**call("toolu_1", "json"), "input": {"name": "Rome", "size": 3}}
    server.queue(reply(*([thought] if thinks else []), answer, stop="tool_use"))
    settings = {"reasoning": "low"} if thinks else {}
    stream = agent(server, "claude-sonnet-4-0").stream(
        "q", structured_output=City, model_settings=settings
    )
    partial = [found async for found in stream.object_stream]
    result = await stream.result()
    assert result.object == City(name="Rome", size=3)
    assert partial
    assert (result.finish_reason, result.steps[0].tool_calls) == ("stop", [])
    assert len(server.requests) == 1
    server.queue(reply(text("ok")))
    await agent(server).generate([*result.messages, "more"])
    last = server.requests[1]["messages"][1]["content"][-1]
    assert last["type"] == "text"
    assert City.model_validate_json(last["text"]) == City(name="Rome", size=3)
