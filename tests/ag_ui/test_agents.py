"""What a page of AG-UI is sent of an agent's answers."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.ag_ui.wire import Page
from tests.ai_sdk.app import Deeds

pytestmark = pytest.mark.anyio
AGENTS = ["plain", "remembering", "durable"]


@pytest.mark.parametrize("agent", AGENTS)
async def test_an_answer_with_a_tool(
    http: httpx.AsyncClient, deeds: Deeds, thread: str, agent: str
) -> None:
    page = Page(http, agent, thread)
    ended = await page.ask("weather")
    assert page.events[0] == {
        "type": "RUN_STARTED",
        "threadId": thread,
        "runId": "run-1",
        "protocolVersion": "1.0",
    }
    assert (ended["threadId"], ended["runId"]) == (thread, "run-1")
    assert ended["outcome"] == {"type": "success"}
    assert ended["usage"] == [
        {
            "provider": "function",
            "model": "model",
            "inputTokens": 20,
            "outputTokens": 10,
            "totalTokens": 30,
            "reasoningTokens": 0,
            "cachedInputTokens": 0,
        }
    ]
    args = [event["delta"] for event in page.of("TOOL_CALL_ARGS")]
    assert "".join(args) == '{"city": "Oslo"}'
    assert len(args) > 1
    assert page.results == {"call_1": '{"city":"Oslo","degrees":4}'}
    assert [message["role"] for message in page.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    _, first, result, last = page.messages
    assert first["content"] == "Let me see. "
    assert first["toolCalls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Oslo"}'}
    assert result["toolCallId"] == "call_1"
    assert last["content"] == page.text.removeprefix("Let me see. ")
    progress = page.of("ACTIVITY_SNAPSHOT")
    assert [one["content"] for one in progress] == [{"done": 1}, {"done": 2}]
    assert {(one["messageId"], one["activityType"]) for one in progress} == {("p", "data-progress")}
    assert page.of("CUSTOM") == [{"type": "CUSTOM", "name": "data-hint", "value": "soon"}]


@pytest.mark.parametrize("agent", AGENTS)
async def test_a_conversation_is_told_to_the_model_once(
    http: httpx.AsyncClient, deeds: Deeds, thread: str, agent: str
) -> None:
    page = Page(http, agent, thread)
    await page.ask("weather")
    await page.ask("hello")
    await page.ask("and again")
    told = deeds.requests[-1].messages
    texts = [message.text for message in told if message.role in {"user", "assistant"}]
    assert [text for text in texts if text] == [
        "weather",
        "Let me see. ",
        "The tools said: {'city': 'Oslo', 'degrees': 4}.",
        "hello",
        "You said: hello",
        "and again",
    ]
    assert len([message for message in told if message.role == "tool"]) == 1


async def test_the_ids_of_messages_are_those_stored(
    served: tuple[httpx.AsyncClient, Deeds], http: httpx.AsyncClient, thread: str
) -> None:
    page = Page(http, "remembering", thread)
    await page.ask("hello")
    found = await http.get(
        f"/api/memory/threads/{thread}/messages",
        params={"agentId": "remembering", "resourceId": thread},
    )
    stored = [message["id"] for message in found.json()["messages"]]
    assert stored == [message["id"] for message in page.messages]


async def test_thoughts_are_sent_and_closed(http: httpx.AsyncClient, thread: str) -> None:
    page = Page(http, "plain", thread)
    await page.ask("think")
    kinds = [event["type"] for event in page.events[1:7]]
    assert kinds[:3] == ["REASONING_START", "REASONING_MESSAGE_START", "REASONING_MESSAGE_CONTENT"]
    said = "".join(event["delta"] for event in page.of("REASONING_MESSAGE_CONTENT"))
    assert (said, page.text) == ("Two and two.", "Four.")


@pytest.mark.parametrize(
    ("asked", "said"),
    [("broken", "Error: the tool is out of order"), ("wrong", "Error: Tool input validation")],
)
async def test_what_a_tool_gets_wrong_is_in_its_result(
    http: httpx.AsyncClient, thread: str, asked: str, said: str
) -> None:
    page = Page(http, "plain", thread)
    assert (await page.ask(asked))["outcome"] == {"type": "success"}
    assert page.results["call_1"].startswith(said)


@pytest.mark.parametrize("agent", AGENTS)
async def test_an_error_comes_after_what_was_said_is_closed(
    http: httpx.AsyncClient, thread: str, agent: str
) -> None:
    page = Page(http, agent, thread)
    ended = await page.ask("fail")
    assert ended["type"] == "RUN_ERROR"
    assert "out of order" in ended["message"]
    assert page.text == "Half an "


@pytest.mark.parametrize("agent", ["plain", "remembering"])
async def test_tools_of_the_page(
    http: httpx.AsyncClient, deeds: Deeds, thread: str, agent: str
) -> None:
    page = Page(http, agent, thread)
    ended = await page.ask("locate")
    assert ended["outcome"] == {"type": "success", "pendingToolCallIds": ["call_1"]}
    assert page.results == {}
    page.messages.append(
        {"id": "there", "role": "tool", "toolCallId": "call_1", "content": '{"at": "home"}'}
    )
    await page.send()
    assert page.text == "The tools said: {'at': 'home'}."
    page.messages.append({"id": "bye", "role": "user", "content": "bye"})
    await page.send()
    assert page.text == "You said: bye"
    roles = [message.role for message in deeds.requests[-1].messages]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


@pytest.mark.parametrize("agent", ["blinking", "lasting"])
async def test_tools_that_only_the_page_describes(
    http: httpx.AsyncClient, thread: str, agent: str
) -> None:
    page = Page(http, agent, thread)
    shape = {"type": "object", "properties": {"eye": {"type": "string"}}}
    tools = [{"name": "blink", "description": "Blink", "parameters": shape}]
    ended = await page.ask("now", tools=tools)
    assert ended["outcome"] == {"type": "success", "pendingToolCallIds": ["call_1"]}
    page.messages.append(
        {"id": "b", "role": "tool", "toolCallId": "call_1", "content": "", "error": "no eyes"}
    )
    await page.send(tools=tools)
    assert page.text == "Seen: no eyes."


async def test_a_page_cannot_take_a_tools_name(http: httpx.AsyncClient, thread: str) -> None:
    page = Page(http, "plain", thread)
    tool = {"name": "pay", "description": "Pay", "parameters": {"type": "object"}}
    assert (await page.post(tools=[tool])).status_code == 400


async def test_a_page_of_an_older_protocol(http: httpx.AsyncClient, thread: str) -> None:
    page = Page(http, "plain", thread)
    ended = await page.ask("locate", protocolVersion="0.9")
    assert ended["outcome"] == {"type": "success"}


async def test_state_is_the_agents_notes(http: httpx.AsyncClient, thread: str) -> None:
    page = Page(http, "noting", thread)
    await page.ask("hello")
    assert page.of("STATE_SNAPSHOT")[0]["snapshot"] == {}
    await page.ask("I am Ann")
    assert page.state == {"name": "Ann", "likes": []}
    (change,) = [event["delta"] for event in page.of("STATE_DELTA")]
    assert {"op": "add", "path": "/name", "value": "Ann"} in change
    assert page.of("TOOL_CALL_START") == []
    page.state = {**page.state, "likes": ["tea"]}
    await page.ask("hello")
    assert page.of("STATE_SNAPSHOT")[0]["snapshot"] == {"name": "Ann", "likes": ["tea"]}
    more = {"id": "more", "role": "user", "content": "hello"}
    answer = await page.post(state={"likes": "tea"}, messages=[*page.messages, more])
    assert (answer.status_code, "likes" in answer.json()["error"]) == (400, True)


async def test_a_sub_agents_events_carry_its_run(http: httpx.AsyncClient, thread: str) -> None:
    page = Page(http, "boss", thread)
    ended = await page.ask("weather")
    # Two calls of its own, and two of the agent that it asked.
    assert [one["inputTokens"] for one in ended["usage"]] == [40]
    (begun,) = page.of("SUBAGENT_STARTED")
    assert (begun["name"], begun["parentToolCallId"]) == ("worker", "call_1")
    inside = [event for event in page.events if event.get("subagentRunId")]
    assert {event["subagentRunId"] for event in inside} == {begun["subagentRunId"]}
    kinds = {event["type"] for event in inside}
    assert {"TEXT_MESSAGE_CONTENT", "TOOL_CALL_START", "TOOL_CALL_RESULT"} <= kinds
    assert inside[-1]["type"] == "SUBAGENT_FINISHED"
    assert await page.ask("hello")
    assert page.text.endswith("They are done.")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"threadId": "t", "runId": "r"},
        {"threadId": "t", "runId": "r", "messages": "hello"},
        {"threadId": "t", "runId": "r", "messages": [{"id": "1", "role": "nobody"}]},
        {"threadId": "", "runId": "r", "messages": []},
        {"threadId": "t", "runId": "r", "messages": []},
        {"threadId": "t", "runId": "r", "messages": [], "tools": {}},
    ],
)
async def test_what_is_no_input_is_refused_by_status(
    http: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    answer = await http.post("/ag-ui/plain", json=body)
    assert answer.status_code in {400, 422}, answer.text


async def test_an_unknown_agent_is_refused_by_status(http: httpx.AsyncClient) -> None:
    body = {"threadId": "t", "runId": "r", "messages": []}
    for path in ("nobody", "workflows/nothing"):
        assert (await http.post(f"/ag-ui/{path}", json=body)).status_code == 404


async def test_the_input_may_leave_out_whatever_it_may(
    http: httpx.AsyncClient, thread: str
) -> None:
    said = {"id": f"u-{thread}", "role": "user", "content": [{"type": "text", "text": "hello"}]}
    body = {"threadId": thread, "runId": "r", "messages": [said]}
    answer = await http.post("/ag-ui/plain", json=body)
    assert "You said: hello" in answer.text


async def test_pictures_reach_the_model(http: httpx.AsyncClient, deeds: Deeds, thread: str) -> None:
    page = Page(http, "plain", thread)
    picture = {"type": "data", "value": "aGk=", "mimeType": "image/png"}
    handle = {"type": "file", "value": "file-1"}
    page.messages.append(
        {
            "id": "u",
            "role": "user",
            "content": [
                {"type": "text", "text": "hello"},
                {"type": "image", "source": picture},
                {"type": "document", "source": handle},
            ],
        }
    )
    await page.send()
    _, *parts = deeds.requests[-1].messages[-1].content
    assert [(part.media_type, part.data or part.url) for part in parts] == [
        ("image/png", "data:image/png;base64,aGk=")
    ]
