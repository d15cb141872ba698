"""Readers that leave, stop, and come back, on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from mastra import SQLStorage
from mastra.server import BearerAuth
from tests.ai_sdk.app import AGENTS, MIDDLE, PIECES, Deeds, build
from tests.ai_sdk.wire import Page, chunks_of, put_together
from tests.server.live import running

pytestmark = pytest.mark.anyio
WHOLE = "".join(f"word{place} " for place in range(PIECES))


@pytest.fixture
def deeds() -> Deeds:
    return Deeds()


@pytest.fixture
async def http(deeds: Deeds) -> AsyncIterator[httpx.AsyncClient]:
    async with running(build(deeds, pause_s=0.01)) as (url, _):
        async with httpx.AsyncClient(base_url=url) as made:
            yield made


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(50):
        while not is_so():
            await asyncio.sleep(0.005)


async def read_a_little(page: Page, deeds: Deeds) -> str:
    """Read until some of the answer is there, and leave; return the message's id."""
    async with page.http.stream("POST", page.path, json=page.body()) as answer:
        read = ""
        async for text in answer.aiter_text():
            read += text
            if "word2 " in read:
                break
    return read.split('"messageId":"')[1].split('"')[0]


async def test_an_answer_ends_when_its_reader_leaves(http: httpx.AsyncClient, deeds: Deeds) -> None:
    page = Page(http, "plain", "chat")
    page.said("long")
    deeds.held = asyncio.Event()
    await read_a_little(page, deeds)
    await until(lambda: deeds.cut == 1)
    assert deeds.pieces <= MIDDLE
    assert (await page.go_on()).status_code == 204


@pytest.mark.parametrize("chat", ["a/b?c%2F", "x/stream ä"])
async def test_a_durable_answer_goes_on_and_is_shown_from_its_beginning(
    http: httpx.AsyncClient, deeds: Deeds, chat: str
) -> None:
    page = Page(http, "durable", chat)
    page.said("long")
    deeds.held = asyncio.Event()
    message_id = await read_a_little(page, deeds)
    looking = asyncio.ensure_future(page.go_on())
    await asyncio.sleep(0.02)
    deeds.held.set()
    shown = put_together({}, chunks_of(await looking))
    assert shown["id"] == message_id
    assert "".join(part.get("text", "") for part in shown["parts"]) == WHOLE
    assert deeds.pieces == PIECES
    assert (await page.go_on()).status_code == 204


@pytest.mark.parametrize("agent", AGENTS)
async def test_stop_stops_the_run(http: httpx.AsyncClient, deeds: Deeds, agent: str) -> None:
    page = Page(http, agent, "a/b")
    assert await page.stop() is False
    page.said("long")
    deeds.held = asyncio.Event()
    asking = asyncio.ensure_future(page.post())
    await until(lambda: deeds.pieces == MIDDLE)
    assert await page.stop() is True
    chunks = chunks_of(await asking)
    assert [chunk["type"] for chunk in chunks[-4:]] == [
        "text-end",
        "finish-step",
        "abort",
        "finish",
    ]
    assert chunks[-1]["finishReason"] == "interrupted"
    await until(lambda: deeds.cut == 1)
    deeds.held.set()
    await asyncio.sleep(0.02)
    assert deeds.pieces == MIDDLE
    assert (await page.go_on()).status_code == 204
    page.messages.append(put_together({"role": "assistant"}, chunks))
    await page.ask("hello")
    assert page.text == "You said: hello"
    assert ("word0" in str(deeds.requests[-1].messages)) is True


@pytest.mark.parametrize("agent", AGENTS)
async def test_a_stop_while_a_tool_runs_does_not_break_the_chat(
    http: httpx.AsyncClient, deeds: Deeds, agent: str
) -> None:
    page = Page(http, agent, "chat")
    await page.ask("pay")
    page.answer()
    deeds.paying = asyncio.Event()
    asking = asyncio.ensure_future(page.post())
    await until(lambda: deeds.waiting > 0)
    assert await page.stop() is True
    put_together(page.messages[-1], chunks_of(await asking))
    assert deeds.paid == []
    deeds.paying = None
    await page.ask("hello")
    assert page.text == "You said: hello"
    await page.ask("again")
    assert page.text == "You said: again"
    page.messages.pop()
    await page.send(trigger="regenerate-message")
    assert page.text == "You said: again"


async def test_a_page_of_version_6_is_not_told_what_it_does_not_know(
    http: httpx.AsyncClient, deeds: Deeds
) -> None:
    page = Page(http, "plain", "chat", **{"x-ai-sdk-version": "6"})
    page.said("long")
    deeds.held = asyncio.Event()
    asking = asyncio.ensure_future(page.post())
    await until(lambda: deeds.pieces == MIDDLE)
    await page.stop()
    assert chunks_of(await asking)[-1]["finishReason"] == "other"


async def test_what_is_approved_may_take_long(
    http: httpx.AsyncClient, deeds: Deeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mastra.pages.turns._BEGIN_S", 0.02)
    page = Page(http, "plain", "chat")
    await page.ask("mixed")
    page.answer()
    release = deeds.paying = asyncio.Event()
    async with http.stream("POST", page.path, json=page.body()) as answer:
        assert answer.status_code == 200
        texts = answer.aiter_text()
        # The message is open before the tool has ended.
        assert page.messages[-1]["id"] in await anext(texts)
        assert deeds.paid == []
        release.set()
        rest = "".join([text async for text in texts])
    assert rest.endswith("data: [DONE]\n\n")
    assert deeds.paid == ["ann", "bob"]


async def test_an_answer_that_waits_is_shown_again(http: httpx.AsyncClient, deeds: Deeds) -> None:
    page = Page(http, "durable", "chat")
    await page.ask("mixed")
    shown = put_together({"role": "assistant"}, chunks_of(await page.go_on()))
    assert shown["id"] == page.messages[-1]["id"]
    page.messages[-1] = shown
    page.answer()
    assert page.is_sent_by_itself()
    await page.send()
    again = put_together({"role": "assistant"}, chunks_of(await page.go_on()))
    assert [part.get("state") for part in again["parts"] if part.get("toolCallId") == "call_3"] == [
        "approval-requested"
    ]
    page.answer()
    await page.send()
    assert deeds.paid == ["ann", "bob"]


async def test_what_the_page_ran_is_in_an_answer_that_is_shown_again(
    http: httpx.AsyncClient, deeds: Deeds
) -> None:
    page = Page(http, "durable", "chat")
    message = await page.ask("locate slow")
    [part] = [part for part in message["parts"] if "toolCallId" in part]
    part |= {"state": "output-available", "output": "Oslo"}
    deeds.held = asyncio.Event()
    asking = asyncio.ensure_future(page.post(messageId=message["id"]))
    await until(lambda: deeds.pieces == MIDDLE)
    looking = asyncio.ensure_future(page.go_on())
    await asyncio.sleep(0.02)
    deeds.held.set()
    shown = put_together({}, chunks_of(await looking))
    await asking
    assert shown["id"] == message["id"]
    [part] = [part for part in shown["parts"] if "toolCallId" in part]
    assert (part["state"], part["output"]) == ("output-available", "Oslo")
    text = "".join(part.get("text", "") for part in shown["parts"])
    assert text == "".join(f"after{place} " for place in range(PIECES))


async def test_another_process_shows_and_stops_what_this_one_drives(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'chats.db'}"
    here, there = Deeds(), Deeds()
    one, other = (build(deeds, SQLStorage(url, lease_s=0.6), 0.03) for deeds in (here, there))
    async with running(one) as (here_url, _), running(other) as (there_url, _):
        async with httpx.AsyncClient(base_url=here_url) as driving:
            async with httpx.AsyncClient(base_url=there_url) as looking:
                page, elsewhere = Page(driving, "durable", "chat"), Page(looking, "durable", "chat")
                page.said("long")
                message_id = await read_a_little(page, here)
                shown = put_together({}, chunks_of(await elsewhere.go_on()))
                assert shown["id"] == message_id
                assert "".join(part.get("text", "") for part in shown["parts"]) == WHOLE
                assert (here.pieces, there.pieces) == (PIECES, 0)

                page.messages.append({"role": "assistant", **shown})
                page.said("pay")
                await page.send()
                elsewhere.messages = page.messages
                while "approval-requested" in elsewhere.states.values():
                    elsewhere.answer()
                    await elsewhere.send()
                assert (here.paid, there.paid) == ([], ["ann", "bob"])

                plain, other_plain = Page(driving, "plain", "p"), Page(looking, "plain", "p")
                await plain.ask("pay")
                other_plain.messages = plain.messages
                other_plain.answer()
                sent = other_plain.body()
                await other_plain.send()
                assert there.paid == ["ann", "bob", "ann", "bob"]
                again = await driving.post(plain.path, json=sent)
                assert again.status_code == 409

                page.said("long")
                here.pieces, here.held = 0, asyncio.Event()
                asking = asyncio.ensure_future(page.post())
                await until(lambda: here.pieces == MIDDLE)
                assert await elsewhere.stop() is True
                chunks = chunks_of(await asking)
                assert chunks[-1]["finishReason"] == "interrupted"
                assert here.pieces == MIDDLE


async def test_everybody_has_chats_of_their_own() -> None:
    deeds = Deeds()
    auth = BearerAuth({"a": "alice", "b": "bob"})
    async with running(build(deeds, pause_s=0.02, auth=auth)) as (url, _):
        async with httpx.AsyncClient(base_url=url) as http:
            alice = Page(http, "lasting", "chat", authorization="Bearer a")
            bob = Page(http, "lasting", "chat", authorization="Bearer b")
            alice.said("long")
            deeds.held = asyncio.Event()
            asking = asyncio.ensure_future(alice.post())
            await until(lambda: deeds.pieces == MIDDLE)
            assert (await bob.go_on()).status_code == 204
            assert await bob.stop() is False
            assert (await Page(http, "lasting", "chat").go_on()).status_code == 401
            deeds.held.set()
            assert chunks_of(await asking)[-1]["finishReason"] == "stop"
            alice.messages.clear()
            await alice.ask("pay")
            bob.messages = alice.messages
            alice.answer()
            assert (await bob.post()).status_code == 409
            assert (await bob.go_on()).status_code == 204
            assert deeds.paid == []
