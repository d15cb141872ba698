"""Schedules over the API: what became of the runs that they started, and what a caller may say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from mastra import Agent, Mastra, ServerConfig, create_workflow, step
from mastra.server import BearerAuth, create_app
from mastra.testing import FunctionModel
from tests.schedules.cases import fires, hand_clock

pytestmark = pytest.mark.anyio

BOB = {"authorization": "Bearer b"}
NEVER = "0 0 29 2 *"


@step
async def halve(n: int) -> int:
    if n % 2:
        raise ValueError("odd")
    return n // 2


@step(suspend_schema=str, resume_schema=int)
async def wait(n: int, ctx: Any) -> int:
    return await ctx.suspend("?") if ctx.resume_data is None else n


def application(**options: Any) -> Mastra:
    halving = create_workflow(id="halving", input_schema=int, output_schema=int).then(halve)
    waiting = create_workflow(id="waiting", input_schema=int, output_schema=int).then(wait)
    helper = Agent(id="helper", model=FunctionModel(lambda _: "ok"))
    return Mastra(
        agents={"helper": helper},
        workflows={"halving": halving.commit(), "waiting": waiting.commit()},
        **options,
    )


@asynccontextmanager
async def served(mastra: Mastra) -> AsyncGenerator[httpx.AsyncClient]:
    auth = BearerAuth({"a": "alice", "b": "bob"})
    app = create_app(mastra, ServerConfig(auth=auth))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://127.0.0.1/api",
            headers={"authorization": "Bearer a"},
        ) as opened,
    ):
        yield opened


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with served(application()) as opened:
        yield opened


async def made(client: httpx.AsyncClient, **facts: Any) -> str:
    body: dict[str, Any] = {"cron": NEVER, **facts}
    answer = await client.post("/schedules", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


async def test_what_became_of_the_runs_is_told() -> None:
    clock = hand_clock()
    mastra = application(clock=clock)
    async with served(mastra) as client:

        async def shown(schedule: str) -> Any:
            return (await client.get(f"/schedules/{schedule}")).json()

        good = await made(client, workflowId="halving", inputData=4, cron="0 * * * *")
        bad = await made(client, workflowId="halving", inputData=3, cron="0 * * * *")
        open_ = await made(client, workflowId="waiting", inputData=1, cron="0 * * * *")
        assert "lastRun" not in await shown(good)
        await clock.advance(3600)
        for schedule in (good, bad, open_):
            await fires(mastra, schedule, 1)
        runs = {one: (await shown(one))["lastRunId"] for one in (good, bad, open_)}
        await ended(client, "halving", runs[good])
        last = (await shown(good))["lastRun"]
        assert last["status"] == "success"
        assert last["durationMs"] == last["completedAt"] - last["startedAt"]
        (trigger,) = (await client.get(f"/schedules/{good}/triggers")).json()["triggers"]
        assert (trigger["runId"], trigger["run"]) == (runs[good], last)
        none = await client.get(f"/schedules/{good}/triggers", params={"toActualFireAt": 1})
        assert none.json() == {"triggers": []}

        await ended(client, "halving", runs[bad])
        failed = (await shown(bad))["lastRun"]
        assert (failed["status"], "odd" in failed["error"]) == ("failed", True)

        await ended(client, "waiting", runs[open_])
        assert (await shown(open_))["lastRun"].keys() == {"status", "startedAt"}
        # Of a run that was deleted nothing is told.
        await client.delete(f"/workflows/waiting/runs/{runs[open_]}")
        assert "lastRun" not in await shown(open_)
        (trigger,) = (await client.get(f"/schedules/{open_}/triggers")).json()["triggers"]
        assert (trigger["runId"], "run" in trigger) == (runs[open_], False)


async def ended(client: httpx.AsyncClient, workflow: str, run_id: str) -> None:
    """Wait until a run goes on no longer."""
    path = f"/workflows/{workflow}/runs/{run_id}"
    while (await client.get(path)).json()["status"] in {"running", "pending", "waiting"}:
        await asyncio.sleep(0.01)


async def test_runs_of_agents_have_no_workflow_to_tell_of() -> None:
    mastra = application()
    async with served(mastra) as client:
        of_agent = await made(client, agentId="helper", prompt="hi")
        assert (await client.post(f"/schedules/{of_agent}/run")).status_code == 200
        await fires(mastra, of_agent, 1)
        (trigger,) = (await client.get(f"/schedules/{of_agent}/triggers")).json()["triggers"]
        assert "run" not in trigger
        assert "lastRun" not in (await client.get(f"/schedules/{of_agent}")).json()


async def test_nobody_says_who_calls_or_whose_it_is(client: httpx.AsyncClient) -> None:
    context = {"mastra__resourceId": "bob", "user": {"sub": "bob"}, "tier": "gold"}
    schedule = await made(client, workflowId="halving", inputData=2, requestContext=context)
    shown = (await client.get(f"/schedules/{schedule}")).json()
    assert shown["requestContext"] == {"tier": "gold"}
    theirs = await client.post(
        "/schedules", json={"workflowId": "halving", "cron": NEVER, "resourceId": "bob"}
    )
    assert theirs.status_code == 403
    moved = await client.patch(f"/schedules/{schedule}", json={"resourceId": "bob"})
    assert moved.status_code == 403
    of_agent = await made(client, agentId="helper", prompt="hi")
    stays = await client.patch(f"/schedules/{of_agent}", json={"resourceId": "alice"})
    assert (stays.status_code, "stays" in stays.text) == (400, True)
    changed = await client.patch(f"/schedules/{schedule}", json={"metadata": {"a": 1}})
    assert changed.json()["metadata"] == {"a": 1}
    for path in (f"/schedules/{schedule}", f"/schedules/{schedule}/triggers"):
        assert (await client.get(path, headers=BOB)).status_code == 403
    assert (await client.get("/schedules/nope")).status_code == 404


async def test_what_no_schedule_can_be_is_the_callers_mistake(client: httpx.AsyncClient) -> None:
    for body in (
        {"workflowId": "halving", "cron": "every day"},
        {"workflowId": "halving", "cron": NEVER, "timezone": "Mars/Base"},
        {"workflowId": "halving", "agentId": "helper", "cron": NEVER},
        {"cron": NEVER},
        {"agentId": "helper", "cron": NEVER, "prompt": "x", "providerOptions": {"o": {"url": "x"}}},
    ):
        refused = await client.post("/schedules", json=body)
        assert refused.status_code == 400, body
    unknown = await client.post("/schedules", json={"workflowId": "nobody", "cron": NEVER})
    assert unknown.status_code == 404
