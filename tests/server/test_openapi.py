"""The description: each workflow's own models, and nothing in it that makes the server fail."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings

from mastra.ag_ui import ag_ui_route
from mastra.ai_sdk import chat_route, workflow_route
from mastra.memory import Memory
from mastra.server import ServerConfig, create_app, openai_route, router
from mastra.server.app import server_of
from mastra.server.openapi import describe_api
from tests.server.wire_app import build

if TYPE_CHECKING:
    import schemathesis


@pytest.mark.anyio
async def test_each_workflow_has_routes_with_its_own_models() -> None:
    own = ServerConfig(api_routes=[chat_route(), openai_route()])
    app = create_app(build(), own)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        described = (await client.get("/api/openapi.json")).json()
        # Where other applications of FastAPI have it.
        assert (await client.get("/openapi.json")).json() == described
        assert (await client.get("/docs")).status_code == 200
    assert app.openapi() == described
    paths = described["paths"]
    assert {
        "/chat/{agent_id}",
        "/chat/{agent_id}/{chat_id}/stream",
        "/v1/responses",
    } <= paths.keys()
    schemas = described["components"]["schemas"]
    operation = described["paths"]["/api/workflows/activityPlanningWorkflow/start-async"]["post"]
    name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    body = schemas[name.rpartition("/")[2]]
    given = schemas[body["properties"]["inputData"]["$ref"].rpartition("/")[2]]
    assert given["properties"]["city"]["type"] == "string"
    operation = described["paths"]["/api/workflows/approvalWorkflow/start-async"]["post"]
    result = operation["responses"]["200"]["content"]["application/json"]["schema"]
    output = schemas[result["properties"]["result"]["$ref"].rpartition("/")[2]]
    assert list(output["properties"]) == ["value"]


@pytest.mark.anyio
async def test_the_description_can_be_turned_off() -> None:
    transport = httpx.ASGITransport(create_app(build(), ServerConfig(openapi=False)))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        for path in ("/api/openapi.json", "/openapi.json"):
            answer = await client.get(path)
            assert (answer.status_code, answer.text) == (404, "404 Not Found")


@pytest.fixture(scope="module")
def described() -> Iterator[schemathesis.BaseSchema]:
    """Serve in a thread: a client of the description makes thousands of requests."""
    # Not by every worker: it takes half a second.
    import schemathesis

    ag_ui = [ag_ui_route(), ag_ui_route("/ag-ui/workflows/{workflow_id}")]
    own = [chat_route(), workflow_route(), *ag_ui, openai_route()]
    config = ServerConfig(timeout=5, drain_timeout=1, api_routes=own)
    app = create_app(build(memory=Memory()), config)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = listener.getsockname()[1]
    made = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/api/openapi.json", timeout=60)
    made.config.phases.coverage.enabled = False
    # One workflow of its own stands for all: they share the code. It ends, whatever its input. Of
    # routes that are at two places, those at one do.
    yield made.exclude(
        path_regex=r"^/(ag-ui|chat|workflow|v1)/|/workflows/(?!approvalWorkflow|\{|run-counts)"
    )
    server.should_exit = True
    thread.join()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("examples", [2, pytest.param(6, marks=pytest.mark.every_engine)])
def test_no_request_of_the_description_makes_the_server_fail(
    described: schemathesis.BaseSchema, examples: int
) -> None:
    failures: list[str] = []
    count = 0

    def play(operation: Any) -> None:
        @given(case=operation.as_strategy())
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        def ask(case: schemathesis.Case) -> None:
            nonlocal count
            count += 1
            answer = case.call()
            if answer.status_code >= 500:
                failures.append(f"{case.as_curl_command()}: {answer.status_code} {answer.text}")
            elif answer.status_code >= 400 and answer.text[:1] == "{":
                assert "error" in answer.json()

        ask()

    for found in described.get_all_operations():
        play(found.ok())
    assert failures == []
    assert count > 50 * examples


@pytest.mark.anyio
async def test_the_pages_behind_a_prefix_lead_to_where_they_are() -> None:
    app = FastAPI()
    app.mount("/inner", create_app(build()))
    transport = httpx.ASGITransport(app, root_path="/outer")
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        assert "'/outer/inner/api/openapi.json'" in (await client.get("/outer/inner/docs")).text
        described = (await client.get("/outer/inner/api/openapi.json")).json()
        assert described["servers"] == [{"url": "/outer/inner"}]
        welcome = (await client.get("/outer/inner/")).text
        assert 'href="/outer/inner/docs"' in welcome
        assert "<code>/outer/inner/api</code>" in welcome
    transport = httpx.ASGITransport(create_app(build()))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        assert "servers" not in (await client.get("/api/openapi.json")).json()


@pytest.mark.filterwarnings("error")
def test_two_of_them_in_one_application_have_operations_of_their_own() -> None:
    app = FastAPI()
    for prefix in ("/api", "/tenants/two"):
        app.include_router(router(build()), prefix=prefix)
    ids = [
        operation["operationId"]
        for path in app.openapi()["paths"].values()
        for operation in path.values()
    ]
    assert len(ids) == len(set(ids))
    alone = create_app(build(), ServerConfig(api_prefix="/x"))
    described = describe_api(alone, server_of(alone))
    assert described["paths"]["/x/agents"]["get"]["operationId"] == "get_list_agents__agents"
    assert {"get_list_agents__agents", "get_list_agents__agents_at_tenants_two"} <= set(ids)
