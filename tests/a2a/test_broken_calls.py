"""Whatever is sent to where the protocols of agents and tools are spoken, the server does not fail."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra
from mastra.memory import Memory
from mastra.server import create_app
from mastra.testing import FunctionModel
from tests.mcp.everything import PROMPTS, RESOURCES, TOOLS
from tests.server.live import running

ODD: list[Any] = [
    None,
    True,
    1,
    -1,
    2**70,
    "",
    "\x00",
    "\ud800",
    [],
    {},
    [[]],
    {"id": {}},
    "x" * 300,
]
SAID: dict[str, Any] = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hi"}]}
A2A = [
    *("SendMessage", "SendStreamingMessage", "GetTask", "ListTasks", "CancelTask"),
    *("SubscribeToTask", "GetExtendedAgentCard", "CreateTaskPushNotificationConfig"),
    *("message/send", "message/stream", "tasks/get", "tasks/cancel", "tasks/resubscribe", "none"),
]
MCP = [
    *("initialize", "ping", "tools/list", "tools/call", "resources/list", "resources/read"),
    *("resources/subscribe", "prompts/list", "prompts/get", "completion/complete"),
    *("logging/setLevel", "server/discover", "subscriptions/listen", "none"),
]
RAW = [b"", b"{", b"[]", b"1", b"\xff\xfe", b"[" * 2000, b'{"a": NaN}', b'{"jsonrpc": "2.0"}']


def calls(methods: list[str]) -> list[bytes]:
    """Return calls of which something is of another kind than it should be."""
    made: list[Any] = [{"jsonrpc": odd, "id": 1, "method": "x"} for odd in ODD]
    made += [{"jsonrpc": "2.0", "id": odd, "method": methods[0], "params": {}} for odd in ODD]
    for method in methods:
        for odd in ODD:
            for params in (odd, {"id": odd, "name": odd, "uri": odd, "message": odd, "ref": odd}):
                made.append({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    for key in ("messageId", "role", "parts", "taskId", "contextId", "metadata"):
        for odd in ODD:
            params = {"message": {**SAID, key: odd}}
            made.append({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": params})
    return [*RAW, *(json.dumps(one).encode() for one in made)]


def application() -> Mastra:
    from mastra.mcp import MCPServer

    agent = Agent(id="helper", model=FunctionModel(lambda _: "ok"), memory=Memory())
    server = MCPServer("s", tools=TOOLS, resources=RESOURCES, prompts=PROMPTS)
    return Mastra(agents={"helper": agent}, mcp_servers={"s": server})


@pytest.mark.every_engine  # hundreds of requests
@pytest.mark.timeout(240)
async def test_a2a() -> None:
    transport = httpx.ASGITransport(create_app(application()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api") as http:
        headers = {"content-type": "application/json"}
        for body in calls(A2A):
            answer = await http.post("/a2a/helper", content=body, headers=headers)
            assert answer.status_code < 500, (body, answer.text)


@pytest.mark.every_engine  # the same
@pytest.mark.timeout(240)
async def test_mcp() -> None:
    both = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    async with running(application()) as (url, _), httpx.AsyncClient(timeout=20) as http:
        for version in ("2025-11-25", "2026-07-28", "x"):
            headers = {**both, "mcp-protocol-version": version}
            for body in calls(MCP)[:: 1 if version == "2026-07-28" else 9]:
                answer = await http.post(f"{url}/api/mcp/s/mcp", content=body, headers=headers)
                assert answer.status_code < 500, (version, body, answer.text)
