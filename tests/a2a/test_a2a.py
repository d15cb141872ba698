"""Agents over A2A, asked by the SDK's own client and by remote agents of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from a2a.client import A2ACardResolver, Client, ClientConfig, ClientFactory
from a2a.types import a2a_pb2 as p
from google.protobuf.json_format import MessageToDict, ParseDict

from mastra import Agent, Mastra, ServerConfig
from mastra.a2a import A2AAgent
from mastra.errors import ModelError
from mastra.memory import Memory
from mastra.models.messages import FilePart, ImagePart, TextPart
from mastra.server import BearerAuth, create_app
from mastra.storage.base import RunChanges
from mastra.testing import FunctionModel, ScriptedModel, ToolCall
from tests.a2a.app import PAID, Slow, build
from tests.server.live import running

AUTH = ServerConfig(auth=BearerAuth({"a": "alice", "b": "bob"}))
ALICE, BOB = {"authorization": "Bearer a"}, {"authorization": "Bearer b"}


@asynccontextmanager
async def client_of(url: str, headers: dict[str, str] | None = None) -> AsyncGenerator[Client]:
    async with httpx.AsyncClient(headers=headers, timeout=60) as http:
        card = await A2ACardResolver(http, f"{url}/api/a2a/helper").get_agent_card()
        yield ClientFactory(ClientConfig(httpx_client=http)).create(card)


def message(content: Any, **facts: Any) -> p.SendMessageRequest:
    part = {"text": content} if isinstance(content, str) else {"data": content}
    said = {"messageId": "m", "role": "ROLE_USER", "parts": [part], **facts}
    return ParseDict({"message": said}, p.SendMessageRequest())


async def told(client: Client, request: p.SendMessageRequest) -> list[dict[str, Any]]:
    return [MessageToDict(event) async for event in client.send_message(request)]


def texts(events: list[dict[str, Any]]) -> str:
    updates = [event["artifactUpdate"] for event in events if "artifactUpdate" in event]
    return "".join(part["text"] for one in updates for part in one["artifact"]["parts"])


async def ended(client: Client, request: p.SendMessageRequest) -> tuple[str, dict[str, Any]]:
    """Return how a stream ended: the state, and the status."""
    status = (await told(client, request))[-1]["statusUpdate"]
    return status["status"]["state"].removeprefix("TASK_STATE_"), status


async def test_an_answer_is_streamed_and_kept() -> None:
    async with running(build()) as (url, _), client_of(url) as client:
        events = await told(client, message("hello there"))
        assert texts(events) == "You said hello there."
        assert len([event for event in events if "artifactUpdate" in event]) >= 1
        assert events[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"
        task_id = events[-1]["statusUpdate"]["taskId"]
        task = await client.get_task(p.GetTaskRequest(id=task_id))
        (artifact,) = task.artifacts
        assert [part.text for part in artifact.parts] == ["You said hello there."]
        assert task.history[0].parts[0].text == "hello there"
        listed = await client.list_tasks(p.ListTasksRequest(context_id=task.context_id))
        assert [one.id for one in listed.tasks] == [task_id]


async def test_a_context_is_a_thread_of_the_memory() -> None:
    async with running(build()) as (url, _), client_of(url) as client:
        for text in ("hello", "count"):
            events = await told(client, message(text, contextId="c1"))
        assert texts(events) == "You said 2 things: hello, count."
        assert texts(await told(client, message("count", contextId="c2"))).startswith("You said 1")


@pytest.mark.parametrize("durable", [False, True])
async def test_a_task_waits_for_a_persons_approval(durable: bool) -> None:
    PAID.clear()
    async with running(build(durable=durable)) as (url, _), client_of(url) as client:
        state, update = await ended(client, message("pay ann"))
        assert (state, PAID) == ("INPUT_REQUIRED", [])
        asked, data = update["status"]["message"]["parts"]
        assert asked["text"] == 'May pay be called with {"to": "ann"}?'
        (call,) = data["data"]["toolCalls"]
        assert (call["toolName"], call["requiresApproval"]) == ("pay", True)
        same = {"taskId": update["taskId"], "contextId": update["contextId"]}
        # Words approve nothing, and neither does what is not a yes or no.
        for wrong in ("yes", {"approved": "yes"}, {"resumeData": True}):
            state, _again = await ended(client, message(wrong, **same))
            assert (state, PAID) == ("INPUT_REQUIRED", [])
        events = await told(client, message({"approved": True}, **same))
        assert (texts(events), PAID) == ("Done: paid ann.", ["ann"])
        # What is over cannot be answered once more.
        with pytest.raises(Exception, match="terminal"):
            await told(client, message({"approved": True}, **same))
        assert PAID == ["ann"]


async def test_an_approval_may_be_declined_and_a_task_that_waits_cancelled() -> None:
    PAID.clear()
    app = build()
    async with running(app) as (url, _), client_of(url) as client:
        _, update = await ended(client, message("pay ann"))
        same = {"taskId": update["taskId"], "contextId": update["contextId"]}
        no = {"approved": False, "reason": "too much"}
        assert "too much" in texts(await told(client, message(no, **same)))
        _, update = await ended(client, message("pay bob"))
        task = await client.cancel_task(p.CancelTaskRequest(id=update["taskId"]))
        assert task.status.state == p.TaskState.TASK_STATE_CANCELED
        assert (await app.get_agent("helper").list_suspended_runs()).total == 0
    assert PAID == []


async def test_a_tool_that_suspends_is_answered_by_its_schema() -> None:
    async with running(build()) as (url, _), client_of(url) as client:
        _, update = await ended(client, message("book Rome"))
        assert update["status"]["message"]["parts"][0]["text"] == "When in Rome?"
        same = {"taskId": update["taskId"]}  # its context need not be said again
        state, _again = await ended(client, message({"night": 3}, **same))
        assert state == "INPUT_REQUIRED"
        events = await told(client, message({"day": "Monday"}, **same))
        assert texts(events) == "Done: Rome on Monday."


async def test_a_task_that_waits_goes_on_in_another_process() -> None:
    app = build()
    async with running(app) as (url, _), client_of(url) as client:
        _, update = await ended(client, message("book Rome"))
    # Another server over the same storage, which has never heard of the task.
    async with running(Mastra(agents=app.list_agents(), storage=app.storage)) as (url, _):
        async with client_of(url) as client:
            same = {"taskId": update["taskId"], "contextId": update["contextId"]}
            assert texts(await told(client, message({"day": "Monday"}, **same)))


async def test_a_task_under_way_is_followed_and_cancelled() -> None:
    slow = Slow()
    async with running(build(slow=Agent(id="slow", model=slow))) as (url, _):
        async with httpx.AsyncClient(timeout=60) as http:
            card = await A2ACardResolver(http, f"{url}/api/a2a/slow").get_agent_card()
            client = ClientFactory(ClientConfig(httpx_client=http)).create(card)
            task_id = ""
            first = client.send_message(message("go"))
            async for event in first:
                if event.HasField("artifact_update"):
                    task_id = event.artifact_update.task_id
                    break
            follower = client.subscribe(p.SubscribeToTaskRequest(id=task_id))
            assert (await anext(follower)).task.status.state == p.TaskState.TASK_STATE_WORKING
            task = await client.cancel_task(p.CancelTaskRequest(id=task_id))
            assert task.status.state == p.TaskState.TASK_STATE_CANCELED
            await asyncio.wait_for(slow.was_left.wait(), 20)


async def test_what_fails_is_told_without_the_inside() -> None:
    async with running(build()) as (url, _), client_of(url) as client:
        state, update = await ended(client, message("fail"))
        assert state == "FAILED"
        assert "Traceback" not in str(update)


async def test_tasks_are_their_callers_and_a_stranger_is_refused() -> None:
    PAID.clear()
    async with running(build(AUTH)) as (url, _):
        async with httpx.AsyncClient() as stranger:
            for path in (
                "a2a/helper/.well-known/agent-card.json",
                ".well-known/helper/agent-card.json",
            ):
                assert (await stranger.get(f"{url}/api/{path}")).status_code == 401
            assert (await stranger.post(f"{url}/api/a2a/helper", json={})).status_code == 401
        async with client_of(url, ALICE) as alice, client_of(url, BOB) as bob:
            _, update = await ended(alice, message("pay ann", contextId="hers"))
            task_id = update["taskId"]
            for asked in (
                bob.get_task(p.GetTaskRequest(id=task_id)),
                bob.cancel_task(p.CancelTaskRequest(id=task_id)),
                told(bob, message({"approved": True}, taskId=task_id)),
                anext(bob.subscribe(p.SubscribeToTaskRequest(id=task_id))),
            ):
                with pytest.raises(Exception, match="not found"):
                    await asked
            assert not (await bob.list_tasks(p.ListTasksRequest())).tasks
            state, refused = await ended(bob, message("count", contextId="hers"))
            assert (state, PAID) == ("FAILED", [])
            assert "does not belong" in refused["status"]["message"]["parts"][0]["text"]
            assert len((await alice.list_tasks(p.ListTasksRequest())).tasks) == 1


async def test_where_callers_are_not_known_tasks_are_listed_by_their_context_alone() -> None:
    async with running(build()) as (url, _), client_of(url) as client:
        _, update = await ended(client, message("pay ann", contextId="c1"))
        await told(client, message("hello", contextId="c2"))
        assert not (await client.list_tasks(p.ListTasksRequest())).tasks
        assert not (await client.list_tasks(p.ListTasksRequest(context_id="c3"))).tasks
        [one] = (await client.list_tasks(p.ListTasksRequest(context_id="c1"))).tasks
        assert one.id == update["taskId"]


async def test_tasks_that_ended_long_ago_are_deleted_and_those_that_wait_are_not() -> None:
    app = build(ServerConfig(chat_retention=3600.0))
    store, place = app.storage.workflows, "a2a:helper"
    async with running(app) as (url, _), client_of(url) as client:
        for text in ("hello", "pay ann"):
            await told(client, message(text, contextId="c"))
        for head in (await store.list_runs(place)).runs:
            await store.update_run(place, head.run_id, RunChanges(updated_at=1))
    # One that keeps them for ever leaves them.
    forever = Mastra(
        agents=app.list_agents(), storage=app.storage, server=ServerConfig(chat_retention=None)
    )
    async with running(forever) as (url, _), client_of(url) as client:
        await told(client, message("hello to another", contextId="d"))
        listed = await client.list_tasks(p.ListTasksRequest(context_id="c"))
        assert len(listed.tasks) == 2
    async with running(Mastra(agents=app.list_agents(), storage=app.storage)) as (url, _):
        async with client_of(url) as client:
            await told(client, message("hello again", contextId="c"))
            listed = await client.list_tasks(p.ListTasksRequest(context_id="c"))
            states = [one.status.state for one in listed.tasks]
    assert sorted(states) == [
        p.TaskState.TASK_STATE_COMPLETED,
        p.TaskState.TASK_STATE_INPUT_REQUIRED,
    ]


async def test_a_card_tells_of_the_agent() -> None:
    transport = httpx.ASGITransport(create_app(build(AUTH)))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1/api", headers=ALICE
    ) as http:
        card = (await http.get("/.well-known/helper/agent-card.json")).json()
        assert (await http.get("/a2a/helper/.well-known/agent-card.json")).json() == card
        assert (card["name"], card["description"]) == ("helper", "Helps")
        assert card["supportedInterfaces"][0]["url"] == "http://127.0.0.1/api/a2a/helper"
        assert card["url"] == "http://127.0.0.1/api/a2a/helper"  # of clients of version 0.3
        assert [skill["id"] for skill in card["skills"]] == ["pay", "book"]
        assert card["securitySchemes"]["bearer"]
        assert (await http.get("/.well-known/nobody/agent-card.json")).status_code == 404
        assert (await http.post("/a2a/nobody", json={})).status_code == 404


async def test_a_client_of_version_0_3() -> None:
    transport = httpx.ASGITransport(create_app(build()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api") as http:
        said = {
            "messageId": "m",
            "role": "user",
            "kind": "message",
            "parts": [{"kind": "text", "text": "hello"}],
        }
        call = {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message": said}}
        task = (await http.post("/a2a/helper", json=call)).json()["result"]
        assert task["status"]["state"] == "completed"
        assert task["artifacts"][0]["parts"][0]["text"] == "You said hello."


async def test_a_call_is_of_the_version_that_its_method_is_spelt_in() -> None:
    transport = httpx.ASGITransport(create_app(build()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api") as http:

        async def called(version: str | None = None, **params: Any) -> dict[str, Any]:
            call = {"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": params}
            headers = {} if version is None else {"a2a-version": version}
            return (await http.post("/a2a/helper", json=call, headers=headers)).json()

        assert (await called())["result"]["tasks"] == []
        assert (await called("0.3"))["error"]["code"] == -32009
        # The SDK would take it for none, and list all.
        assert (await called(status="TASK_STATE_NONSENSE"))["error"]["code"] == -32602
        assert (await called(status="TASK_STATE_WORKING"))["result"]["tasks"] == []


async def test_data_and_files_reach_the_agent_as_it_reads_them() -> None:
    seen: list[Any] = []

    def look(request: Any) -> str:
        seen.extend(request.messages[-1].parts)
        return "seen"

    agent = Agent(id="looker", model=FunctionModel(look))
    transport = httpx.ASGITransport(create_app(Mastra(agents={"looker": agent})))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api") as http:
        parts = [
            {"data": {"n": 3}},
            {"raw": "iVBORw==", "mediaType": "image/png"},
            {"raw": "JVBERg==", "mediaType": "application/pdf", "filename": "a.pdf"},
            {"raw": "AAAA"},
        ]
        said = {"messageId": "m", "role": "ROLE_USER", "parts": parts}
        call = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": said}}
        task = (await http.post("/a2a/looker", json=call)).json()["result"]["task"]
    assert task["status"]["state"] == "TASK_STATE_COMPLETED"
    assert seen == [
        TextPart('{"n":3}'),
        ImagePart(data="iVBORw==", media_type="image/png"),
        FilePart("application/pdf", data="JVBERg==", filename="a.pdf"),
        FilePart("application/octet-stream", data="AAAA"),
    ]


# -- remote agents -----------------------------------------------------------------------------


async def test_a_remote_agent_answers_and_goes_on() -> None:
    async with running(build()) as (url, _):
        remote = A2AAgent(f"{url}/api/a2a/helper", id="remote", memory=Memory())
        app = Mastra(agents={"remote": remote})
        agent = app.get_agent("remote")
        thread: Any = {"thread": "t", "resource": "ann"}
        async with agent.stream("hello", memory=thread) as stream:
            assert "".join([text async for text in stream.text_stream]) == "You said hello."
        # The remote side remembers: it is told what is new alone.
        second = await agent.generate("count", memory=thread)
        assert second.text == "You said 2 things: hello, count."


async def test_a_remote_task_that_asks_is_answered() -> None:
    PAID.clear()
    async with running(build()) as (url, _):
        agent = A2AAgent(f"{url}/api/a2a/helper", id="remote", memory=Memory())
        thread: Any = {"thread": "t", "resource": "ann"}
        first = await agent.generate("book Rome", memory=thread)
        assert first.text == "When in Rome?"
        second = await agent.generate('{"day": "Monday"}', memory=thread)
        assert second.text == "Done: Rome on Monday."
        first = await agent.generate("pay ann", memory=thread)
        assert first.text.startswith("May pay be called")
        again = await agent.generate("yes", memory=thread)
        assert (again.text[:11], PAID) == ("Answer with", [])
        done = await agent.generate('{"approved": true}', memory=thread)
        assert (done.text, PAID) == ("Done: paid ann.", ["ann"])


async def test_a_remote_agent_among_an_agents_agents() -> None:
    async with running(build(AUTH)) as (url, _):
        remote = A2AAgent(
            f"{url}/api/.well-known/helper/agent-card.json",
            id="remote",
            description="Helps",
            headers=ALICE,
        )
        model = ScriptedModel(ToolCall("agent-remote", {"prompt": "hello"}), "ok")
        boss = Agent(id="boss", model=model, agents={"remote": remote})
        result = await boss.generate("ask it")
    assert result.tool_results[0].payload.result["text"] == "You said ask it\n\nhello."


async def test_what_a_remote_agent_cannot_do_is_an_error() -> None:
    gone = A2AAgent("http://127.0.0.1:1", id="gone", max_retries=0)
    with pytest.raises(ModelError, match="cannot be asked"):
        await gone.generate("hello")
    async with running(build(AUTH)) as (url, _):
        stranger = A2AAgent(f"{url}/api/a2a/helper", id="stranger", max_retries=0)
        with pytest.raises(ModelError, match="401"):
            await stranger.generate("hello")
        failing = A2AAgent(f"{url}/api/a2a/helper", id="f", headers=ALICE, max_retries=0)
        with pytest.raises(ModelError, match="failed"):
            await failing.generate("fail")
