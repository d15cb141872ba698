"""Runs that the server ends by itself: storage hears of it without anybody asking."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel
from starlette.responses import JSONResponse

from mastra import Mastra, RunStateError, StepContext, create_step, create_workflow
from mastra.inngest import init
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.inngest.test_server_side import until
from tests.support.inngest_env import Host
from tests.support.inngest_server import FakeInngest


async def stored(mastra: Mastra, run_id: str, status: str, *, patience_s: float = 5.0) -> Any:
    """Wait until storage says that a run has a status; nobody waits for its result."""
    async with asyncio.timeout(patience_s):
        while True:
            info = await mastra.get_workflow("w").get_run(run_id)
            if info is not None and info.status == status:
                return info
            await asyncio.sleep(0.01)


async def test_a_sleeping_run_is_cancelled_in_the_dashboard(host: Host, fake: FakeInngest) -> None:
    workflow = flows.begin().then(flows.plus_one("a")).sleep(60).then(flows.plus_one("b")).commit()
    async with flows.on(host, workflow) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start_async({"value": 0})
        await stored(mastra, run.run_id, "waiting")
        (server_run,) = fake.runs.values()
        await until(lambda: any(".sleep_" in name for name in server_run.steps))
        fake.cancel(server_run)
        info = await stored(mastra, run.run_id, "canceled")
        assert info.steps["a"].output == {"value": 1}


async def test_a_step_under_way_hears_of_a_cancellation_in_the_dashboard(
    host: Host, fake: FakeInngest
) -> None:
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
        async with asyncio.timeout(5):
            await began.wait()
            (server_run,) = fake.runs.values()
            fake.cancel(server_run)
            await heard.wait()
        await stored(mastra, run.run_id, "canceled")


async def test_a_run_whose_worker_stays_away_fails(host: Host, fake: FakeInngest) -> None:
    ing = init(host.client)
    workflow = ing.create_workflow(id="w", input_schema=Value, output_schema=Value, retries=1)
    workflow.then(flows.plus_one("a")).commit().use_engine(host.make_engine())
    async with Mastra(workflows={"w": workflow}) as mastra:
        host.serve(mastra)

        async def away(scope: Any, receive: Any, send: Any) -> None:
            if scope["method"] == "POST" and b"workflow.w" in scope["query_string"]:
                await JSONResponse({"message": "away"}, 503)(scope, receive, send)
                return
            await host(scope, receive, send)

        fake.app = away
        run = await mastra.get_workflow("w").create_run()
        await run.start_async({"value": 0})
        info = await stored(mastra, run.run_id, "failed")
        assert "Inngest gave the run up" in info.error.message
        assert len(next(iter(fake.runs.values())).requests) == 2


async def test_a_run_that_failed_by_itself_keeps_its_error(host: Host, fake: FakeInngest) -> None:
    async def fail(ctx: StepContext[Value]) -> Value:
        raise ValueError("no luck")

    async with flows.on(host, flows.begin().then(create_step(execute=fail)).commit()) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start({"value": 0})
        await until(lambda: any(heard.status == "Completed" for heard in fake.others))
        info = await stored(mastra, run.run_id, "failed")
        assert info.error.message == "no luck"


async def test_the_end_of_an_earlier_leg_does_not_end_the_later(
    host: Host, fake: FakeInngest
) -> None:
    async with flows.on(host, flows.suspending()) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start({"value": 0})
        (first,) = fake.runs.values()
        late = {"function_id": first.slug, "run_id": first.run_id, "event": first.event}
        fake.send({"name": "inngest/function.cancelled", "data": late})
        await until(lambda: any(heard.status == "Completed" for heard in fake.others))
        assert (await run.resume({"add": 2})).unwrap().value == 3


async def test_the_end_of_what_the_app_no_longer_has_is_passed_over(
    host: Host, fake: FakeInngest
) -> None:
    async with flows.on(host, flows.chain(1)):
        await host.sync()
        gone = {"function_id": "conformance-workflow.gone", "run_id": "r", "event": {"data": {}}}
        fake.send({"name": "inngest/function.cancelled", "data": gone})
        others = {"function_id": "another-app-workflow.w", "run_id": "r", "event": {"data": {}}}
        fake.send({"name": "inngest/function.failed", "data": others})
        await until(lambda: any(heard.status == "Completed" for heard in fake.others))
        assert len(fake.others) == 1


async def test_the_dashboards_button_starts_a_run(host: Host, fake: FakeInngest) -> None:
    async with flows.on(host, flows.chain(2)) as mastra:
        await host.sync()
        run = fake.invoke("workflow.w", {"inputData": {"value": 5}})
        await stored(mastra, run.run_id, "success")
        (info,) = (await mastra.get_workflow("w").list_runs()).runs
        assert info.result.value == 7


class Count(BaseModel):
    """A state with a default."""

    n: int
    more: int = 2


@pytest.mark.parametrize("refuses", [False, True])
async def test_the_dashboards_button_asks_on_start_and_gives_a_state(
    host: Host, fake: FakeInngest, refuses: bool
) -> None:
    asked: list[Any] = []

    def on_start(start: Any) -> None:
        asked.append(start)
        if refuses:
            raise RunStateError("not today")

    async def add(ctx: StepContext[Value]) -> Value:
        state: Any = ctx.state
        return Value(value=ctx.input_data.value + state.n + state.more)

    workflow = create_workflow(
        id="w", input_schema=Value, output_schema=Value, state_schema=Count, on_start=on_start
    )
    workflow.then(create_step(id="a", execute=add)).commit()
    async with flows.on(host, workflow) as mastra:
        await host.sync()
        run = fake.invoke("workflow.w", {"inputData": {"value": 5}, "initialState": {"n": "10"}})
        if refuses:
            await until(lambda: run.status != "Running")
            assert run.status == "Failed"
            assert "not today" in str(run.output)
            assert (await mastra.get_workflow("w").list_runs()).runs == []
        else:
            info = await stored(mastra, run.run_id, "success")
            assert info.result.value == 17
        assert len(asked) == 1


@pytest.mark.parametrize("how", ["event", "invoked"])
async def test_an_event_for_another_function_is_refused(
    host: Host, fake: FakeInngest, how: str
) -> None:
    # As somebody would send it who has seen a signed request: the function is not signed.
    async with flows.on(
        host, flows.chain(1), flows.begin("v").then(flows.plus_one("b")).commit()
    ) as mastra:
        await host.sync()
        other = next(f for f in fake.functions if f["id"].endswith("workflow.v"))
        event = {"name": "workflow.w", "id": "e", "ts": 1, "data": {"inputData": {"value": 5}}}
        if how == "invoked":
            event["name"] = "inngest/function.invoked"
            event["data"] = {"inputData": {"value": 5}, "_inngest": {"fn_id": "x-workflow.w"}}
        run = fake._start_run(other, event)
        await until(lambda: run.status == "Failed")
        assert len(run.requests) == 1
        assert (await mastra.get_workflow("v").list_runs()).total == 0


@pytest.mark.parametrize("kind", ["start", "resume"])
async def test_a_request_that_comes_twice_does_not_resume_the_run(
    host: Host, fake: FakeInngest, kind: str
) -> None:
    # The server repeats a request whose answer it never got; here the run has suspended since.
    given: list[Any] = []

    async def ask(ctx: StepContext[Value]) -> Value:
        if ctx.resume_data is not None:
            given.append(ctx.resume_data)
        await ctx.suspend({"more": len(given)})
        return ctx.input_data

    async with flows.on(host, flows.begin().then(create_step(execute=ask)).commit()):
        await host.sync()
        (server_run,) = fake.send({"name": "workflow.w", "data": {"inputData": {"value": 5}}})
        run_id = server_run.run_id
        await until(lambda: server_run.status == "Completed")
        if kind == "resume":
            data = {"runId": run_id, "inputData": {"add": 2}, "resume": {"steps": ["ask"]}}
            (server_run,) = fake.send({"name": "workflow.w", "data": data})
            await until(lambda: server_run.status == "Completed")
        before = list(given)
        server_run.status, server_run.memos = "Running", {}
        fake._spawn(fake._drive(server_run))
        await until(lambda: server_run.status != "Running")
        assert server_run.output == {"runId": run_id, "status": "suspended", "isRepeated": True}
        assert given == before == ([] if kind == "start" else [{"add": 2}])


async def test_a_start_event_does_not_resume_a_suspended_run(host: Host, fake: FakeInngest) -> None:
    async with flows.on(host, flows.suspending()) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start({"value": 0})
        data = {"runId": run.run_id, "inputData": {"add": 5}}
        (server_run,) = fake.send({"name": "workflow.w", "data": data})
        await until(lambda: server_run.status != "Running")
        assert server_run.output["isRepeated"]
        await stored(mastra, run.run_id, "suspended")
