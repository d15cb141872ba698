"""The route that clones a thread."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra, ServerConfig
from mastra.memory import Memory
from mastra.models import Message
from mastra.server import BearerAuth, create_app
from mastra.testing import ScriptedModel

pytestmark = pytest.mark.anyio


async def served(**config: Any) -> httpx.AsyncClient:
    """Serve a thread of Ann's with three messages."""
    agent = Agent(id="a", model=ScriptedModel(), memory=Memory())
    mastra = Mastra(agents={"a": agent}, server=ServerConfig(**config))
    memory = Memory().bound_to(mastra)
    await memory.create_thread(thread_id="t", resource_id="ann", title="A trip")
    said = [Message("user", f"m{at}", id=f"m{at}", created_at=1000 * at) for at in range(3)]
    await memory.save_messages(said, thread_id="t", resource_id="ann")
    transport = httpx.ASGITransport(create_app(mastra))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost/api")


@pytest.mark.parametrize("query", [{}, {"agentId": "a"}])
async def test_a_thread_is_cloned(query: dict[str, str]) -> None:
    async with await served() as client:
        body = {
            "newThreadId": "c",
            "resourceId": "bob",
            "metadata": {"why": "to try"},
            "options": {"messageFilter": {"startDate": "1970-01-01T00:00:01.000Z"}},
        }
        answer = await client.post("/memory/threads/t/clone", params=query, json=body)
        assert answer.status_code == 200
        made = answer.json()
        thread = made["thread"]
        assert (thread["id"], thread["resourceId"], thread["title"]) == (
            "c",
            "bob",
            "Clone of A trip",
        )
        assert thread["metadata"]["clone"]["lastMessageId"] == "m2"
        said = [
            (message["content"]["content"], message["threadId"], message["resourceId"])
            for message in made["clonedMessages"]
        ]
        assert said == [("m1", "c", "bob"), ("m2", "c", "bob")]
        ids = [message["id"] for message in made["clonedMessages"]]
        assert made["messageIdMap"] == dict(zip(("m1", "m2"), ids, strict=True))
        listed = (await client.get("/memory/threads/c/messages", params=query)).json()
        assert listed["messages"] == made["clonedMessages"]
        assert (await client.get("/memory/threads/c", params=query)).json() == thread


@pytest.mark.parametrize(
    ("thread", "body", "status"),
    [
        ("t", {}, 200),
        ("t", None, 422),
        ("nope", {}, 404),
        ("t", {"newThreadId": "t"}, 409),
        ("t", {"options": {"messageLimit": 0}}, 200),
        ("t", {"options": {"messageLimit": -1}}, 422),
        ("t", {"options": {"messageFilter": {"startDate": "soon"}}}, 422),
    ],
)
async def test_what_is_asked_of_it_is_checked(thread: str, body: Any, status: int) -> None:
    async with await served() as client:
        answer = await client.post(f"/memory/threads/{thread}/clone", json=body)
        assert answer.status_code in {status, 400 if status == 422 else status}


async def test_a_copy_stays_with_its_owner() -> None:
    auth = BearerAuth({"of-ann": "ann", "of-bob": "bob"})
    async with await served(auth=auth) as client:
        for token, body, status in (
            ("of-bob", {}, 403),
            ("of-ann", {"resourceId": "bob"}, 403),
            ("of-ann", {"resourceId": "ann"}, 200),
        ):
            headers = {"authorization": f"Bearer {token}"}
            answer = await client.post("/memory/threads/t/clone", json=body, headers=headers)
            assert answer.status_code == status
