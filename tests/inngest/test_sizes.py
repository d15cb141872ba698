"""What a step may give, and what all steps of a run may give together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mastra import SQLStorage, StepContext, create_step
from mastra.inngest import limits, worker_leg
from mastra.inngest.wire import request
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.support.inngest_env import DevServer, Host, inngest_host
from tests.support.inngest_server import FakeInngest


def giving(name: str, size: int) -> Any:
    """Return a step that gives a text."""

    async def execute(ctx: StepContext[Any]) -> str:
        return "x" * size

    return create_step(id=name, execute=execute)


def line(count: int, size: int) -> Any:
    """Return steps in a row that each give a text."""
    workflow = flows.begin(output=Any)
    for number in range(count):
        workflow.then(giving(f"s{number}", size))
    return workflow.commit()


async def failed(host: Host, workflow: Any) -> Any:
    """Run a workflow, and return the result, which must be a failure that names its size."""
    async with flows.on(host, workflow) as mastra:
        await host.sync()
        run = await mastra.get_workflow("w").create_run()
        result: Any = await run.start({"value": 0})
        assert result.status == "failed"
        info = await mastra.get_workflow("w").get_run(run.run_id)
        assert info is not None
        assert info.status == "failed"
    return result


async def test_an_output_over_the_limit_names_step_and_size(host: Host) -> None:
    result = await failed(host, line(1, 4 * 1024 * 1024))
    assert "'s0'" in result.error.message
    assert "4,194,3" in result.error.message
    assert result.error.code == "STEP_OUTPUT_TOO_LARGE"


@pytest.mark.parametrize("large", [1_000_000, 20_000])
async def test_outputs_that_are_too_large_together_name_step_and_size(
    host: Host, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    monkeypatch.setattr(limits, "MAX_LEG_BYTES", 50_000)
    monkeypatch.setattr(request, "LARGE_BYTES", large)
    result = await failed(host, line(10, 10_000))
    assert result.error.code == "RUN_OUTPUTS_TOO_LARGE"
    # Through the SDK each request tells what the server has, with some words around it.
    assert result.error.details["stepId"] in ("s4", "s3")
    assert f"{result.error.details['stepId']!r} gave 10,0" in result.error.message
    assert 50_000 < result.error.details["total"] < 65_000
    assert result.steps["s2"].status == "success"


def wide(count: int, size: int) -> Any:
    """Return steps side by side that each give a text, and one that counts them."""
    workflow = flows.begin(output=Any).parallel([giving(f"p{i}", size) for i in range(count)])
    return workflow.map(lambda ctx: sum(map(len, ctx.input_data.values()))).commit()


async def kept(host: Host, workflow: Any, url: str) -> Any:
    """Run a workflow with a storage that all processes share; return what comes out."""
    async with flows.on(host, workflow, storage=SQLStorage(url)) as mastra:
        await host.sync()
        run = await mastra.get_workflow("w").create_run()
        return (await run.start({"value": 0})).unwrap()


@pytest.mark.parametrize("shape", [line, wide])
async def test_a_shared_storage_has_what_the_server_does_not_take(
    host: Host, fake: FakeInngest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shape: Any
) -> None:
    monkeypatch.setattr(worker_leg, "MAX_OUTPUT_BYTES", 15_000)
    monkeypatch.setattr(worker_leg, "MAX_LEG_BYTES", 50_000)
    url = f"sqlite:///{tmp_path}/runs.db"
    assert await kept(host, shape(10, 10_000), url) in ("x" * 10_000, 100_000)
    assert await kept(host, shape(1, 20_000), url) in ("x" * 20_000, 20_000)
    for run in fake.runs.values():
        sizes = [len(json.dumps(memo)) for memo in run.memos.values()]
        assert max(sizes) < 16_000
        assert sum(sizes) < 52_000


async def test_what_a_leg_before_gave_does_not_count(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More than an event brings along of a run, which does count.
    monkeypatch.setattr(limits, "MAX_LEG_BYTES", 450_000)
    workflow = flows.begin(output=Any).then(giving("a", 200_000)).then(pausing())
    workflow.then(giving("b", 200_000)).commit()
    async with flows.on(host, workflow) as mastra:
        run = await mastra.get_workflow("w").create_run()
        assert (await run.start({"value": 0})).status == "suspended"
        assert (await run.resume({"go": True})).status == "success"


def pausing() -> Any:
    """Return a step that waits to be resumed."""

    async def execute(ctx: StepContext[Any]) -> int:
        if ctx.resume_data is None:
            await ctx.suspend({})
        return 1

    return create_step(id="wait", execute=execute)


async def test_a_suspension_over_the_limit_names_step_and_size(host: Host) -> None:
    async def ask(ctx: StepContext[Value]) -> Value:
        await ctx.suspend({"text": "x" * 4_200_000})
        return ctx.input_data

    result = await failed(host, flows.begin().then(create_step(id="ask", execute=ask)).commit())
    assert "'ask' gave 4,200,0" in result.error.message


@pytest.mark.devserver
@pytest.mark.parametrize("checkpoint", [True, False], ids=["checkpointed", "sdk"])
@pytest.mark.timeout(240)
async def test_the_limits_of_a_real_server(dev_server: DevServer, checkpoint: bool) -> None:
    async with inngest_host(dev_server, checkpoint=checkpoint) as host:
        result = await failed(host, line(1, 4 * 1024 * 1024))
        assert result.error.code == "STEP_OUTPUT_TOO_LARGE"
        result = await failed(host, line(9, 4_000_000))
        assert result.error.code == "RUN_OUTPUTS_TOO_LARGE"
        assert result.error.details["stepId"] == "s8"
        assert "'s8' gave 4,000,0" in result.error.message


@pytest.mark.devserver
@pytest.mark.parametrize("checkpoint", [True, False], ids=["checkpointed", "sdk"])
@pytest.mark.timeout(240)
async def test_a_real_server_keeps_less_than_a_run_gives(
    dev_server: DevServer, tmp_path: Path, checkpoint: bool
) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    async with inngest_host(dev_server, checkpoint=checkpoint) as host:
        assert await kept(host, line(1, 9_000_000), url) == "x" * 9_000_000
        assert await kept(host, line(10, 4_000_000), url) == "x" * 4_000_000
        assert await kept(host, wide(10, 4_000_000), url) == 40_000_000


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("checkpoint", [True, False], ids=["checkpointed", "sdk"])
async def test_many_steps_of_a_megabyte(dev_server: DevServer, checkpoint: bool) -> None:
    async with inngest_host(dev_server, checkpoint=checkpoint) as host:
        result = await failed(host, line(40, 1_000_000))
        assert result.error.code == "RUN_OUTPUTS_TOO_LARGE"
        assert result.error.details["stepId"] == "s32"
