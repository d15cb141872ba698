"""What a storage says of itself is told to no caller, also where an answer has begun."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra
from mastra.ag_ui import ag_ui_route
from mastra.ai_sdk import chat_route
from mastra.errors import StorageError
from mastra.memory import Memory
from mastra.server import ServerConfig, create_app
from mastra.testing import ScriptedModel

pytestmark = pytest.mark.anyio

SAID = {"id": "u", "role": "user", "content": "hello"}
OF = {"memory": {"thread": "t", "resource": "t"}}
DOORS: dict[str, dict[str, Any]] = {
    "/api/agents/{}/stream": {"messages": [SAID], **OF},
    "/api/agents/{}/generate": {"messages": [SAID], **OF},
    "/chat/{}": {"id": "t", "messages": [SAID]},
    "/ag-ui/{}": {"threadId": "t", "runId": "r", "messages": [SAID]},
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
