"""What models that are spoken to natively share: proxies, TLS, refusals, the ends of bodies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest

from mastra.errors import ConfigError, ModelError
from mastra.models import sessions
from mastra.models.anthropic import AnthropicModel
from mastra.models.base import ModelRequest
from mastra.models.chunks import TextDelta
from mastra.models.gemini import GeminiModel
from mastra.models.http import HttpSource
from mastra.models.messages import Message
from mastra.models.openai import OpenAIModel
from mastra.testing.models import block_model_requests
from tests.support.anthropic_replies import message, text
from tests.support.openai_server import OpenAIServer, Reply

ASKED = ModelRequest([Message("user", "hi")])
END = {"candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}]}


def model(url: str) -> GeminiModel:
    return GeminiModel("m", base_url=url, api_key="k")


def answer(**options: Any) -> Reply:
    return Reply([END], done=False, **options)


async def said(url: str) -> str:
    chunks = [chunk async for chunk in model(url).stream(ASKED)]
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))


async def refused(server: OpenAIServer, reply: Reply) -> ModelError:
    server.queue(reply)
    with pytest.raises(ModelError) as caught:
        await said(server.url)
    return caught.value


async def test_a_refusal_in_plain_words_is_told(server: OpenAIServer) -> None:
    error = await refused(server, Reply(["upstream  connect\nerror"], status=503, done=False))
    assert "upstream connect error" in str(error)
    assert (error.status_code, error.is_retryable) == (503, True)


async def test_a_refusal_without_end_is_read_as_far_as_it_says_something(
    server: OpenAIServer,
) -> None:
    endless = Reply(["no " * (1 << 19)], status=500, done=False, ended=False)
    error = await refused(server, endless)
    assert error.status_code == 500
    assert "no no" in str(error)
    assert len(str(error)) < 1000


async def test_a_proxy_of_the_environment_is_asked_for_other_machines(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
    monkeypatch.setenv("no_proxy", "near.invalid")
    server.queue(answer(), answer())
    assert await said("http://far.invalid/v1") == "hi"
    assert server.paths == ["http://far.invalid/v1/models/m:streamGenerateContent?alt=sse"]
    assert await said(server.url) == "hi", "this machine itself is not asked for through it"
    with pytest.raises(ModelError, match=r"near\.invalid"):
        await said("http://near.invalid/v1")
    assert len(server.paths) == 2


async def test_what_tls_needs_is_made_once_and_beside_the_event_loop(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making it takes as long as a whole call: whoever spoke without it before waits no less."""
    server.queue(answer())
    await said(server.url)
    made: list[int] = []
    make: Callable[[], Any] = httpx.create_ssl_context

    def context() -> Any:
        made.append(threading.get_ident())
        return make()

    monkeypatch.setattr(httpx, "create_ssl_context", context)
    monkeypatch.setattr(sessions, "_tls", None)
    for _ in range(2):
        with pytest.raises(ModelError) as caught:
            await said("https://127.0.0.1:1")
        assert caught.value.code == "MODEL_UNREACHABLE"
    assert len(made) == 1
    assert made != [threading.get_ident()]


async def opened(server: OpenAIServer, **options: Any) -> HttpSource:
    """An answer that has been read as far as it says something."""
    server.queue(Reply(message(text("hi")), named=True, done=False, **options))
    model = AnthropicModel("m", base_url=server.url, api_key="k")
    source = await model.open(ASKED)
    while await source.read():
        pass
    return source


async def test_a_body_that_has_ended_gives_its_connection_back(server: OpenAIServer) -> None:
    for _ in range(2):
        source = await opened(server)
        await source._content.read()
        await source.aclose()
        await source.aclose()
    assert server.open_connections == 1


async def test_a_body_that_ends_after_its_loop_s_clients_is_closed(server: OpenAIServer) -> None:
    source = await opened(server, ended=False)
    owner = (await sessions.loop_clients())._owner
    assert owner is not None
    await owner.aclose()  # as the loop does when it shuts down
    await source.aclose()
    assert source._response.closed
    server.queue(answer())
    assert await said(server.url) == "hi", "the next call opens others"


async def test_a_shutdown_closes_what_was_let_end(server: OpenAIServer) -> None:
    source = await opened(server, ended=False)
    await source.aclose()
    assert not source._response.closed, "its end may still come"
    owner = (await sessions.loop_clients())._owner
    assert owner is not None
    await owner.aclose()
    assert source._response.closed


async def test_who_blocks_requests_may_leave_out_this_machine(server: OpenAIServer) -> None:
    server.queue(answer(), answer())
    with block_model_requests(allow_loopback=True) as block:
        assert await said(server.url) == "hi"
        with pytest.raises(ConfigError, match="blocked"):
            await said("http://far.invalid")
        block.lift()
        block.lift()
        assert await said(server.url) == "hi"
    with block_model_requests(allow_loopback=False), pytest.raises(ConfigError, match="blocked"):
        await said(server.url)


async def test_what_the_sdk_fails_with_is_told(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mastra.models.openai.SILENCE_S", 0.02)
    server.queue(Reply(hang=True))
    silent = OpenAIModel("silent", base_url=server.url, api_key="k")
    with pytest.raises(ModelError, match="did not answer in time") as caught:
        await silent.open(ASKED)
    assert (caught.value.code, caught.value.is_retryable) == ("MODEL_TIMEOUT", True)


async def test_embeddings_that_are_no_json_are_an_error(server: OpenAIServer) -> None:
    server.queue(Reply(["<html>"], done=False))
    embedder = OpenAIModel("e", base_url=server.url, api_key="k")
    with pytest.raises(ModelError, match="openai/e sent no vectors"):
        await embedder.embeddings(["a"], {})


def test_an_error_of_the_sdk_s_of_no_known_kind_is_told() -> None:
    from mastra.models.openai_errors import model_error

    told = model_error(openai.OpenAIError("odd"), OpenAIModel("m", api_key="k"))
    assert str(told) == "openai/m failed: odd"
    assert not told.is_retryable
