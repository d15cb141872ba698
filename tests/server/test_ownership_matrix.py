"""Every route, asked by bob for what is alice's: refused or blind, and nothing of hers is changed.

The rows are compared with the routes that there are, so a new route needs a row here.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from mastra import (
    Agent,
    InMemoryStorage,
    Mastra,
    ServerConfig,
    StepContext,
    create_step,
    create_workflow,
    tool,
)
from mastra.ag_ui import ag_ui_route
from mastra.ai_sdk import chat_route, workflow_route
from mastra.mcp import MCPServer
from mastra.memory import Memory
from mastra.observability import Observability
from mastra.server import BearerAuth, create_app, openai_route, router
from mastra.server.app import server_of
from mastra.storage.evals import EvalKind
from mastra.testing import FunctionModel, ScriptedModel, ToolCall

pytestmark = pytest.mark.anyio

ALICE = {"authorization": "Bearer a"}
BOB = {"authorization": "Bearer b"}
REFUSED = frozenset({403, 404, 409})


class Value(BaseModel):
    value: int


@tool(require_approval=True)
async def pay(to: str) -> str:
    """Pay."""
    return "paid"


async def wait(ctx: StepContext[Value]) -> Value:
    if ctx.resume_data is None:
        return await ctx.suspend({"for": "alice"})
    return ctx.input_data


def answer(request: Any) -> Any:
    is_asked = request.messages[-1].role == "user" and request.messages[-1].text == "pay"
    return ToolCall("pay", {"to": "alice-shop"}) if is_asked else "ok"


def asks(**body: Any) -> tuple[str, Any]:
    return "refused", {"json": {"messages": "pay", **body}}


def refused(json: Any = None, **params: Any) -> tuple[str, Any]:
    return "refused", {"json": json, "params": params}


def blind(json: Any = None, **params: Any) -> tuple[str, Any]:
    return "blind", {"json": json, "params": params}


AG_UI = [ag_ui_route(), ag_ui_route("/ag-ui/workflows/{workflow_id}")]
ANSWER_TO_ALICE = {
    "interruptId": "alice-run::call_1",
    "status": "resolved",
    "payload": {"approved": True},
}


def runs(thread: str, **body: Any) -> tuple[str, Any]:
    messages = [{"id": "bob-says", "role": "user", "content": "pay"}]
    return refused({"threadId": thread, "runId": "bob-run", "messages": messages, **body})


ASKED = [
    asks(runId="alice-run"),
    asks(memory={"thread": "alice-thread"}),
    asks(memory={"thread": {"id": "alice-thread", "resourceId": "bob"}}),
    asks(memory={"thread": "bob-thread", "resource": "alice"}),
    asks(threadId="alice-thread"),
    asks(threadId="bob-thread", resourceId="alice"),
    asks(
        messages=[{"id": "alice-message", "role": "user", "content": "x"}],
        memory={"thread": "bob-thread"},
    ),
]
ANSWERED = [refused({"runId": "alice-run"}), refused({"runId": "alice-run", "resumeData": {}})]
STARTED = [
    refused({"inputData": {"value": 1}}, runId="alice-flow"),
    refused({"inputData": {"value": 1}, "resourceId": "alice"}, runId="bob-flow"),
]
RESUMED = [refused({"step": "wait", "resumeData": {}}, runId="alice-flow")]
TRAVELLED = [refused({"step": "wait", "inputData": {"value": 2}}, runId="alice-flow")]


def chats(**body: Any) -> tuple[str, Any]:
    part = {"type": "text", "text": "pay"}
    message = {"id": "bob-said", "role": "user", "parts": [part]}
    return "refused", {"json": {"id": "bob-chat", "messages": [message], **body}}


def approves(chat_id: str) -> tuple[str, Any]:
    approval = {"id": "alice-run::call_1", "approved": True}
    call = {"toolCallId": "call_1", "state": "approval-responded", "approval": approval}
    part = {"type": "tool-pay", "input": {"to": "alice-shop"}, **call}
    message = {"id": "x", "role": "assistant", "parts": [part]}
    return chats(id=chat_id, messages=[message])


def sent(**facts: Any) -> dict[str, Any]:
    return {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "pay"}], **facts}


def rpc(method: str, **params: Any) -> tuple[str, Any]:
    """What is no task of the caller's is not found, in the protocol's own form."""
    return "blind", {
        "json": {"jsonrpc": "2.0", "id": 1, "method": method, "params": params},
        "headers": {"a2a-version": "1.0"},
    }


METRIC = {"name": ["mastra_agent_duration_ms", "mastra_workflow_duration_ms"]}
PERCENTILES = {"name": "mastra_agent_duration_ms", "percentiles": [0.5]}
SCORE = {"scorerId": "s", "score": 1}
ALICES_SCORE = {
    **SCORE,
    "id": "alice-score",
    "runId": "alice-flow",
    "entityType": "AGENT",
    "entityId": "a",
    "input": "alice's",
}
ALICES_FEEDBACK = {
    "feedbackId": "alice-feedback",
    "feedbackType": "comment",
    "value": "alice's",
    "runId": "alice-run",
}
EVALS: tuple[EvalKind, ...] = (
    "score",
    "dataset",
    "dataset_item",
    "experiment",
    "experiment_result",
    "feedback",
)
MINE = {"workflowId": "flow", "cron": "@daily", "inputData": {"value": 1}}
SAVED = {"id": "alice-message", "role": "user", "content": "bob's"}

ROWS: dict[str, list[tuple[str, Any]]] = {
    "POST /chat/{agent_id}": [
        chats(id="alice-thread"),
        chats(memory={"thread": "alice-thread"}),
        chats(memory={"thread": "bob-thread", "resource": "alice"}),
        chats(resourceId="alice"),
        chats(runId="alice-run"),
        chats(runId="alice-run", resumeData={}),
        chats(
            messages=[
                {"id": "alice-message", "role": "user", "parts": [{"type": "text", "text": "Hi."}]}
            ]
        ),
        approves("alice-thread"),
        approves("bob-chat"),
    ],
    "GET /chat/{agent_id}/{chat_id:path}/stream": [blind()],
    "POST /chat/{agent_id}/{chat_id:path}/stop": [blind()],
    "POST /workflow/{workflow_id}": [
        refused({"id": "alice-flow", "runId": "alice-flow", "inputData": {"value": 1}}),
        refused({"id": "bob-chat", "resourceId": "alice", "inputData": {"value": 1}}),
        refused({"id": "bob-chat", "runId": "alice-flow", "resumeData": {}}),
    ],
    "GET /workflow/{workflow_id}/{chat_id:path}/stream": [refused()],
    "POST /workflow/{workflow_id}/{chat_id:path}/stop": [refused()],
    "POST /ag-ui/{agent_id}": [
        runs("alice-thread"),
        runs("bob-thread", forwardedProps={"resourceId": "alice"}),
        runs("bob-thread", messages=[{"id": "alice-message", "role": "user", "content": "x"}]),
        ("blind", runs("bob-new", resume=[ANSWER_TO_ALICE])[1]),
    ],
    "POST /ag-ui/workflows/{workflow_id}": [
        ("blind", runs("bob-new", resume=[ANSWER_TO_ALICE])[1])
    ],
    "POST /a2a/{agentId}": [
        rpc("GetTask", id="a-task-of-hers"),
        rpc("CancelTask", id="a-task-of-hers"),
        rpc("SubscribeToTask", id="a-task-of-hers"),
        rpc("ListTasks"),
        rpc("SendMessage", message=sent(taskId="a-task-of-hers")),
    ],
    "POST /agents/{agentId}/generate": ASKED,
    "POST /agents/{agentId}/stream": ASKED,
    "POST /agents/{agentId}/stream-until-idle": ASKED,
    "POST /agents/{agentId}/approve-tool-call": ANSWERED,
    "POST /agents/{agentId}/decline-tool-call": ANSWERED,
    "POST /agents/{agentId}/approve-tool-call-generate": ANSWERED,
    "POST /agents/{agentId}/decline-tool-call-generate": ANSWERED,
    "POST /agents/{agentId}/resume-stream": ANSWERED,
    "POST /agents/{agentId}/observe": [refused({"runId": "alice-run"})],
    "GET /agents/{agentId}/observe": [refused(runId="alice-run")],
    "GET /agents/{agentId}/suspended-runs": [
        blind(),
        blind(threadId="alice-thread"),
        refused(resourceId="alice"),
    ],
    "GET /workflows/run-counts": [blind()],
    "POST /workflows/{workflowId}/create-run": [
        refused(runId="alice-flow"),
        refused({"resourceId": "alice"}),
    ],
    "GET /workflows/{workflowId}/runs": [blind(), refused(resourceId="alice")],
    "GET /workflows/{workflowId}/runs/{runId}": [refused()],
    "DELETE /workflows/{workflowId}/runs/{runId}": [refused()],
    "POST /workflows/{workflowId}/runs/{runId}/cancel": [refused()],
    "POST /workflows/{workflowId}/start": STARTED,
    "POST /workflows/{workflowId}/start-async": STARTED,
    "POST /workflows/{workflowId}/stream": STARTED,
    "POST /workflows/{workflowId}/resume": RESUMED,
    "POST /workflows/{workflowId}/resume-async": RESUMED,
    "POST /workflows/{workflowId}/resume-no-wait": RESUMED,
    "POST /workflows/{workflowId}/resume-stream": RESUMED,
    "POST /workflows/{workflowId}/observe": [refused(runId="alice-flow")],
    "POST /workflows/{workflowId}/restart": [refused(runId="alice-flow")],
    "POST /workflows/{workflowId}/restart-async": [refused(runId="alice-flow")],
    "POST /workflows/{workflowId}/restart-all-active-workflow-runs": [refused()],
    "POST /workflows/{workflowId}/restart-all-active-workflow-runs-async": [refused()],
    "POST /workflows/{workflowId}/time-travel": TRAVELLED,
    "POST /workflows/{workflowId}/time-travel-async": TRAVELLED,
    "POST /workflows/{workflowId}/time-travel-stream": TRAVELLED,
    "GET /memory/threads": [
        blind(),
        blind(agentId="a"),
        blind(metadata="{}"),
        refused(resourceId="alice"),
    ],
    "POST /memory/threads": [
        refused({"threadId": "alice-thread"}),
        refused({"threadId": "bob-thread", "resourceId": "alice"}),
    ],
    "GET /memory/threads/{threadId}": [refused(), refused(agentId="a")],
    "PATCH /memory/threads/{threadId}": [refused({"title": "Bob's"})],
    "DELETE /memory/threads/{threadId}": [refused()],
    "POST /memory/threads/{threadId}/clone": [
        refused({"title": "Bob's"}),
        refused({"newThreadId": "bob-clone", "resourceId": "bob"}),
    ],
    "GET /memory/threads/{threadId}/messages": [
        refused(),
        refused(agentId="a"),
        refused(resourceId="alice"),
        refused(filter="{}"),
    ],
    "GET /memory/threads/{threadId}/working-memory": [refused(), refused(resourceId="alice")],
    "POST /memory/threads/{threadId}/working-memory": [refused({"workingMemory": "Bob's"})],
    "POST /memory/save-messages": [
        refused({"messages": [{**SAVED, "threadId": "alice-thread"}]}),
        refused({"messages": [{**SAVED, "threadId": "bob-own"}]}),
        refused({"messages": [{**SAVED, "id": "bob-message", "threadId": "alice-thread"}]}),
    ],
    "POST /memory/messages/delete": [
        refused({"messageIds": ["alice-message"]}),
        refused({"messageIds": "alice-message"}),
    ],
    "GET /memory/search": [
        blind(searchQuery="words"),
        blind(searchQuery="words", threadId="alice-thread"),
        refused(searchQuery="words", resourceId="alice"),
    ],
    "GET /observability/traces": [blind()],
    "GET /observability/traces/light": [blind(), blind(resourceId="alice")],
    "POST /observability/traces/query": [
        blind({}),
        blind({"where": {"op": "exists", "path": "traceId"}}),
    ],
    "POST /observability/traces/query/values": [
        blind({"predicateScope": "trace", "path": "resourceId"}),
        blind({"predicateScope": "trace", "path": "metadata.runId"}),
        blind({"predicateScope": "spans", "path": "entityName"}),
    ],
    "GET /observability/traces/{trace_id}": [refused()],
    "GET /observability/traces/{trace_id}/light": [refused()],
    "GET /observability/traces/{trace_id}/spans/{span_id}": [refused()],
    "GET /observability/traces/{trace_id}/{span_id}/scores": [refused()],
    "POST /observability/traces/score": [
        refused({"scorerName": "s", "targets": [{"traceId": "alice-trace"}]}),
    ],
    "GET /observability/discovery/entity-names": [blind(), blind(entityType="agent")],
    "GET /observability/discovery/entity-types": [blind()],
    "POST /observability/metrics/aggregate": [blind({**METRIC, "aggregation": "count"})],
    "POST /observability/metrics/breakdown": [blind({**METRIC, "groupBy": ["resourceId"]})],
    "POST /observability/metrics/timeseries": [blind({**METRIC, "groupBy": ["threadId"]})],
    "POST /observability/metrics/percentiles": [blind(PERCENTILES)],
    "GET /observability/logs": [blind(), blind(resourceId="alice"), blind(runId="alice-run")],
    "GET /logs": [blind(transportId="memory")],
    "GET /logs/{run_id}": [blind(transportId="memory")],
    "GET /scores/scorer/{scorerId}": [blind()],
    "GET /scores/run/{runId}": [blind()],
    "GET /scores/entity/{entityType}/{entityId}": [blind()],
    "POST /scores": [refused({"score": {"id": "alice-score", "scorerId": "s", "score": 0}})],
    "GET /observability/scores": [blind(), refused(resourceId="alice")],
    "POST /observability/scores": [
        refused({"score": {"scoreId": "alice-score", "scorerId": "s", "score": 0}})
    ],
    "DELETE /observability/scores": [refused({"scoreIds": ["alice-score"]})],
    "GET /observability/scores/{scoreId}": [refused()],
    "GET /datasets": [blind()],
    "GET /datasets/{datasetId}": [refused()],
    "PATCH /datasets/{datasetId}": [refused({"name": "Bob's"})],
    "DELETE /datasets/{datasetId}": [refused()],
    "POST /datasets/{datasetId}/generate-items": [refused({"modelId": "m", "prompt": "p"})],
    "GET /datasets/{datasetId}/versions": [refused()],
    "GET /datasets/{datasetId}/items": [refused(), refused(version=0)],
    "POST /datasets/{datasetId}/items": [refused({"input": "bob's"})],
    "POST /datasets/{datasetId}/items/batch": [refused({"items": [{"input": "bob's"}]})],
    "DELETE /datasets/{datasetId}/items/batch": [refused({"itemIds": ["alice-item"]})],
    "GET /datasets/{datasetId}/items/{itemId}": [refused()],
    "PATCH /datasets/{datasetId}/items/{itemId}": [refused({"input": "bob's"})],
    "DELETE /datasets/{datasetId}/items/{itemId}": [refused()],
    "DELETE /datasets/{datasetId}/items/{itemId}/purge": [refused()],
    "GET /datasets/{datasetId}/items/{itemId}/history": [refused()],
    "GET /datasets/{datasetId}/items/{itemId}/versions/{datasetVersion}": [refused()],
    "GET /schedules": [blind(), blind(workflowId="flow"), refused(resourceId="alice")],
    "POST /schedules": [
        refused({**MINE, "resourceId": "alice"}),
        refused({**MINE, "id": "schedule_alice"}),
        refused({"agentId": "a", "cron": "@daily", "prompt": "?", "resourceId": "alice"}),
    ],
    "GET /schedules/{scheduleId}": [refused()],
    "PATCH /schedules/{scheduleId}": [refused({"cron": "@hourly"}), refused({"resourceId": "bob"})],
    "DELETE /schedules/{scheduleId}": [refused()],
    "POST /schedules/{scheduleId}/pause": [refused()],
    "POST /schedules/{scheduleId}/resume": [refused()],
    "POST /schedules/{scheduleId}/run": [refused()],
    "GET /schedules/{scheduleId}/triggers": [refused()],
    "GET /experiments": [blind()],
    "GET /experiments/review-summary": [blind()],
    "DELETE /experiments/{experimentId}": [refused()],
    "GET /datasets/{datasetId}/experiments": [refused()],
    "POST /datasets/{datasetId}/experiments": [
        refused({"targetType": "agent", "targetId": "a"}),
        refused({"start": False, "id": "alice-experiment"}),
    ],
    "GET /datasets/{datasetId}/experiments/{experimentId}": [refused()],
    "PATCH /datasets/{datasetId}/experiments/{experimentId}": [refused({"name": "Bob's"})],
    "DELETE /datasets/{datasetId}/experiments/{experimentId}": [refused()],
    "POST /datasets/{datasetId}/experiments/{experimentId}/finalize": [refused({})],
    "GET /datasets/{datasetId}/experiments/{experimentId}/results": [refused()],
    "POST /datasets/{datasetId}/experiments/{experimentId}/results": [
        refused({"itemId": "alice-item", "output": "bob's"})
    ],
    "PATCH /datasets/{datasetId}/experiments/{experimentId}/results/{resultId}": [
        refused({"comment": "bob's"})
    ],
    "POST /datasets/{datasetId}/experiments/{experimentId}/items/{itemId}/run": [refused({})],
    "POST /datasets/{datasetId}/compare": [
        refused({"experimentIdA": "alice-experiment", "experimentIdB": "alice-experiment"})
    ],
    **{
        f"POST /observability/{kind}/{what}": [blind({**asked, **more})]
        for kind, asked in {
            "scores": {"scorerId": "s"},
            "feedback": {"feedbackType": "comment"},
        }.items()
        for what, more in {
            "aggregate": {"aggregation": "count"},
            "breakdown": {"aggregation": "count", "groupBy": ["resourceId"]},
            "timeseries": {"aggregation": "count", "interval": "1h"},
            "percentiles": {"percentiles": [0.5], "interval": "1h"},
        }.items()
    },
    "GET /observability/feedback": [blind(), refused(resourceId="alice")],
    "POST /observability/feedback": [
        refused({"feedback": {"feedbackId": "alice-feedback", "feedbackType": "t", "value": 0}})
    ],
    "DELETE /observability/feedback": [refused({"feedbackIds": ["alice-feedback"]})],
    "PATCH /observability/feedback/{feedbackId}/review-status": [
        refused({"reviewStatus": "reviewed"})
    ],
}
"""What is somebody's: by route, what bob asks, and whether it is refused or shows nothing."""

NOBODYS = """
GET /agents|GET /agents/providers|GET /agents/{agentId}|GET /agents/{agentId}/tools/{toolId}
POST /agents/{agentId}/tools/{toolId}/execute|GET /agents/{agentId}/voice/speakers|GET /workflows
GET /workflows/{workflowId}|GET /tools|GET /tools/{toolId}|POST /tools/{toolId}/execute
GET /memory/status|GET /memory/config|POST /observability/traces/query/fields
GET /observability/discovery/environments|GET /observability/discovery/service-names
GET /observability/discovery/tags|GET /logs/transports|GET /auth/capabilities|GET /mcp/v0/servers
GET /system/packages|GET /system/api-schema|GET /scores/scorers|GET /scores/scorers/{scorerId}
POST /datasets/cluster-failures
GET /processors|GET /workspaces|POST /datasets|GET /channels/platforms|GET /editor/builder/settings
GET /editor/builder/models/available|GET /stored/prompt-blocks
GET /.well-known/{agentId}/agent-card.json|GET /a2a/{agentId}/.well-known/agent-card.json
GET /mcp/v0/servers/{id}|GET /mcp/{serverId}/tools|GET /mcp/{serverId}/tools/{toolId}
POST /mcp/{serverId}/tools/{toolId}/execute|GET /mcp/{serverId}/resources
POST /mcp/{serverId}/resources/read
GET /v1/models|GET /v1/models/{model:path}|POST /v1/chat/completions|POST /v1/responses
"""
"""What tells of the application alone: definitions, and what there is none of."""


SPOKEN = {
    "ALL /mcp/{serverId}/mcp",
    "GET /mcp/{serverId}/sse",
    "POST /mcp/{serverId}/messages",
}
"""Where sessions are, each its caller's alone: `tests/mcp/test_mcp_served.py` tries them."""


def nobodys() -> set[str]:
    return {route for line in NOBODYS.split("\n") for route in line.split("|") if route}


def application() -> Mastra:
    step = create_step(id="wait", input_schema=Value, output_schema=Value, execute=wait)
    flow = create_workflow(id="flow", input_schema=Value, output_schema=Value).then(step).commit()
    agent = Agent(
        id="a",
        model=FunctionModel(answer),
        tools={"pay": pay},
        memory=Memory(working_memory=True),
    )
    return Mastra(
        agents={"a": agent},
        workflows={"flow": flow},
        tools={"pay": pay},
        mcp_servers={"shop": MCPServer("shop", tools={"pay": pay})},
        storage=InMemoryStorage(),
        observability=Observability(capture_content=True),
        server=ServerConfig(
            auth=BearerAuth({"a": "alice", "b": "bob"}),
            api_routes=[chat_route(), workflow_route(), *AG_UI, openai_route()],
        ),
    )


class World:
    """The application, what is alice's in it, and a client."""

    def __init__(self, mastra: Mastra, app: Any, http: httpx.AsyncClient) -> None:
        self.mastra = mastra
        own = [*chat_route(), *workflow_route(), *AG_UI, *openai_route()]
        self.routes = {f"{method} {path}" for method, path in server_of(app).facts["routes"]}
        self.routes |= {f"{route.method} {route.path}" for route in own}
        self.http = http
        self.trace = self.dataset = self.result = ""

    async def prepare(self) -> None:
        """Let alice ask an agent, start a workflow and say something; bob has a thread."""
        for path, body in (
            ("agents/a/generate", {"messages": "pay", "runId": "alice-run"}),
            (
                "agents/a/generate",
                {"messages": "alice-words", "memory": {"thread": "alice-thread"}},
            ),
            ("workflows/flow/start-async?runId=alice-flow", {"inputData": {"value": 1}}),
            (
                "memory/save-messages",
                {"messages": [{**SAVED, "content": "alice's", "threadId": "alice-thread"}]},
            ),
            ("memory/threads/alice-thread/working-memory", {"workingMemory": "alice-notes"}),
            ("datasets", {"name": "alice-dataset"}),
            (
                "schedules",
                {"workflowId": "flow", "id": "alice", "cron": "@yearly", "inputData": {"value": 1}},
            ),
            ("scores", {"score": ALICES_SCORE}),
            ("observability/feedback", {"feedback": ALICES_FEEDBACK}),
        ):
            made = await self.http.post(f"/api/{path}", headers=ALICE, json=body)
            assert made.status_code == 200, (path, made.text)
        listed = await self.http.get("/api/datasets", headers=ALICE)
        self.dataset = listed.json()["datasets"][0]["id"]
        own = f"datasets/{self.dataset}"
        for path, body in (
            (f"{own}/items", {"externalId": "alice-item", "input": "alice's"}),
            (f"{own}/experiments", {"start": False, "id": "alice-experiment"}),
            (
                f"{own}/experiments/alice-experiment/results",
                {"itemId": "alice-item", "output": "alice's", "scores": [{**SCORE}]},
            ),
        ):
            made = await self.http.post(f"/api/{path}", headers=ALICE, json=body)
            assert made.status_code == 200, (path, made.text)
        self.result = made.json()["id"]
        body = {"threadId": "bob-own"}
        assert (await self.http.post("/api/memory/threads", headers=BOB, json=body)).is_success
        traces = (await self.http.get("/api/observability/traces", headers=ALICE)).json()["spans"]
        self.trace, self.span = traces[0]["traceId"], traces[0]["spanId"]

    async def hers(self) -> list[Any]:
        """Return all that is alice's, as it is stored."""
        storage = self.mastra.storage
        workflow = self.mastra.get_workflow("flow")
        threads = await storage.memory.list_threads(resource_id="alice")
        messages = await storage.memory.list_messages(resource_id="alice")
        run: Any = await workflow.get_run("alice-flow")
        runs = await workflow.list_runs(resource_id="alice")
        return [
            threads.threads,
            messages.messages,
            await storage.memory.get_resource("alice"),
            await storage.workflows.get_run("agent:a", "alice-run"),
            (run.status, run.updated_at, runs.total),
            *[await storage.evals.list(kind) for kind in EVALS],
            await storage.schedules.list(resource_id="alice"),
            await storage.schedules.list_triggers("schedule_alice"),
        ]

    def path(self, route: str) -> str:
        """Return where a route is, with ids of alice's in it."""
        path = route.partition(" ")[2]
        ids = {
            "{agentId}": "a",
            "{workflowId}": "flow",
            "{toolId}": "pay",
            "{serverId}": "shop",
            "{id}": "shop",
            "{agent_id}": "a",
            "{model:path}": "a",
            "{workflow_id}": "flow",
            "{chat_id:path}": "alice-flow" if "/workflow/" in path else "alice-thread",
            "{runId}": "alice-flow",
            "{run_id}": "alice-run",
            "{threadId}": "alice-thread",
            "{trace_id}": self.trace,
            "{span_id}": self.span,
            "{scheduleId}": "schedule_alice",
            "{datasetId}": self.dataset,
            "{itemId}": "alice-item",
            "{experimentId}": "alice-experiment",
            "{resultId}": self.result,
            "{scorerId}": "s",
            "{scoreId}": "alice-score",
            "{feedbackId}": "alice-feedback",
            "{entityType}": "AGENT",
            "{entityId}": "a",
            "{datasetVersion}": "1",
        }
        for name, value in ids.items():
            path = path.replace(name, value)
        return f"/api{path}"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    mastra = application()
    app = create_app(mastra)
    transport = httpx.ASGITransport(app)
    async with mastra, httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
        made = World(mastra, app, http)
        await made.prepare()
        yield made


async def test_every_route_has_a_row(world: World) -> None:
    assert world.routes == ROWS.keys() | nobodys() | SPOKEN
    assert ROWS.keys().isdisjoint(nobodys())


async def test_bob_sees_and_touches_nothing_of_alices(world: World) -> None:
    before = await world.hers()
    rows = [(route, *row) for route, asked in ROWS.items() for row in asked]
    # What bob is refused leaves traces of his own, in which he finds the ids that he sent.
    for route, outcome, request in sorted(rows, key=lambda row: row[1] != "blind"):
        given = {key: value for key, value in request.items() if value}
        given = json.loads(json.dumps(given).replace("alice-trace", world.trace))
        method = route.partition(" ")[0]
        given["headers"] = {**given.get("headers", {}), **BOB}
        found = await world.http.request(method, world.path(route), **given)
        if outcome == "refused":
            assert found.status_code in REFUSED, (route, given, found.text)
        else:
            assert found.is_success, (route, given, found.text)
            assert "alice" not in found.text, (route, given, found.text)
        assert await world.hers() == before, (route, given)


async def test_alice_is_let_in(world: World) -> None:
    for route in ROWS:
        method, path = route.split(" ")
        if (
            method == "GET"
            and "{" in path
            and not path.endswith(("/observe",))
            and not path.startswith("/logs")
        ):
            found = await world.http.get(world.path(route), headers=ALICE)
            assert found.is_success, (route, found.text)


async def test_what_is_nobodys_tells_of_nobody(world: World) -> None:
    for route in nobodys():
        if route.startswith("GET"):
            found = await world.http.get(world.path(route), headers=BOB)
            assert found.status_code == 200, route
            assert "alice" not in found.text, route


async def send_result(world: World, who: Any, dataset: str, experiment: str, item: str) -> None:
    made = await world.http.post(
        f"/api/datasets/{dataset}/items", headers=who, json={"externalId": item, "input": item}
    )
    assert made.is_success
    base = f"/api/datasets/{dataset}/experiments"
    for path, body in (
        (base, {"start": False, "id": experiment}),
        (f"{base}/{experiment}/results", {"itemId": item, "output": item, "scores": [{**SCORE}]}),
    ):
        made = await world.http.post(path, headers=who, json=body)
        assert made.is_success, made.text


async def bobs_dataset(world: World) -> str:
    made = await world.http.post("/api/datasets", headers=BOB, json={"name": "bob's"})
    return made.json()["id"]


async def test_an_experiment_called_like_somebody_elses_run_takes_no_scores_of_it(
    world: World,
) -> None:
    mine = await bobs_dataset(world)
    await send_result(world, BOB, mine, "alice-flow", "bobs-item")
    stored = world.mastra.storage.evals
    purge = f"/api/datasets/{mine}/items/bobs-item/purge"
    assert (await world.http.delete(purge, headers=BOB)).is_success
    assert await stored.get("score", "alice-score") is not None
    gone = await world.http.delete("/api/experiments/alice-flow", headers=BOB)
    assert gone.is_success
    assert [
        one.id for one in (await stored.list("score")).records if one.resource_id == "bob"
    ] == []
    assert await stored.get("score", "alice-score") is not None


async def test_no_two_results_have_one_id_however_their_parts_are_called(world: World) -> None:
    mine = await bobs_dataset(world)
    await send_result(world, ALICE, world.dataset, "x:y", "z")
    await send_result(world, BOB, mine, "x", "y:z")
    seen = await world.http.get("/api/scores/run/x:y", headers=ALICE)
    assert seen.json()["pagination"]["total"] == 1
    for who in (ALICE, BOB):
        own = await world.http.get("/api/observability/scores?runId=x", headers=who)
        assert own.json()["pagination"]["total"] == (who is BOB)


@pytest.mark.parametrize("is_included", [False, True])
async def test_an_id_with_a_slash_is_read_and_kept_as_any_other(
    world: World, is_included: bool
) -> None:
    app = create_app(world.mastra)
    if is_included:
        app = FastAPI()
        app.include_router(router(world.mastra), prefix="/api")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
        for name in ("a/b", "/", "/a", "a/", "a/messages", "../x", "a%2Fb", "é/é"):
            body: dict[str, Any] = {"threadId": name}
            assert (await http.post("/api/memory/threads", headers=ALICE, json=body)).is_success
            path = f"/api/memory/threads/{quote(name, safe='')}"
            await only_alices(http, path, {"id": name})
            body = {"inputData": {"value": 1}}
            flow = f"/api/workflows/flow/start-async?runId={quote(name, safe='')}"
            assert (await http.post(flow, headers=ALICE, json=body)).is_success
            path = f"/api/workflows/flow/runs/{quote(name, safe='')}"
            await only_alices(http, path, {"runId": name})


async def only_alices(http: httpx.AsyncClient, path: str, shows: dict[str, str]) -> None:
    assert shows.items() <= (await http.get(path, headers=ALICE)).json().items()
    assert (await http.get(path, headers=BOB)).status_code == 403
    assert (await http.delete(path, headers=BOB)).status_code == 403
    assert (await http.delete(path, headers=ALICE)).is_success
    assert (await http.get(path, headers=ALICE)).status_code == 404


async def test_an_agent_with_a_slash_is_asked_as_any_other() -> None:
    made = Agent(id="eu/sales", model=ScriptedModel("hi", "hi"))
    transport = httpx.ASGITransport(create_app(Mastra(agents=[made])))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:4111") as http:
        assert (await http.get("/api/agents/eu%2Fsales")).json()["name"] == "eu/sales"
        said = {"messages": "q"}
        answer = await http.post("/api/agents/eu%2Fsales/generate", json=said)
        assert answer.json()["text"] == "hi"
        assert "hi" in (await http.post("/api/agents/eu%2Fsales/stream", json=said)).text
        assert (await http.get("/api/agents/eu/sales")).status_code == 404


async def test_an_encoded_slash_joins_no_parts_of_a_route(world: World) -> None:
    for path in ("/api%2Fagents", "/api/agents%2fa", "/api/memory%2Fthreads"):
        assert (await world.http.get(path, headers=ALICE)).status_code == 404
    asked = await world.http.get("/api/agents/a%2Fsuspended-runs", headers=ALICE)
    assert "a/suspended-runs not found" in asked.text
