"""An approval acts on what is stored of a run that waits, and one answer wins."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import httpx
import pytest

from tests.ai_sdk.app import AGENTS, Deeds
from tests.ai_sdk.wire import Page, chunks_of, put_together

pytestmark = pytest.mark.anyio


async def settle(page: Page) -> int:
    """Agree to all that is asked, as often as it is; return how often that was."""
    count = 0
    while "approval-requested" in page.states.values():
        page.answer()
        assert page.is_sent_by_itself(), page.states
        message_id = page.messages[-1]["id"]
        await page.send(messageId=message_id)
        assert page.messages[-1]["id"] == message_id
        count += 1
    return count


@pytest.mark.parametrize("version", ["v6", "v7"])
@pytest.mark.parametrize("agent", AGENTS)
async def test_what_is_approved_runs_and_the_answer_goes_on(
    http: httpx.AsyncClient, deeds: Deeds, chat: str, agent: str, version: str
) -> None:
    page = Page(http, agent, chat, **{"x-ai-sdk-version": version})
    await page.ask("mixed")
    assert deeds.paid == []
    assert page.kinds[-2:] == ["finish-step", "finish"]
    # One that asks for one call after the other shows the next when it comes to it.
    assert await settle(page) == (2 if agent in {"durable", "lasting"} else 1)
    assert deeds.paid == ["ann", "bob"]
    assert page.states == dict.fromkeys(("call_1", "call_2", "call_3"), "output-available")
    assert page.text.startswith("I will. The tools said: paid ann")
    assert len(page.messages) == 2
    assert ("reset-step" in str(page.kinds)) is False
    assert await page.ask("hello")
    assert page.text == "You said: hello"


async def test_a_refusal_tells_the_model_why(
    http: httpx.AsyncClient, deeds: Deeds, chat: str
) -> None:
    page = Page(http, "plain", chat)
    await page.ask("pay")
    page.answer(approved=False, reason="too dear")
    await page.send()
    assert deeds.paid == []
    assert set(page.states.values()) == {"output-denied"}
    assert "too dear, too dear" in page.text
    assert "tool-input-available" not in page.kinds


@pytest.mark.parametrize("agent", AGENTS)
async def test_one_message_answers_what_two_runs_wait_for(
    http: httpx.AsyncClient, deeds: Deeds, chat: str, agent: str
) -> None:
    page, other = Page(http, agent, chat), Page(http, agent, chat)
    await page.ask("pay")
    await other.ask("another")
    shown = page.messages[-1]
    shown["parts"] += other.messages[-1]["parts"]
    for _ in range(4):  # one that asks for one call after the other shows the next later
        if "approval-requested" not in {part.get("state") for part in shown["parts"]}:
            break
        page.answer()
        await page.send(messageId=shown["id"])
        ends = [kind for kind in page.kinds if kind in {"start", "finish", "error"}]
        assert (ends, page.kinds[-1]) == (["start", "finish"], "finish")
    assert sorted(deeds.paid) == ["ann", "bob", "cid"]
    assert set(page.states.values()) == {"output-available"}
    assert page.text.count("The tools said") == 2
    [usage] = [one["messageMetadata"]["usage"] for one in page.chunks if one["type"] == "finish"]
    assert usage["totalTokens"] > 0


def made_up(part: dict[str, Any]) -> None:
    part["toolCallId"] = "call_9"
    part["approval"]["id"] = part["approval"]["id"].replace("call_1", "call_9")


def of_another_call(part: dict[str, Any]) -> None:
    part["approval"]["id"] = part["approval"]["id"].replace("call_1", "call_2")


def of_another_run(part: dict[str, Any]) -> None:
    part["approval"]["id"] = "00000000-0000-0000-0000-000000000000::call_1"


def changed(part: dict[str, Any]) -> None:
    part["input"] = {"to": "mallory"}


def of_another_tool(part: dict[str, Any]) -> None:
    part["type"] = "tool-weather"


def not_a_boolean(part: dict[str, Any]) -> None:
    part["approval"]["approved"] = "true"


def without_an_id(part: dict[str, Any]) -> None:
    part["approval"]["id"] = ""


@pytest.mark.parametrize("agent", ["plain", "durable"])
@pytest.mark.parametrize(
    "spoil",
    [
        made_up,
        of_another_call,
        of_another_run,
        changed,
        of_another_tool,
        not_a_boolean,
        without_an_id,
    ],
)
async def test_what_was_not_asked_for_is_not_approved(
    http: httpx.AsyncClient, deeds: Deeds, chat: str, agent: str, spoil: Any
) -> None:
    page = Page(http, agent, chat)
    await page.ask("pay")
    asked = copy.deepcopy(page.messages)
    page.answer()
    parts = page.messages[-1]["parts"]
    parts[:] = [part for part in parts if part.get("toolCallId", "call_1") == "call_1"]
    spoil(next(part for part in parts if "toolCallId" in part))
    answer = await page.post()
    assert answer.status_code in {400, 409}, answer.text
    assert "error" in answer.json()
    assert deeds.paid == []
    # What waits has lost nothing by it.
    page.messages = asked
    await settle(page)
    assert deeds.paid == ["ann", "bob"]


@pytest.mark.parametrize("agent", AGENTS)
async def test_of_two_windows_one_wins(
    http: httpx.AsyncClient, deeds: Deeds, chat: str, agent: str
) -> None:
    page = Page(http, agent, chat)
    await page.ask("pay")
    page.answer()
    sent = page.body()
    answers = await asyncio.gather(*(page.post() for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    [won] = [answer for answer in answers if answer.status_code == 200]
    put_together(page.messages[-1], chunks_of(won))
    await settle(page)
    assert deeds.paid == ["ann", "bob"]
    assert (await http.post(page.path, json=sent)).status_code == 409
    assert deeds.paid == ["ann", "bob"]


async def test_an_answer_of_another_chat_counts_for_nothing(
    http: httpx.AsyncClient, deeds: Deeds, chat: str
) -> None:
    page = Page(http, "plain", chat)
    await page.ask("pay")
    page.answer()
    page.chat = "another"
    assert (await page.post()).status_code == 409
    assert deeds.paid == []


@pytest.mark.parametrize("agent", AGENTS)
async def test_a_new_message_in_place_of_an_answer_approves_nothing(
    http: httpx.AsyncClient, deeds: Deeds, chat: str, agent: str
) -> None:
    page = Page(http, agent, chat)
    await page.ask("pay")
    page.answer()
    await page.ask("hello")
    assert deeds.paid == []
    assert page.text == "You said: hello"
    assert [message["role"] for message in page.messages] == ["user", "assistant"] * 2


async def test_a_suspended_tool_goes_on_with_what_the_page_says(
    http: httpx.AsyncClient, deeds: Deeds, chat: str
) -> None:
    for agent in ("plain", "durable"):
        page = Page(http, agent, f"{chat} {agent}")
        await page.ask("ask")
        [data] = [c["data"] for c in page.chunks if c["type"] == "data-tool-call-suspended"]
        assert data["suspendPayload"] == {"question": "which?"}
        answer = {"runId": data["runId"], "resumeData": {"answer": "the red one"}}
        await page.send(**answer)
        assert page.text == "The tools said: answered the red one."
        assert (await page.post(**answer)).status_code == 409
        assert page.states == {"call_1": "output-available"}


def located(page: Page) -> None:
    """The page runs its own tool."""
    [locate] = [part for part in page.messages[-1]["parts"] if part["type"] == "tool-locate"]
    locate |= {"state": "output-available", "output": "Oslo"}


def told(deeds: Deeds) -> list[Any]:
    """What the model was told last of its calls."""
    return [
        part.result
        for message in deeds.requests[-1].messages
        if message.role == "tool"
        for part in message.parts
    ]


@pytest.mark.parametrize("order", ["both at once", "the person first", "the page first"])
@pytest.mark.parametrize("asked", ["both", "both reversed"])
@pytest.mark.parametrize("agent", AGENTS)
async def test_a_step_may_wait_for_a_person_and_for_the_page(
    http: httpx.AsyncClient, deeds: Deeds, chat: str, agent: str, asked: str, order: str
) -> None:
    page = Page(http, agent, chat)
    await page.ask(asked)
    assert set(page.states.values()) == {"approval-requested", "input-available"}
    message_id = page.messages[-1]["id"]
    if order == "the page first":
        located(page)
        await page.send()
        assert set(page.states.values()) == {"approval-requested", "output-available"}
        assert (deeds.paid, len(deeds.requests)) == ([], 1)
    page.answer()
    if order == "both at once":
        assert page.is_sent_by_itself() is False
        located(page)
    if order != "the person first":
        assert page.is_sent_by_itself()
    sent = page.body()
    await page.send()
    assert deeds.paid == ["ann"]
    if order == "the person first":
        # What the page's tool gives is not known yet, so the model is not asked.
        assert set(page.states.values()) == {"output-available", "input-available"}
        assert (page.text, len(deeds.requests)) == ("", 1)
        located(page)
        await page.send()
    assert page.states == dict.fromkeys(("call_1", "call_2"), "output-available")
    assert page.text.startswith("The tools said: ")
    assert (len(page.messages), page.messages[-1]["id"]) == (2, message_id)
    assert (len(deeds.requests), sorted(told(deeds))) == (2, ["Oslo", "paid ann"])
    assert (await http.post(page.path, json=sent)).status_code == 409
    await page.ask("hello")
    assert sorted(told(deeds)) == ["Oslo", "paid ann"]
    assert deeds.paid == ["ann"]


@pytest.mark.parametrize("agent", AGENTS)
async def test_what_the_page_gave_is_told_once(
    http: httpx.AsyncClient, deeds: Deeds, chat: str, agent: str
) -> None:
    page = Page(http, agent, chat)
    await page.ask("locate")
    located(page)
    sent = page.body()
    answers = await asyncio.gather(*(page.post() for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    assert (len(deeds.requests), told(deeds)) == (2, ["Oslo"])
    if agent in {"remembering", "durable"}:
        # Where nothing is remembered, the page's own conversation is the only one.
        assert (await http.post(page.path, json=sent)).status_code == 409
        assert len(deeds.requests) == 2


@pytest.mark.parametrize("agent", ["remembering", "durable"])
async def test_a_result_of_a_call_that_was_never_made_is_refused(
    http: httpx.AsyncClient, deeds: Deeds, chat: str, agent: str
) -> None:
    other, page = Page(http, agent, f"{chat} other"), Page(http, agent, chat)
    await other.ask("locate")
    await page.ask("weather")
    made_up = {"type": "tool-locate", "state": "output-available", "input": {}, "output": "Rome"}
    count = len(deeds.requests)
    for call_id in ("call_9", "call_1"):
        page.messages[-1]["parts"].append({**made_up, "toolCallId": call_id})
        assert (await page.post()).status_code == 409
        page.messages[-1]["parts"].pop()
    assert len(deeds.requests) == count
    await page.ask("hello")
    assert page.text == "You said: hello"


async def test_what_the_page_gave_first_is_there_after_a_reload(
    http: httpx.AsyncClient, deeds: Deeds, chat: str
) -> None:
    page = Page(http, "durable", chat)
    await page.ask("both reversed")
    located(page)
    await page.send()
    states = page.states
    page.messages[-1] = {"role": "assistant"}
    put_together(page.messages[-1], chunks_of(await page.go_on()))
    assert page.states == states
    page.answer()
    await page.send()
    assert sorted(told(deeds)) == ["Oslo", "paid ann"]


@pytest.mark.parametrize("agent", ["plain", "durable"])
async def test_the_tools_of_a_page_are_there_after_an_approval(
    http: httpx.AsyncClient, deeds: Deeds, chat: str, agent: str
) -> None:
    page = Page(http, agent, chat)
    blink = {"description": "Blink", "parameters": {"type": "object", "properties": {}}}
    await page.ask("single", clientTools={"blink": blink})
    page.answer()
    await page.send()
    assert deeds.paid == ["ann"]
    assert [tool.name for tool in deeds.requests[-1].tools].count("blink") == 1


@pytest.mark.parametrize("approved", [True, False])
@pytest.mark.parametrize("agent", ["plain", "durable"])
async def test_what_a_sub_agent_asks_is_asked_of_the_page(
    http: httpx.AsyncClient, deeds: Deeds, agent: str, approved: bool
) -> None:
    page = Page(http, agent, f"sub {agent} {approved}")
    await page.ask("delegate")
    assert page.states == {"call_1": "approval-requested"}
    [data] = [c["data"] for c in page.chunks if c["type"] == "data-tool-call-suspended"]
    assert data["suspendPayload"]["suspendPayload"]["args"] == {"to": "ann"}
    page.answer(approved=approved, reason=None if approved else "too dear")
    assert page.is_sent_by_itself()
    sent = page.body()
    await page.send()
    assert page.states == {"call_1": "output-available"}
    assert ("too dear" in page.text) is not approved
    assert deeds.paid == (["ann"] if approved else [])
    assert (await http.post(page.path, json=sent)).status_code == 409


@pytest.mark.parametrize(
    ("key", "value", "is_same"),
    [
        ("sum", 2, True),
        ("parts", [1.0, {"a": None}], True),
        ("sum", True, False),
        ("sum", 10**400, False),
        ("sum", -(10**400), False),
        ("now", 1, False),
        ("parts", [1, {"a": None}, 3], False),
        ("parts", [1, {"b": None}], False),
        ("parts", [1, {"a": 0}], False),
        ("to", ["ann"], False),
        ("more", None, False),
    ],
)
async def test_arguments_are_compared_as_a_page_has_them(
    http: httpx.AsyncClient, deeds: Deeds, key: str, value: Any, is_same: bool
) -> None:
    page = Page(http, "plain", f"exactly {key} {str(value)[:9]}")
    await page.ask("exactly")
    page.answer()
    [part] = [part for part in page.messages[-1]["parts"] if "toolCallId" in part]
    part["input"][key] = value
    assert (await page.post()).status_code == (200 if is_same else 409)
    assert deeds.paid == (["ann"] if is_same else [])


@pytest.mark.parametrize("agent", ["plain", "durable"])
async def test_what_a_tool_waits_for_may_be_answered_without_the_conversation(
    http: httpx.AsyncClient, deeds: Deeds, chat: str, agent: str
) -> None:
    page = Page(http, agent, f"{chat} {agent}")
    await page.ask("ask")
    message_id = page.messages[-1]["id"]
    [data] = [c["data"] for c in page.chunks if c["type"] == "data-tool-call-suspended"]
    shown = await page.send(messages=[], runId=data["runId"], resumeData={"answer": "that"})
    assert shown["id"] == message_id
    assert page.text == "The tools said: answered that."


async def test_a_run_that_waits_again_stays_the_message_that_it_was(
    http: httpx.AsyncClient, deeds: Deeds, chat: str
) -> None:
    page = Page(http, "durable", chat)
    await page.ask("pay")
    data, *_ = [c["data"] for c in page.chunks if c["type"] == "data-tool-call-approval"]
    body: dict[str, Any] = {
        "messages": [],
        "runId": data["runId"],
        "resumeData": {"approved": True},
    }
    assert chunks_of(await page.post(**body))[-1]["type"] == "finish"
    assert deeds.paid == ["ann"]
    shown = put_together({}, chunks_of(await page.go_on()))
    assert shown["id"] == page.messages[-1]["id"]


@pytest.mark.parametrize("agent", ["plain", "remembering", "durable"])
async def test_a_page_that_looks_at_an_older_state_of_a_run_goes_on_all_the_same(
    http: httpx.AsyncClient, deeds: Deeds, chat: str, agent: str
) -> None:
    """Somebody has agreed in another window meanwhile; this one still shows the question."""
    here, there = (Page(http, agent, f"{chat} {agent}") for _ in range(2))
    await here.ask("both")
    there.messages = copy.deepcopy(here.messages)
    there.answer()
    await there.send()
    assert deeds.paid == ["ann"]
    located(here)
    await here.send()
    assert deeds.paid == ["ann"]
    assert "Oslo" in told(deeds)


@pytest.mark.parametrize("agent", ["plain", "durable"])
async def test_a_step_may_wait_for_an_answer_and_for_the_page(
    http: httpx.AsyncClient, deeds: Deeds, chat: str, agent: str
) -> None:
    page = Page(http, agent, f"{chat} {agent}")
    await page.ask("two")
    [data] = [c["data"] for c in page.chunks if c["type"] == "data-tool-call-suspended"]
    located(page)
    await page.send()
    assert len(deeds.requests) == 1
    await page.send(runId=data["runId"], resumeData={"answer": "that"})
    assert sorted(told(deeds)) == ["Oslo", "answered that"]
    assert page.text.startswith("The tools said: ")
