"""What users' code raises is an answer of the server, and never its end."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import httpx
import pytest
from pydantic import AfterValidator

from mastra import Agent, Mastra, create_step, create_tool, create_workflow
from mastra.errors import ToolError
from mastra.mcp import MCPClient, MCPServer
from mastra.server import ApiRoute, ServerConfig, create_app
from mastra.testing import FunctionModel
from tests.support.inngest_env import free_ports

pytestmark = pytest.mark.anyio

RAISED: dict[str, Callable[[], BaseException]] = {
    "SystemExit": lambda: SystemExit(2),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "StopIteration": StopIteration,
}


@pytest.fixture(params=RAISED)
async def client(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    make = RAISED[request.param]

    def bad() -> str:
        raise make()

    def invalid(value: int) -> int:
        raise make()

    async def own() -> str:
        raise make()

    flow = create_workflow(id="flow", input_schema=None, output_schema=None)
    checked: Any = Annotated[int, AfterValidator(invalid)]
    strict = create_workflow(id="strict", input_schema=checked, output_schema=None)
    mastra = Mastra(
        workflows={
            "flow": flow.then(create_step(execute=bad)).commit(),
            "strict": strict.then(create_step(id="s", execute=bad)).commit(),
        },
        tools={"bad": create_tool("bad", "Fails.", execute=bad)},
    )
    config = ServerConfig(api_routes=[ApiRoute(path="/own", method="GET", handler=own)])
    transport = httpx.ASGITransport(create_app(mastra, config))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as opened:
        yield opened


async def test_a_step_that_raises_is_a_failed_run(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/workflows/flow/start-async", json={"inputData": {}})
    assert (answer.status_code, answer.json()["status"]) == (200, "failed")


async def test_a_validator_that_raises_is_an_answer(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/workflows/strict/start-async", json={"inputData": 1})
    assert answer.status_code in (400, 500)
    assert "Traceback" not in answer.text


async def test_a_tool_that_raises_is_an_answer(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/tools/bad/execute", json={"data": {}})
    assert answer.status_code == 500
    assert "Traceback" not in answer.text


async def test_a_route_that_raises_is_an_answer(client: httpx.AsyncClient) -> None:
    answer = await client.get("/own")
    assert answer.status_code == 500


PROGRAM = """
import asyncio, signal, sys
from mastra import create_workflow, step

{handler}

@step
async def busy() -> None:
    print("busy", flush=True)
    while True:  # never waits: a signal finds it here
        pass

flow = create_workflow(id="w", input_schema=None, output_schema=None).then(busy).commit()

async def main() -> None:
    await (await flow.create_run()).start()
    print("went on", flush=True)

{run}
"""


@pytest.mark.parametrize(
    ("number", "handler", "run"),
    [
        (signal.SIGTERM, "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))", "asyncio.run(main())"),
        (signal.SIGINT, "", "asyncio.new_event_loop().run_until_complete(main())"),
    ],
    ids=["a handler that exits", "Ctrl-C"],
)  # fmt: skip
def test_a_signal_ends_the_process_from_inside_of_a_step(
    number: signal.Signals, handler: str, run: str
) -> None:
    program = PROGRAM.format(handler=handler, run=run)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "busy\n"
            process.send_signal(number)
            out, _ = process.communicate(timeout=50)
        finally:
            process.kill()
    assert out == ""
    assert process.returncode in (5, 1, 130, -2)


SPAWNING = """
import asyncio, sys
from mastra import Mastra, create_step, create_workflow
from mastra.server import ServerConfig, serve

async def leave(make):
    raise make()

def spawning(name, make, *, awaits):
    async def execute() -> str:
        task = asyncio.create_task(leave(make))
        if awaits:
            await task
        await asyncio.sleep(0.05)
        return "went on"

    flow = create_workflow(id=name, input_schema=None, output_schema=None)
    return flow.then(create_step(id="s", execute=execute)).commit()

flows = [
    spawning("awaited", lambda: SystemExit(3), awaits=True),
    spawning("left", lambda: SystemExit(3), awaits=False),
    spawning("interrupting", KeyboardInterrupt, awaits=False),
]
serve(Mastra(workflows={flow.id: flow for flow in flows}), ServerConfig(port=int(sys.argv[1])))
"""


async def test_a_task_of_a_step_that_leaves_does_not_stop_the_server() -> None:
    [port] = free_ports(1)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SPAWNING, str(port))
    try:
        async with (
            asyncio.timeout(50),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/workflows") as client,
        ):
            while True:
                try:
                    await client.get("/")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
            found: dict[str, str] = {}
            for name in ("awaited", "left", "interrupting"):
                answer = await client.post(f"/{name}/start-async", json={"inputData": None})
                found[name] = answer.json()["status"]
            assert found == {"awaited": "failed", "left": "success", "interrupting": "success"}
    finally:
        process.terminate()
        assert await process.wait() in (0, -signal.SIGTERM)


@pytest.mark.parametrize("said", [False, True])
async def test_a_tool_made_of_a_workflow_or_an_agent_tells_no_raised_text(said: bool) -> None:
    def bad() -> str:
        raise ToolError("no such account") if said else RuntimeError("hunter2 at /srv/app")

    flow = create_workflow(id="flow", description="Fails.", input_schema=None, output_schema=None)
    agent = Agent(id="a", description="Fails.", model=FunctionModel(lambda _: bad()))
    flows = {"flow": flow.then(create_step(execute=bad)).commit()}
    served = {"m": MCPServer("m", workflows=flows, agents={"a": agent})}
    transport = httpx.ASGITransport(create_app(Mastra(workflows=flows, mcp_servers=served)))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        base = "/api/mcp/m/tools"
        answer = await client.post(f"{base}/run_flow/execute", json={"data": {}})
        assert answer.status_code == 500
        assert ("no such account" in answer.text) is said
        assert "hunter2" not in answer.text
        answer = await client.post(f"{base}/ask_a/execute", json={"data": {"message": "?"}})
        assert answer.status_code == (500 if said else 502)
        assert "hunter2" not in answer.text
    async with MCPClient({"m": {"server": served["m"]}}) as speaking:
        tools = await speaking.list_tools()
        for name, data in (("m_run_flow", {}), ("m_ask_a", {"message": "?"})):
            with pytest.raises(Exception, match=r"failed|no such account") as raised:
                await tools[name].execute(data)
            assert "hunter2" not in str(raised.value)
