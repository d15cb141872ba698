"""Flow control that drops and merges events is for those that start runs."""

from __future__ import annotations

import asyncio
from typing import Any

import inngest
import pytest

from mastra import Mastra, RunError
from mastra.inngest import MastraInngest
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.support.inngest_env import DevServer, inngest_host
from tests.support.inngest_server import FakeInngest


@pytest.fixture(
    params=[
        pytest.param("fake", marks=pytest.mark.every_engine),
        pytest.param("dev_server", marks=pytest.mark.devserver),
    ]
)
def server(request: pytest.FixtureRequest) -> FakeInngest | DevServer:
    """The small server, and a real one, which is what keeps the small one honest."""
    pytest.importorskip("cel")
    found: FakeInngest | DevServer = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize(
    ("options", "drops"),
    [
        ({"rate_limit": {"limit": 1, "period": 60}}, True),
        ({"rate_limit": {"limit": 1, "period": 60, "key": "event.data.inputData.value"}}, True),
        ({"idempotency": "event.data.inputData.value"}, True),
        ({"debounce": {"period": 1}}, False),
    ],
    ids=["rate_limit", "rate_limit by key", "idempotency", "debounce"],
)
async def test_a_run_that_flow_control_let_in_may_go_on(
    server: FakeInngest | DevServer, options: dict[str, Any], drops: bool
) -> None:
    async with inngest_host(server, checkpoint=True) as host:
        ing = MastraInngest(host.make_engine())
        name = f"flow-{'-'.join(options)}-{len(str(options))}"
        workflow = ing.create_workflow(id=name, input_schema=Value, output_schema=Value, **options)
        workflow.then(flows.waiting("ask")).then(flows.waiting("again")).commit()
        async with Mastra(workflows={"w": workflow}) as mastra:
            host.serve(mastra)
            run = await mastra.get_workflow("w").create_run()
            assert (await run.start({"value": 1})).status == "suspended"
            async with asyncio.timeout(20):
                assert (await run.resume({"add": 1})).status == "suspended"
                assert (await run.resume({"add": 1})).unwrap().value == 3
            if not drops:
                return
            other = await mastra.get_workflow("w").create_run()
            with pytest.raises(RunError, match="left the event out") as caught:
                await other.start({"value": 1})
            assert caught.value.code == "INNGEST_RUN_NOT_BEGUN"


@pytest.mark.parametrize(
    "options",
    [{"rate_limit": {"limit": 1, "period": 60}}, {"idempotency": "event.data.inputData.value"}],
    ids=["rate_limit", "idempotency"],
)
async def test_an_event_without_our_client_is_held_to_it(
    server: FakeInngest | DevServer, options: dict[str, Any]
) -> None:
    async with inngest_host(server, checkpoint=True) as host:
        ing = MastraInngest(host.make_engine())
        name = f"foreign-{'-'.join(options)}"
        workflow = ing.create_workflow(
            id=name, input_schema=Value, output_schema=Value, **options
        ).then(flows.plus_one("a"))
        workflow.commit()
        async with Mastra(workflows={"w": workflow}) as mastra:
            host.serve(mastra)
            await host.sync()
            engine: Any = ing.engine
            data = {"inputData": {"value": 1}}
            begun: list[list[str] | None] = []
            for _ in range(2):
                (sent,) = await host.client.send(inngest.Event(name=f"workflow.{name}", data=data))
                async with asyncio.timeout(20):
                    while len((await mastra.get_workflow("w").list_runs()).runs) < 1:
                        await asyncio.sleep(0.05)
                await asyncio.sleep(0.5)
                begun.append(await engine.api.runs_of(sent))
            assert [len(found or []) for found in begun] == [1, 0]
