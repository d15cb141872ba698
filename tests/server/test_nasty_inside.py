"""What is wrong deep inside a body is the caller's mistake as well, at every place of it.

Bodies with a bit of everything, each place of which is replaced by values of other types.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any, cast

import httpx
import pytest

from mastra import (
    Agent,
    Mastra,
    ServerConfig,
    StepContext,
    create_step,
    create_workflow,
    step,
    tool,
)
from mastra.ag_ui import ag_ui_route
from mastra.ai_sdk import chat_route, workflow_route
from mastra.memory import Memory
from mastra.observability import Observability
from mastra.server import create_app, openai_route
from mastra.testing import FunctionModel

pytestmark = pytest.mark.anyio

ODD: list[Any] = [
    None, 5, -1, "", "zz", [], {}, [[1]], ["x"], True, 1.5, {"a": {"b": [1]}},
    {"type": []}, [{"type": {}}],
]  # fmt: skip
PARTS: list[Any] = [
    {"type": "text", "text": "x"},
    {"type": "image", "image": "AAE=", "mediaType": "image/png"},
    {"type": "file", "data": "AAE=", "mediaType": "application/pdf", "filename": "f"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAE="}},
]
CALLED = {"type": "tool-call", "toolCallId": "c", "toolName": "t", "input": {"n": 1}}
GAVE = {"type": "content", "value": [{"type": "text", "text": "x"}]}
INVOKED = {"state": "result", "toolCallId": "d", "toolName": "t", "args": {}, "result": GAVE}
MESSAGES: list[Any] = [
    {"role": "system", "content": "x"},
    {"role": "user", "content": PARTS, "providerOptions": {"openai": {"imageDetail": "low"}}},
    {"role": "assistant", "content": [CALLED]},
    {
        "role": "tool",
        "content": [{"type": "tool-result", "toolCallId": "c", "toolName": "t", "output": GAVE}],
    },
    {"role": "user", "parts": [{"type": "text", "text": "hi"}]},
    {
        "role": "assistant",
        "content": {"parts": [{"type": "tool-invocation", "toolInvocation": INVOKED}]},
    },
    {"role": "user", "content": "bye"},
]
FILTERS = {
    "timestamp": {"start": "2026-01-01T00:00:00Z", "end": 1},
    "traceIds": ["x"],
    "experimentId": ["x"],
    "entityName": "x",
    "tags": ["x"],
}
METRIC = {"name": ["mastra_agent_duration_ms"], "filters": FILTERS}
NAMED = {"op": "eq", "left": {"path": "name"}, "right": {"literal": "x"}}
BODIES: dict[str, Any] = {
    "/api/agents/a/generate": {
        "messages": MESSAGES,
        "instructions": [{"role": "system", "content": "x"}],
        "system": ["x"],
        "context": [{"role": "user", "content": "x"}],
        "memory": {
            "thread": {"id": "t", "title": "x", "metadata": {"a": 1}},
            "resource": "r",
            "options": {
                "lastMessages": 1,
                "readOnly": True,
                "workingMemory": {"enabled": False},
                "semanticRecall": {"topK": 1, "messageRange": {"before": 1, "after": 1}},
            },
        },
        "limits": {"requests": 5},
        "toolChoice": {"type": "tool", "toolName": "t"},
        "activeTools": ["t"],
        "clientTools": {"c": {"id": "c", "description": "x", "inputSchema": {"type": "object"}}},
        "modelSettings": {"temperature": 1, "stop": ["x"], "timeout": {"stepMs": 60_000}},
        "providerOptions": {"openai": {"thinking": {"type": "enabled", "budgetTokens": 5}}},
    },
    "/api/agents/a/generate?": {
        "messages": "x",
        "structuredOutput": {
            "schema": {
                "type": "object",
                "properties": {"a": {"type": "string", "enum": ["x"]}},
                "required": ["a"],
            },
            "instructions": "x",
            "errorStrategy": "fallback",
            "fallbackValue": {"a": "x"},
            "jsonPromptInjection": True,
            "strict": True,
        },
    },
    "/v1/chat/completions": {
        "model": "a",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "x"}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "t", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "c", "content": "x"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
        "stop": ["x"],
    },
    "/v1/responses": {
        "model": "a",
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "x"},
                    {"type": "input_file", "file_url": "https://x/y", "filename": "f"},
                    {"type": "refusal", "refusal": "no"},
                ],
            },
            {"type": "reasoning"},
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "y"}],
            },
            {"type": "function_call", "call_id": "c", "name": "t", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": [{"text": "x"}]},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
        "reasoning": {"effort": "low"},
    },
    "/chat/a": {
        "id": "t",
        "messages": [
            {"id": "m", "role": "user", "parts": [{"type": "text", "text": "x"}]},
            {
                "id": "n",
                "role": "assistant",
                "parts": [
                    {
                        "type": "tool-t",
                        "toolCallId": "c",
                        "state": "output-available",
                        "input": {"n": 1},
                        "output": 1,
                    }
                ],
            },
            {"id": "o", "role": "user", "parts": [{"type": "text", "text": "x"}]},
        ],
        "trigger": "submit-message",
    },
    "/chat/a?": {
        "id": "u",
        "messages": [
            {
                "id": "z",
                "role": "assistant",
                "parts": [
                    {
                        "type": "tool-t",
                        "toolCallId": "c",
                        "state": "output-available",
                        "input": {"n": 1},
                        "output": {"a": 1},
                    }
                ],
            }
        ],
    },
    "/ag-ui/a": {
        "threadId": "t",
        "runId": "r",
        "state": {},
        "messages": [
            {"id": "1", "role": "user", "content": "x"},
            {
                "id": "2",
                "role": "assistant",
                "content": "",
                "toolCalls": [
                    {"id": "c", "type": "function", "function": {"name": "t", "arguments": "{}"}}
                ],
            },
            {"id": "3", "role": "tool", "toolCallId": "c", "content": "x"},
            {"id": "4", "role": "user", "content": [{"type": "text", "text": "x"}]},
        ],
        "tools": [{"name": "f", "description": "x", "parameters": {"type": "object"}}],
        "context": [{"description": "x", "value": "y"}],
        "forwardedProps": {"a": 1},
    },
    "/api/observability/metrics/aggregate": {**METRIC, "comparePeriod": "previous_day"},
    "/api/observability/metrics/breakdown": {**METRIC, "groupBy": ["entityName"]},
    "/api/observability/metrics/percentiles": {
        "name": "mastra_agent_duration_ms",
        "percentiles": [0.5],
        "filters": FILTERS,
    },
    "/api/observability/scores/aggregate": {"scorerId": "s", "filters": FILTERS},
    "/api/observability/traces/query": {
        "where": {"op": "and", "args": [NAMED, {"op": "exists", "left": {"path": "name"}}]},
        "timeRange": {"from": "2026-01-01T00:00:00Z"},
        "orderBy": [{"field": "startedAt", "direction": "asc"}],
        "page": {"limit": 5, "after": "0"},
    },
    "/api/memory/save-messages": {
        "messages": [
            {"role": "user", "threadId": "t", "content": {"format": 2, "parts": PARTS}},
            {
                "role": "assistant",
                "threadId": "t",
                "content": {"parts": [{"type": "tool-invocation", "toolInvocation": INVOKED}]},
            },
        ]
    },
    "/api/schedules": {
        "workflowId": "w",
        "inputData": 1,
        "cron": "0 0 29 2 *",
        "requestContext": {"a": 1},
        "metadata": {"a": 1},
    },
}


@tool
async def t(n: int) -> int:
    """Give a number."""
    return n


@step
async def keep(n: int) -> int:
    return n


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    model = FunctionModel(lambda _: '{"a": "x"}')
    agent = Agent(id="a", description="d", model=model, memory=Memory(), tools={"t": t})
    flow = create_workflow(id="w", input_schema=int, output_schema=int).then(keep).commit()
    routes = [openai_route(), chat_route("/chat/{agent_id}"), ag_ui_route("/ag-ui/{agent_id}")]
    mastra = Mastra(agents={"a": agent}, workflows={"w": flow}, observability=Observability())
    app = create_app(mastra, ServerConfig(api_routes=routes))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://127.0.0.1",
        ) as opened,
    ):
        yield opened


def places(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if above:
        yield above
    keys: Any = tuple(cast("dict[str, Any]", node)) if isinstance(node, dict) else ()
    if isinstance(node, list):
        keys = range(len(cast("list[Any]", node)))
    for key in keys:
        yield from places(node[key], (*above, key))


def replaced(body: Any, place: tuple[Any, ...], value: Any) -> Any:
    made = copy.deepcopy(body)
    at = made
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    return made


@pytest.mark.timeout(240)
@pytest.mark.parametrize("share", [23, pytest.param(1, marks=pytest.mark.every_engine)])
async def test_no_value_inside_a_body_makes_the_server_fail(
    client: httpx.AsyncClient, share: int
) -> None:
    """Each value at each place, or each twenty-third, so that all values have a turn."""
    await client.post("/api/memory/threads", json={"threadId": "t", "resourceId": "r"})
    wrong: list[str] = []
    count = 0
    for path, body in BODIES.items():
        right = await client.post(path, json=body)
        assert right.status_code == 200, f"{path}: {right.text[:300]}"
        each = ((place, value) for place in places(body) for value in ODD)
        for place, value in islice(each, count % share, None, share):
            count += 1
            answer = await client.post(path, json=replaced(body, place, value))
            if answer.status_code >= 500:
                wrong.append(f"{answer.status_code} {path} {place} {value}: {answer.text[:200]}")
    assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong[:40])
    assert count > 3000 / share


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("/api/agents/a/generate", {"toolChoice": {"toolName": ["t"]}}, "names a tool that"),
    ("/api/agents/a/generate", {"clientTools": {"": {}}}, "has a name"),
    ("/api/agents/a/generate", {"clientTools": {"c": 5}}, "'c' must be an object"),
    ("/api/agents/a/generate", {"clientTools": {"c": {"parameters": 5}}}, "input schema"),
    (
        "/api/agents/a/generate",
        {"toolChoice": {"toolName": "t"}, "activeTools": []},
        "activeTools leaves out 't'",
    ),
    (
        "/api/agents/a/generate",
        {"structuredOutput": {"schema": {"type": "object"}, "errorStrategy": "hope"}},
        "error_strategy",
    ),
    (
        "/api/agents/a/generate",
        {"messages": {"role": "user", "content": [{"type": ["text"]}]}},
        "part of type",
    ),
]


@pytest.mark.parametrize(("path", "body", "says"), WRONG)
async def test_it_is_said_what_is_wrong(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], says: str
) -> None:
    answer = await client.post(path, json={"messages": "x", **body})
    assert (answer.status_code, says in answer.json()["error"]) == (400, True), answer.text


@pytest.mark.parametrize("said", [["x"], {"a": 1}, 5, None])
async def test_what_a_step_writes_ends_no_stream(said: Any) -> None:
    """A step writes what it likes, also under names that mean something elsewhere."""

    async def tell(ctx: StepContext[Any]) -> int:
        await ctx.writer.write({"type": "note", "from": said, "runId": said, "payload": said})
        return 1

    telling = create_step(id="tell", input_schema=Any, output_schema=int, execute=tell)
    flow = create_workflow(id="w", input_schema=Any, output_schema=int).then(telling).commit()
    routes = [workflow_route("/flow/{workflow_id}"), ag_ui_route("/ag-ui/{workflow_id}")]
    app = create_app(Mastra(workflows={"w": flow}), ServerConfig(api_routes=routes))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        page = await client.post("/flow/w", json={"inputData": 1})
        assert '"finishReason":"stop"' in page.text
        assert page.text.endswith("data: [DONE]\n\n")
        given: dict[str, Any] = {
            "threadId": "t",
            "runId": "r",
            "state": {},
            "messages": [],
            "tools": [],
            "context": [],
            "forwardedProps": {"inputData": 1},
        }
        events = await client.post("/ag-ui/w", json=given)
        assert '"type":"RUN_FINISHED"' in events.text, events.text


RESPONSES: list[tuple[dict[str, Any], str]] = [
    ({"input": [{"type": "function_call", "call_id": [], "name": "t"}]}, "text as its call_id"),
    ({"input": [{"type": "function_call", "call_id": "c"}]}, "text as its name"),
    ({"input": [{"type": "function_call_output", "output": "x"}]}, "text as its call_id"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "item of type 'item_reference'"),
    ({"input": "x", "text": {"format": 5}}, "text.format is an object"),
    ({"input": "x", "text": {"format": {"type": "grammar"}}}, "text, json_object or"),
    ({"input": "x", "tools": [{"type": "web_search"}]}, "not a function with a name"),
    ({"input": "x", "tool_choice": "always"}, "auto, none, required"),
    ({"input": "x", "previous_response_id": "r"}, "not kept here"),
]


@pytest.mark.parametrize(("body", "says"), RESPONSES)
async def test_it_is_said_what_is_wrong_with_a_response(
    client: httpx.AsyncClient, body: dict[str, Any], says: str
) -> None:
    answer = await client.post("/v1/responses", json={"model": "a", **body})
    error = answer.json()["error"]
    assert (answer.status_code, says in error["message"]) == (400, True), answer.text
    assert error["type"] == "invalid_request_error"
