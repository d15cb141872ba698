"""What is done on a real server without our client: its API and its dashboard's buttons."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse

from mastra import Mastra, StepContext, create_step
from mastra.inngest import init
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.inngest.test_ended import stored
from tests.support.inngest_env import DevServer, Host, inngest_host

pytestmark = pytest.mark.devserver

INVOKE = (
    "mutation I($slug: String!, $data: Map) { invokeFunction(functionSlug: $slug, data: $data) }"
)
CANCEL = "mutation C($id: ULID!) { cancelRun(runID: $id) { id status } }"


@pytest.fixture(params=[True, False], ids=["checkpointed", "sdk"])
async def host(dev_server: DevServer, request: pytest.FixtureRequest) -> AsyncIterator[Host]:
    """An app on the real server, in both ways to run steps."""
    async with inngest_host(dev_server, checkpoint=request.param) as opened:
        yield opened


async def press(server: DevServer, query: str, **variables: Any) -> None:
    """Do what a button of the dashboard does."""
    async with httpx.AsyncClient(base_url=server.url) as http:
        answer = await http.post("/v0/gql", json={"query": query, "variables": variables})
    assert "errors" not in answer.json(), answer.text


async def only_run(mastra: Mastra, status: str) -> Any:
    """Wait for the one run that there is to have a status."""
    async with asyncio.timeout(15):
        while True:
            runs = (await mastra.get_workflow("w").list_runs()).runs
            if [run.status for run in runs] == [status]:
                return runs[0]
            await asyncio.sleep(0.02)


async def test_the_button_that_invokes(host: Host, dev_server: DevServer) -> None:
    async with flows.on(host, flows.chain(2)) as mastra:
        await host.sync()
        data = {"inputData": {"value": 5}}
        await press(dev_server, INVOKE, slug="conformance-workflow.w", data=data)
        info = await only_run(mastra, "success")
        assert info.result.value == 7
        assert (await (await mastra.get_workflow("w").create_run(info.run_id)).result()).unwrap()


@pytest.mark.parametrize("run_id", [None, "mine"])
async def test_the_event_api(host: Host, dev_server: DevServer, run_id: str | None) -> None:
    async with flows.on(host, flows.suspending()) as mastra:
        await host.sync()
        data: dict[str, Any] = {"inputData": {"value": 5}}
        if run_id is not None:
            data["runId"] = run_id
        async with httpx.AsyncClient(base_url=dev_server.url) as http:
            event = {"name": "workflow.w", "data": data}
            assert (await http.post("/e/key", json=event)).status_code == 200
            info = await only_run(mastra, "suspended")
            assert info.run_id == (run_id or info.run_id)
            data = {"runId": info.run_id, "inputData": {"add": 2}, "resume": {"steps": ["ask"]}}
            event = {"name": "workflow.w", "data": data}
            assert (await http.post("/e/key", json=event)).status_code == 200
        assert (await only_run(mastra, "success")).result.value == 8


async def test_the_button_that_cancels_a_run_that_sleeps(host: Host, dev_server: DevServer) -> None:
    workflow = flows.begin().then(flows.plus_one("a")).sleep(60).then(flows.plus_one("b")).commit()
    async with flows.on(host, workflow) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start_async({"value": 0})
        await stored(mastra, run.run_id, "waiting")
        await asyncio.sleep(0.5)  # the server takes up the sleep
        await press(dev_server, CANCEL, id=await server_run_of(mastra, run.run_id))
        info = await stored(mastra, run.run_id, "canceled")
        assert info.steps["a"].output == {"value": 1}


async def test_the_button_that_cancels_a_step_under_way(host: Host, dev_server: DevServer) -> None:
    began, heard = asyncio.Event(), asyncio.Event()

    async def hold(ctx: StepContext[Value]) -> Value:
        began.set()
        await ctx.abort_signal.wait()
        heard.set()
        return ctx.input_data

    workflow = flows.begin().then(create_step(execute=hold)).then(flows.plus_one("b")).commit()
    async with flows.on(host, workflow) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start_async({"value": 0})
        async with asyncio.timeout(15):
            await began.wait()
            await press(dev_server, CANCEL, id=await server_run_of(mastra, run.run_id))
            await heard.wait()
        await stored(mastra, run.run_id, "canceled")


async def server_run_of(mastra: Mastra, run_id: str) -> str:
    """Return the id that a run has on the server."""
    head = await mastra.storage.workflows.get_run("w", run_id)
    assert head is not None
    known: Any = head.data["inngest"]
    return str(known["runId"])


async def test_a_run_that_was_tried_for_the_last_time(host: Host) -> None:
    workflow = init(host.client).create_workflow(
        id="w", input_schema=Value, output_schema=Value, retries=1
    )
    workflow.then(flows.plus_one("a")).commit().use_engine(host.make_engine())
    async with Mastra(workflows={"w": workflow}) as mastra:
        host.serve(mastra)
        await host.sync()
        inner = host._app

        async def away(scope: Any, receive: Any, send: Any) -> None:
            if b"workflow.w" in scope["query_string"]:
                await JSONResponse({"message": "away"}, 503)(scope, receive, send)
            else:
                await inner(scope, receive, send)

        host._app = away
        run = await mastra.get_workflow("w").create_run()
        await run.start_async({"value": 0})
        info = await stored(mastra, run.run_id, "failed", patience_s=15)
        assert info.error.code == "INNGEST_GAVE_UP"
        assert "away" in info.error.message or "503" in info.error.message
