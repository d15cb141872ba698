"""Programs of the original's packages and of this library drive each other's workflows.

The packages come from npm: a development dependency, fetched when asked.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mastra import Mastra, RunStateError, SQLStorage, create_step, create_workflow
from mastra.inngest import init
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.support.inngest_env import DevServer, client_of, inngest_host, let_go
from tests.support.npm import drive, install, node_of

pytestmark = pytest.mark.devserver
FOLDER = Path(__file__).parent / "js"


def served(create: Any = create_workflow, **options: Any) -> list[Any]:
    """Return the workflows of `js/definitions.mjs`."""

    async def fail(value: Value) -> Value:
        raise ValueError("no luck")

    def begin(name: str) -> Any:
        return create(id=name, input_schema=Value, output_schema=Value, **options)

    plus = flows.plus_one
    return [
        begin("chain").then(plus("a")).then(plus("b")).commit(),
        begin("asking").then(plus("a")).then(flows.waiting("ask")).then(plus("b")).commit(),
        begin("failing").then(plus("a")).then(create_step(id="fail", execute=fail)).commit(),
        begin("napping").then(plus("a")).sleep(60).then(plus("b")).commit(),
    ]


@pytest.mark.timeout(240)
async def test_typescript_drives_workflows_that_python_serves(dev_server: DevServer) -> None:
    await install(FOLDER)
    async with inngest_host(dev_server) as host, flows.on(host, *served()) as mastra:
        await host.sync()
        async with asyncio.timeout(120):
            said = await drive(FOLDER, "call.mjs", dev_server.url)
        assert said["start"] == {"status": "success", "result": {"value": 3}}
        assert said["fail"]["status"] == "failed"
        assert "no luck" in said["fail"]["error"]
        steps = ["workflow-step-start", "workflow-step-result"]
        told = [tuple(one) for one in said["stream"] if one[0] in steps]
        assert told == [(name, step) for step in ("a", "b") for name in steps]
        assert said["stream"][-1][0] == "workflow-finish"
        assert said["stream-result"] == {"status": "success", "result": {"value": 7}}
        assert said["suspend"]["status"] == "suspended"
        assert said["resume"] == {"status": "success", "result": {"value": 13}}
        assert said["cancel"]["status"] == "canceled"
        run = await mastra.get_workflow("napping").create_run(said["cancel"]["runId"])
        assert (await run.result()).status == "canceled"


@asynccontextmanager
async def worker(url: str) -> AsyncIterator[None]:
    """Have a program of the original serve the workflows."""
    process = await asyncio.create_subprocess_exec(
        *(node_of(FOLDER), FOLDER / "serve.mjs", url),
        cwd=FOLDER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        said = json.loads(await process.stdout.readline())
        assert said["value"]["status"] == 200, said
        yield
    finally:
        process.stdin.close()
        await process.wait()


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return None if request.param == "memory" else SQLStorage(f"sqlite:///{tmp_path / 'runs.db'}")


@asynccontextmanager
async def caller(server: DevServer, storage: Any) -> AsyncIterator[Mastra]:
    """A program of this library, beside one of the original that serves its workflows."""
    await install(FOLDER)
    client = client_of(server.url)
    workflows = served(init(client).create_workflow, served_elsewhere=True)
    async with worker(server.url), Mastra(workflows=workflows, storage=storage) as mastra:
        async with asyncio.timeout(150):
            yield mastra
    await let_go(client)


@pytest.mark.timeout(240)
async def test_python_starts_and_streams_what_typescript_serves(
    dev_server: DevServer, storage: Any
) -> None:
    async with caller(dev_server, storage) as mastra:
        run = await mastra.get_workflow("chain").create_run()
        result = await run.start(Value(value=1))
        assert (result.status, result.result) == ("success", Value(value=3))
        outputs = {name: step.output for name, step in result.steps.items()}
        assert outputs == {"a": {"value": 2}, "b": {"value": 3}}

        run = await mastra.get_workflow("failing").create_run()
        result = await run.start(Value(value=1))
        assert result.status == "failed"
        assert "no luck" in str(result.error)
        assert result.steps["fail"].status == "failed"

        run = await mastra.get_workflow("chain").create_run()
        events = [event async for event in run.stream(Value(value=5))]
        told = [(e.type, e.payload.id) for e in events if e.type.startswith("workflow-step-")]
        names = ["workflow-step-start", "workflow-step-result"]
        assert told == [(name, step) for step in ("a", "b") for name in names]
        assert [event.seq for event in events] == list(range(len(events)))
        assert events[-1].type == "workflow-finish"
        assert (await run.result()).result == Value(value=7)


@pytest.mark.timeout(240)
async def test_python_resumes_and_cancels_what_typescript_serves(
    dev_server: DevServer, storage: Any
) -> None:
    async with caller(dev_server, storage) as mastra:
        run = await mastra.get_workflow("asking").create_run()
        result = await run.start(Value(value=1))
        assert result.status == "suspended"
        assert result.steps["ask"].suspend_payload == {"asked": 2}
        found = await mastra.get_workflow("asking").get_run(run.run_id)
        assert found is not None
        assert found.status == "suspended"
        result = await run.resume({"add": 10}, step="ask")
        assert (result.status, result.result) == ("success", Value(value=13))
        assert list(result.steps) == ["a", "ask", "b"]

        run = await mastra.get_workflow("napping").create_run()
        async for event in run.stream(Value(value=1)):
            if event.type == "workflow-step-waiting":
                await run.cancel()
        assert event.type == "workflow-finish"
        assert (await run.result()).status == "canceled"

        with pytest.raises(RunStateError) as refused:
            await run.time_travel(step="a", input_data=Value(value=2))
        assert refused.value.code == "NOT_SERVED_HERE"
