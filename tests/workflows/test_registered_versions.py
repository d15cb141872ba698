"""Versions of a workflow as an application registers and serves them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from mastra import (
    ConfigError,
    InMemoryStorage,
    Mastra,
    NotFoundError,
    StepContext,
    create_workflow,
    step,
)
from mastra.server import create_app


@step
async def ask(ctx: StepContext[int]) -> int:
    """Wait for a number."""
    if ctx.resume_data is None:
        await ctx.suspend({})
    return ctx.input_data + ctx.resume_data


@step
async def double(ctx: StepContext[int]) -> int:
    """Double."""
    return ctx.input_data * 2


def trip(version: str | None, *steps: Any, id: str = "trip") -> Any:
    workflow = create_workflow(id=id, version=version, input_schema=int, output_schema=int)
    for each in steps:
        workflow = workflow.then(each)
    return workflow.commit()


ONE, TWO = trip("1", ask), trip("2", double, ask)


@pytest.mark.parametrize("given", [{"trip": [ONE, TWO]}, {"trip": (ONE, TWO)}, [ONE, TWO]])
def test_the_last_one_is_what_a_key_gives(given: Any) -> None:
    mastra = Mastra(workflows=given)
    assert mastra.get_workflow("trip").version == "2"
    assert mastra.get_workflow_by_id("trip").version == "2"
    assert [w.version for w in mastra.list_workflows().values()] == ["2"]
    assert mastra.get_workflow("trip", version="1").version == "1"
    assert mastra.get_workflow_by_id("trip", version="1").version == "1"


def test_an_unknown_version_lists_those_there_are() -> None:
    mastra = Mastra(workflows={"trip": [ONE, TWO]})
    with pytest.raises(NotFoundError, match="'1', '2'"):
        mastra.get_workflow("trip", version="3")


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ([], "empty"),
        ([ONE, trip("1", double)], "twice as version '1'"),
        ([trip(None, ask), trip(None, double)], "create_workflow\\(version="),
        ([ONE, trip("2", ask, id="journey")], "'trip' and 'journey'"),
    ],
)
def test_what_are_no_versions_of_one_workflow(versions: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Mastra(workflows={"trip": versions})


async def test_a_workflow_kept_in_hand_knows_its_run_by_the_run_itself() -> None:
    storage = InMemoryStorage()
    before = Mastra(workflows={"trip": ONE}, storage=storage)
    await (await before.get_workflow("trip").create_run("r")).start(3)
    after = Mastra(workflows={"trip": [ONE, TWO]}, storage=storage)
    old = await after.get_workflow("trip", version="2").create_run("r")
    assert (await old.resume(4)).unwrap() == 7


async def test_a_nested_workflow_is_part_of_the_version_around_it() -> None:
    storage = InMemoryStorage()
    one = trip("1", trip("1", ask, id="hotel"))
    two = trip("2", trip("2", double, ask, id="hotel"))
    before = Mastra(workflows={"trip": one}, storage=storage)
    await (await before.get_workflow("trip").create_run("r")).start(3)
    after = Mastra(workflows={"trip": [one, two]}, storage=storage)
    result = await (await after.get_workflow("trip").create_run("r")).resume(4)
    assert result.unwrap() == 7


async def test_the_server_says_which_versions_there_are_and_refuses_what_changed() -> None:
    storage = InMemoryStorage()
    before = Mastra(workflows={"trip": ONE}, storage=storage)
    await (await before.get_workflow("trip").create_run("r")).start(3)
    changed = Mastra(workflows={"trip": trip(None, double, ask)}, storage=storage)
    async with client(changed) as http:
        refused = await http.post(
            "/api/workflows/trip/resume-async?runId=r", json={"step": "ask", "resumeData": 4}
        )
        assert refused.status_code == 409, refused.text
        assert "added 'double'" in refused.json()["error"]
        assert refused.headers["x-mastra-error-code"] == "DEFINITION_CHANGED"
    both = Mastra(workflows={"trip": [ONE, TWO]}, storage=storage)
    async with client(both) as http:
        told = (await http.get("/api/workflows/trip")).json()
        assert (told["version"], told["versions"]) == ("2", ["1", "2"])
        answer = await http.post(
            "/api/workflows/trip/resume-async?runId=r", json={"step": "ask", "resumeData": 4}
        )
        assert answer.json()["result"] == 7


def client(mastra: Mastra) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(mastra))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")
