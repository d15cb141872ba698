"""A run that wakes on a server after its workflow was changed: it waits for its definition."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mastra import (
    DefinitionChangedError,
    InMemoryStorage,
    Mastra,
    StepContext,
    Workflow,
    create_step,
)
from mastra.inngest import init
from tests.inngest.flows import Value
from tests.support.inngest_env import Host
from tests.support.inngest_server import FakeInngest


class Deploys:
    """Definitions of one workflow, one after the other, over one storage."""

    def __init__(self, host: Host) -> None:
        self.host, self.storage = host, InMemoryStorage()
        self.mastras: list[Mastra] = []

    def workflow(self, *steps: Any, sleeps: float = 0, retries: int = 2) -> Any:
        """Return a workflow that sleeps before the last of its steps, or does not."""
        workflow: Any = init(self.host.client).create_workflow(
            id="w", input_schema=Value, output_schema=Value, retries=retries
        )
        for step in steps[:-1]:
            workflow = workflow.then(step)
        if sleeps:
            workflow = workflow.sleep(sleeps, id="nap")
        return workflow.then(steps[-1]).commit()

    async def on(
        self, workflow: Workflow[Any, Any, Any], *, beside: bool = False
    ) -> Workflow[Any, Any, Any]:
        """Return the workflow as the app has it that takes the place of the one before.

        Args:
            workflow: It.
            beside: Whether the one before still runs, though the server asks the new one.
        """
        for mastra in [] if beside else self.mastras:
            await mastra.get_workflow("w").runtime.engine.aclose()
        workflow.use_engine(self.host.make_engine())
        mastra = Mastra(workflows={"w": workflow}, storage=self.storage)
        self.mastras.append(mastra)
        self.host.serve(mastra)
        await self.host.sync()
        return mastra.get_workflow("w")

    async def aclose(self) -> None:
        """Close what was opened."""
        for mastra in self.mastras:
            await mastra.get_workflow("w").runtime.engine.aclose()
            await mastra.aclose()


def plus_one(name: str, ran: list[str]) -> Any:
    """Return a step that adds one."""

    async def execute(ctx: StepContext[Value]) -> Value:
        ran.append(name)
        return Value(value=ctx.input_data.value + 1)

    return create_step(id=name, execute=execute)


async def until_failed(fake: FakeInngest) -> None:
    """Wait until the server has given a run up."""
    async with asyncio.timeout(50):
        while not any(run.status == "Failed" for run in fake.runs.values()):
            await asyncio.sleep(0.01)


async def test_a_run_that_the_server_gives_up_can_be_restarted(
    host: Host, fake: FakeInngest
) -> None:
    deploys, ran = Deploys(host), list[str]()
    a, b, n = (plus_one(name, ran) for name in "abn")
    original = deploys.workflow(a, b, sleeps=1.2)
    run = await (await deploys.on(original)).create_run("r")
    await run.start_async({"value": 0})
    while await run.status() != "waiting":
        await asyncio.sleep(0.01)
    changed = await (await deploys.on(deploys.workflow(n, a, b, sleeps=1.2))).create_run("r")
    await until_failed(fake)
    assert await changed.status() in ("running", "waiting")
    with pytest.raises(DefinitionChangedError):
        await changed.restart()
    assert ran == ["a"]
    back = await (await deploys.on(original)).create_run("r")
    assert (await back.restart()).unwrap() == Value(value=2)
    assert ran == ["a", "b"]
    await deploys.aclose()


async def test_a_run_goes_on_by_itself_where_the_definition_comes_back(
    host: Host, fake: FakeInngest
) -> None:
    deploys, ran = Deploys(host), list[str]()
    a, b, n = (plus_one(name, ran) for name in "abn")
    original = deploys.workflow(a, b, sleeps=1.2, retries=20)
    run = await (await deploys.on(original)).create_run("r")
    await run.start_async({"value": 0})
    while await run.status() != "waiting":
        await asyncio.sleep(0.01)
    requests = host.requests
    await deploys.on(deploys.workflow(n, a, b, sleeps=1.2, retries=20))
    async with asyncio.timeout(50):
        while host.requests < requests + 2:  # the second time, it has been refused
            await asyncio.sleep(0.01)
    back = await (await deploys.on(original)).create_run("r")
    assert (await back.result()).unwrap() == Value(value=2)
    assert ran == ["a", "b"]
    assert len(fake.runs) <= 2
    await deploys.aclose()


async def test_an_answer_that_a_changed_worker_refuses_is_kept(
    host: Host, fake: FakeInngest
) -> None:
    deploys, ran = Deploys(host), list[str]()

    async def ask(ctx: StepContext[Value]) -> Value:
        ran.append("ask")
        if ctx.resume_data is None:
            await ctx.suspend({})
        return Value(value=ctx.resume_data["add"])

    a, n, asks = plus_one("a", ran), plus_one("n", ran), create_step(id="ask", execute=ask)
    original = deploys.workflow(a, asks)
    run = await (await deploys.on(original)).create_run("r")
    assert (await run.start({"value": 0})).status == "suspended"
    # Whoever resumes the run is of before the deploy; the worker is not.
    await deploys.on(deploys.workflow(n, a, asks), beside=True)
    await run.resume_async({"add": 5})
    await until_failed(fake)
    assert ran == ["a", "ask"]
    back = await (await deploys.on(original)).create_run("r")
    assert (await back.restart()).unwrap() == Value(value=5)
    assert ran == ["a", "ask", "ask"]
    await deploys.aclose()
