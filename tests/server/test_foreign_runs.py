"""An agent's run that waits goes on for whoever's it is, by its own agent, and for nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from mastra import Agent, InMemoryStorage, Mastra, ServerConfig, SQLStorage, tool
from mastra.memory import Memory
from mastra.server import BearerAuth, create_app
from mastra.testing import FunctionModel, ToolCall
from mastra.tools.tool_context import ToolContext

pytestmark = pytest.mark.anyio

paid: list[str] = []
ALICE = {"authorization": "Bearer alice-token"}
BOB = {"authorization": "Bearer bob-token"}


@pytest.fixture(autouse=True)
def nothing_paid() -> None:
    paid.clear()


@tool(require_approval=True)
async def pay(to: str) -> str:
    """Pay."""
    paid.append(to)
    return f"paid {to}"


@tool
async def ask(to: str, ctx: ToolContext) -> str:
    """Ask before paying."""
    if ctx.resume_data is None:
        return await ctx.suspend({"to": to})
    paid.append(to)
    return f"paid {to}"


def answer(request: Any) -> Any:
    if request.messages[-1].role == "tool":
        return "Done."
    return ToolCall(request.messages[-1].text, {"to": "shop"})


def agent(name: str, **options: Any) -> Agent:
    model = FunctionModel(answer)
    return Agent(id=name, model=model, tools={"pay": pay, "ask": ask}, **options)


@pytest.fixture(params=["memory", "sqlite"])
async def http(request: Any, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    sql = request.param == "sqlite"
    storage: Any = SQLStorage(f"sqlite:///{tmp_path}/x.db") if sql else InMemoryStorage()
    agents = {"a": agent("a"), "b": agent("b"), "durable": agent("durable", durable=True)}
    auth = BearerAuth({"alice-token": "alice", "bob-token": "bob"})
    async with serving(Mastra(agents=agents, storage=storage), auth) as made:
        yield made


@asynccontextmanager
async def serving(mastra: Mastra, auth: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        mastra,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(create_app(mastra, ServerConfig(auth=auth))),
            base_url="http://testserver",
        ) as opened,
    ):
        opened.mastra = mastra  # type: ignore[attr-defined]
        yield opened


async def asks(http: httpx.AsyncClient, who: Any, name: str, what: str, run_id: str) -> Any:
    body = {"messages": what, "runId": run_id}
    return await http.post(f"/api/agents/{name}/generate", headers=who, json=body)


ANSWERS = (
    ("approve-tool-call-generate", {}),
    ("approve-tool-call", {}),
    ("decline-tool-call-generate", {}),
    ("decline-tool-call", {}),
    ("resume-stream", {"resumeData": {"approved": True}}),
)


@pytest.mark.parametrize("name", ["a", "durable"])
@pytest.mark.parametrize("what", ["pay", "ask"])
async def test_a_stranger_answers_nothing(http: httpx.AsyncClient, name: str, what: str) -> None:
    waiting = await asks(http, ALICE, name, what, "r")
    assert waiting.json()["finishReason"] == "suspended"
    for route, more in ANSWERS:
        for by in ("a", "b", "durable"):
            url = f"/api/agents/{by}/{route}"
            refused = await http.post(url, headers=BOB, json={"runId": "r", **more})
            assert refused.status_code in {403, 404}, (by, route)
    assert paid == []
    # It still waits, for its owner.
    url = f"/api/agents/{name}/approve-tool-call-generate"
    done = await http.post(url, headers=ALICE, json={"runId": "r"})
    assert (done.status_code, paid) == (200, ["shop"])


async def test_its_owner_answers_by_its_own_agent_alone(http: httpx.AsyncClient) -> None:
    await asks(http, ALICE, "a", "pay", "r")
    url = "/api/agents/b/approve-tool-call-generate"
    assert (await http.post(url, headers=ALICE, json={"runId": "r"})).status_code == 404
    assert paid == []


async def test_a_claimed_run_is_looked_at_too(http: httpx.AsyncClient) -> None:
    await asks(http, ALICE, "a", "pay", "r")
    runs = http.mastra.storage.workflows  # type: ignore[attr-defined]
    elsewhere: Any = {"status": "running", "owner": "elsewhere"}
    assert await runs.update_run("agent:a", "r", elsewhere, expected_status=("suspended",))
    url = "/api/agents/a/approve-tool-call-generate"
    assert (await http.post(url, headers=BOB, json={"runId": "r"})).status_code == 403
    assert paid == []


@pytest.mark.parametrize("name", ["a", "b", "durable"])
async def test_the_id_of_somebody_elses_run_begins_no_other(
    http: httpx.AsyncClient, name: str
) -> None:
    await asks(http, ALICE, name, "pay", "r")
    for by in {"a", "b", name} - ({"a", "b"} if name == "durable" else set()):
        taken = await asks(http, BOB, by, "pay", "r")
        assert taken.status_code == 409, by
        body = {"messages": "pay", "runId": "r"}
        assert (
            await http.post(f"/api/agents/{by}/stream", headers=BOB, json=body)
        ).status_code == 409
    found = await http.get(f"/api/agents/{name}/suspended-runs", headers=ALICE)
    assert [run["runId"] for run in found.json()["runs"]] == ["r"]


async def test_a_run_of_nobody_is_not_everybodys() -> None:
    mastra = Mastra(agents={"a": agent("a")})
    await mastra.get_agent("a").generate("pay", run_id="r")
    async with serving(mastra, BearerAuth({"alice-token": "alice", "root-token": None})) as http:
        url = "/api/agents/a/approve-tool-call-generate"
        assert (await http.post(url, headers=ALICE, json={"runId": "r"})).status_code == 403
        root = {"authorization": "Bearer root-token"}
        assert (await http.post(url, headers=root, json={"runId": "r"})).status_code == 200
    assert paid == ["shop"]


async def test_messages_of_a_prompt_take_no_ids_of_somebody_elses(http: httpx.AsyncClient) -> None:
    asked: list[Any] = []

    def say(request: Any) -> str:
        asked.append(request)
        return "Hello."

    model = FunctionModel(say)
    named = Agent(id="a", model=model, memory=Memory())
    storage = http.mastra.storage  # type: ignore[attr-defined]
    auth = BearerAuth({"alice-token": "alice", "bob-token": "bob"})
    async with serving(Mastra(agents={"a": named}, storage=storage), auth) as opened:
        url = "/api/agents/a/generate"

        def body(thread: str, words: str) -> dict[str, Any]:
            said = [{"id": "m", "role": "user", "content": words}]
            return {"messages": said, "memory": {"thread": thread}}

        assert (await opened.post(url, headers=ALICE, json=body("t1", "Hi."))).status_code == 200
        taken = await opened.post(url, headers=BOB, json=body("t2", "Bob's."))
        # Nobody was asked: the model comes after the check.
        assert (taken.status_code, len(asked)) == (409, 1)
        words = {"messages": "Bob's.", "memory": {"thread": "t1"}}
        foreign = await opened.post(url, headers=BOB, json=words)
        assert (foreign.status_code, len(asked)) == (403, 1)
        found = await opened.get("/api/memory/threads/t1/messages", headers=ALICE)
        assert found.json()["messages"][0]["content"]["content"] == "Hi."
        # Sending a message of one's own again is fine.
        assert (await opened.post(url, headers=ALICE, json=body("t1", "Hi."))).status_code == 200
