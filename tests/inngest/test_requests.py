"""How many requests a run costs the app."""

from __future__ import annotations

from typing import Any

import pytest

from mastra import StepContext, create_step, create_workflow
from mastra.inngest.ops import FrontierOps
from tests.inngest import flows
from tests.support.inngest_env import DevServer, Host, inngest_host
from tests.support.inngest_server import FakeInngest

# Name, workflow, requests where results are posted, how many are posted, requests through the SDK.
TABLE = [
    ("planner", flows.planner, 1, 3, 4),
    ("chain of 10", lambda: flows.chain(10), 1, 10, 11),
    ("dountil to 10", flows.counting, 1, 10, 11),
    ("parallel of 10", lambda: flows.wide(10), 1, 10, 12),
]


@pytest.mark.parametrize(("build", "checkpointed", "posts", "sdk"), [row[1:] for row in TABLE])
async def test_a_run_costs(
    host: Host, fake: FakeInngest, build: Any, checkpointed: int, posts: int, sdk: int
) -> None:
    async with flows.on(host, build()) as mastra:
        run = await mastra.get_workflow("w").create_run()
        assert (await run.start({"value": 0})).status == "success"
    (server_run,) = fake.runs.values()
    is_sdk = server_run.checkpoints == 0
    assert len(server_run.requests) == (sdk if is_sdk else checkpointed)
    assert server_run.checkpoints == (0 if is_sdk else posts)


async def test_a_suspended_and_resumed_run_costs_two(checkpointed: Host) -> None:
    async with flows.on(checkpointed, flows.suspending()) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start({"value": 0})
        assert checkpointed.requests == 1
        result = await run.resume({"add": 5})
    assert result.unwrap().value == 6
    assert checkpointed.requests == 2


@pytest.mark.parametrize("nested", [False, True], ids=["steps", "workflows"])
async def test_items_that_have_ended_are_no_branches_of_a_later_walk(
    fake: FakeInngest, monkeypatch: pytest.MonkeyPatch, nested: bool
) -> None:
    items, walked = 20, list[int]()
    gather = FrontierOps.gather

    async def counting(ops: FrontierOps, branches: Any, limit: int | None) -> Any:
        known = ops._leg.run.journal
        ended = sum(f"{stem}[{place}]" in known for place in range(items))
        walked.append(len(branches) + ended)
        return await gather(ops, branches, limit)

    monkeypatch.setattr(FrontierOps, "gather", counting)
    unit = flows.chain(1) if nested else flows.plus_one("a")
    stem = "a"
    workflow = create_workflow(id="outer", input_schema=list[flows.Value], output_schema=Any)
    workflow.foreach(unit, concurrency=5)
    async with inngest_host(fake, checkpoint=False) as host:
        async with flows.on(host, workflow.commit()) as mastra:
            run = await mastra.get_workflow("outer").create_run()
            result = await run.start([{"value": n} for n in range(items)])
    assert [value["value"] for value in result.unwrap()] == list(range(1, items + 1))
    assert len(walked) > 4
    assert nested or max(walked) == items


@pytest.mark.devserver
@pytest.mark.parametrize(("build", "checkpointed", "posts", "sdk"), [row[1:] for row in TABLE])
@pytest.mark.parametrize("checkpoint", [True, False])
async def test_it_costs_the_same_on_a_real_server(
    dev_server: DevServer, build: Any, checkpointed: int, posts: int, sdk: int, checkpoint: bool
) -> None:
    async with inngest_host(dev_server, checkpoint=checkpoint) as host:
        async with flows.on(host, build()) as mastra:
            await host.sync()
            host.requests = 0
            run = await mastra.get_workflow("w").create_run()
            assert (await run.start({"value": 0})).status == "success"
            engine: Any = mastra.engine
        assert host.requests == (checkpointed if checkpoint else sdk)
        assert engine.api.checkpoints == (posts if checkpoint else 0)


@pytest.mark.devserver
async def test_a_suspended_and_resumed_run_costs_two_on_a_real_server(
    dev_server: DevServer,
) -> None:
    async with inngest_host(dev_server, checkpoint=True) as host:
        async with flows.on(host, flows.suspending()) as mastra:
            await host.sync()
            host.requests = 0
            run = await mastra.get_workflow("w").create_run()
            await run.start({"value": 0})
            assert host.requests == 1
            result = await run.resume({"add": 5})
        assert result.unwrap().value == 6
        assert host.requests == 2


ENDS = {"fail": "failed", "bail": "success", "abort": "canceled", "suspend": "suspended"}


def ending(how: str) -> Any:
    async def execute(ctx: StepContext[Any]) -> Any:
        match how:
            case "fail":
                raise ValueError("no")
            case "bail":
                ctx.bail("all")
            case "abort":
                ctx.abort()
            case _:
                await ctx.suspend({})
        return 0

    return create_step(id="ending", execute=execute)


@pytest.mark.parametrize("order", ["in turn", "reversed"])
@pytest.mark.parametrize("how", ENDS)
async def test_what_was_planned_runs_whatever_one_of_it_has_said(
    host: Host, fake: FakeInngest, how: str, order: Any
) -> None:
    fake.order = order
    ran: list[str] = []

    def noting(name: str) -> Any:
        async def execute(ctx: StepContext[Any]) -> int:
            ran.append(name)
            return 1

        return create_step(id=name, execute=execute)

    inner = create_workflow(id="inner", input_schema=Any, output_schema=Any)
    inner.parallel([noting("c"), noting("d")]).commit()
    workflow = flows.begin(output=Any)
    workflow.parallel([noting("a"), ending(how), noting("b"), inner]).then(noting("after")).commit()
    async with flows.on(host, workflow) as mastra:
        run = await mastra.get_workflow("w").create_run()
        assert (await run.start({"value": 0})).status == ENDS[how]
    assert sorted(ran) == ["a", "b", "c", "d"]
