"""What was said after the summary of a thread, on every store."""

from __future__ import annotations

import pytest

from mastra.memory import Memory
from mastra.memory.summaries import Summary, messages_since
from mastra.models.messages import Message
from mastra.storage.conversations import MemoryStore


@pytest.mark.parametrize("count", [3, 120])
async def test_what_follows_a_message_that_is_gone(store: MemoryStore, count: int) -> None:
    """The last message that a summary holds may have been deleted, and all before it too."""
    memory = Memory(store)
    await memory.create_thread(thread_id="t", resource_id="ann")
    said = [Message.user(f"{number}") for number in range(count)]
    await memory.save_messages(said, thread_id="t", resource_id="ann")
    gone = Summary("They spoke.", "gone", at=0)
    found = await messages_since(store, "t", "ann", gone)
    assert [message.content["content"] for message in found] == [f"{n}" for n in range(count)]


async def test_what_follows_the_last_message_of_a_summary(store: MemoryStore) -> None:
    memory = Memory(store)
    await memory.create_thread(thread_id="t", resource_id="ann")
    said = [Message.user(f"{number}") for number in range(60)]
    stored = await memory.save_messages(said, thread_id="t", resource_id="ann")
    through = Summary("They spoke.", stored[1].id, at=stored[1].created_at)
    found = await messages_since(store, "t", "ann", through)
    assert [message.content["content"] for message in found] == [f"{n}" for n in range(2, 60)]
