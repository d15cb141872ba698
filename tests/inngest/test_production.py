"""A real server with keys, as in production: it calls the app, and nobody else can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import fastapi
import httpx
import inngest
import pytest

from mastra import Mastra, RunError, StepContext, create_step
from mastra.inngest import InngestEngine, serve
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.support.inngest_env import DevServer, free_ports, inngest_binary
from tests.support.inngest_production import EVENT_KEY, keyed_client, keyed_server, served

pytestmark = [
    pytest.mark.devserver,
    pytest.mark.skipif(inngest_binary() is None, reason="no Inngest server"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[DevServer]:
    """A server with keys."""
    started = keyed_server(free_ports(1)[0])
    started.start()
    yield started
    started.kill()


@dataclass
class App:
    """An app that keeps what it was sent."""

    mastra: Mastra
    client: inngest.Inngest
    url: str
    ran: list[str] = field(default_factory=list)
    calls: list[httpx.Request] = field(default_factory=list)
    """What the server has sent, to be sent again."""

    async def again(self, call: httpx.Request, **query: str) -> httpx.Response:
        """Send a call once more, perhaps to another function."""
        url = call.url.copy_merge_params(query)
        async with httpx.AsyncClient() as http:
            return await http.post(url, content=call.content, headers=call.headers)

    async def elsewhere(self, call: httpx.Request, **query: str) -> httpx.Response:
        """Send a call to another process of the app, which has seen none."""
        other = fastapi.FastAPI()
        serve(other, self.mastra, self.client, serve_origin=self.url)
        transport = httpx.ASGITransport(app=other)
        url = call.url.copy_merge_params(query)
        async with httpx.AsyncClient(transport=transport) as http:
            return await http.post(url, content=call.content, headers=call.headers)


@asynccontextmanager
async def app(
    server: DevServer, *, checkpoint: bool = True, key: str | None = None
) -> AsyncIterator[App]:
    """Serve a workflow with steps and a sleep, one that suspends, and another."""
    client = keyed_client(server, **({"key": key} if key else {}))
    ran: list[str] = []

    def noting(name: str) -> Any:
        async def execute(ctx: StepContext[Value]) -> Value:
            ran.append(name)
            await ctx.set_state({name: "x" * 300_000})
            return Value(value=ctx.input_data.value + 1)

        return create_step(id=name, execute=execute)

    w = flows.begin().then(noting("a")).then(noting("b")).sleep(1.1).then(noting("c")).commit()
    other = flows.begin("other").then(noting("other")).commit()
    ask = flows.begin("ask").then(flows.waiting("wait")).commit()
    mastra = Mastra(
        workflows={"w": w, "other": other, "ask": ask},
        engine=InngestEngine(client, checkpoint=checkpoint),
    )
    found = App(mastra, client, f"http://127.0.0.1:{server.app_port}", ran)

    async def keep(call: httpx.Request) -> None:
        found.calls.append(call)

    async with served(mastra, client, server.app_port, keep=keep):
        yield found


@pytest.mark.parametrize("checkpoint", [True, False])
async def test_the_app_works_end_to_end(server: DevServer, checkpoint: bool) -> None:
    async with app(server, checkpoint=checkpoint) as found:
        run = await found.mastra.get_workflow("w").create_run()
        async with asyncio.timeout(20):
            assert (await run.start({"value": 0})).unwrap().value == 3
        assert found.ran == ["a", "b", "c"]
        # More than is parsed to see who signed it: the server sends what it has signed.
        assert max(len(call.content) for call in found.calls) > 512 * 1024
        waiting = await found.mastra.get_workflow("ask").create_run()
        assert (await waiting.start({"value": 1})).status == "suspended"
        assert (await waiting.resume({"add": 2})).unwrap().value == 3


async def test_a_run_from_the_event_api_needs_the_event_key(server: DevServer) -> None:
    async with app(server) as found:
        event = {"name": "workflow.other", "data": {"inputData": {"value": 5}, "runId": "from-api"}}
        async with httpx.AsyncClient(base_url=server.url) as http:
            assert (await http.post("/e/wrong", json=event)).status_code == 401
            assert (await http.post(f"/e/{EVENT_KEY}", json=event)).status_code == 200
        workflow = found.mastra.get_workflow("other")
        async with asyncio.timeout(10):
            while (info := await workflow.get_run("from-api")) is None or info.status != "success":
                await asyncio.sleep(0.02)
        assert info.result.value == 6
        assert [run.run_id for run in (await workflow.list_runs()).runs] == ["from-api"]


async def test_a_call_that_is_sent_again_is_refused(server: DevServer) -> None:
    async with app(server) as found:
        run = await found.mastra.get_workflow("w").create_run()
        (await run.start({"value": 0})).unwrap()
        for call in list(found.calls):
            answer = await found.again(call)
            assert answer.status_code == 401
            assert answer.json() == {"message": "Unauthorized"}
        assert found.ran == ["a", "b", "c"]


async def test_another_process_runs_nothing_again(server: DevServer) -> None:
    async with app(server) as found:
        run = await found.mastra.get_workflow("w").create_run()
        (await run.start({"value": 0})).unwrap()
        suspended = await found.mastra.get_workflow("ask").create_run()
        await suspended.start({"value": 0})
        answers = [(await found.elsewhere(call)).json() for call in list(found.calls)]
        assert [answer["status"] for answer in answers] == ["success"] * 2 + ["suspended"]
        assert all(answer["isRepeated"] and set(answer) == KNOWN for answer in answers)
        assert found.ran == ["a", "b", "c"]
        assert (await suspended.resume({"add": 1})).unwrap().value == 1


KNOWN = {"runId", "status", "isRepeated"}


async def test_a_call_of_one_function_does_not_run_another(server: DevServer) -> None:
    async with app(server) as found:
        run = await found.mastra.get_workflow("w").create_run()
        (await run.start({"value": 0})).unwrap()
        answer = await found.elsewhere(found.calls[0], fnId="keyed-workflow.other")
        assert answer.status_code == 500
        assert answer.headers["x-inngest-no-retry"] == "true"
        assert "other" not in found.ran
        assert (await found.mastra.get_workflow("other").list_runs()).total == 0


async def test_an_app_with_another_key_is_not_called(server: DevServer) -> None:
    with pytest.raises(AssertionError, match="Unauthorized"):
        async with app(server, key="cd" * 32):
            pass


async def test_an_event_key_that_is_wrong_is_told(server: DevServer) -> None:
    async with app(server) as found:
        found.client._event_key = "wrong"
        run = await found.mastra.get_workflow("w").create_run()
        with pytest.raises(RunError) as caught:
            await run.start({"value": 0})
        assert caught.value.code == "INNGEST_EVENT_REFUSED"
