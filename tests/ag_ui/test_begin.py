"""A run is told as begun while its model still says nothing, on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.ag_ui.app import build
from tests.ag_ui.wire import Page, events_of
from tests.ai_sdk.app import Deeds
from tests.server.live import running

pytestmark = pytest.mark.anyio
YES = {"approved": True}


@pytest.fixture
def deeds() -> Deeds:
    return Deeds()


@pytest.fixture
async def http(deeds: Deeds, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    # Nothing begins because somebody has waited long enough.
    monkeypatch.setattr("mastra.pages.turns._BEGIN_S", 3600.0)
    async with running(build(deeds)) as (url, _):
        async with httpx.AsyncClient(base_url=url) as made:
            yield made


async def told_before(held: asyncio.Event, page: Page, **body: Any) -> list[dict[str, Any]]:
    """Return the events of an answer, whose first has come while something was held."""
    read = ""
    async with page.http.stream("POST", page.path, json=page.body(**body)) as answer:
        async with asyncio.timeout(10):
            async for text in answer.aiter_text():
                read += text
                if "RUN_STARTED" in read:
                    held.set()
    whole = httpx.Response(200, headers=answer.headers, text=read)
    return events_of(whole)


@pytest.mark.parametrize("agent", ["plain", "remembering", "durable"])
async def test_while_the_model_is_silent(http: httpx.AsyncClient, deeds: Deeds, agent: str) -> None:
    page = Page(http, agent, "thread")
    page.messages.append({"id": "u", "role": "user", "content": "long"})
    held = deeds.silent = asyncio.Event()
    events = await told_before(held, page)
    assert (events[0]["threadId"], events[0]["runId"]) == ("thread", "run-1")
    [started] = [one for one in events if one["type"] == "TEXT_MESSAGE_START"]
    page.messages = [one for one in events if one["type"] == "MESSAGES_SNAPSHOT"][-1]["messages"]
    assert page.messages[-1]["id"] == started["messageId"]
    if agent != "plain":
        stored = await http.get(f"/api/memory/threads/thread/messages?agentId={agent}")
        assert started["messageId"] in [one["id"] for one in stored.json()["messages"]]


@pytest.mark.parametrize("agent", ["plain", "remembering", "durable"])
async def test_while_a_tool_runs_that_was_approved(
    http: httpx.AsyncClient, deeds: Deeds, agent: str
) -> None:
    page = Page(http, agent, "thread")
    ended = await page.ask("single")
    [one] = ended["outcome"]["interrupts"]
    held = deeds.paying = asyncio.Event()
    resume = [{"interruptId": one["id"], "status": "resolved", "payload": YES}]
    events = await told_before(held, page, resume=resume)
    asked = page.messages[-1]["id"]
    [result] = [one for one in events if one["type"] == "TOOL_CALL_RESULT"]
    assert result["messageId"] == f"{asked}-call_1-result"
    assert events[-1]["outcome"] == {"type": "success"}


@pytest.mark.parametrize("agent", ["plain", "remembering", "durable"])
async def test_a_model_that_fails_is_an_error_of_the_run(
    http: httpx.AsyncClient, deeds: Deeds, agent: str
) -> None:
    page = Page(http, agent, "thread")
    ended = await page.ask("fail")
    assert (page.events[0]["type"], ended["type"]) == ("RUN_STARTED", "RUN_ERROR")
    assert "out of order" in ended["message"]
