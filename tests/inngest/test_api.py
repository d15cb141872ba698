"""What is asked of an Inngest server, and what its answers mean, over HTTP on loopback."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import inngest
import pytest
from aiohttp import web

from mastra import ConfigError, RunError
from mastra.inngest.engine import InngestEngine
from mastra.inngest.wire.api import Checkpoint, InngestApi, ServerRun
from mastra.inngest.wire.request import RequestFacts
from mastra.inngest.wire.transport import NotReached

OLD, NEW = "ab" * 16, "cd" * 16
FACTS = RequestFacts("run", "fn", "qi", "request", 1, 0, 4, must_plan=False, target="step")


def bearer(key: str) -> str:
    return f"Bearer {hashlib.sha256(bytes.fromhex(key)).hexdigest()}"


@asynccontextmanager
async def answering(
    answer: Callable[[web.Request], web.StreamResponse], **options: Any
) -> AsyncGenerator[tuple[InngestApi, list[web.Request]]]:
    """Serve one answer to everything; give what asks, and what it has asked."""
    asked: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        await request.read()
        return answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        client = inngest.Inngest(
            app_id="app", api_base_url=site.name, is_production=False, **options
        )
        yield InngestApi(client), asked
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("name", ["INNGEST_SIGNING_KEY", "INNGEST_SIGNING_KEY_FALLBACK"])
@pytest.mark.parametrize("key", ["secret!", "signkey-test-secret!", "signkey-prod-abc"])
def test_what_is_no_signing_key_is_refused_and_not_shown(
    name: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, key)
    client = inngest.Inngest(app_id="app", is_production=False)
    with pytest.raises(ConfigError, match=f"client's {name.lower()[8:]} is none") as caught:
        InngestEngine(client)
    assert "secret" not in str(caught.value)
    monkeypatch.setenv(name, f"signkey-prod-{OLD}")
    assert InngestEngine(inngest.Inngest(app_id="app", is_production=False))


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_is_no_longer_taken_gives_way_to_the_other(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(request: web.Request) -> web.Response:
        if request.headers["authorization"] != bearer(OLD):
            return web.json_response({"error": "unknown key"}, status=status)
        assert request.headers["x-inngest-env"] == "branch"
        return web.json_response({"data": {"status": "Completed"}})

    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", f"signkey-test-{OLD}")
    key = f"signkey-test-{NEW}"
    async with answering(answer, signing_key=key, env="branch") as (api, asked):
        await api.publish("channel", "topic", b"{}")
        assert await api.server_run("run") == ServerRun("Completed", "")
        sent = [request.headers["authorization"] for request in asked]
        assert sent == [bearer(NEW), bearer(OLD)] * 2
        # A question is asked anew, and not answered from what was said to the key before it.
        assert asked[2].query["_"] != asked[3].query["_"]


async def test_one_key_that_is_not_taken_is_refused() -> None:
    async with answering(
        lambda _: web.json_response({}, status=401), signing_key=f"signkey-test-{NEW}"
    ) as (api, asked):
        with pytest.raises(RunError, match="401 to a realtime message"):
            await api.publish("channel", "topic", b"{}")
        with pytest.raises(RunError, match="401 to a realtime subscription"):
            await api.subscribe("channel", "topic")
        assert await api.runs_of("event") is None
        assert len(asked) == 3


@pytest.mark.parametrize(
    ("status", "text", "kept", "known"),
    [
        (200, "{}", Checkpoint.KEPT, True),
        (400, '{"error":"run not found"}', Checkpoint.GONE, False),
        (400, '{"error":"invalid body"}', Checkpoint.FAILED, None),
        (404, "page not found", Checkpoint.FAILED, None),
        (500, "not found", Checkpoint.FAILED, None),
    ],
)
async def test_only_a_run_that_the_server_does_not_know_is_gone(
    status: int, text: str, kept: Checkpoint, known: bool | None
) -> None:
    async with answering(lambda _: web.Response(status=status, text=text)) as (api, _):
        assert await api.checkpoint(FACTS, [b"{}", b"{}"]) is kept
        assert api.checkpoints == (2 if kept is Checkpoint.KEPT else 0)
        assert await api.is_known({"runId": "run", "fnId": "fn", "qiId": "qi"}) is known


@pytest.mark.parametrize(
    ("told", "status", "found"),
    [
        ({"data": {"status": "Failed", "output": {"message": "no luck"}}}, 200, "no luck"),
        ({"data": {"status": "Failed", "output": {"error": {"message": "deep"}}}}, 200, "deep"),
        ({"data": {"status": "Failed", "output": {"error": "a text"}}}, 200, ""),
        ({"data": {"status": "Failed", "output": "a text"}}, 200, ""),
        ({"data": None}, 200, None),
        ({"data": {"status": "Failed"}}, 404, None),
        (["Failed"], 200, None),
    ],
)
async def test_why_a_run_failed_is_read_from_what_the_server_says(
    told: Any, status: int, found: str | None
) -> None:
    async with answering(lambda _: web.json_response(told, status=status)) as (api, _):
        run = await api.server_run("run")
    assert run == (None if found is None else ServerRun("Failed", found))


async def test_a_page_instead_of_an_answer_says_nothing() -> None:
    async with answering(lambda _: web.Response(text="<html>")) as (api, _):
        assert await api.server_run("run") is None
        with pytest.raises(RunError, match="no token"):
            await api.subscribe("channel", "topic")


def streaming(text: str, status: int = 200) -> Callable[[web.Request], web.Response]:
    def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/token"):
            return web.json_response({"jwt": "token"})
        return web.Response(text=text, status=status)

    return answer


async def test_only_what_was_published_is_a_message() -> None:
    lines = [
        ": ",
        'data: {"kind":"run","data":{"a":0}}',
        "event: x",
        'data: {"kind":"data","data":{"a":1}}',
        'data: {"kind":"data","data":"{\\"a\\":NaN}"}',
        "",
    ]
    async with answering(streaming("\n".join(lines))) as (api, _):
        subscription = await api.subscribe("channel", "topic")
        found = [message async for message in subscription.messages()]
        await subscription.aclose()
    assert found[0] == {"a": 1}
    assert str(found[1]) == "{'a': nan}"
    assert len(found) == 2


async def test_a_stream_that_is_refused_is_an_error() -> None:
    async with answering(streaming("", 503)) as (api, _):
        with pytest.raises(RunError, match="503 to a realtime stream"):
            await api.subscribe("channel", "topic")


async def test_a_stream_that_ends_before_it_stands_is_a_server_not_reached() -> None:
    async with answering(streaming("")) as (api, _):
        with pytest.raises(NotReached, match="ended before it stood"):
            await api.subscribe("channel", "topic")


async def test_a_subscription_that_is_given_up_before_it_stands_leaves_no_stream() -> None:
    asked = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("token"):
            return web.json_response({"jwt": "t"})
        stream = web.StreamResponse()
        await stream.prepare(request)
        asked.set()
        try:
            await asyncio.sleep(60)
        finally:
            left.set()
        return stream

    left = asyncio.Event()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        client = inngest.Inngest(app_id="app", api_base_url=site.name, is_production=False)
        subscribing = asyncio.create_task(InngestApi(client).subscribe("c", "t"))
        async with asyncio.timeout(20):
            await asked.wait()
            await asyncio.sleep(0.05)
            subscribing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await subscribing
            await left.wait()
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("body", "known"),
    [
        ('{"functions": [{"slug": "app-workflow.w"}, {"slug": "b"}]}', {"app-workflow.w", "b"}),
        ('{"functions": null}', None),
        ("<html>the dashboard</html>", None),
        ("[]", None),
    ],
)
async def test_a_dev_server_alone_tells_which_functions_it_has(
    body: str, known: set[str] | None
) -> None:
    async with answering(lambda _: web.Response(text=body)) as (api, asked):
        assert await api.functions() == known
    assert asked[0].path == "/dev"
    with pytest.raises(NotReached):
        await api.functions()
