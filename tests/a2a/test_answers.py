"""What is answered to a task that waits, in every form; and what a task comes to beside words."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest
from a2a.server.context import ServerCallContext
from a2a.types import a2a_pb2 as p
from pydantic import BaseModel

from mastra import Agent, Mastra, ServerConfig, SQLStorage, tool
from mastra.processors import Processor
from mastra.server.a2a.pushing import _is_public
from mastra.server.a2a.tasks import StoredTasks
from mastra.server.app import create_app, server_of
from mastra.testing import FunctionModel, ToolCall
from mastra.tools.tool_context import ToolContext
from tests.a2a.app import PAID, build, pay
from tests.a2a.test_a2a import AUTH, client_of, ended, message, texts, told
from tests.a2a.test_push import Hook, asking, config, listening
from tests.server.live import running

pytestmark = pytest.mark.anyio


class Day(BaseModel):
    day: str


@tool
async def ponder(ctx: ToolContext) -> str:
    """Wait for whatever somebody says."""
    if ctx.resume_data is None:
        return await ctx.suspend({"topic": "life"})
    return f"heard {ctx.resume_data}"


class Strict(Processor):
    id = "strict"

    async def process_input(self, ctx: Any) -> Any:
        ctx.abort("Not here.")


def answer(request: Any) -> Any:
    last = request.messages[-1]
    if request.response_format is not None:
        return '{"day": "Monday"}'
    if last.role == "tool":
        return f"Done: {', '.join(str(part.result) for part in last.parts)}."
    if last.text == "pay both":
        return [ToolCall("pay", {"to": "ann"}), ToolCall("pay", {"to": "bob"})]
    return ToolCall("ponder", {})


def helper(**options: Any) -> Mastra:
    agent = Agent(
        id="helper",
        description="Helps",
        model=FunctionModel(answer),
        tools={"pay": pay, "ponder": ponder},
        **options,
    )
    return Mastra(agents={"helper": agent})


async def waiting(client: Any, text: str) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return how a task that waits is named, and which calls of it wait."""
    state, update = await ended(client, message(text))
    assert state == "INPUT_REQUIRED"
    data = update["status"]["message"]["parts"][1]["data"]
    return {"taskId": update["taskId"], "contextId": update["contextId"]}, data["toolCalls"]


async def test_one_of_several_calls_is_answered_by_its_name() -> None:
    PAID.clear()
    async with running(helper()) as (url, _), client_of(url) as client:
        same, calls = await waiting(client, "pay both")
        names = {call["args"]["to"]: call["toolCallId"] for call in calls}
        # A name of no call, or none that is one, leaves the task waiting.
        for wrong in ({"toolCallId": "nope", "approved": True}, {"toolCallId": [1]}, [True]):
            state, update = await ended(client, message(wrong, **same))
            assert state == "INPUT_REQUIRED", wrong
        state, update = await ended(
            client, message({"toolCallId": names["bob"], "approved": True}, **same)
        )
        assert state == "INPUT_REQUIRED"
        (left,) = update["status"]["message"]["parts"][1]["data"]["toolCalls"]
        assert left["args"] == {"to": "ann"}
        events = await told(client, message({"approved": True}, **same))
        assert "paid ann" in texts(events)
        assert sorted(PAID) == ["ann", "bob"]


@pytest.mark.parametrize(
    ("given", "heard"),
    [
        ("whatever", "heard whatever"),
        ({"some": "thing"}, "heard {'some': 'thing'}"),
        ({"toolCallId": None, "resumeData": 7}, "heard 7"),
    ],
    ids=["text", "data", "named"],
)
async def test_a_tool_that_asks_for_no_form_takes_any(given: Any, heard: str) -> None:
    async with running(helper()) as (url, _), client_of(url) as client:
        state, update = await ended(client, message("ponder"))
        question = update["status"]["message"]["parts"][0]["text"]
        assert (state, question) == ("INPUT_REQUIRED", "ponder waits for an answer.")
        same = {"taskId": update["taskId"], "contextId": update["contextId"]}
        assert texts(await told(client, message(given, **same))) == f"Done: {heard}."


async def test_a_named_answer_has_to_fit_as_well() -> None:
    async with running(build()) as (url, _), client_of(url) as client:
        same, (call,) = await waiting(client, "book Rome")
        wrong = {"toolCallId": call["toolCallId"], "resumeData": {"night": 3}}
        state, _update = await ended(client, message(wrong, **same))
        assert state == "INPUT_REQUIRED"
        right = {"toolCallId": call["toolCallId"], "resumeData": {"day": "Monday"}}
        assert texts(await told(client, message(right, **same))) == "Done: Rome on Monday."


async def test_a_task_that_was_answered_elsewhere_says_so() -> None:
    PAID.clear()
    app = build()
    async with running(app) as (url, _), client_of(url) as client:
        _, update = await ended(client, message("pay ann"))
        (run,) = (await app.get_agent("helper").list_suspended_runs()).runs
        await app.get_agent("helper").approve_tool_call_generate(run.run_id)
        same = {"taskId": update["taskId"], "contextId": update["contextId"]}
        state, update = await ended(client, message({"approved": True}, **same))
        assert state == "FAILED"
        assert "no longer waits" in update["status"]["message"]["parts"][0]["text"]
    assert PAID == ["ann"]


async def test_an_object_is_an_artifact_of_its_own() -> None:
    app = helper(default_options={"structured_output": {"schema": Day}})
    async with running(app) as (url, _), client_of(url) as client:
        events = await told(client, message("when?"))
        made = [
            event["artifactUpdate"]["artifact"] for event in events if "artifactUpdate" in event
        ]
        (found,) = [one for one in made if one["name"] == "object"]
        assert found["parts"][0]["data"] == {"day": "Monday"}
        assert events[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"


async def test_what_a_processor_stops_is_rejected() -> None:
    app = helper(input_processors=[Strict()])
    async with running(app) as (url, _), client_of(url) as client:
        state, update = await ended(client, message("hello"))
        assert state == "REJECTED"
        assert update["status"]["message"]["parts"][0]["text"] == "The agent does not answer this."


async def test_a_task_is_deleted_by_its_owner_alone() -> None:
    server = server_of(create_app(build(AUTH)))
    tasks = StoredTasks(server, "helper")
    task = p.Task(id="t", context_id="c", status=p.TaskStatus(state=p.TASK_STATE_WORKING))
    alice, bob = (ServerCallContext(state={"owner": name}) for name in ("alice", "bob"))
    await tasks.save(task, alice)
    await tasks.delete("t", bob)
    assert await tasks.get("t", alice) == task
    await tasks.delete("t", alice)
    assert await tasks.get("t", alice) is None


async def test_a_task_that_cannot_be_read_is_none_and_hides_no_other(tmp_path: Path) -> None:
    file = tmp_path / "tasks.db"
    mastra = build()
    mastra = Mastra(agents=mastra.list_agents(), storage=SQLStorage(f"sqlite:///{file}"))
    async with running(mastra) as (url, _), client_of(url) as client:
        ids = [
            (await ended(client, message(text, contextId="c")))[1]["taskId"] for text in ("a", "b")
        ]
        with sqlite3.connect(file) as database:
            database.execute(
                "update mastra_workflow_runs set data = '{' where run_id = ?", (ids[0],)
            )
        database.close()
        listed = await client.list_tasks(p.ListTasksRequest(context_id="c"))
        assert [one.id for one in listed.tasks] == [ids[1]]
        with pytest.raises(Exception, match=r"(?i)not found"):
            await client.get_task(p.GetTaskRequest(id=ids[0]))


# -- telling others ----------------------------------------------------------------------------


async def test_a_server_that_stops_tells_what_is_left_for_a_while() -> None:
    async with listening() as hook:
        hook.held = asyncio.Event()
        app = build(ServerConfig(push_origins=[hook.url], drain_timeout=0.05))
        async with running(app) as (url, _), client_of(url) as client:
            state, _update = await ended(client, message_to(hook))
            assert state == "COMPLETED"
        # Whoever is told does not listen, and the server has stopped all the same.
        hook.held.set()
    async with listening() as hook:
        app = build(ServerConfig(push_origins=[hook.url]))
        async with running(app) as (url, _), client_of(url) as client:
            await ended(client, message_to(hook))
        assert hook.over.is_set()


def message_to(hook: Hook) -> Any:
    return asking("hello", config(hook))


async def test_the_last_address_of_a_task_is_deleted_too() -> None:
    async with listening() as hook:
        app = build(ServerConfig(push_origins=[hook.url]))
        async with running(app) as (url, _), client_of(url) as client:
            _, update = await ended(client, message("pay ann"))
            task_id = update["taskId"]
            await client.create_task_push_notification_config(config(hook, task_id, id="a"))
            gone = p.DeleteTaskPushNotificationConfigRequest(task_id=task_id, id="a")
            await client.delete_task_push_notification_config(gone)
            every = p.ListTaskPushNotificationConfigsRequest(task_id=task_id)
            listed = await client.list_task_push_notification_configs(every)
            assert list(listed.configs) == []


@pytest.mark.parametrize(
    ("number", "is_public"),
    [
        ("1.1.1.1", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:1.1.1.1", True),
        ("fe80::1%eth0", False),
        ("2606:4700::1111", True),
        ("224.0.0.1", False),
    ],
)
def test_numbers_of_the_public_network(number: str, is_public: bool) -> None:
    assert _is_public(number) is is_public


@pytest.mark.parametrize("data", [5, "x", [1], {"a": 1}])
async def test_data_of_every_kind_is_no_approval(data: Any) -> None:
    PAID.clear()
    app = build()
    transport = httpx.ASGITransport(create_app(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api") as client:

        async def said(part: dict[str, Any], **facts: Any) -> Any:
            given = {"messageId": "m", "role": "ROLE_USER", "parts": [part], **facts}
            call = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage"}
            answer = await client.post("/a2a/helper", json={**call, "params": {"message": given}})
            return answer.json()["result"]["task"]

        task = await said({"text": "pay ann"})
        again = await said({"data": data}, taskId=task["id"], contextId=task["contextId"])
        assert (again["status"]["state"], PAID) == ("TASK_STATE_INPUT_REQUIRED", [])
