"""Messages that clients store, in the forms of pages and of earlier versions of the original."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra
from mastra.memory import Memory
from mastra.server import create_app
from mastra.testing import FunctionModel

pytestmark = pytest.mark.anyio

HERE = {"threadId": "t", "resourceId": "ann"}
CALL = {"toolCallId": "c", "toolName": "look", "args": {"at": 1}}


async def stored(*messages: dict[str, Any]) -> list[Any]:
    """What is there of messages once a client has stored them."""
    agent = Agent(id="a", model=FunctionModel(lambda _: "Yes."), memory=Memory())
    app = create_app(Mastra(agents={"a": agent}))
    transport = httpx.ASGITransport(app)
    where = {"agentId": "a"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost/api") as client:
        await client.post("/memory/threads", json={**HERE, "title": "T"}, params=where)
        body = {"messages": [{**HERE, **message} for message in messages]}
        saved = await client.post("/memory/save-messages", json=body, params=where)
        assert saved.status_code == 200, saved.text
        listed = await client.get("/memory/threads/t/messages", params={**where, **HERE})
        found: list[Any] = listed.json()["messages"]
    assert [one["content"] for one in saved.json()["messages"]] == [one["content"] for one in found]
    return found


async def test_a_page_s_message_is_stored_with_its_parts() -> None:
    call = {**CALL, "state": "result", "result": "found"}
    parts = [
        {"type": "reasoning", "reasoning": "hm", "details": [{"type": "text", "text": "hm"}]},
        {"type": "tool-invocation", "toolInvocation": call},
        {"type": "text", "text": "Done"},
    ]
    (found,) = await stored({"id": "m", "role": "assistant", "content": "Done", "parts": parts})
    kinds = [part["type"] for part in found["content"]["parts"]]
    assert kinds == ["reasoning", "tool-invocation", "step-start", "text"]
    assert found["content"]["parts"][1]["toolInvocation"] == call


async def test_a_page_s_message_of_version_5_has_parts_alone() -> None:
    part = {
        "type": "tool-look",
        "toolCallId": "c",
        "state": "output-available",
        "input": {"at": 1},
        "output": "found",
    }
    picture = {"type": "file", "mediaType": "image/png", "url": "https://a.example/b.png"}
    asked, found = await stored(
        {
            "id": "1",
            "role": "user",
            "parts": [{"type": "text", "text": "hi"}, picture],
            "metadata": {"a": 1},
        },
        {"id": "2", "role": "assistant", "parts": [part]},
    )
    assert [one["type"] for one in asked["content"]["parts"]] == ["text", "image"]
    assert asked["content"]["metadata"] == {"a": 1}
    assert found["content"]["parts"][0]["toolInvocation"]["result"] == "found"


async def test_a_call_and_its_result_of_the_first_version_are_one_message() -> None:
    said = [{"type": "text", "text": "I look."}, {"type": "tool-call", **CALL}]
    gave = [{"type": "tool-result", "toolCallId": "c", "toolName": "look", "result": "found"}]
    (found,) = await stored(
        {"id": "1", "role": "assistant", "content": said, "type": "tool-call"},
        {"id": "2", "role": "tool", "content": gave, "type": "tool-result"},
    )
    assert found["id"] == "1"
    assert found["content"]["parts"][1]["toolInvocation"] == {
        **CALL,
        "state": "result",
        "result": "found",
    }


async def test_a_result_alone_is_kept() -> None:
    gave = [{"type": "tool-result", "toolCallId": "c", "toolName": "look", "result": "found"}]
    result = {"id": "2", "role": "tool", "content": gave}
    (found,) = await stored(result)
    assert found["content"]["parts"][0]["toolCallId"] == "c"
    said, found = await stored({"id": "1", "role": "assistant", "content": "I looked."}, result)
    assert [part["type"] for part in said["content"]["parts"]] == ["text"]
    assert found["content"]["parts"][0]["toolCallId"] == "c"


async def test_what_hangs_on_a_page_s_message_is_stored() -> None:
    file = {"contentType": "application/pdf", "url": "data:application/pdf;base64,QUJD"}
    message = {"role": "user", "content": "look", "experimental_attachments": [file]}
    (found,) = await stored(message)
    assert [part["type"] for part in found["content"]["parts"]] == ["text", "file"]


async def test_the_stored_form_stays_as_it_came() -> None:
    content = {"format": 2, "parts": [{"type": "text", "text": "x"}], "own": [1]}
    (found,) = await stored({"id": "1", "role": "user", "content": content})
    assert found["content"] == content


async def test_a_message_that_says_nothing_is_refused() -> None:
    with pytest.raises(AssertionError, match="A message has content, or parts"):
        await stored({"id": "1", "role": "assistant"})
