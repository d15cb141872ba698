"""What of a stored run a client is told: what it has, an empty result too, and nothing that it has not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from mastra import Mastra, create_step, create_workflow
from mastra.server import create_app

pytestmark = pytest.mark.anyio


def giving(name: str, value: Any) -> Any:
    step = create_step(id="give", execute=lambda: value)
    return create_workflow(id=name, input_schema=Any, output_schema=Any).then(step).commit()


def broken() -> None:
    raise ValueError("broken")


GIVEN: dict[str, Any] = {
    "empty": {},
    "list": [],
    "nothing": None,
    "zero": 0,
    "text": "",
    "no": False,
}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    inner = giving("inner", 1)
    nested = create_workflow(id="nested", input_schema=Any, output_schema=Any).then(inner).commit()
    failing = create_workflow(id="failing", input_schema=Any, output_schema=Any)
    workflows = [giving(name, value) for name, value in GIVEN.items()]
    workflows += [nested, failing.then(create_step(id="break", execute=broken)).commit()]
    mastra = Mastra(workflows=workflows)
    transport = httpx.ASGITransport(create_app(mastra))
    async with mastra, httpx.AsyncClient(transport=transport, base_url="http://localhost") as made:
        yield made


async def run_of(client: httpx.AsyncClient, workflow: str, **query: str) -> dict[str, Any]:
    path = f"/api/workflows/{workflow}"
    await client.post(f"{path}/start-async", params={"runId": "r"}, json={"inputData": 1})
    answer = await client.get(f"{path}/runs/r", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("name", GIVEN)
async def test_a_result_that_is_empty_is_told(client: httpx.AsyncClient, name: str) -> None:
    assert (await run_of(client, name))["result"] == GIVEN[name]
    assert "result" in await run_of(client, name, fields="result")


async def test_what_a_run_has_not_is_left_out(client: httpx.AsyncClient) -> None:
    assert "error" not in await run_of(client, "zero", fields="error,result")
    failed = await run_of(client, "failing", fields="error,result")
    assert failed["error"]["message"] == "broken"
    assert "result" not in failed
    await client.post("/api/workflows/zero/create-run", params={"runId": "new"}, json={})
    created = (await client.get("/api/workflows/zero/runs/new")).json()
    assert created.keys().isdisjoint({"payload", "result", "error", "initialState"})
    (listed,) = (await client.get("/api/workflows/zero/runs?status=pending")).json()["runs"]
    assert listed["snapshot"]["context"] == {}


async def test_steps_of_nested_workflows_can_be_left_out(client: httpx.AsyncClient) -> None:
    assert list((await run_of(client, "nested"))["steps"]) == ["inner", "inner.give"]
    left = await run_of(client, "nested", withNestedWorkflows="false")
    assert list(left["steps"]) == ["inner"]


@pytest.mark.parametrize("path", ["runs/r?fields=result,output", "runs?status=done"])
async def test_an_unknown_field_or_state_is_refused(client: httpx.AsyncClient, path: str) -> None:
    await run_of(client, "zero")
    answer = await client.get(f"/api/workflows/zero/{path}")
    assert answer.status_code == 400
    assert "result" in answer.text or "suspended" in answer.text
    assert [issue["field"] for issue in answer.json().get("issues", ())] in ([], ["status"])


@pytest.mark.parametrize("state", ["success", "bailed", "skipped", "pending"])
async def test_all_states_of_the_original_can_be_asked_for(
    client: httpx.AsyncClient, state: str
) -> None:
    await run_of(client, "zero")
    found = (await client.get(f"/api/workflows/zero/runs?status={state}")).json()
    assert found["total"] == (state == "success")
