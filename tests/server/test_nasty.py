"""What is wrong with a request is the caller's mistake on every route and every store.

Each operation of the description is asked with each part of it replaced by values that are too
large, too deep, of another type or that no database keeps; the rest of the request is right.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest

from mastra import Mastra, SQLStorage
from mastra.agents.agent import Agent
from mastra.memory import Memory
from mastra.server import BearerAuth, ServerConfig, create_app
from mastra.testing import FunctionModel
from tests.server.wire_app import build

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

DEEP: Any = "x"
for _ in range(150):
    DEEP = [DEEP]

TEXTS = ["", "\x00", "a\x00b", "\ud800", "x" * 300, "x" * 5000, "../../etc/passwd", "%00", "'; --"]
ALWAYS: list[Any] = [
    "a\x00b", {"a": "\ud800"}, {"k\x00": 1}, 2**64, 10**400, "x" * 300, "0001-01-01T00:00:00",
    "9999-12-31T23:59:59-14:00", DEEP, [1],
]  # fmt: skip
NASTY: list[Any] = [
    *ALWAYS, None, -1, 1.5, 1e308, "NaN", "abc", "9999-12-31T23:59:59Z", [], ["\x00"], {},
    {"\x00": 1}, {"a": {"b": None}}, {"parts": [1]}, [{"role": "user", "content": [{"type": "text"}]}],
]  # fmt: skip
SECRETS = re.compile(
    r"Traceback|\.py\b|sqlite|postgres|asyncpg|SELECT |INSERT |UPDATE |mastra_|/tmp/|/home/|site-packages",
    re.IGNORECASE,
)
IDS = {
    "workflowId": "approvalWorkflow",
    "agentId": "planningAgent",
    "toolId": "get-weather",
    "runId": "r",
    "threadId": "t",
}
BODIES: dict[str, Any] = {
    "messages": "hi",
    "runId": "r",
    "inputData": {"value": 1},
    "step": "approve",
    "resumeData": {"add": 1},
    "data": {"city": "Rome"},
    "workingMemory": "x",
    "messageIds": "m",
    "percentiles": [0.5],
    "name": "n",
    "toolCallId": "c",
}


@pytest.fixture(
    params=[
        pytest.param("memory", marks=pytest.mark.every_engine),
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.every_engine),
    ]
)
async def client(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    options: dict[str, Any] = {}
    if request.param == "sqlite":
        options["storage"] = SQLStorage(f"sqlite:///{tmp_path / 'nasty.db'}")
    elif request.param == "postgres":
        options["storage"] = SQLStorage(request.getfixturevalue("postgres_url"))
    mastra: Mastra = build(memory=Memory(), **options)
    mastra.add_agent(Agent(id="steady", model=FunctionModel(lambda _: "ok"), durable=True))
    config = ServerConfig(auth=BearerAuth({"secret": "ann"}), timeout=10)
    app = create_app(mastra, config)
    async with (
        mastra,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://127.0.0.1",
            headers={"authorization": "Bearer secret"},
        ) as opened,
    ):
        yield opened


async def prepare(client: httpx.AsyncClient) -> None:
    """Make what the requests are about."""
    base = "/api/workflows/approvalWorkflow"
    await client.post(f"{base}/start-async?runId=r", json={"inputData": {"value": 1}})
    await client.post("/api/memory/threads", json={"threadId": "t"})


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def resolved(schema: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    return schema


def wrong_paths(template: str) -> Iterator[str]:
    names = re.findall(r"\{(\w+)\}", template)
    for name in names:
        for text in ("a%00b", "%ED%A0%80", "x" * 300, "%2e%2e%2f", "'%3B--"):
            yield filled(template.replace(f"{{{name}}}", text))


def filled(template: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: IDS.get(found[1], "x"), template)


def requests_of(
    template: str, operation: dict[str, Any], schemas: dict[str, Any], values: list[Any]
) -> Iterator[tuple[str, dict[str, str], bytes | None]]:
    """Give paths, queries and bodies: one thing in each is wrong."""
    queries: dict[str, str] = {}
    for item in operation.get("parameters", ()):
        if item["in"] == "query" and (item.get("required") or item["name"] in IDS):
            queries[item["name"]] = IDS.get(item["name"], "x")
    right = filled(template)
    body: dict[str, Any] | None = None
    fields: list[str] = []
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is not None:
        schema = resolved(content["schema"], schemas)
        fields = list(schema.get("properties", {}))
        known = {**BODIES, "messages": [] if "save" in template else "hi"}
        body = {name: known[name] for name in fields if name in known}
    sent = None if body is None else encoded(body)
    yield right, queries, sent
    for wrong in wrong_paths(template):
        yield wrong, queries, sent
    for item in operation.get("parameters", ()):
        if item["in"] == "query":
            for value in (
                "",
                "-1",
                "0",
                str(2**63),
                "9" * 400,
                "NaN",
                "1e400",
                "abc",
                "\x00",
                "é\x00",
            ):
                yield right, {**queries, item["name"]: value}, sent
            yield right, {**queries, item["name"]: '{"start": 1e308, "end": "0001-01-01"}'}, sent
    if body is not None:
        for name in fields:
            for value in values:
                yield right, queries, encoded({**body, name: value})
        for broken in (b"", b"{", b"\xff\xfe", b"null", b"[]", b"1", b'"x"', b'{"a":NaN}', b"\x00"):
            yield right, queries, broken


@pytest.mark.parametrize("share", [4, pytest.param(1, marks=pytest.mark.every_engine)])
async def test_no_part_of_a_request_makes_the_server_fail(
    client: httpx.AsyncClient, request: pytest.FixtureRequest, share: int
) -> None:
    """Each request, or each fourth: another one of every operation, so that all values have a turn."""
    # The routes are the same on every store: the others get what a store could stumble over.
    is_whole = request.node.callspec.params["client"] == "sqlite"
    values = NASTY if is_whole else ALWAYS
    described = (await client.get("/api/openapi.json")).json()
    schemas = described["components"]["schemas"]
    wrong: list[str] = []
    count = 0
    for template, operations in described["paths"].items():
        if re.search(r"/workflows/(?!\{|run-counts)", template):
            continue
        for method, operation in operations.items():
            await prepare(client)
            requests = requests_of(template, operation, schemas, values)
            for path, query, body in islice(requests, count % share, None, share):
                count += 1
                answer = await client.request(
                    method,
                    path,
                    params=query,
                    content=body,
                    headers={"content-type": "application/json"},
                )
                shown = f"{method} {path[:100]} {str(query)[:100]} {(body or b'')[:160]!r}"
                if answer.status_code >= 500:
                    wrong.append(f"{answer.status_code} {shown}: {answer.text[:200]}")
                elif answer.status_code >= 400 and (leak := SECRETS.search(answer.text)):
                    wrong.append(f"leaks {leak[0]!r} {shown}: {answer.text[:200]}")
    assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong[:40])
    assert count > 1000 / share


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data", "", "x"])
async def test_bodies_of_other_kinds_are_refused(client: httpx.AsyncClient, kind: str) -> None:
    headers = {"content-type": kind} if kind else {}
    for path in ("/api/agents/planningAgent/generate", "/api/workflows/slowWorkflow/start-async"):
        answer = await client.post(
            path, content=b'{"messages": "hi", "inputData": {"value": 1}}', headers=headers
        )
        assert 400 <= answer.status_code < 500, path


@pytest.mark.parametrize("text", TEXTS)
async def test_texts_of_every_kind_as_ids(client: httpx.AsyncClient, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        body = b'{"threadId": "\\ud800"}'
    else:
        body = encoded({"threadId": text})
    answer = await client.post(
        "/api/memory/threads", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code in {200, 400}
    if answer.status_code == 200:
        read = await client.get("/api/memory/threads")
        assert text in [thread["id"] for thread in read.json()["threads"]]


NEVER_STORED: list[dict[str, Any]] = [
    {"clientTools": {"t": {"description": "x", "inputSchema": {"type": "object"}}}},
    {"activeTools": ["nope"]},
    {"toolChoice": []},
    {"toolChoice": {"type": "tool", "toolName": "nope"}},
    {"structuredOutput": {"schema": 5}},
    {"structuredOutput": {}},
    {"memory": {"thread": "t", "resource": "ann"}},
    {"memory": {"thread": {"id": 5}}},
    {"memory": {"thread": "t", "options": {"lastMessages": "x", "nope": 1}}},
    {"instructions": 5},
    {"instructions": [{"role": "user", "content": "x"}]},
    {"system": {"a": 1}},
    {"modelSettings": {"temperature": "hot"}},
    {"maxSteps": 0},
    {"messages": []},
    {"messages": [{"role": "tool", "content": [{"type": "tool-result"}]}]},
    {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}]},
    {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
    {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": []}}]}]},
    {"messages": {"role": "user", "parts": [{"type": "tool-x"}]}},
    {"autoResumeSuspendedTools": True},
]


@pytest.mark.parametrize("agent", ["planningAgent", "steady"])
@pytest.mark.parametrize("client", ["sqlite"], indirect=True)
async def test_options_that_an_agent_cannot_take(client: httpx.AsyncClient, agent: str) -> None:
    failed: list[str] = []
    for body in NEVER_STORED:
        for route in ("generate", "stream"):
            path = f"/api/agents/{agent}/{route}"
            answer = await client.post(path, json={"messages": "hi", **body})
            if answer.status_code >= 500 or SECRETS.search(answer.text):
                failed.append(f"{answer.status_code} {route} {body}: {answer.text[:200]}")
    assert failed == []
