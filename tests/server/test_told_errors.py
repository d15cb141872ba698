"""What a storage says of itself is told to no caller, also where an answer has begun."""

from __future__ import annotations

import traceback
from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra, StepContext, create_step, create_workflow
from mastra.ag_ui import ag_ui_route
from mastra.ai_sdk import chat_route
from mastra.errors import StorageError
from mastra.memory import Memory
from mastra.server import ServerConfig, create_app, openai_route
from mastra.testing import ScriptedModel

pytestmark = pytest.mark.anyio

SAID = {"id": "u", "role": "user", "content": "hello"}
OF: dict[str, Any] = {"memory": {"thread": "t", "resource": "t"}}
DOORS: dict[str, dict[str, Any]] = {
    "/api/agents/{}/stream": {"messages": [SAID], **OF},
    "/api/agents/{}/generate": {"messages": [SAID], **OF},
    "/chat/{}": {"id": "t", "messages": [SAID]},
    "/ag-ui/{}": {"threadId": "t", "runId": "r", "messages": [SAID]},
}
OF_OPENAI: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hello"}]},
    "/v1/responses": {"input": "hello"},
}


@pytest.mark.parametrize("agent", ["plain", "durable"])
@pytest.mark.parametrize("door", DOORS)
async def test_an_answer_that_the_storage_fails(
    door: str, agent: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any, **__: Any) -> Any:
        raise StorageError("Could not add messages in secret.db: disk I/O error.")

    agents = {
        name: Agent(id=name, model=ScriptedModel("Hi."), memory=Memory(), durable=name == "durable")
        for name in ("plain", "durable")
    }
    routes = [*chat_route(), ag_ui_route()]
    mastra = Mastra(agents=agents, server=ServerConfig(api_routes=routes))
    for name in ("save_messages", "add_messages"):
        monkeypatch.setattr(mastra.storage.memory, name, refuse)
    transport = httpx.ASGITransport(create_app(mastra))
    async with mastra, httpx.AsyncClient(transport=transport, base_url="http://page") as http:
        answer = await http.post(door.format(agent), json=DOORS[door])
    assert "secret.db" not in answer.text
    assert "The storage cannot be used at the moment." in answer.text
    assert "secret.db" in caplog.text or answer.status_code == 503


@pytest.mark.parametrize("agent", ["plain", "durable"])
@pytest.mark.parametrize("door", {**DOORS, **OF_OPENAI})
async def test_an_answer_that_the_storage_fails_before_it_begins(door: str, agent: str) -> None:
    async def instructions(_: Any) -> str:
        raise StorageError("Could not read notes in secret.db: disk I/O error.")

    agents = {
        name: Agent(
            id=name,
            model=ScriptedModel(),
            memory=Memory(),
            instructions=instructions,
            durable=name == "durable",
        )
        for name in ("plain", "durable")
    }
    routes = [*chat_route(), ag_ui_route(), *openai_route()]
    mastra = Mastra(agents=agents, server=ServerConfig(api_routes=routes))
    transport = httpx.ASGITransport(create_app(mastra))
    body = DOORS.get(door) or {**OF_OPENAI[door], "model": agent}
    async with mastra, httpx.AsyncClient(transport=transport, base_url="http://page") as http:
        answer = await http.post(door.format(agent), json=body)
    assert "secret.db" not in answer.text
    assert "The storage cannot be used at the moment." in answer.text


MESSAGE = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hello"}]}
OLD = {
    "messageId": "m",
    "role": "user",
    "kind": "message",
    "parts": [{"kind": "text", "text": "hi"}],
}
CALLS: dict[str, dict[str, Any]] = {
    "SendMessage": {"message": MESSAGE},
    "SendStreamingMessage": {"message": MESSAGE},
    "GetTask": {"id": "t"},
    "ListTasks": {"contextId": "c"},
    "CancelTask": {"id": "t"},
    "message/send": {"message": OLD},
    "message/stream": {"message": OLD},
    "tasks/get": {"id": "t"},
}


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("kind", [StorageError, RuntimeError])
async def test_a_call_of_a2a_that_the_storage_fails(
    method: str,
    kind: type[Exception],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(*_: Any, **__: Any) -> Any:
        raise kind("Could not use secret.db: disk I/O error.")

    mastra = Mastra(agents=[Agent(id="a", model=ScriptedModel("Hi."))])
    for name in ("create_run", "update_run", "get_run", "list_runs"):
        monkeypatch.setattr(mastra.storage.workflows, name, refuse)
    transport = httpx.ASGITransport(create_app(mastra))
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": CALLS[method]}
    async with mastra, httpx.AsyncClient(transport=transport, base_url="http://page") as http:
        answer = await http.post("/api/a2a/a", json=call)
    assert "-32603" in answer.text
    assert "secret.db" not in answer.text
    assert "secret.db" in caplog.text
    assert ("storage" in answer.text) is (kind is StorageError)


async def _raises(ctx: StepContext[Any]) -> None:
    raise StorageError("Could not read secret.db: disk I/O error.")


async def _raises_from(ctx: StepContext[Any]) -> None:
    try:
        await _raises(ctx)
    except StorageError as error:
        raise ValueError("There is no plan.") from error


async def _raises_a_group(ctx: StepContext[Any]) -> None:
    try:
        await _raises(ctx)
    except StorageError as error:
        raise ExceptionGroup("Two went wrong", [error, ValueError("So did this.")]) from None


async def _raises_what_a_driver_says(ctx: StepContext[Any]) -> None:
    raise StorageError("The storage is away.") from OSError("secret.db is locked")


STEPS: dict[str, Any] = {
    "raises": create_step(id="raises", execute=_raises),
    "from": create_step(id="from", execute=_raises_from),
    "group": create_step(id="group", execute=_raises_a_group),
    "driver": create_step(id="driver", execute=_raises_what_a_driver_says),
    "retried": create_step(id="retried", execute=_raises, retries=1),
}


@pytest.mark.parametrize("kind", ["plain", "durable", *STEPS])
async def test_a_step_that_the_storage_fails(
    kind: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it raised is told as far as it is not the storage's, live and of what was stored."""

    async def refuse(*_: Any, **__: Any) -> Any:
        raise StorageError("Could not add messages in secret.db: disk I/O error.")

    step = STEPS.get(kind)
    if step is None:
        agent = Agent(
            id="a", model=ScriptedModel("Hi.", "Hi."), memory=Memory(), durable=kind == "durable"
        )
        step = agent.as_step(**OF)
    workflow: Any = create_workflow(id="w", input_schema=dict[str, Any], output_schema=Any)
    mastra = Mastra(workflows=[workflow.then(step).commit()])
    for name in ("save_messages", "add_messages"):
        monkeypatch.setattr(mastra.storage.memory, name, refuse)
    transport = httpx.ASGITransport(create_app(mastra))
    one, body = "/api/workflows/w", {"inputData": {"prompt": "hello"}}
    async with mastra, httpx.AsyncClient(transport=transport, base_url="http://page") as http:
        answers = [
            await http.post(f"{one}/start-async?runId=r", json=body),
            await http.get(f"{one}/runs/r"),
            await http.post(f"{one}/observe?runId=r"),
            await http.post(f"{one}/stream?runId=s", json=body),
            await http.get(f"{one}/runs"),
        ]
    for answer in answers:
        assert answer.status_code == 200
        assert "secret.db" not in answer.text
        assert "The storage cannot be used at the moment." in answer.text
    logged = [getattr(one, "cause", None) for one in caplog.records]
    assert all(
        "secret.db" in "".join(traceback.format_exception(one)) for one in logged if one is not None
    )
    result = answers[0].json()
    assert result["status"] == "failed"
    if kind in {"from", "group"}:
        assert result["error"]["message"] in {
            "There is no plan.",
            "Two went wrong (2 sub-exceptions)",
        }
