"""A conversation is copied, and goes on in two ways."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from mastra import Agent, ConfigError, IdTakenError, Mastra, NotFoundError
from mastra.memory import Memory, WorkingMemory
from mastra.models import Message
from mastra.storage.conversations import MemoryStore, StoredMessage
from mastra.storage.in_process import InMemoryStorage
from mastra.testing import ScriptedModel

pytestmark = pytest.mark.anyio


async def talked(memory: Memory, thread_id: str = "t", **options: Any) -> list[StoredMessage]:
    """Store a thread of four messages, a second apart."""
    known: dict[str, Any] = {"title": "A trip", "metadata": {"colour": "red"}}
    await memory.create_thread(thread_id=thread_id, resource_id="ann", **(known | options))
    said = [
        Message("assistant" if at % 2 else "user", f"{thread_id} {at}", created_at=1000 * at)
        for at in range(4)
    ]
    return await memory.save_messages(said, thread_id=thread_id, resource_id="ann")


def texts(messages: list[StoredMessage]) -> list[Any]:
    return [message.content["content"] for message in messages]


async def test_a_thread_is_copied_with_its_messages(store: MemoryStore) -> None:
    memory = Memory(store)
    said = await talked(memory)
    made = await memory.clone_thread("t", metadata={"why": "to try"})
    thread = made.thread
    assert (thread.id != "t", thread.resource_id, thread.title) == (True, "ann", "Clone of A trip")
    clone = memory.get_clone_metadata(thread)
    assert clone is not None
    assert (clone["sourceThreadId"], clone["lastMessageId"]) == ("t", said[-1].id)
    assert {**(thread.metadata or {}), "clone": None} == {"why": "to try", "clone": None}
    assert texts(made.cloned_messages) == [f"t {at}" for at in range(4)]
    assert [made.message_id_map[message.id] for message in said] == [
        message.id for message in made.cloned_messages
    ]
    there = (await memory.list_messages(thread_id=thread.id)).messages
    assert there == made.cloned_messages
    assert [message.created_at for message in there] == [0, 1000, 2000, 3000]
    # The source is as it was.
    assert (await memory.list_messages(thread_id="t")).messages == said
    await memory.delete_thread(thread.id)
    assert (await memory.list_messages(thread_id="t")).total == 4


@pytest.mark.parametrize(
    ("options", "copied"),
    [
        ({"message_limit": 2}, [2, 3]),
        ({"message_limit": 9}, [0, 1, 2, 3]),
        ({"message_limit": 0}, [0, 1, 2, 3]),
        ({"start_date": datetime.fromtimestamp(1, UTC)}, [1, 2, 3]),
        ({"end_date": datetime.fromtimestamp(2, UTC), "message_limit": 1}, [2]),
        ({"start_date": datetime.fromtimestamp(9, UTC)}, []),
        ({"message_ids": [0, 2]}, [0, 2]),
        ({"message_ids": []}, [0, 1, 2, 3]),
    ],
)
async def test_some_of_the_messages_are_copied(
    store: MemoryStore, options: dict[str, Any], copied: list[int]
) -> None:
    memory = Memory(store)
    said = await talked(memory)
    if "message_ids" in options:
        places: list[int] = options["message_ids"]
        options = {"message_ids": [said[at].id for at in places]}
    made = await memory.clone_thread(
        "t", new_thread_id="c", resource_id="bob", title="B", **options
    )
    assert texts(made.cloned_messages) == [f"t {at}" for at in copied]
    assert (made.thread.id, made.thread.resource_id, made.thread.title) == ("c", "bob", "B")
    assert {message.resource_id for message in made.cloned_messages} <= {"bob"}
    clone = memory.get_clone_metadata(made.thread) or {}
    assert clone.get("lastMessageId") == (said[copied[-1]].id if copied else None)


async def test_a_copy_that_cannot_be_made_is_refused(store: MemoryStore) -> None:
    memory = Memory(store)
    await talked(memory)
    with pytest.raises(NotFoundError, match="no thread 'nope' to clone"):
        await memory.clone_thread("nope")
    with pytest.raises(IdTakenError, match="'t' is taken"):
        await memory.clone_thread("t", new_thread_id="t")
    with pytest.raises(ConfigError, match="message_limit"):
        await memory.clone_thread("t", message_limit="two")  # type: ignore[arg-type]
    assert (await memory.list_threads()).total == 1


async def test_of_copies_made_at_once_with_one_id_there_is_one(store: MemoryStore) -> None:
    memory = Memory(store)
    await talked(memory)
    made = await asyncio.gather(
        *(memory.clone_thread("t", new_thread_id="c") for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(copy, IdTakenError) for copy in made) == 4
    assert texts((await memory.list_messages(thread_id="c")).messages) == [
        f"t {at}" for at in range(4)
    ]


async def test_a_copy_that_fails_in_the_middle_is_none() -> None:
    storage = InMemoryStorage()
    memory = Memory(storage.memory)
    await talked(memory)

    async def fails(messages: Any) -> None:
        raise OSError("the disk is full")

    storage.memory.save_messages = fails
    with pytest.raises(OSError, match="full"):
        await memory.clone_thread("t")
    assert [thread.id for thread in (await memory.list_threads()).threads] == ["t"]


async def test_what_was_copied_from_what_is_known(store: MemoryStore) -> None:
    memory = Memory(store)
    await talked(memory, title="")
    first = (await memory.clone_thread("t", title="first")).thread
    second = (await memory.clone_thread(first.id)).thread
    other = (await memory.clone_thread("t", resource_id="bob")).thread
    original = await memory.get_thread("t")
    assert original is not None
    assert (memory.is_clone(original), memory.is_clone(second)) == (False, True)
    assert (other.title, second.title) == ("", "Clone of first")
    assert await memory.get_source_thread(second.id) == await memory.get_thread(first.id)
    assert await memory.get_source_thread("t") is None
    assert [thread.id for thread in await memory.list_clones("t")] == [first.id]
    assert [thread.id for thread in await memory.list_clones("t", "bob")] == [other.id]
    assert await memory.list_clones("nope") == []
    history = await memory.get_clone_history(second.id)
    assert [thread.id for thread in history] == ["t", first.id, second.id]
    # One that says that it is its own copy has an end, too.
    await memory.update_thread("t", metadata={"clone": {"sourceThreadId": second.id}})
    assert len(await memory.get_clone_history(second.id)) == 3
    await memory.delete_thread(first.id)
    assert [thread.id for thread in await memory.get_clone_history(second.id)] == [second.id]


@pytest.mark.parametrize(
    ("scope", "owner", "notes"),
    [
        ("thread", None, "likes tea"),
        ("thread", "bob", "likes tea"),
        ("resource", None, "likes tea"),
        ("resource", "bob", "likes tea"),
    ],
)
async def test_notes_go_with_the_copy(
    store: MemoryStore, scope: Any, owner: str | None, notes: str
) -> None:
    memory = Memory(store, working_memory=WorkingMemory(scope=scope))
    await talked(memory)
    place = {"thread_id": "t"} if scope == "thread" else {"resource_id": "ann"}
    await memory.update_working_memory(notes, **place)
    thread = (await memory.clone_thread("t", resource_id=owner)).thread
    found = await memory.get_working_memory(thread_id=thread.id, resource_id=thread.resource_id)
    assert found == notes
    # From then on they are two, unless both are of one resource.
    if scope == "thread" or owner is not None:
        at: dict[str, Any] = {"thread_id": thread.id, "resource_id": thread.resource_id}
        await memory.update_working_memory("likes wine", **at)
        assert await memory.get_working_memory(thread_id="t", resource_id="ann") == notes


async def test_a_copy_is_found_by_its_meaning_and_gone_on_with() -> None:
    async def embed(given: Sequence[str]) -> list[list[float]]:
        return [[1.0, float("2" in text)] for text in given]

    storage = InMemoryStorage()
    memory = Memory(semantic_recall={"scope": "thread", "top_k": 1}, embedder=embed)
    model = ScriptedModel("Yes.", "No.")
    agent = Agent(id="a", model=model, memory=memory)
    mastra = Mastra(agents={"a": agent}, storage=storage)
    await talked(memory)
    thread = (await memory.clone_thread("t", message_limit=3)).thread
    found = await memory.search("2", thread_id=thread.id, resource_id="ann")
    assert (found[0][0].content["content"], found[0][0].thread_id) == ("t 2", thread.id)
    place: Any = {"thread": thread.id, "resource": "ann"}
    await mastra.get_agent("a").generate("And?", memory=place)
    assert [message.text for message in model.requests[0].messages] == ["t 1", "t 2", "t 3", "And?"]
    assert (await memory.list_messages(thread_id="t")).total == 4
