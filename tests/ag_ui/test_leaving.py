"""A page that leaves stops what answers it, on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from mastra.pages.chats import Chat
from tests.ag_ui.app import build
from tests.ag_ui.wire import Page
from tests.ai_sdk.app import MIDDLE, Deeds
from tests.server.live import running

pytestmark = pytest.mark.anyio


@pytest.fixture
def deeds() -> Deeds:
    return Deeds()


@pytest.fixture
async def http(deeds: Deeds) -> AsyncIterator[httpx.AsyncClient]:
    async with running(build(deeds, pause_s=0.005)) as (url, _):
        async with httpx.AsyncClient(base_url=url) as made:
            yield made


async def read_until(page: Page, word: str, **body: object) -> None:
    async with page.http.stream("POST", page.path, json=page.body(**body)) as answer:
        read = ""
        async for text in answer.aiter_text():
            read += text
            if word in read:
                return


@pytest.mark.parametrize("agent", ["plain", "remembering", "durable"])
async def test_the_models_call_ends(http: httpx.AsyncClient, deeds: Deeds, agent: str) -> None:
    page = Page(http, agent, "thread")
    page.messages.append({"id": "u", "role": "user", "content": "long"})
    deeds.held = asyncio.Event()
    await read_until(page, "word2 ")
    async with asyncio.timeout(5):
        while deeds.cut == 0:
            await asyncio.sleep(0.005)
    assert deeds.pieces <= MIDDLE


async def test_a_workflows_run_is_cancelled(http: httpx.AsyncClient) -> None:
    page = Page(http, "workflows/sleepy", "thread")
    await read_until(page, '"nap"', forwardedProps={"inputData": {"city": "Oslo"}})
    async with asyncio.timeout(5):
        while True:
            found = await http.get("/api/workflows/sleepy/runs", params={"status": "canceled"})
            if found.json()["total"] == 1:
                return
            await asyncio.sleep(0.01)


async def test_what_waits_is_found_again_by_a_page_that_left_before_it_was_told(
    http: httpx.AsyncClient, deeds: Deeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_run, entered = Chat.add_run, asyncio.Event()

    async def endless(*_: Any) -> None:
        monkeypatch.setattr(Chat, "add_run", add_run)
        entered.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Chat, "add_run", endless)
    page = Page(http, "plain", "thread")
    page.messages.append({"id": "u", "role": "user", "content": "single"})
    async with page.http.stream("POST", page.path, json=page.body()):
        await entered.wait()
    ended: dict[str, Any] = {}
    async with asyncio.timeout(5):
        while ended.get("code") != "OPEN_INTERRUPTS":
            ended = await page.send(messages=[{"id": "h", "role": "user", "content": "hello"}])
    [waits] = ended["message"].split("'")[1::2]
    await page.send(
        resume=[{"interruptId": waits, "status": "resolved", "payload": {"approved": True}}]
    )
    assert deeds.paid == ["ann"]
