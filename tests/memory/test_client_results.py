"""A tool that the client runs: its result comes with the next call, and is stored beside its call."""

from __future__ import annotations

from typing import Any

import pytest

from mastra import Agent, create_tool
from mastra.memory import Memory
from mastra.models.messages import Message, ToolCallPart, ToolResultPart
from mastra.storage.conversations import MemoryStore
from mastra.testing import ScriptedModel, ToolCall

HERE: Any = {"thread": "t", "resource": "ann"}
WHERE = create_tool("where", "Where the user is", {"type": "object", "properties": {}})


def result(call_id: str, value: str) -> dict[str, Any]:
    part = {"type": "tool-result", "toolCallId": call_id, "toolName": "where", "result": value}
    return {"role": "tool", "content": [part]}


async def invocations(memory: Memory) -> list[list[tuple[str, str, Any]]]:
    """The calls of each stored message: id, state and result."""
    page = await memory.list_messages(thread_id="t")
    found: list[list[tuple[str, str, Any]]] = []
    for message in page.messages:
        stored: Any = message.content["parts"]
        calls = [part["toolInvocation"] for part in stored if "toolInvocation" in part]
        found.append([(c["toolCallId"], c["state"], c.get("result")) for c in calls])
    return found


@pytest.mark.parametrize("last_messages", [10, 1, False])
async def test_a_result_is_stored_beside_its_call(store: MemoryStore, last_messages: Any) -> None:
    model = ScriptedModel(ToolCall("where", {}), "Oslo it is", "as I said")
    memory = Memory(store, last_messages=last_messages)
    agent = Agent(id="a", model=model, tools=[WHERE], memory=memory)
    await agent.generate("where am I?", memory=HERE)
    assert await invocations(memory) == [[], [("call_1", "call", None)]]
    await agent.generate([result("call_1", "Oslo")], memory=HERE)
    assert await invocations(memory) == [[], [("call_1", "result", "Oslo")], []]
    roles = [message.role for message in (await memory.list_messages(thread_id="t")).messages]
    assert roles == ["user", "assistant", "assistant"]
    if last_messages == 10:
        sent = model.requests[1].messages
        assert [message.role for message in sent] == ["user", "assistant", "tool"]
    recalled = await memory.recall(thread_id="t", resource_id="ann")
    assert [m.role for m in recalled] == ["user", "assistant", "tool", "assistant"]


async def test_a_client_that_repeats_the_call_before_its_result(store: MemoryStore) -> None:
    model = ScriptedModel(ToolCall("where", {}), "Oslo it is")
    memory = Memory(store)
    agent = Agent(id="a", model=model, tools=[WHERE], memory=memory)
    await agent.generate("where am I?", memory=HERE)
    call = {"type": "tool-call", "toolCallId": "call_1", "toolName": "where", "args": {}}
    again = {"role": "assistant", "content": [call]}
    await agent.generate([again, result("call_1", "Oslo")], memory=HERE)
    assert await invocations(memory) == [[], [("call_1", "result", "Oslo")], []]
    assert [m.role for m in model.requests[1].messages] == ["user", "assistant", "tool"]


async def test_two_calls_answered_one_after_the_other(store: MemoryStore) -> None:
    model = ScriptedModel(
        [ToolCall("where", {}), ToolCall("where", {})], "one is missing", "thanks"
    )
    memory = Memory(store)
    agent = Agent(id="a", model=model, tools=[WHERE], memory=memory)
    await agent.generate("where are they?", memory=HERE)
    first, second = (call[0] for call in (await invocations(memory))[1])
    await agent.generate([result(second, "Rome")], memory=HERE)
    assert (await invocations(memory))[1] == [(first, "call", None), (second, "result", "Rome")]
    await agent.generate([result(first, "Oslo")], memory=HERE)
    assert (await invocations(memory))[1] == [(first, "result", "Oslo"), (second, "result", "Rome")]


async def test_a_result_finds_its_call_far_back_in_the_thread(store: MemoryStore) -> None:
    memory = Memory(store)
    agent = Agent(id="a", model=ScriptedModel(ToolCall("where", {})), tools=[WHERE], memory=memory)
    await agent.generate("where am I?", memory=HERE)
    later = [Message.user(f"{n}") for n in range(110)]  # more than are looked through at once
    await memory.save_messages(later, thread_id="t", resource_id="ann")
    part = ToolResultPart("call_1", "where", "Oslo")
    assert await memory.add_messages([Message.tool(part)], thread_id="t", resource_id="ann")
    found = [one for one in await invocations(memory) if one]
    assert found == [[("call_1", "result", "Oslo")]]


async def test_a_result_looks_no_further_than_its_call(store: MemoryStore) -> None:
    memory = Memory(store)
    await memory.create_thread(thread_id="t", resource_id="ann")
    earlier = [Message.user(f"{n}") for n in range(60)]  # more than are looked through at once
    await memory.save_messages(earlier, thread_id="t", resource_id="ann")
    asked = Message("assistant", (ToolCallPart("call_1", "where", {}),))
    await memory.save_messages([asked], thread_id="t", resource_id="ann")
    part = ToolResultPart("call_1", "where", "Oslo")
    assert await memory.add_messages([Message.tool(part)], thread_id="t", resource_id="ann")
    found = [one for one in await invocations(memory) if one]
    assert found == [[("call_1", "result", "Oslo")]]


async def test_a_result_of_an_unknown_call_is_stored_with_its_call(store: MemoryStore) -> None:
    memory = Memory(store)
    agent = Agent(id="a", model=ScriptedModel("Oslo"), tools=[WHERE], memory=memory)
    await agent.generate(["where am I?", result("lost", "Oslo")], memory=HERE)
    assert ("lost", "result", "Oslo") in [
        one for found in await invocations(memory) for one in found
    ]
