"""Workflows for pages of AG-UI: steps, state, waits."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.ag_ui.wire import Page
from tests.ai_sdk.app import Deeds

pytestmark = pytest.mark.anyio
OSLO = {"inputData": {"city": "Oslo"}}


async def test_a_run_with_a_question(http: httpx.AsyncClient, thread: str) -> None:
    page = Page(http, "workflows/trip", thread)
    ended = await page.send(forwardedProps=OSLO)
    steps = [event["stepName"] for event in page.of("STEP_STARTED")]
    assert steps == ["look", "count", "sure"]
    assert page.of("CUSTOM") == [{"type": "CUSTOM", "name": "data-found", "value": {"n": 1}}]
    assert page.state == {"count": 1}
    assert page.of("STATE_SNAPSHOT")[0]["snapshot"] == {}
    (one,) = ended["outcome"]["interrupts"]
    assert (one["reason"], one["message"]) == ("input_required", "Go on?")
    assert one["responseSchema"]["required"] == ["sure"]
    for resume, code in (
        (None, "OPEN_INTERRUPTS"),
        ([{"interruptId": one["id"], "status": "resolved", "payload": {}}], "INVALID_ANSWER"),
        (
            [{"interruptId": one["id"], "status": "resolved", "payload": {"sure": "true"}}],
            "INVALID_ANSWER",
        ),
        ([{"interruptId": "x", "status": "resolved"}], "UNKNOWN_INTERRUPT"),
    ):
        refused = await page.send(resume=resume, forwardedProps=OSLO)
        assert (refused["type"], refused["code"]) == ("RUN_ERROR", code)
    stranger = Page(http, "workflows/trip", f"{thread}-2")
    assert (await stranger.answer(ended, {"sure": True}))["code"] == "UNKNOWN_INTERRUPT"
    done = await page.answer(ended, {"sure": True})
    assert done["outcome"] == {"type": "success"}
    assert done["result"] == {"city": "Oslo", "sure": True}
    assert [event["stepName"] for event in page.of("STEP_STARTED")] == ["sure"]
    assert (await page.answer(ended, {"sure": True}))["type"] == "RUN_FINISHED"
    assert (await page.answer(ended, {"sure": False}))["code"] == "INTERRUPT_ANSWERED"


async def test_state_goes_on_in_the_next_run(http: httpx.AsyncClient, thread: str) -> None:
    page = Page(http, "workflows/trip", thread)
    ended = await page.ask('{"city": "Rome"}')
    done = await page.answer(ended, {"sure": True})
    assert done["result"]["city"] == "Rome"
    await page.ask('{"city": "Rome"}')
    assert page.state == {"count": 2}
    (change,) = [event["delta"] for event in page.of("STATE_DELTA")]
    assert change == [{"op": "replace", "path": "/count", "value": 2}]


async def test_steps_that_wait_together_are_answered_together(
    http: httpx.AsyncClient, thread: str
) -> None:
    page = Page(http, "workflows/both", thread)
    ended = await page.send(forwardedProps=OSLO)
    assert len(ended["outcome"]["interrupts"]) == 2
    done = await page.answer(ended, {"sure": 1}, {"sure": 2})
    assert done["result"] == {"a": {"city": "Oslo", "sure": 1}, "b": {"city": "Oslo", "sure": 2}}


async def test_a_run_that_is_cancelled(http: httpx.AsyncClient, thread: str) -> None:
    page = Page(http, "workflows/trip", thread)
    ended = await page.send(forwardedProps=OSLO)
    (one,) = ended["outcome"]["interrupts"]
    done = await page.send(resume=[{"interruptId": one["id"], "status": "cancelled"}])
    assert done["outcome"] == {"type": "cancelled"}
    ended = await page.send(forwardedProps=OSLO)
    assert ended["outcome"]["type"] == "interrupt"


async def test_a_run_that_fails(http: httpx.AsyncClient, thread: str) -> None:
    page = Page(http, "workflows/failing", thread)
    ended = await page.send(forwardedProps=OSLO)
    assert (ended["type"], ended["message"]) == ("RUN_ERROR", "the step is out of order")


async def test_what_an_agent_says_in_a_step(http: httpx.AsyncClient, thread: str) -> None:
    page = Page(http, "workflows/telling", thread)
    ended = await page.send(forwardedProps=OSLO)
    assert page.text == "You said: Oslo"
    assert ended["usage"][0]["outputTokens"] == 5
    assert ended["result"] == {"said": "You said: Oslo"}
    assert page.messages[-1]["content"] == "You said: Oslo"


async def test_of_two_windows_one_wins(http: httpx.AsyncClient, thread: str) -> None:
    page = Page(http, "workflows/trip", thread)
    ended = await page.send(forwardedProps=OSLO)
    ends = await asyncio.gather(
        *(
            Page(http, "workflows/trip", thread).answer(ended, {"sure": sure})
            for sure in (True, False)
        )
    )
    kinds = sorted(one["type"] for one in ends)
    assert kinds == ["RUN_ERROR", "RUN_FINISHED"]


@pytest.mark.parametrize("body", [{}, {"forwardedProps": {"inputData": 3}}])
async def test_input_that_does_not_fit_is_refused(
    http: httpx.AsyncClient, deeds: Deeds, thread: str, body: dict[str, Any]
) -> None:
    page = Page(http, "workflows/trip", thread)
    assert (await page.post(**body)).status_code == 400
