"""Requests that are wrong get a 4xx and `{"error": …}`, never a stack trace."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra, create_step, create_tool, create_workflow
from mastra.server import ServerConfig, create_app
from mastra.testing import ScriptedModel, ToolCall
from mastra.tools.tool_context import ToolContext
from tests.server.wire_app import Value, build

pytestmark = pytest.mark.anyio
START = "/api/workflows/incrementWorkflow/start-async"
JSON = {"content-type": "application/json"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    config = ServerConfig(body_size_limit=100_000)
    transport = httpx.ASGITransport(create_app(build(), config))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as opened:
        yield opened


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"x" * 200_000, 413),
        (b"not json", 400),
        (b'{"inputData": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
        (b'{"inputData": {"value": NaN}}', 400),
        (b'{"inputData": {"value": 1e400}}', 400),
        (b'{"inputData": {"value": -1e999}}', 400),
        (b'{"inputData": {"value": ' + b"9" * 5000 + b"}}", 400),
        (b'{"inputData": {"value": 1}, "requestContext": {"a": [1E+309]}}', 400),
        (b'{"inputData": {"value": 1}, "requestContext": {"a": ' + b"9" * 309 + b".5}}", 400),
        (b'{"inputData": {"value": "text"}}', 400),
        (b'{"inputData": {"value": 1, "more": 2}}', 400),
        (b'{"inputData": 5}', 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b"\xff\xfe", 400),
        (b'{"inputData": {"value": 1}, "requestContext": 5}', 400),
        (b'{"inputData": {"value": 1}, "resourceId": ""}', 400),
    ],
)
async def test_a_wrong_body_is_refused(client: httpx.AsyncClient, body: bytes, status: int) -> None:
    answer = await client.post(START, content=body, headers=JSON)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) <= {"error", "issues"}
    assert "Traceback" not in answer.text
    assert (await client.get("/api/workflows/incrementWorkflow/runs")).json()["total"] == 0


async def test_a_body_without_a_length_is_cut_at_the_limit(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000

    answer = await client.post(START, content=endless(), headers=JSON)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/agents/nope"),
        ("GET", "/api/workflows/nope"),
        ("GET", "/api/workflows/slowWorkflow/runs/nope"),
        ("POST", "/api/workflows/slowWorkflow/resume?runId=nope"),
        ("POST", "/api/workflows/slowWorkflow/observe?runId=nope"),
        ("POST", "/api/workflows/slowWorkflow/runs/nope/cancel"),
        ("POST", "/api/workflows/slowWorkflow/restart?runId=nope"),
        ("GET", "/api/tools/nope"),
        ("GET", "/api/agents/planningAgent/tools/nope"),
        ("GET", "/api/observability/traces/nope"),
    ],
)
async def test_unknown_ids_are_404(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, path, json={})
    assert answer.status_code == 404
    assert set(answer.json()) == {"error"}


@pytest.mark.parametrize("how", ["time-travel", "time-travel-async", "time-travel-stream"])
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"context": {"increment": {"status": "done"}}}, "has the status 'done'"),
        ({"context": {"increment": {"status": ["success"], "output": 1}}}, "has the status ["),
        ({"step": "nope"}, "has no step 'nope'"),
        ({"step": ["increment", "nope"]}, "no step"),
    ],
)
async def test_what_no_run_can_go_back_with_is_refused(
    client: httpx.AsyncClient, how: str, wrong: dict[str, Any], says: str
) -> None:
    begun = await client.post(f"{START}?runId=back", json={"inputData": {"value": 1}})
    assert begun.status_code == 200
    path = f"/api/workflows/incrementWorkflow/{how}?runId=back"
    answer = await client.post(path, json={"step": "increment", **wrong})
    assert 400 <= answer.status_code < 500, answer.text
    assert says in answer.json()["error"]


async def test_two_starts_of_one_run_start_it_once(client: httpx.AsyncClient) -> None:
    body = {"inputData": {"value": 1}}
    path = "/api/workflows/slowWorkflow/start-async?runId=twice"
    answers = await asyncio.gather(*(client.post(path, json=body) for _ in range(8)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] + [409] * 7
    assert all("error" in answer.json() for answer in answers if answer.status_code == 409)


async def test_two_resumes_of_one_suspension_resume_it_once(client: httpx.AsyncClient) -> None:
    base = "/api/workflows/approvalWorkflow"
    await client.post(f"{base}/start-async?runId=r", json={"inputData": {"value": 1}})
    body = {"step": "approve", "resumeData": {"add": 1}}
    answers = await asyncio.gather(
        *(client.post(f"{base}/resume-async?runId=r", json=body) for _ in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]


async def test_an_unexpected_error_tells_nothing_of_the_inside() -> None:
    seen: list[BaseException] = []
    mastra = build()
    config = ServerConfig(on_error=lambda error, request: seen.append(error))
    app = create_app(mastra, config)

    def broken() -> Any:
        raise RuntimeError("password=hunter2")

    mastra.list_workflows = broken
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as opened:
        answer = await opened.get("/api/workflows")
    assert (answer.status_code, answer.json()) == (500, {"error": "Internal server error"})
    assert [str(error) for error in seen] == ["password=hunter2"]


async def test_an_answer_that_takes_too_long_is_a_504_and_the_run_goes_on() -> None:
    release = asyncio.Event()

    async def wait(ctx: Any) -> Value:
        await release.wait()
        return ctx.input_data

    step = create_step(id="wait", input_schema=Value, output_schema=Value, execute=wait)
    flow = create_workflow(id="flow", input_schema=Value, output_schema=Value).then(step).commit()
    app = create_app(Mastra(workflows={"flow": flow}), ServerConfig(timeout=0.05))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as opened:
        body = {"inputData": {"value": 1}}
        answer = await opened.post("/api/workflows/flow/start-async?runId=r", json=body)
        assert answer.status_code == 504
        release.set()
        result = await opened.post("/api/workflows/flow/observe?runId=r")
        assert '"workflowStatus":"success"' in result.text


async def test_a_message_over_http_answers_a_tool_that_waits() -> None:
    async def ask(_: Any, ctx: ToolContext) -> Any:
        return ctx.resume_data or await ctx.suspend("Which size?")

    anything: Any = {"type": "object", "properties": {}}
    answer = json.dumps({"tool_call_id": "call_1", "resume_data": '"42"'})
    shop = Agent(
        id="shop",
        model=ScriptedModel(ToolCall("ask"), answer, "On their way."),
        tools=[create_tool("ask", "Ask", anything, execute=ask)],
    )
    transport = httpx.ASGITransport(create_app(Mastra(agents={"shop": shop})))
    body: Any = {
        "messages": "Shoes",
        "memory": {"thread": "t1", "resource": "ann"},
        "autoResumeSuspendedTools": True,
    }
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as opened:
        first = (await opened.post("/api/agents/shop/generate", json=body)).json()
        assert first["finishReason"] == "suspended"
        second = await opened.post("/api/agents/shop/generate", json={**body, "messages": "42"})
    assert (second.json()["text"], second.json()["runId"]) == ("On their way.", first["runId"])


async def test_a_request_begins_no_thread(client: httpx.AsyncClient) -> None:
    def begun() -> set[str]:
        return {thread.name for thread in threading.enumerate()}

    before = begun()
    for path in ("/api/workflows", "/api/agents", "/api/tools", "/api/system/packages"):
        assert (await client.get(path)).status_code == 200
    started = await client.post(START, json={"inputData": {"value": 1}})
    assert started.status_code == 200
    assert begun() == before


@pytest.mark.parametrize(
    ("body", "headers", "told"),
    [
        (b'{"inputData": {"value": 1}}', {}, "content-type: application/json"),
        (b"inputData=1", {"content-type": "application/x-www-form-urlencoded"}, "content-type"),
        (b'{"inputData": {"value": 1,}}', JSON, "at line 1 column"),
        (b"\xef\xbb\xbf{}", JSON, "at line 1 column"),
        (b'{"inputData": {"value": "\\u0000"}}', JSON, "U+0000"),
        (b"\x1f\x8b\x08", {**JSON, "content-encoding": "gzip"}, "content-encoding"),
    ],
)
async def test_a_body_that_cannot_be_read_is_told_why(
    client: httpx.AsyncClient, body: bytes, headers: dict[str, str], told: str
) -> None:
    answer = await client.post(START, content=body, headers=headers)
    assert answer.status_code in {400, 415}
    (issue,) = answer.json().get("issues") or [{"message": answer.json()["error"], "field": ""}]
    assert told in issue["message"]
    assert issue["field"] == ""


async def test_numbers_and_texts_that_only_look_large_are_taken(client: httpx.AsyncClient) -> None:
    context = b'{"a": "1e400", "1e999": [1e308, -1e-400, 1e+0008], "b": ' + b"9" * 309 + b"}"
    body = b'{"inputData": {"value": 1e3}, "requestContext": ' + context + b"}"
    answer = await client.post(START, content=body, headers=JSON)
    assert (answer.status_code, answer.json()["result"]) == (200, {"value": 1001.0})
