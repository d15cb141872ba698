"""What lists are filtered by, and what is answered where there is nothing of the kind."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra, ServerConfig, create_workflow, step
from mastra.mcp import MCPServer
from mastra.memory import Memory, WorkingMemory
from mastra.observability import Observability
from mastra.server import BearerAuth, create_app
from mastra.testing import FunctionModel

pytestmark = pytest.mark.anyio


@step
async def keep(n: int) -> int:
    if n < 0:
        raise ValueError("negative")
    return n


def said(_request: Any) -> str:
    return "ok"


def application(**options: Any) -> Mastra:
    flow = create_workflow(id="flow", input_schema=int, output_schema=int).then(keep).commit()
    noting = Memory(working_memory=WorkingMemory(template="# Name"))
    return Mastra(
        agents={
            "noting": Agent(id="noting", model=FunctionModel(said), memory=noting),
            "bare": Agent(id="bare", model=FunctionModel(said)),
        },
        workflows={"flow": flow},
        **options,
    )


@asynccontextmanager
async def served(
    mastra: Mastra, config: ServerConfig | None = None, **options: Any
) -> AsyncGenerator[httpx.AsyncClient]:
    app = create_app(mastra, config)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.0.0.1/api", **options
        ) as opened,
    ):
        yield opened


# -- memory ------------------------------------------------------------------------------------


async def test_an_agent_without_memory_has_none_to_show() -> None:
    async with served(application()) as client:
        bare = {"agentId": "bare"}

        async def got(path: str) -> Any:
            return (await client.get(path, params=bare)).json()

        assert await got("/memory/status") == {"result": False}
        assert await got("/memory/config") == {"config": None}
        assert (await got("/memory/threads"))["threads"] == []
        refused = await client.post("/memory/threads", json={"resourceId": "r"}, params=bare)
        assert (refused.status_code, refused.json()["error"]) == (400, "Memory is not initialized")
        for path in ("/memory/threads/t", "/memory/threads/t/messages"):
            assert (await client.get(path, params=bare)).status_code == 400
        assert (await client.get("/memory/status?agentId=nobody")).status_code == 404


async def test_threads_belong_to_somebody() -> None:
    async with served(application()) as client:
        threads = "/memory/threads"
        whose = await client.post(threads, json={"threadId": "t"})
        assert (whose.status_code, whose.json()["error"]) == (400, "resourceId is required")
        made = {"threadId": "t", "resourceId": "ann", "title": "First", "metadata": {"a": 1}}
        assert (await client.post(threads, json=made)).status_code == 200
        taken = await client.post(threads, json={**made, "resourceId": "bob"})
        assert taken.status_code == 409
        again = await client.post(threads, json={**made, "title": "Second"})
        assert again.json()["resourceId"] == "ann"
        changed = await client.patch(f"{threads}/t", json={"title": "Third"})
        assert (changed.json()["title"], changed.json()["metadata"]) == ("Third", {"a": 1})
        search = await client.get("/memory/search", params={"searchQuery": "x"})
        assert (search.status_code, search.json()["error"]) == (400, "resourceId is required")
        message = {"id": "m", "threadId": "t", "role": "user", "content": "hello"}
        await client.post("/memory/save-messages", json={"messages": [message]})
        # Where nobody says who they are, everybody may delete.
        gone = await client.post("/memory/messages/delete", json={"messageIds": ["m", "never"]})
        assert gone.status_code == 200
        assert (await client.get(f"{threads}/t/messages")).json()["total"] == 0


async def test_messages_are_deleted_by_whoever_they_belong_to() -> None:
    auth = ServerConfig(auth=BearerAuth({"a": "alice", "b": "bob"}))
    alice, bob = ({"authorization": f"Bearer {name}"} for name in "ab")
    async with served(application(), auth) as client:
        await client.post("/memory/threads", json={"threadId": "t"}, headers=alice)
        said = [{"id": name, "threadId": "t", "role": "user", "content": name} for name in "mnop"]
        await client.post("/memory/save-messages", json={"messages": said}, headers=alice)
        for ids, headers, status in (
            (["m"], bob, 403),
            (["m", "never"], alice, 403),
            ("m", alice, 200),
            (["n"], alice, 200),
            ({"id": "o"}, bob, 403),
            ({"id": "o", "role": "user"}, alice, 200),
            ([{"id": "p"}], alice, 200),
        ):
            body = {"messageIds": ids}
            answer = await client.post("/memory/messages/delete", json=body, headers=headers)
            assert answer.status_code == status, (ids, answer.text)
        left = await client.get("/memory/threads/t/messages", headers=alice)
        assert left.json()["total"] == 0


async def test_notes_have_the_form_that_the_author_gave_them() -> None:
    async with served(application()) as client:
        where = {"agentId": "noting", "resourceId": "ann"}
        notes = (await client.get("/memory/threads/t/working-memory", params=where)).json()
        assert notes["workingMemoryTemplate"] == {"format": "markdown", "content": "# Name"}
        assert (notes["workingMemory"], notes["threadExists"]) == (None, False)
        plain = await client.get("/memory/threads/t/working-memory", params={"resourceId": "ann"})
        assert plain.json()["workingMemoryTemplate"] is None


# -- traces ------------------------------------------------------------------------------------


async def test_traces_that_no_span_can_have_are_none() -> None:
    async with served(application(observability=Observability())) as client:
        await client.post("/agents/bare/generate", json={"messages": "hi"})
        await client.post("/workflows/flow/start-async", json={"inputData": 1})
        await client.post("/workflows/flow/start-async", json={"inputData": -1})

        async def count(**query: str) -> int:
            answer = await client.get("/observability/traces", params=query)
            assert answer.status_code == 200, answer.text
            return answer.json()["pagination"]["total"]

        assert await count() == 3
        assert await count(serviceName="shop") == 0
        assert await count(environment="production") == 0
        assert await count(entityType="planet") == 0
        assert await count(status="odd") == 0
        assert (await count(status="error"), await count(status="success")) == (1, 2)
        assert await count(entityType="agent") == 1

        async def values(path: str, **facts: Any) -> Any:
            asked = {"path": path, **facts}
            return await client.post("/observability/traces/query/values", json=asked)

        assert (await values("weather")).status_code == 400
        assert (await values("durationMs")).json() == {"values": [], "valuesTruncated": False}
        kinds = (await values("entityType", search="AGE")).json()["values"]
        assert kinds == [{"value": "agent", "count": 1}]
        statuses = (await values("status")).json()["values"]
        assert statuses == [{"value": "success", "count": 2}, {"value": "error", "count": 1}]


async def test_a_predicate_is_asked_of_all_traces_and_not_of_the_first_page() -> None:
    mastra = application(observability=Observability())
    async with served(mastra) as client:
        for number in range(60):
            await client.post("/workflows/flow/start-async", json={"inputData": number - 1})
        failed = {"op": "eq", "left": {"path": "status"}, "right": {"literal": "error"}}
        body = {"where": failed}
        found = (await client.post("/observability/traces/query", json=body)).json()
        # The one that failed is the oldest.
        assert [one["status"] for one in found["traces"]] == ["error"]
        assert found["page"] == {"next": None}
        page = {"page": {"limit": 25, "after": "50"}}
        last = (await client.post("/observability/traces/query", json=page)).json()
        assert (len(last["traces"]), last["page"]["next"]) == (10, None)


async def test_without_traces_there_are_none() -> None:
    async with served(application()) as client:
        assert (await client.get("/observability/traces")).json()["spans"] == []
        asked = await client.post("/observability/traces/query", json={})
        assert asked.json() == {"traces": [], "page": {"next": None}}
        values = await client.post("/observability/traces/query/values", json={"path": "status"})
        assert values.json()["values"] == []
        assert (await client.get("/observability/discovery/entity-names")).json() == {"names": []}
        kinds = await client.get("/observability/discovery/entity-types")
        assert kinds.json() == {"entityTypes": []}


async def test_the_kinds_of_what_was_traced_are_told() -> None:
    async with served(application(observability=Observability())) as client:
        await client.post("/workflows/flow/start-async", json={"inputData": 1})
        found = (await client.get("/observability/discovery/entity-types")).json()
        assert {"workflow_run", "workflow_step"} <= set(found["entityTypes"])


async def test_agents_are_listed_by_their_ids() -> None:
    one, two = (Agent(id=name, model=FunctionModel(said)) for name in ("one", "two"))
    # A key may be another's id.
    async with served(Mastra(agents={"first": one, "one": two})) as client:
        listed = (await client.get("/agents")).json()
        assert [(name, agent["id"]) for name, agent in listed.items()] == [
            ("one", "one"),
            ("two", "two"),
        ]
        for name, agent in listed.items():
            assert (await client.get(f"/agents/{name}")).json()["name"] == agent["name"]


@pytest.mark.parametrize("asked", [5, "t", [[1]], ["t", 5], {"a": 1}])
async def test_traces_of_an_experiment_that_are_named_in_another_form(asked: Any) -> None:
    async with served(application(observability=Observability())) as client:
        filters = {"experimentId": "x", "traceIds": asked}
        body = {"name": ["mastra_agent_duration_ms"], "filters": filters}
        answer = await client.post("/observability/metrics/aggregate", json=body)
        assert (answer.status_code, answer.json()["value"]) == (200, None)


# -- runs --------------------------------------------------------------------------------------


async def test_a_time_without_a_zone_is_utc_wherever_the_server_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        async with served(application()) as client:
            await client.post("/workflows/flow/start-async", json={"inputData": 1})
            (run,) = (await client.get("/workflows/flow/runs")).json()["runs"]
            begun = run["createdAt"].removesuffix("Z")

            async def total(**query: str) -> int:
                return (await client.get("/workflows/flow/runs", params=query)).json()["total"]

            assert await total(fromDate=begun) == 1
            assert await total(fromDate=f"{begun}Z") == 1
            assert await total(toDate="0001-01-01T00:00:00") == 0
            assert await total(fromDate="0001-01-01T00:00:00") == 1
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_all_runs_are_restarted_only_by_whoever_may_touch_them() -> None:
    path = "/workflows/flow/restart-all-active-workflow-runs"
    async with served(application()) as client:
        assert (await client.post(path)).status_code == 200
    auth = ServerConfig(auth=BearerAuth({"a": "alice"}))
    headers = {"authorization": "Bearer a"}
    async with served(application(), auth, headers=headers) as client:
        assert (await client.post(path)).status_code == 403


# -- MCP servers -------------------------------------------------------------------------------


async def test_mcp_servers_are_listed_by_limit_and_offset() -> None:
    servers = {f"s{n}": MCPServer(f"s{n}") for n in range(5)}
    async with served(Mastra(mcp_servers=servers)) as client:
        address: str | None = "/mcp/v0/servers?limit=2"
        found: list[str] = []
        while address is not None:
            page = (await client.get(address)).json()
            found += [one["id"] for one in page["servers"]]
            address = page["next"]
        assert found == list(servers)
        assert (await client.get("/mcp/s0/resources")).json() == {"resources": []}
        read = await client.post("/mcp/s0/resources/read", json={"uri": "a://b"})
        assert (read.status_code, read.json()["error"]) == (404, "Resource not found")


# -- values of a request -----------------------------------------------------------------------


async def test_values_of_a_get_are_base64_of_an_object() -> None:
    def instructions(context: Any) -> str:
        return f"For {context.request_context.get('tier')}."

    agent = Agent(id="a", model=FunctionModel(said), instructions=instructions)
    async with served(Mastra(agents={"a": agent})) as client:

        async def asked(text: str) -> httpx.Response:
            return await client.get("/agents/a", params={"requestContext": text})

        given = base64.b64encode(json.dumps({"tier": "gold"}).encode()).decode()
        assert (await asked(given)).json()["instructions"] == "For gold."
        assert (await asked("")).json()["instructions"] == "For None."
        for wrong in (
            "%%%",
            "x",
            base64.b64encode(b"[1]").decode(),
            base64.b64encode(b"{").decode(),
        ):
            assert (await asked(wrong)).status_code == 400, wrong


# -- what goes away in between -----------------------------------------------------------------


async def test_a_thread_that_is_deleted_while_it_is_changed_is_not_found() -> None:
    mastra = application()
    async with served(mastra) as client:
        await client.post("/memory/threads", json={"threadId": "t", "resourceId": "ann"})
        store = mastra.storage.memory
        read = store.get_thread

        async def read_and_deleted(thread_id: str) -> Any:
            found = await read(thread_id)
            await store.delete_thread(thread_id)
            return found

        store.get_thread = read_and_deleted
        answer = await client.patch("/memory/threads/t", json={"title": "Late"})
        assert (answer.status_code, answer.json()["error"]) == (404, "Thread not found")


async def test_a_run_that_is_deleted_while_it_is_read_is_not_found() -> None:
    mastra = application()
    async with served(mastra) as client:
        await client.post("/workflows/flow/start-async?runId=r", json={"inputData": 1})
        store: Any = mastra.storage.workflows
        read = store.get_run

        async def read_and_deleted(workflow_id: str, run_id: str) -> Any:
            found = await read(workflow_id, run_id)
            await store.delete_run(workflow_id, run_id)
            return found

        store.get_run = read_and_deleted
        answer = await client.get("/workflows/flow/runs/r")
        assert (answer.status_code, answer.json()["error"]) == (404, "Workflow run not found")
