"""Working memory with a schema: only what changes is told, and nobody's change is lost."""

from __future__ import annotations

from typing import Any, Literal

import anyio
import pytest
from pydantic import BaseModel

from mastra import Agent
from mastra.errors import ConfigError, InputValidationError
from mastra.jsonable import load_json
from mastra.memory import Memory, WorkingMemory
from mastra.storage.conversations import MemoryStore, StoredMessage
from mastra.testing import ScriptedModel, ToolCall


class Home(BaseModel):
    city: str | None = None
    streets: dict[str, str] = {}


class Person(BaseModel):
    name: str | None = None
    home: Home = Home()
    likes: list[str] = []
    facts: dict[str, int] = {}


def memory_of(store: MemoryStore, scope: Literal["resource", "thread"] = "resource") -> Memory:
    return Memory(store, working_memory=WorkingMemory(schema=Person, scope=scope))


async def notes(memory: Memory) -> Any:
    return load_json(await memory.get_working_memory(thread_id="t", resource_id="ann") or "null")


async def test_objects_are_merged_null_removes_and_lists_are_replaced(store: MemoryStore) -> None:
    memory = memory_of(store)
    changes: list[Any] = [
        {"name": "Ann", "home": {"city": "Oslo", "streets": {"a": "1", "b": "2"}}, "likes": ["x"]},
        {"home": {"streets": {"b": "3"}}},
        {"likes": ["y", "z"], "home": {"streets": {"a": None}}},
        {"name": None, "facts": {"age": 7}},
        '{"facts": {"height": 1}}',
        {},
    ]
    for change in changes:
        await memory.update_working_memory(change, resource_id="ann")
    assert await notes(memory) == {
        "name": None,
        "home": {"city": "Oslo", "streets": {"b": "3"}},
        "likes": ["y", "z"],
        "facts": {"age": 7, "height": 1},
    }
    with pytest.raises(InputValidationError):
        await memory.update_working_memory({"likes": 3}, resource_id="ann")
    assert (await notes(memory))["likes"] == ["y", "z"]


@pytest.mark.parametrize("scope", ["resource", "thread"])
async def test_updates_at_once_keep_each_others(store: MemoryStore, scope: Any) -> None:
    memory = memory_of(store, scope)
    await memory.create_thread(thread_id="t", resource_id="ann")

    async def tell(number: int) -> None:
        change = {"facts": {f"k{number}": number}, "home": {"streets": {f"s{number}": "x"}}}
        await memory.update_working_memory(change, thread_id="t", resource_id="ann")
        await memory.update_thread("t", metadata={f"m{number}": number})

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(tell, number)
    found = await notes(memory)
    assert found["facts"] == {f"k{number}": number for number in range(8)}
    assert len(found["home"]["streets"]) == 8
    thread = await memory.get_thread("t")
    assert thread is not None
    assert {f"m{number}" for number in range(8)} <= set(thread.metadata or ())


async def test_the_model_may_leave_out_what_stays() -> None:
    class Strict(BaseModel):
        name: str
        required: str = ""

    model = ScriptedModel("ok")
    memory = Memory(working_memory=WorkingMemory(schema=Strict))
    agent = Agent(id="a", model=model, memory=memory)
    await agent.generate("hi", memory={"thread": "t", "resource": "ann"})
    schema: Any = model.requests[0].tools[0].parameters
    assert "required" not in schema["properties"]["memory"]
    assert set(schema["properties"]["memory"]["properties"]) == {"name", "required"}


async def test_the_model_is_shown_what_a_schema_refers_to(store: MemoryStore) -> None:
    class Pets(BaseModel):
        pets: list[Home] = []

    told = {"pets": [{"city": "Oslo"}]}
    model = ScriptedModel(ToolCall("updateWorkingMemory", {"memory": told}), "ok")
    memory = Memory(store, working_memory=WorkingMemory(schema=Pets))
    here: Any = {"thread": "t", "resource": "ann"}
    await Agent(id="a", model=model, memory=memory).generate("hi", memory=here)
    schema: Any = model.requests[0].tools[0].parameters
    assert schema["properties"]["memory"]["properties"]["pets"]["items"] == {"$ref": "#/$defs/Home"}
    assert set(schema["$defs"]) == {"Home"}
    assert await notes(memory) == {"pets": [{"city": "Oslo", "streets": {}}]}


@pytest.mark.parametrize("scope", ["resource", "thread"])
async def test_notes_of_nobody_are_refused(store: MemoryStore, scope: Any) -> None:
    memory = memory_of(store, scope)
    told = "need a resource" if scope == "resource" else "There is no thread None"
    with pytest.raises(InputValidationError, match=told):
        await memory.update_working_memory({"name": "Ann"})
    if scope == "thread":
        with pytest.raises(InputValidationError, match="There is no thread 'gone'"):
            await memory.update_working_memory({"name": "Ann"}, thread_id="gone")
    assert await memory.get_working_memory() is None
    assert await memory.get_working_memory(thread_id="gone", resource_id="gone") is None


@pytest.mark.parametrize("before", ["just text", "{", '"text"', "[1]"])
async def test_notes_from_before_there_was_a_schema_are_replaced(
    store: MemoryStore, before: str, caplog: pytest.LogCaptureFixture
) -> None:
    await Memory(store, working_memory=True).update_working_memory(before, resource_id="ann")
    memory = memory_of(store)
    with pytest.raises(InputValidationError, match="is to be JSON, and is not"):
        await memory.update_working_memory("name: Ann", resource_id="ann")
    await memory.update_working_memory({"name": "Ann"}, resource_id="ann")
    assert (await notes(memory))["name"] == "Ann"
    said = any("Notes that are no JSON are replaced" in one for one in caplog.messages)
    assert said == (before in ("just text", "{"))


async def test_a_message_that_cannot_be_read_is_left_out_of_what_is_recalled(
    store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    memory = Memory(store)
    await memory.create_thread(thread_id="t", resource_id="ann")
    texts: list[dict[str, Any]] = [
        {"format": 2, "parts": [{"type": "text", "text": "good"}]},
        {"format": 2, "parts": "none"},
        {"format": 2, "parts": [{"type": "text"}]},
    ]
    await store.save_messages(
        [
            StoredMessage(str(at), "t", "ann", "user", content, created_at=at + 1)
            for at, content in enumerate(texts)
        ]
    )
    model = ScriptedModel(["hello"])
    agent = Agent(id="a", model=model, memory=memory)
    result = await agent.generate("hi", memory={"thread": "t", "resource": "ann"})
    assert result.text == "hello"
    assert "good" in [message.text for message in model.requests[0].messages]
    left_out = [one for one in caplog.messages if "is left out of what is recalled" in one]
    assert left_out


async def test_a_memory_says_which_options_it_has_not() -> None:
    with pytest.raises(ConfigError, match="Memory has no option 'lastMessage'"):
        Memory().with_options({"lastMessage": 3})
