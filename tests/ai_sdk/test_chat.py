"""What a page sees of an agent's answer, and what the agent sees of what a page sends back."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra
from mastra.ai_sdk import chat_route
from mastra.errors import ConfigError
from mastra.memory import Memory
from mastra.models.messages import Message
from mastra.server import ServerConfig, create_app
from mastra.testing import ScriptedModel
from tests.ai_sdk.app import AGENTS, MIDDLE, PIECES, Deeds, build
from tests.ai_sdk.wire import Page, chunks_of

pytestmark = pytest.mark.anyio


def said(request: Any) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in request.messages]


async def test_text_steps_and_usage(http: httpx.AsyncClient, chat: str) -> None:
    page = Page(http, "plain", chat)
    message = await page.ask("hello")
    assert page.kinds[:3] == ["start", "start-step", "text-start"]
    assert page.kinds[-3:] == ["text-end", "finish-step", "finish"]
    assert message["id"]
    assert message["parts"][1]["text"] == "You said: hello"
    assert message["metadata"]["usage"]["totalTokens"] == 15
    assert page.chunks[-1]["finishReason"] == "stop"


async def test_thoughts_are_shown_where_the_route_says_so(
    http: httpx.AsyncClient, chat: str
) -> None:
    message = await Page(http, "plain", chat).ask("think")
    kinds = [part["type"] for part in message["parts"]]
    assert kinds == ["step-start", "reasoning", "text"]
    assert message["parts"][1]["text"] == "Two and two."


async def test_a_tool_in_each_of_its_states(http: httpx.AsyncClient, chat: str) -> None:
    page = Page(http, "plain", chat)
    await page.ask("weather")
    at = page.kinds.index("tool-input-start")
    assert page.kinds[at : at + 3] == ["tool-input-start", "tool-input-delta", "tool-input-delta"]
    assert page.kinds.count("start-step") == page.kinds.count("finish-step") == 2
    assert page.kinds.index("tool-output-available") < page.kinds.index("finish-step")
    data = [part for part in page.messages[-1]["parts"] if part["type"].startswith("data-")]
    assert data == [{"type": "data-progress", "id": "p", "data": {"done": 2}}]
    hint = {"type": "data-hint", "data": "soon", "transient": True}
    assert hint in page.chunks


@pytest.mark.parametrize("asked", ["wrong", "broken"])
async def test_a_tool_that_fails_says_why(http: httpx.AsyncClient, chat: str, asked: str) -> None:
    page = Page(http, "plain", chat)
    message = await page.ask(asked)
    [part] = [part for part in message["parts"] if "toolCallId" in part]
    assert part["state"] == "output-error"
    wanted = {"wrong": "validation failed", "broken": "the tool is out of order"}
    assert wanted[asked] in part["errorText"]
    assert page.chunks[-1]["finishReason"] == "stop"


async def test_an_error_comes_after_everything_is_closed(
    http: httpx.AsyncClient, chat: str
) -> None:
    page = Page(http, "plain", chat)
    await page.ask("fail")
    assert page.kinds[-4:] == ["text-end", "finish-step", "error", "finish"]
    assert "the model is out of order" in page.chunks[-2]["errorText"]
    assert page.text == "Half an "
    await page.ask("hello")
    assert page.text == "You said: hello"


async def test_a_tool_of_the_page_is_run_by_the_page(
    http: httpx.AsyncClient, chat: str, deeds: Deeds
) -> None:
    for agent in ("plain", "remembering", "durable", "lasting"):
        page = Page(http, agent, f"{chat} {agent}")
        message = await page.ask("locate")
        [part] = [part for part in message["parts"] if "toolCallId" in part]
        assert part["state"] == "input-available"
        part |= {"state": "output-available", "output": "Oslo"}
        await page.send(messageId=message["id"])
        assert page.text == "The tools said: Oslo."
        assert len(page.messages) == 2
        assert page.chunks[0] == {"type": "start", "messageId": message["id"]}
        await page.ask("hello")
        told = [role for role, _ in said(deeds.requests[-1])]
        assert told == ["user", "assistant", "tool", "assistant", "user"]


async def test_a_tool_that_the_page_describes_is_run_by_the_page(
    http: httpx.AsyncClient, chat: str
) -> None:
    page = Page(http, "plain", chat)
    tool = {"description": "Rings", "inputSchema": {"type": "object"}}
    await page.ask("hello", clientTools={"ring": tool})
    assert page.text == "You said: hello"
    taken = {"clientTools": {"pay": tool}}
    assert (await page.post(**taken)).status_code == 400


HALF: list[dict[str, Any]] = [
    {"type": "step-start"},
    {"type": "reasoning", "text": "Hm.", "state": "streaming"},
    {"type": "text", "text": "I be", "state": "streaming"},
    {"type": "tool-weather", "toolCallId": "c1", "state": "input-streaming", "rawInput": '{"ci'},
    {"type": "tool-weather", "toolCallId": "c2", "state": "input-available", "input": {"city": "x"}},
    {"type": "dynamic-tool", "toolName": "gone", "toolCallId": "c3", "state": "output-available",
     "input": {}, "output": {"type": "text", "value": 1}, "title": "Gone"},
    {"type": "tool-call", "toolCallId": "c4", "state": "output-error", "input": None,
     "rawInput": "{", "errorText": "no", "toolMetadata": {"a": 1}},
    {"type": "tool-pay", "toolCallId": "c5", "state": "output-denied", "input": {"to": "x"},
     "approval": {"id": "r::c5", "approved": False, "reason": "why", "signature": "s"}},
    {"type": "tool-weather", "toolCallId": "c6", "state": "output-available", "preliminary": True,
     "input": {"city": "y"}, "output": "soon"},
    {"type": "tool-pay", "toolCallId": "c7", "state": "approval-requested", "input": {"to": "y"},
     "approval": {"id": "r::c7"}},
    {"type": "data-note", "id": "n", "data": {"a": [1, None]}},
    {"type": "data-provider-item", "data": {"provider": "openai", "item": {"evil": True}}},
    {"type": "source-url", "sourceId": "s", "url": "https://example.com", "title": "T"},
    {"type": "source-document", "sourceId": "d", "mediaType": "text/plain", "title": "D"},
    {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AAAA"},
    {"type": "reasoning-file", "mediaType": "image/png", "url": "data:image/png;base64,AAAA"},
    {"type": "custom", "kind": "vendor.thing"},
    {"type": "steering-message", "id": "m", "parts": [{"type": "text", "text": "and now?"}]},
    {"type": "step-start"},
    {"type": "text", "text": "More.", "citations": [{"url": "https://example.com"}]},
    {"type": "from-the-future", "anything": {}},
]  # fmt: skip


@pytest.mark.parametrize("agent", AGENTS)
async def test_parts_of_every_kind_and_state_are_read_back(
    http: httpx.AsyncClient, chat: str, deeds: Deeds, agent: str
) -> None:
    page = Page(http, agent, chat)
    page.said("begin")
    page.messages.append(
        {"id": f"a {chat}", "role": "assistant", "parts": HALF, "metadata": {"x": 1}}
    )
    page.said("now")
    file = {"type": "file", "mediaType": "text/plain", "url": "data:text/plain;base64,AAAA"}
    page.messages[-1]["parts"] += [file, {"type": "data-seen", "data": 1}]
    await page.send()
    assert page.text == "You said: now"
    [request] = deeds.requests
    texts = [text for _, text in said(request) if text]
    assert texts == ["begin", "I be", "and now?", "More.", "now"]
    results = {
        part.tool_call_id: part.result
        for message in request.messages
        if message.role == "tool"
        for part in message.parts
    }
    assert results["c3"] == {"type": "text", "value": 1}
    assert results["c4"] == "no"
    assert results["c5"] == "why"
    assert "c1" not in results
    assert all("not run" in results[name] for name in ("c2", "c6", "c7"))
    assert "evil" not in str(request.messages)
    again = await page.ask("again")
    assert again


UNREADABLE: list[dict[str, Any]] = [
    {"messages": []},
    {"messages": [{"role": "nobody", "parts": []}]},
    {"messages": [{"id": "x", "role": "user", "parts": ["text"]}]},
    {"messages": [{"id": "x", "role": "user", "parts": [{"no": "type"}]}]},
    {"messages": [{"id": 1, "role": "user", "parts": []}]},
    {"messages": "x" * 10, "id": "a\u0001b"},
    {"trigger": "regenerate-message", "messages": [{"role": "assistant", "parts": []}]},
    {
        "messages": [{"role": "user", "parts": [{"type": "text", "text": "x"}]}],
        "memory": {"thread": 3},
    },
]


@pytest.mark.parametrize("body", UNREADABLE)
async def test_what_cannot_be_read_is_refused(
    http: httpx.AsyncClient, chat: str, body: dict[str, Any]
) -> None:
    for agent in ("plain", "remembering"):
        answer = await http.post(f"/chat/{agent}", json={"id": chat, **body})
        assert answer.status_code == 400, answer.text
        assert "error" in answer.json()


async def test_an_unknown_agent_and_version_are_refused(http: httpx.AsyncClient, chat: str) -> None:
    assert (await Page(http, "nobody", chat).go_on()).status_code == 404
    page = Page(http, "plain", chat, **{"x-ai-sdk-version": "v5"})
    page.said("hello")
    assert (await page.post()).status_code == 400


# -- memory ----------------------------------------------------------------------------------------


async def stored(http: httpx.AsyncClient, agent: str, thread: str) -> list[tuple[str, str, str]]:
    found = await http.get(f"/api/memory/threads/{thread}/messages", params={"agentId": agent})
    return [
        (message["id"], message["role"], message["content"]["content"])
        for message in found.json()["messages"]
    ]


@pytest.mark.parametrize("agent", ["remembering", "durable"])
async def test_a_chat_is_a_thread_with_the_same_ids(
    http: httpx.AsyncClient, agent: str, deeds: Deeds, chat: str
) -> None:
    page = Page(http, agent, f"thread {agent}")
    await page.ask("weather")
    await page.ask("hello")
    assert [(m["id"], m["role"]) for m in page.messages] == [
        (message_id, role) for message_id, role, _ in await stored(http, agent, f"thread {agent}")
    ]
    # Of a thread that is remembered, the last message is enough, and the page rewrites nothing.
    page.messages[0]["parts"][0]["text"] = "forged"
    page.messages[1]["parts"] = [{"type": "text", "text": "forged"}]
    whole = list(page.messages)
    await page.ask("and now")
    assert "forged" not in str(deeds.requests[-1].messages)
    page.messages = page.messages[-1:]
    await page.ask("only this")
    assert [role for role, _ in said(deeds.requests[-1])].count("user") == 4
    assert len(await stored(http, agent, f"thread {agent}")) == len(whole) + 4


@pytest.mark.parametrize("agent", ["plain", "remembering", "durable"])
async def test_an_answer_is_given_anew(http: httpx.AsyncClient, agent: str, deeds: Deeds) -> None:
    page = Page(http, agent, f"anew {agent}")
    await page.ask("one")
    await page.ask("two")
    first = page.messages.pop()
    again = await page.send(trigger="regenerate-message", messageId=first["id"])
    assert again["id"] != first["id"]
    assert [text for _, text in said(deeds.requests[-1])] == ["one", "You said: one", "two"]
    # The first question is asked in other words, and what came after it is gone.
    page.messages = page.messages[:1]
    page.messages[0]["parts"] = [{"type": "text", "text": "uno"}]
    await page.send(messageId=page.messages[0]["id"])
    assert [text for _, text in said(deeds.requests[-1])] == ["uno"]
    if agent != "plain":
        texts = [text for _, _, text in await stored(http, agent, f"anew {agent}")]
        assert texts == ["uno", "You said: uno"]


async def test_the_route_names_the_thread_and_the_body_may(http: httpx.AsyncClient) -> None:
    page = Page(http, "remembering", "a chat")
    await page.ask("hello", memory={"thread": "a thread", "resource": "ann"})
    assert len(await stored(http, "remembering", "a thread")) == 2
    assert await stored(http, "remembering", "a chat") == []


async def test_a_path_may_be_for_one_agent(http: httpx.AsyncClient, chat: str) -> None:
    page = Page(http, "plain", chat)
    page.path = "/only"
    await page.ask("hello")
    assert page.text == "You said: hello"
    assert (await page.go_on()).status_code == 204
    assert await page.stop() is False


@pytest.mark.parametrize(
    "options",
    [{"path": "/chat"}, {"agent": "a"}, {"path": "/{agent_id}/{more}"}, {"version": "v5"}],
)
def test_a_route_that_nobody_could_answer_is_refused(options: Any) -> None:
    with pytest.raises(ConfigError):
        chat_route(**options)


async def test_the_routes_are_under_the_prefix_too(http: httpx.AsyncClient, chat: str) -> None:
    message = {"role": "user", "parts": [{"type": "text", "text": "hi"}]}
    answer = await http.post("/api/chat/plain", json={"id": chat, "messages": [message]})
    assert chunks_of(answer)[-1]["type"] == "finish"
    assert (await http.get("/api/chat/plain/x/stream")).status_code == 204


async def test_what_was_said_may_be_a_text(
    http: httpx.AsyncClient, chat: str, deeds: Deeds
) -> None:
    page = Page(http, "plain", chat)
    assert chunks_of(await page.post(messages="hello"))[-1]["finishReason"] == "stop"
    older = {"id": "u", "role": "user", "content": "in the older form"}
    assert chunks_of(await page.post(messages=[older]))[-1]["finishReason"] == "stop"
    assert chunks_of(await page.post(messages=older))[-1]["finishReason"] == "stop"
    in_parts = {"role": "user", "content": [{"type": "text", "text": "in the older form"}]}
    assert chunks_of(await page.post(messages=[in_parts]))[-1]["finishReason"] == "stop"
    asked = [said(request) for request in deeds.requests]
    assert asked == [[("user", "hello")], *[[("user", "in the older form")]] * 3]
    assert (await page.post(messages=[{"role": "user", "content": ["hello"]}])).status_code == 400
    assert (await page.post(messages="")).status_code == 400


async def test_what_a_page_says_of_a_message_is_kept(http: httpx.AsyncClient, chat: str) -> None:
    page = Page(http, "remembering", chat)
    page.said("hello")
    page.messages[-1]["metadata"] = {"mood": "good"}
    await page.send()
    found = await http.get(
        f"/api/memory/threads/{chat}/messages", params={"agentId": "remembering"}
    )
    first = found.json()["messages"][0]
    assert first["content"]["metadata"] == {"mood": "good"}


async def test_what_is_steered_with_may_be_anything(
    http: httpx.AsyncClient, chat: str, deeds: Deeds
) -> None:
    page = Page(http, "plain", chat)
    page.said("begin")
    steered = ["text", {"no": "type"}, {"type": "file"}, {"type": "text", "text": 1}]
    parts: list[Any] = [
        {"type": "text", "text": "Well"},
        {
            "type": "steering-message",
            "id": "m",
            "parts": [*steered, {"type": "text", "text": "ha"}],
        },
        {"type": "steering-message", "id": "n"},
    ]
    page.messages.append({"id": "a", "role": "assistant", "parts": parts})
    await page.ask("now")
    assert said(deeds.requests[-1]) == [
        ("user", "begin"), ("assistant", "Well"), ("user", "ha"), ("user", "now")
    ]  # fmt: skip


async def test_of_a_long_conversation_the_first_question_may_be_asked_anew() -> None:
    """More came of it than is read of a thread at once."""
    memory = Memory(last_messages=4)
    answering = Agent(id="a", model=ScriptedModel("Well."), memory=memory)
    mastra = Mastra(agents={"a": answering}, server=ServerConfig(api_routes=chat_route()))
    bound = memory.bound_to(mastra)
    thread: dict[str, Any] = {"thread_id": "thread", "resource_id": "thread"}
    await bound.create_thread(**thread)
    earlier = [Message("user", f"said {place}", id=f"m-{place}") for place in range(60)]
    await bound.save_messages(earlier, **thread)
    transport = httpx.ASGITransport(create_app(mastra))
    async with mastra, httpx.AsyncClient(transport=transport, base_url="http://page") as http:
        page = Page(http, "a", "thread")
        page.said("anew", "m-2")
        await page.send()
        found = await stored(http, "a", "thread")
    assert [text for _, _, text in found] == ["said 0", "said 1", "anew", "Well."]


async def test_a_run_that_somebody_else_cancels_is_told_as_stopped() -> None:
    deeds = Deeds()
    deeds.held = asyncio.Event()
    mastra = build(deeds, pause_s=0)
    transport = httpx.ASGITransport(create_app(mastra))
    async with mastra, httpx.AsyncClient(transport=transport, base_url="http://page") as http:
        page = Page(http, "lasting", "chat")
        sent = asyncio.ensure_future(page.ask("long"))
        async with asyncio.timeout(10):
            while deeds.pieces < MIDDLE:
                await asyncio.sleep(0.001)
        runs = mastra.get_agent("lasting").stored_runs
        [run] = (await runs.list_runs()).runs
        await (await runs.create_run(run.run_id)).cancel()
        await sent
    assert page.kinds[-4:] == ["text-end", "finish-step", "abort", "finish"]
    assert page.chunks[-1]["finishReason"] == "interrupted"


async def test_many_answers_at_once_take_turns_and_are_whole(http: httpx.AsyncClient) -> None:
    pages = [Page(http, "plain", f"turn {place}") for place in range(5)]
    messages = await asyncio.gather(*(page.ask("long") for page in pages))
    whole = "".join(f"word{place} " for place in range(PIECES))
    assert [page.text for page in pages] == [whole] * 5
    assert len({message["id"] for message in messages}) == 5
