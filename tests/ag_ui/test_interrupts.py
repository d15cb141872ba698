"""What a run waits for is answered by a later request, and acts on what is stored."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from mastra import SQLStorage
from mastra.ag_ui.interrupts import Answers
from mastra.clock import now_ms
from mastra.server import create_app
from mastra.storage.base import RunChanges, RunHead
from tests.ag_ui.app import build
from tests.ag_ui.wire import Page, asking, events_of
from tests.ai_sdk.app import Deeds

pytestmark = pytest.mark.anyio
AGENTS = ["plain", "remembering", "durable"]
YES = {"approved": True}


def answers(ended: dict[str, Any], payload: Any) -> list[dict[str, Any]]:
    return [
        {"interruptId": one["id"], "status": "resolved", "payload": payload}
        for one in ended["outcome"]["interrupts"]
    ]


async def settle(page: Page, ended: dict[str, Any], payload: Any) -> dict[str, Any]:
    while ended["outcome"]["type"] == "interrupt":
        ended = await page.answer(ended, payload)
    return ended


@pytest.mark.parametrize("agent", AGENTS)
async def test_an_approval(http: httpx.AsyncClient, deeds: Deeds, thread: str, agent: str) -> None:
    page = Page(http, agent, thread)
    ended = await page.ask("pay")
    first = ended["outcome"]["interrupts"][0]
    assert (first["reason"], first["toolCallId"]) == ("tool_call", "call_1")
    assert first["responseSchema"]["required"] == ["approved"]
    assert page.results == {}
    assert deeds.paid == []
    ended = await settle(page, ended, YES)
    assert deeds.paid == ["ann", "bob"]
    assert page.results["call_2"] == "paid bob"
    assert page.of("TOOL_CALL_START") == []
    assert page.text.startswith("The tools said: paid ann")
    roles = [message["role"] for message in page.messages]
    assert roles == ["user", "assistant", "tool", "tool", "assistant"]
    await page.ask("hello")
    assert page.text == "You said: hello"


@pytest.mark.parametrize("agent", AGENTS)
async def test_what_is_approved_may_be_edited(
    http: httpx.AsyncClient, deeds: Deeds, thread: str, agent: str
) -> None:
    page = Page(http, agent, thread)
    ended = await page.ask("pay")
    schema = ended["outcome"]["interrupts"][0]["responseSchema"]
    assert schema["properties"]["editedArgs"]["type"] == "object"
    refused = await page.answer(ended, {"approved": True, "editedArgs": "eve"})
    assert refused["code"] == "INVALID_ANSWER"
    await settle(page, ended, {"approved": True, "editedArgs": {"to": "eve"}})
    assert deeds.paid == ["eve", "eve"]
    assert page.results["call_2"] == "paid eve"


@pytest.mark.parametrize("agent", AGENTS)
async def test_a_refusal_is_told_with_its_reason(
    http: httpx.AsyncClient, deeds: Deeds, thread: str, agent: str
) -> None:
    page = Page(http, agent, thread)
    ended = await page.ask("pay")
    await settle(page, ended, {"approved": False, "reason": "too dear"})
    assert deeds.paid == []
    assert "too dear" in page.results["call_2"]
    assert "too dear" in page.text


async def test_what_is_cancelled_does_not_run(
    http: httpx.AsyncClient, deeds: Deeds, thread: str
) -> None:
    page = Page(http, "plain", thread)
    ended = await page.ask("pay")
    ids = [one["id"] for one in ended["outcome"]["interrupts"]]
    ended = await page.send(resume=[{"interruptId": one, "status": "cancelled"} for one in ids])
    assert ended["outcome"] == {"type": "success"}
    assert deeds.paid == []


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize(
    "payload", ["true", 1, None, {"approved": "true"}, {"approved": 1}, {}, {"approved": None}]
)
async def test_a_payload_that_does_not_fit_runs_nothing(
    http: httpx.AsyncClient, deeds: Deeds, thread: str, agent: str, payload: Any
) -> None:
    page = Page(http, agent, thread)
    ended = await page.ask("pay")
    refused = await page.answer(ended, payload)
    assert (refused["type"], refused["code"]) == ("RUN_ERROR", "INVALID_ANSWER")
    assert deeds.paid == []
    await settle(page, ended, YES)
    assert deeds.paid == ["ann", "bob"]


@pytest.mark.parametrize("agent", AGENTS)
async def test_what_does_not_wait_here_runs_nothing(
    http: httpx.AsyncClient, deeds: Deeds, thread: str, agent: str
) -> None:
    page, other = Page(http, agent, thread), Page(http, agent, f"{thread}-other")
    ended, elsewhere = await page.ask("pay"), await other.ask("pay")
    for resume, code in (
        (None, "OPEN_INTERRUPTS"),
        ([], "OPEN_INTERRUPTS"),
        (answers(elsewhere, YES), "UNKNOWN_INTERRUPT"),
        ([*answers(ended, YES), *answers(elsewhere, YES)], "UNKNOWN_INTERRUPT"),
        ([{"interruptId": "x::call_1", "status": "resolved"}], "UNKNOWN_INTERRUPT"),
        ([*answers(ended, YES), *answers(ended, {"approved": False})], "INTERRUPT_ANSWERED"),
    ):
        refused = await page.send(resume=resume)
        assert (refused["type"], refused.get("code")) == ("RUN_ERROR", code)
    if agent != "durable":
        refused = await page.send(resume=answers(ended, YES)[:1])
        assert refused["code"] == "OPEN_INTERRUPTS"
    assert deeds.paid == []


@pytest.mark.parametrize("agent", AGENTS)
async def test_the_same_answer_again_is_harmless_and_another_is_not(
    http: httpx.AsyncClient, deeds: Deeds, thread: str, agent: str
) -> None:
    page = Page(http, agent, thread)
    ended = await page.ask("pay")
    await settle(page, ended, YES)
    again = await page.send(resume=answers(ended, YES))
    assert again["type"] == "RUN_FINISHED"
    refused = await page.send(resume=answers(ended, {"approved": False}))
    assert refused["code"] == "INTERRUPT_ANSWERED"
    assert deeds.paid == ["ann", "bob"]


@pytest.mark.parametrize("agent", AGENTS)
async def test_of_two_windows_one_wins(
    http: httpx.AsyncClient, deeds: Deeds, thread: str, agent: str
) -> None:
    page = Page(http, agent, thread)
    ended = await page.ask("pay")
    sent = [answers(ended, YES), answers(ended, YES), answers(ended, {"approved": False})]
    got = await asyncio.gather(*(page.post(resume=resume) for resume in sent))
    ends = [events_of(one) for one in got]
    assert len(deeds.paid) == len(set(deeds.paid))
    told = [event for events in ends for event in events if event["type"] == "TOOL_CALL_RESULT"]
    assert len(told) == len({one["toolCallId"] for one in told})
    assert "RUN_ERROR" in [events[-1]["type"] for events in ends]


async def test_a_question_that_was_answered_elsewhere_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A durable agent asks for the next call by then, so that its run waits all the same."""
    deeds, path = Deeds(), tmp_path / "runs.db"
    first, second = (build(deeds, SQLStorage(f"sqlite:///{path}")) for _ in range(2))
    pages = [
        httpx.AsyncClient(transport=httpx.ASGITransport(create_app(one)), base_url="http://page")
        for one in (first, second)
    ]
    async with first, second, pages[0] as here, pages[1] as there:
        page = Page(here, "durable", "thread")
        ended = await page.ask("pay")
        keep, late = Answers.keep, Page(there, "durable", "thread")

        async def keep_later(own: Answers, *, is_taken: bool) -> None:
            monkeypatch.setattr(Answers, "keep", keep)
            await page.answer(ended, YES)
            await keep(own, is_taken=is_taken)

        monkeypatch.setattr(Answers, "keep", keep_later)
        refused = await late.send(resume=answers(ended, {"approved": False}))
        assert (refused["type"], refused["code"]) == ("RUN_ERROR", "INTERRUPT_ANSWERED")
    assert deeds.paid == ["ann"]


@pytest.mark.parametrize("agent", ["plain", "remembering"])
async def test_of_windows_at_two_processes_one_wins(agent: str, tmp_path: Path) -> None:
    deeds, path = Deeds(), tmp_path / "runs.db"
    first, second = (build(deeds, SQLStorage(f"sqlite:///{path}")) for _ in range(2))
    pages = [
        httpx.AsyncClient(transport=httpx.ASGITransport(create_app(one)), base_url="http://page")
        for one in (first, second)
    ]
    async with first, second, pages[0] as here, pages[1] as there:
        page = Page(here, agent, "thread")
        ended = await page.ask("pay")
        said = [answers(ended, YES), answers(ended, {"approved": False}), answers(ended, YES)]
        got = await asyncio.gather(
            *(
                http.post(page.path, json=page.body(resume=resume))
                for http, resume in zip((here, there, there), said, strict=True)
            )
        )
        ends = [events_of(one)[-1] for one in got]
    assert deeds.paid in ([], ["ann"], ["ann", "bob"])
    # Whoever said the same as the winner is not told of an error.
    refused = [one.get("code") for one in ends if one["type"] == "RUN_ERROR"]
    assert refused == ["INTERRUPT_ANSWERED"] * (1 if deeds.paid else 2)


@pytest.mark.parametrize("agent", AGENTS)
async def test_a_tool_that_suspends(http: httpx.AsyncClient, thread: str, agent: str) -> None:
    page = Page(http, agent, thread)
    ended = await page.ask("ask")
    (one,) = ended["outcome"]["interrupts"]
    assert (one["reason"], one["toolCallId"]) == ("mastra:tool_suspend", "call_1")
    assert one["metadata"]["suspendPayload"] == {"question": "which?"}
    await page.answer(ended, {"answer": "this"})
    assert page.results == {"call_1": "answered this"}


async def test_a_strangers_interrupt(http: httpx.AsyncClient, deeds: Deeds, thread: str) -> None:
    page, other = Page(http, "plain", thread), Page(http, "remembering", thread)
    ended = await page.ask("pay")
    refused = await other.send(resume=answers(ended, YES))
    assert refused["code"] == "UNKNOWN_INTERRUPT"
    assert deeds.paid == []


@pytest.mark.parametrize("agent", AGENTS)
async def test_nobody_is_told_what_others_wait_for(
    http: httpx.AsyncClient, deeds: Deeds, thread: str, agent: str
) -> None:
    """Two people, each with a thread that is called the same, where callers are not known."""
    ann, bob = Page(http, agent, thread), Page(http, agent, thread)
    of_ann, of_bob = ({"forwardedProps": {"resourceId": name}} for name in ("ann", "bob"))
    ended = await ann.ask("pay", **of_ann)
    if agent == "plain":
        refused = await bob.send(resume=answers(ended, YES), **of_bob)
        assert refused["code"] == "UNKNOWN_INTERRUPT"
        for other in (of_bob, {}):
            assert (await bob.ask("hello", **other))["outcome"] == {"type": "success"}
            assert bob.text == "You said: hello"
    else:
        # What is remembered of the thread is hers.
        assert (await bob.post(resume=answers(ended, YES), **of_bob)).status_code == 403
    assert deeds.paid == []
    while ended["outcome"]["type"] == "interrupt":
        ended = await ann.answer(ended, YES, **of_ann)
    assert deeds.paid == ["ann", "bob"]


@pytest.mark.parametrize("agent", AGENTS)
async def test_a_run_of_the_same_thread_that_no_page_began_is_not_told(
    http: httpx.AsyncClient, deeds: Deeds, thread: str, agent: str
) -> None:
    body = {"messages": "pay", "memory": {"thread": thread, "resource": thread}}
    begun = await http.post(f"/api/agents/{agent}/generate", json=body)
    page = Page(http, agent, thread)
    assert (await page.ask("hello"))["outcome"] == {"type": "success"}
    assert deeds.paid == []
    # Whoever knows it by its id may answer it.
    named = [f"{begun.json()['runId']}::call_{n}" for n in (1, 2)]
    if agent == "durable":
        named.pop()
    resume = [{"interruptId": one, "status": "resolved", "payload": YES} for one in named]
    ended = await page.send(resume=resume)
    await settle(page, ended, YES)
    assert deeds.paid == ["ann", "bob"]


async def test_another_process_goes_on_with_what_is_stored(deeds: Deeds, tmp_path: Path) -> None:
    ended: dict[str, dict[str, Any]] = {}
    pages: dict[str, Page] = {}
    for turn in range(2):
        mastra = build(deeds, SQLStorage(f"sqlite:///{tmp_path / 'runs.db'}"))
        transport = httpx.ASGITransport(create_app(mastra))
        async with mastra, httpx.AsyncClient(transport=transport, base_url="http://page") as http:
            for path in ("plain", "durable", "workflows/trip"):
                page = pages.setdefault(path, Page(http, path, "thread"))
                page.http = http
                if turn == 0:
                    props = {"inputData": {"city": "Oslo"}}
                    ended[path] = await page.ask("pay", forwardedProps=props)
                    continue
                payload = {"sure": True} if "trip" in path else YES
                assert (await settle(page, ended[path], payload))["type"] == "RUN_FINISHED"
                again = await page.answer(ended[path], payload)
                assert again["type"] == "RUN_FINISHED"
    assert deeds.paid == ["ann", "bob"] * 2


async def test_what_a_sub_agent_asks(http: httpx.AsyncClient, deeds: Deeds, thread: str) -> None:
    page = Page(http, "boss", thread)
    said, ended = "", await page.ask("pay")
    for name in ("ann", "bob"):
        (one,) = ended["outcome"]["interrupts"]
        assert (one["reason"], one["toolCallId"]) == ("tool_call", "call_1")
        assert one["message"] == "May pay be called?"
        assert one["metadata"]["suspendPayload"]["args"] == {"to": name}
        for payload in ({"approved": "true"}, {"approved": 1}, True):
            assert (await page.answer(ended, payload))["code"] == "INVALID_ANSWER"
        asked, ended = ended, await page.answer(ended, YES)
        said = page.text
        assert (await page.answer(asked, {"approved": False}))["type"] == "RUN_ERROR"
    assert ended["outcome"] == {"type": "success"}
    assert deeds.paid == ["ann", "bob"]
    assert said.endswith("They are done.")


@pytest.mark.parametrize("order", ["both at once", "the person first", "the page first"])
@pytest.mark.parametrize("asked", ["both", "both reversed"])
@pytest.mark.parametrize("agent", AGENTS)
async def test_a_step_may_wait_for_a_person_and_for_the_page(
    http: httpx.AsyncClient, deeds: Deeds, thread: str, agent: str, asked: str, order: str
) -> None:
    page = Page(http, agent, thread)
    ended = await page.ask(asked)
    (one,) = ended["outcome"]["interrupts"]
    (_, calls) = page.messages
    (own,) = [call["id"] for call in calls["toolCalls"] if call["id"] != one["toolCallId"]]
    located = {"id": "l", "role": "tool", "toolCallId": own, "content": "at home"}
    if order != "the person first":
        page.messages.append(located)
    if order == "the page first":
        refused = await page.send()
        assert refused["code"] == "OPEN_INTERRUPTS"
        assert (deeds.paid, len(deeds.requests)) == ([], 1)
    ended = await page.answer(ended, YES)
    assert deeds.paid == ["ann"]
    if order == "the person first":
        # What the page's tool gives is not known yet, so the model is not asked.
        assert ended["outcome"] == {"type": "success", "pendingToolCallIds": [own]}
        assert len(deeds.requests) == 1
        page.messages.append(located)
        ended = await page.send()
    assert ended["outcome"] == {"type": "success"}
    assert page.text.startswith("The tools said: ")
    assert len(deeds.requests) == 2
    assert sorted(told(deeds)) == ["at home", "paid ann"]
    of_calls = [m["toolCallId"] for m in page.messages if m["role"] == "tool"]
    assert sorted(of_calls) == ["call_1", "call_2"]
    await page.ask("hello")
    assert sorted(told(deeds)) == ["at home", "paid ann"]
    assert deeds.paid == ["ann"]


@pytest.mark.parametrize("agent", AGENTS)
async def test_what_the_page_gave_is_told_once(
    http: httpx.AsyncClient, deeds: Deeds, thread: str, agent: str
) -> None:
    page = Page(http, agent, thread)
    ended = await page.ask("locate")
    (own,) = ended["outcome"]["pendingToolCallIds"]
    made_up = {"id": "m", "role": "tool", "toolCallId": "call_9", "content": "Rome"}
    page.messages.append(made_up)
    if agent != "plain":
        assert (await page.post()).status_code == 400
        assert len(deeds.requests) == 1
    page.messages[-1] = {"id": "l", "role": "tool", "toolCallId": own, "content": "Oslo"}
    sent = page.body()
    answers = await asyncio.gather(*(http.post(page.path, json=sent) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    assert (len(deeds.requests), told(deeds)) == (2, ["Oslo"])
    if agent != "plain":
        assert (await http.post(page.path, json=sent)).status_code == 400
        assert len(deeds.requests) == 2


@pytest.mark.parametrize("name", AGENTS)
async def test_a_run_that_was_cancelled_is_not_approved(name: str) -> None:
    deeds = Deeds()
    mastra = build(deeds)
    transport = httpx.ASGITransport(create_app(mastra))
    async with mastra, httpx.AsyncClient(transport=transport, base_url="http://page") as http:
        page = Page(http, name, "thread")
        ended = await page.ask("single")
        run_id = ended["outcome"]["interrupts"][0]["id"].partition("::")[0]
        await (await mastra.get_agent(name).stored_runs.create_run(run_id)).cancel()
        assert (await page.answer(ended, YES))["code"] == "UNKNOWN_INTERRUPT"
        assert (await page.ask("hello"))["outcome"] == {"type": "success"}
    assert deeds.paid == []


def told(deeds: Deeds) -> list[Any]:
    """What the model was told last of its calls."""
    return [
        part.result
        for message in deeds.requests[-1].messages
        if message.role == "tool"
        for part in message.parts
    ]


async def test_answers_that_were_kept_for_long_are_deleted() -> None:
    mastra = build(Deeds(), chat_retention=3600.0)
    store, place = mastra.storage.workflows, "ag-ui:agent:plain:answers"
    for name, at in (("old", 1), ("fresh", now_ms())):
        assert await store.create_run(RunHead(place, name, "success", data={"isTaken": True}))
        assert await store.update_run(place, name, RunChanges(updated_at=at))
    transport = httpx.ASGITransport(create_app(mastra))
    async with mastra, httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
        page = Page(http, "plain", "t")
        await settle(page, await page.ask("pay"), YES)
    kept = [head.run_id for head in (await store.list_runs(place)).runs]
    assert "old" not in kept
    assert len(kept) == 3  # the fresh one, and the two answers of this page


# -- several runs of one thread --------------------------------------------------------------------


@pytest.mark.parametrize("agent", AGENTS)
async def test_runs_that_two_windows_began_are_answered_together(
    http: httpx.AsyncClient, deeds: Deeds, thread: str, agent: str
) -> None:
    """Neither waited when the other began, and a page has to answer all that waits on its thread."""
    pages = [Page(http, agent, thread) for _ in range(2)]
    for place, page in enumerate(pages):
        page.messages.append({"id": f"{thread}-{place}", "role": "user", "content": "single"})
    await asyncio.gather(*(page.send() for page in pages))
    page = pages[1]
    refused = await page.send(resume=[])
    assert refused["code"] == "OPEN_INTERRUPTS"
    named = refused["message"].split("'")[1::2]
    assert len({one.partition("::")[0] for one in named}) == 2
    resume = [
        {"interruptId": one, "status": "resolved", "payload": {"approved": place == 0}}
        for place, one in enumerate(named)
    ]
    ended = await page.send(resume=resume)
    assert ended["outcome"] == {"type": "success"}
    assert deeds.paid == ["ann"]
    results = [one["content"].partition(":")[0] for one in page.of("TOOL_CALL_RESULT")]
    assert results == ["paid ann", "Refused"]
    assert (await page.send(resume=resume))["type"] == "RUN_FINISHED"
    page.messages.append({"id": f"{thread}-hello", "role": "user", "content": "hello"})
    assert (await page.send())["outcome"] == {"type": "success"}
    assert page.text == "You said: hello"


async def test_of_several_runs_one_may_ask_again(
    http: httpx.AsyncClient, deeds: Deeds, thread: str
) -> None:
    """A durable agent asks for one call after the other."""
    pages = [Page(http, "durable", thread) for _ in range(2)]
    for place, page in enumerate(pages):
        said = {"id": f"{thread}-{place}", "role": "user", "content": ("pay", "single")[place]}
        page.messages.append(said)
    await asyncio.gather(*(page.send() for page in pages))
    page = pages[0]
    named = (await page.send(resume=[]))["message"].split("'")[1::2]
    resume = [{"interruptId": one, "status": "resolved", "payload": YES} for one in named]
    ended = await page.send(resume=resume)
    [one] = ended["outcome"]["interrupts"]
    assert one["toolCallId"] == "call_2"
    assert sorted(deeds.paid) == ["ann", "ann"]
    await settle(page, ended, YES)
    assert sorted(deeds.paid) == ["ann", "ann", "bob"]


@pytest.mark.every_engine
@pytest.mark.parametrize("path", [*AGENTS, "workflows/trip"])
async def test_no_run_is_lost_of_those_that_windows_at_two_processes_began(
    path: str, tmp_path: Path
) -> None:
    url, deeds = f"sqlite:///{tmp_path / 'runs.db'}", Deeds()
    first, second = (build(deeds, SQLStorage(url)) for _ in range(2))
    async with asking(first) as here, asking(second) as there:
        pages = [Page(http, path, "thread") for http in (here, there, here, there)]
        props = {"inputData": {"city": "Oslo"}}
        for place, page in enumerate(pages):
            page.messages.append({"id": f"u{place}", "role": "user", "content": "single"})
        await asyncio.gather(*(page.send(forwardedProps=props) for page in pages))
        refused = await pages[0].send(forwardedProps=props)
    named = refused["message"].split("'")[1::2]
    assert len({one.partition("::")[0] for one in named}) == 4
