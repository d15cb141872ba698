"""Which threads and messages a caller asks for, in which order."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra, ServerConfig
from mastra.memory import Memory
from mastra.server import BearerAuth, create_app
from mastra.storage.conversations import StoredMessage, ThreadRecord
from mastra.testing import ScriptedModel

pytestmark = pytest.mark.anyio


async def served(**config: Any) -> httpx.AsyncClient:
    """Serve three threads, of which the first has six messages, the last one and the second none."""
    agent = Agent(id="a", model=ScriptedModel(), memory=Memory())
    mastra = Mastra(agents={"a": agent}, server=ServerConfig(**config))
    store = Memory().bound_to(mastra).store
    for at, (owner, colour) in enumerate([("ann", "red"), ("ann", "blue"), ("bob", "red")]):
        facts = {"colour": colour, "deep": {"x": [at]}}
        await store.save_thread(ThreadRecord(f"t{at}", owner, "", facts, at, 10 - at))
    for at in range(6):
        content = {
            "format": 2,
            "parts": [{"type": "text", "text": f"m{at}"}],
            "metadata": {"even": at % 2 == 0},
        }
        role = "assistant" if at % 2 else "user"
        await store.save_messages([StoredMessage(f"m{at}", "t0", "ann", role, content, 1000 * at)])
    await store.save_messages(
        [StoredMessage("of-bob", "t2", "bob", "user", {"format": 2, "parts": []}, 500)]
    )
    transport = httpx.ASGITransport(create_app(mastra))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost/api")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["t0", "t2", "t1"]),
        ({"orderBy[field]": "createdAt"}, ["t2", "t1", "t0"]),
        ({"orderBy[direction]": "ASC"}, ["t0", "t1", "t2"]),
        ({"orderBy[field]": "updatedAt", "orderBy[direction]": "ASC"}, ["t1", "t2", "t0"]),
        ({"orderBy": '{"field": "createdAt", "direction": "DESC"}'}, ["t2", "t1", "t0"]),
        ({"orderBy": "createdAt", "sortDirection": "ASC"}, ["t0", "t1", "t2"]),
        ({"metadata": '{"colour": "red"}'}, ["t0", "t2"]),
        ({"metadata": '{"colour": "red"}', "resourceId": "bob"}, ["t2"]),
        ({"metadata": '{"deep": {"x": [1]}}'}, ["t1"]),
        ({"metadata": '{"colour": "green"}'}, []),
        ({"metadata": "{}"}, ["t0", "t2", "t1"]),
        ({"metadata": "red"}, 400),
        ({"metadata": "[]"}, 400),
        ({"orderBy[field]": "title"}, 400),
        ({"orderBy[direction]": "up"}, 400),
        ({"orderBy": "{"}, 400),
        ({"orderBy": "[]"}, 400),
    ],
)
async def test_threads_are_found_and_ordered(query: dict[str, str], found: list[str] | int) -> None:
    async with await served() as client:
        answer = await client.get("/memory/threads", params=query)
        if isinstance(found, int):
            assert answer.status_code == found
        else:
            assert [thread["id"] for thread in answer.json()["threads"]] == found
            assert answer.json()["total"] == len(found)


@pytest.mark.parametrize(
    ("query", "found", "total"),
    [
        ({"perPage": 2}, "45", 6),
        ({"perPage": 2, "page": 1}, "23", 6),
        ({"perPage": 2, "orderBy": {"direction": "ASC"}}, "01", 6),
        ({"perPage": 2, "page": 2, "orderBy": {"field": "createdAt"}}, "45", 6),
        ({"perPage": 2, "orderBy": {"field": "createdAt", "direction": "DESC"}}, "45", 6),
        ({"filter": {"roles": ["assistant"]}}, "135", 3),
        ({"filter": {"roles": ["assistant"]}, "perPage": 2}, "35", 3),
        ({"filter": {"metadata": {"even": True}}, "orderBy": {"direction": "DESC"}}, "024", 3),
        ({"filter": {"dateRange": {"start": "1970-01-01T00:00:03Z"}}}, "345", 3),
        (
            {"filter": {"dateRange": {"start": "1970-01-01T00:00:03Z", "startExclusive": True}}},
            "45",
            2,
        ),
        ({"filter": {"dateRange": {"end": "1970-01-01T00:00:01Z"}}}, "01", 2),
        ({"filter": {"dateRange": {"end": "1970-01-01T00:00:01Z", "endExclusive": True}}}, "0", 1),
        ({"filter": {}}, "012345", 6),
        ({"filter": {}, "perPage": 4, "page": 1}, "01", 6),
        ({"filter": {}, "perPage": 4, "page": 2}, "", 6),
        ({"perPage": 1, "include": [{"id": "m1", "withPreviousMessages": 1}]}, "015", 6),
        (
            {
                "perPage": 1,
                "include": [{"id": "m1", "withNextMessages": 1}],
                "orderBy": {"direction": "DESC"},
            },
            "125",
            6,
        ),
        ({"perPage": 1, "include": [{"id": "nope"}]}, "5", 6),
    ],
)
async def test_messages_are_found_and_ordered(
    query: dict[str, Any], found: str, total: int
) -> None:
    asked = {
        name: json.dumps(value) if isinstance(value, (dict, list)) else value
        for name, value in query.items()
    }
    async with await served() as client:
        listed = (await client.get("/memory/threads/t0/messages", params=asked)).json()
        assert "".join(message["id"][1:] for message in listed["messages"]) == found
        assert listed["total"] == total


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("filter", "x"),
        ("filter", '{"roles": "user"}'),
        ("filter", '{"dateRange": {"start": "soon"}}'),
        ("include", "{}"),
        ("include", json.dumps([{"id": "m1"}] * 101)),
        ("include", '[{"id": "m1", "withNextMessages": -1}]'),
        ("orderBy", "[]"),
    ],
)
async def test_what_asks_for_no_messages_is_refused(name: str, value: str) -> None:
    async with await served() as client:
        answer = await client.get("/memory/threads/t0/messages", params={name: value})
        assert answer.status_code == 400
        assert name in answer.text


async def test_a_thread_of_another_than_the_one_asked_for_is_refused() -> None:
    bob = {"resourceId": "bob"}
    async with await served() as client:
        for address in ("/memory/threads/t0", "/memory/threads/t0/messages"):
            assert (await client.get(address, params={"resourceId": "ann"})).status_code == 200
            assert (await client.get(address, params=bob)).status_code == 403
        notes = "/memory/threads/t0/working-memory"
        for refused in (
            await client.get(notes, params=bob),
            await client.post(notes, json={"workingMemory": "x", **bob}),
            await client.patch("/memory/threads/t0", json={"title": "x", **bob}),
            await client.delete("/memory/threads/t0", params=bob),
            await client.post("/memory/messages/delete", json={"messageIds": "m1"}, params=bob),
        ):
            assert refused.status_code == 403, refused.text
        assert (await client.get("/memory/threads/t0")).json()["title"] == ""
        assert (await client.get("/memory/threads/t0/messages")).json()["total"] == 6


async def test_no_message_of_somebody_else_is_listed_beside_ones_own() -> None:
    include = json.dumps([{"id": "of-bob"}, {"id": "m1"}])
    async with await served(auth=BearerAuth({"of-ann": "ann"})) as client:
        answer = await client.get(
            "/memory/threads/t0/messages",
            params={"include": include, "perPage": 1},
            headers={"authorization": "Bearer of-ann"},
        )
        assert [message["id"] for message in answer.json()["messages"]] == ["m1", "m5"]
