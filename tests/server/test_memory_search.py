"""`GET /api/memory/search`: by text, and with semantic recall by meaning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra
from mastra.memory import Memory
from mastra.server import create_app
from mastra.testing import ScriptedModel

MESSAGES = (
    ("m1", "t1", "ann", "My cat sleeps."),
    ("m2", "t1", "ann", "The car is red."),
    ("m3", "t2", "bob", "A cat of somebody else."),
)


async def meaning(texts: Sequence[str]) -> list[list[float]]:
    """Return how much of each subject there is in a text; a kitten is a cat."""
    return [
        [text.count("cat") + text.count("kitten") + 0.01, text.count("car") + 0.01]
        for text in texts
    ]


async def search(
    memory: Memory, said: Sequence[tuple[str, str]] = (), /, **query: Any
) -> httpx.Response:
    agent = Agent(id="guide", model=ScriptedModel(), memory=memory)
    mastra = Mastra(agents={"guide": agent})
    transport = httpx.ASGITransport(create_app(mastra))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver/api") as client:
        where: dict[str, str] = {"agentId": "guide"}
        for message_id, thread, resource, text in MESSAGES:
            threads = await client.get(f"/memory/threads/{thread}", params=where)
            if threads.status_code == 404:
                made = {"threadId": thread, "resourceId": resource}
                answer = await client.post("/memory/threads", json=made, params=where)
                assert answer.status_code == 200, answer.text
            message = {"id": message_id, "threadId": thread, "resourceId": resource}
            message |= {"role": "user", "content": text}
            answer = await client.post(
                "/memory/save-messages", json={"messages": [message]}, params=where
            )
            assert answer.status_code == 200, answer.text
        about = {"threadId": "t1", "resourceId": "ann", "role": "user"}
        for message_id, text in said:
            message = {**about, "id": message_id, "content": text}
            body = {"messages": [message]}
            assert (await client.post("/memory/save-messages", json=body, params=where)).is_success
        return await client.get("/memory/search", params={**where, **query})


@pytest.mark.parametrize(("query", "ids"), [("CAT", ["m1"]), ("kitten", []), ("the", ["m2"])])
async def test_by_text(query: str, ids: list[str]) -> None:
    found = (await search(Memory(), searchQuery=query, resourceId="ann")).json()
    assert [hit["id"] for hit in found["results"]] == ids
    # A thread without a title is called by its id.
    assert all(hit["threadTitle"] == hit["threadId"] for hit in found["results"])
    assert (found["searchType"], found["searchScope"], found["count"]) == (
        "text",
        "resource",
        len(ids),
    )


async def test_by_meaning() -> None:
    memory = Memory(semantic_recall=True, embedder=meaning)
    query = {"searchQuery": "a kitten", "resourceId": "ann", "limit": 1}
    found = (await search(memory, **query)).json()
    assert [hit["id"] for hit in found["results"]] == ["m1"]
    assert found["searchType"] == "semantic"


async def test_by_meaning_others_messages_stay_theirs() -> None:
    memory = Memory(semantic_recall=True, embedder=meaning)
    query = {"searchQuery": "a cat", "resourceId": "ann", "threadId": "t2"}
    found = (await search(memory, **query)).json()
    assert (found["results"], found["searchScope"]) == ([], "thread")


@pytest.mark.parametrize("count", [5, 450])
async def test_by_text_among_many_the_latest_are_found_once(count: int) -> None:
    said = [(f"w{place}", f"word {place % 3} here") for place in range(count)]
    asked = {"resourceId": "ann", "limit": 3}
    found = (await search(Memory(), said, searchQuery="WORD 1", **asked)).json()
    wanted = [f"w{place}" for place in reversed(range(count)) if place % 3 == 1]
    assert [hit["id"] for hit in found["results"]] == wanted[:3]
    first = (await search(Memory(), said, searchQuery="cat", **asked)).json()
    assert [hit["id"] for hit in first["results"]] == ["m1"]
    rare = (await search(Memory(), said, searchQuery="nowhere", **asked)).json()
    assert rare["results"] == []
