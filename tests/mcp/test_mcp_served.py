"""Our MCP server behind the REST server: its routes, its address, who may call, what it asks."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from mastra import Agent, Mastra, ServerConfig, create_workflow, step, tool
from mastra.errors import ToolError
from mastra.mcp import MCPClient, MCPServer, Question
from mastra.request_context import RESOURCE_ID
from mastra.server import BearerAuth, create_app
from mastra.testing import ScriptedModel, ToolCall
from mastra.tools.tool_context import ToolContext
from tests.mcp.everything import PROMPTS, RESOURCES
from tests.server.live import running

ALICE, BOB = {"authorization": "Bearer a"}, {"authorization": "Bearer b"}
AUTH = ServerConfig(auth=BearerAuth({"a": "alice", "b": "bob"}))


class Trip(BaseModel):
    city: str


class Choice(BaseModel):
    day: str
    breakfast: bool = True


@tool(resume_schema=Choice)
async def book(city: str, ctx: ToolContext) -> str:
    """Book a room."""
    if ctx.resume_data is None:
        return await ctx.suspend({"message": f"When in {city}?", "city": city})
    answer: Choice = ctx.resume_data
    asked: Any = ctx.suspend_data
    return f"{asked['city']} on {answer.day}, breakfast {answer.breakfast}"


@tool(resume_schema=bool)
async def sure(ctx: ToolContext) -> str:
    """Ask twice."""
    if ctx.resume_data is None:
        return await ctx.suspend("Sure?")
    if ctx.suspend_data == "Sure?":
        return await ctx.suspend("Really?")
    return f"{ctx.suspend_data} {ctx.resume_data}"


@tool
async def who(ctx: ToolContext) -> str:
    """Say who calls."""
    return str(ctx.request_context.get("mastra__resourceId"))


@tool
async def slowly(ctx: ToolContext) -> str:
    """Tell how far it is."""
    await ctx.mcp.progress(1, 2, "half")
    return "done"


@tool(require_approval=True)
async def pay(to: str) -> str:
    """Pay."""
    raise AssertionError(to)


@step
async def keep(trip: Trip) -> Trip:
    return trip


def application() -> Mastra:
    flow = create_workflow(id="flow", input_schema=Trip, output_schema=Trip)
    model = ScriptedModel(ToolCall("pay", {"to": "ann"}), "paid")
    payer = Agent(id="payer", description="Pays", model=model, tools={"pay": pay})
    shop = MCPServer(
        "shop",
        version="2.0.0",
        description="A shop",
        tools=[book, sure, who, slowly, pay],
        agents={"payer": payer},
        workflows={"flow": flow.then(keep).commit()},
        resources=RESOURCES,
        prompts=PROMPTS,
    )
    return Mastra(workflows={"flow": flow}, agents={"payer": payer}, mcp_servers={"shop": shop})


def client_of(app: Any, **options: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api", **options)


async def test_the_routes_tell_what_there_is() -> None:
    async with client_of(create_app(application())) as client:
        listed = (await client.get("/mcp/v0/servers")).json()
        (shop,) = listed["servers"]
        assert (listed["total_count"], listed["next"]) == (1, None)
        assert (shop["id"], shop["description"]) == ("shop", "A shop")
        assert shop["version_detail"]["version"] == "2.0.0"
        assert shop["remotes"][0]["url"] == "http://127.0.0.1/api/mcp/shop/mcp"
        assert (await client.get("/mcp/v0/servers/shop")).json() == shop
        assert (await client.get("/mcp/v0/servers/shop?version=1")).status_code == 404
        tools = {t["name"]: t for t in (await client.get("/mcp/shop/tools")).json()["tools"]}
        kinds = {name: tools[name]["toolType"] for name in ("who", "ask_payer", "run_flow")}
        assert kinds == {"who": "tool", "ask_payer": "agent", "run_flow": "workflow"}
        assert (await client.get("/mcp/shop/tools/book")).json() == tools["book"]
        run = await client.post("/mcp/shop/tools/run_flow/execute", json={"data": {"city": "Rome"}})
        assert run.json()["result"]["result"] == {"city": "Rome"}
        assert len((await client.get("/mcp/shop/resources")).json()["resources"]) == 3
        read = await client.post("/mcp/shop/resources/read", json={"uri": "test://static-text"})
        (text,) = read.json()["contents"]
        assert (text["text"][:4], text["mimeType"]) == ("This", "text/plain")
        for path in ("v0/servers/x", "x/tools", "shop/tools/x", "x/resources", "x/mcp"):
            assert (await client.get(f"/mcp/{path}")).status_code == 404
        gone = await client.post("/mcp/shop/resources/read", json={"uri": "test://nothing"})
        assert gone.status_code == 404
        refused = await client.post("/mcp/shop/tools/pay/execute", json={"data": {"to": "ann"}})
        assert refused.status_code == 403


async def test_pages_of_the_list() -> None:
    servers = {f"s{n}": MCPServer(f"s{n}") for n in range(5)}
    async with client_of(create_app(Mastra(mcp_servers=servers))) as client:
        address: str | None = "/mcp/v0/servers?perPage=2&page=0"
        found: list[str] = []
        while address is not None:
            page = (await client.get(address)).json()
            found += [one["id"] for one in page["servers"]]
            address = page["next"]
        assert found == list(servers)
        skipped = (await client.get("/mcp/v0/servers?offset=3&limit=9")).json()
        assert [one["id"] for one in skipped["servers"]] == ["s3", "s4"]


@pytest.mark.parametrize("mode", ["legacy", "newest"])
async def test_the_address_speaks_the_protocol(mode: Any) -> None:
    asked: list[Question] = []

    def answer(question: Question) -> Any:
        asked.append(question)
        return {"day": "Monday"} if "When" in question.message else {"value": True}

    async with running(application()) as (url, _):
        where = {"url": f"{url}/api/mcp/shop/mcp", "mode": mode}
        async with MCPClient({"shop": where}, elicitation=answer) as client:
            tools = await client.list_tools()
            booked = await tools["shop_book"].execute({"city": "Rome"})
            assert booked == "Rome on Monday, breakfast True"
            assert await tools["shop_sure"].execute({}) == "Really? True"
            with pytest.raises(ToolError, match="approval"):
                await tools["shop_pay"].execute({"to": "ann"})
            with pytest.raises(ToolError, match="waits for somebody"):
                await tools["shop_ask_payer"].execute({"message": "pay"})
            prompt = await client.prompts.get("shop", "test_simple_prompt")
            assert prompt.messages[0].text == "This is a simple prompt for testing."
            assert len((await client.prompts.list())["shop"]) == 4
            part: Any = (await client.resources.read("shop", "test://template/7/data"))[0]
            assert part.text.startswith('{"id":"7"')
            with pytest.raises(ToolError, match="no resource"):
                await client.resources.read("shop", "test://nothing")
            with pytest.raises(ToolError, match="arg2"):
                await client.prompts.get("shop", "test_prompt_with_arguments", {"arg1": "x"})
    assert [one.message for one in asked] == ["When in Rome?", "Sure?", "Really?"]
    assert asked[0].requested_schema is not None
    assert asked[0].requested_schema["properties"]["breakfast"]["default"] is True


def decline(_question: Question) -> None:
    return None


@pytest.mark.parametrize("mode", ["legacy", "newest"])
async def test_what_nobody_answers_is_told(mode: Any) -> None:
    cases: list[tuple[Any, str]] = [(False, "nobody to ask"), (decline, "did not answer")]
    for elicitation, text in cases:
        server = {"server": MCPServer("s", tools=[book]), "mode": mode}
        async with MCPClient({"s": server}, elicitation=elicitation) as client:
            with pytest.raises(ToolError, match=text):
                await (await client.list_tools())["s_book"].execute({"city": "Rome"})


@pytest.mark.parametrize("mode", ["legacy", "newest"])
async def test_clients_are_told_of_changes(mode: Any) -> None:
    app = application()
    shop: MCPServer = app.mcp_servers["shop"]
    uri = "test://watched-resource"
    async with running(app) as (url, _):
        async with MCPClient({"s": {"url": f"{url}/api/mcp/shop/mcp", "mode": mode}}) as client:
            async with client.resources.watch("s", uri) as changes:
                await shop.resources.notify_updated("test://static-text")
                await shop.resources.notify_list_changed()
                await shop.resources.notify_updated(uri)
                assert await asyncio.wait_for(anext(changes), 10) == uri


async def test_progress_reaches_the_readers_of_the_agent() -> None:
    server = {"server": MCPServer("s", tools=[slowly])}
    async with MCPClient({"s": server}) as client:
        model = ScriptedModel(ToolCall("s_slowly", {}), "ok")
        agent = Agent(id="a", model=model, tools=await client.list_tools())
        async with await agent.stream("go") as stream:
            told = [c.payload.output async for c in stream if c.type == "tool-output"]
    assert told == [{"progress": 1.0, "total": 2.0, "message": "half"}]


async def test_a_stranger_is_refused_and_a_session_is_its_callers_alone() -> None:
    async with running(application(), AUTH) as (url, _):
        address = f"{url}/api/mcp/shop/mcp"
        headers = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2025-11-25",
        }
        hello = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "x", "version": "1"},
            },
        }
        call: dict[str, Any] = {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "tools/call",
            "params": {"name": "who", "arguments": {}},
        }
        async with httpx.AsyncClient(headers=headers) as client:
            for path in ("mcp", "sse", "messages"):
                for method in ("GET", "POST", "DELETE"):
                    place = f"{url}/api/mcp/shop/{path}"
                    assert (await client.request(method, place, json=hello)).status_code == 401
            opened = await client.post(address, json=hello, headers=ALICE)
            own = {"mcp-session-id": opened.headers["mcp-session-id"]}
            foreign = await client.post(address, json=call, headers={**BOB, **own})
            assert foreign.status_code == 404
            answered = await client.post(address, json=call, headers={**ALICE, **own})
            assert '"text":"alice"' in answered.text
            assert (await client.delete(address, headers={**ALICE, **own})).status_code == 200


async def test_a_session_is_of_whom_a_middleware_says() -> None:
    async def named(request: Any, call_next: Any) -> Any:
        request.state.request_context = {RESOURCE_ID: request.headers["x-user"]}
        return await call_next(request)

    app = create_app(application(), ServerConfig(middleware=[named]))
    about = {"name": "x", "version": "1"}
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": about}
    headers = {"accept": "application/json, text/event-stream"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.0.0.1", headers=headers
        ) as client,
    ):
        address = "/api/mcp/shop/mcp"
        body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
        opened = await client.post(address, json=body, headers={"x-user": "alice"})
        own = {"mcp-session-id": opened.headers["mcp-session-id"]}
        for method in ("POST", "DELETE"):
            for user, status in (("bob", 404), ("alice", 200)):
                asked = {**own, "x-user": user}
                listed = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
                answer = await client.request(method, address, json=listed, headers=asked)
                assert answer.status_code == status, (method, user)


async def test_runs_over_mcp_are_their_callers() -> None:
    app = application()
    async with running(app, AUTH) as (url, _):
        where = {"url": f"{url}/api/mcp/shop/mcp", "headers": ALICE}
        async with MCPClient({"s": where}) as client:
            tools = await client.list_tools()
            run: Any = await tools["s_run_flow"].execute({"city": "Rome"})
            with pytest.raises(ToolError, match="waits for somebody"):
                await tools["s_ask_payer"].execute({"message": "pay"})
        async with httpx.AsyncClient(base_url=f"{url}/api") as client:
            path = f"/workflows/flow/runs/{run['runId']}"
            assert (await client.get(path, headers=BOB)).status_code == 403
            assert (await client.get(path, headers=ALICE)).status_code == 200
            waiting = "/agents/payer/suspended-runs"
            theirs = (await client.get(waiting, headers=BOB)).json()
            hers = (await client.get(waiting, headers=ALICE)).json()
        assert (len(theirs["runs"]), len(hers["runs"])) == (0, 1)


async def test_an_answer_to_another_call_is_refused() -> None:
    """What a client carries for us cannot be changed, nor used by others."""
    app = application()
    async with running(app, AUTH) as (url, _):
        facts: dict[str, Any] = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "x", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
        }
        headers = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": "book",
        }

        def call(**more: Any) -> dict[str, Any]:
            params: dict[str, Any] = {
                "name": "book",
                "arguments": {"city": "Rome"},
                "_meta": facts,
                **more,
            }
            return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}

        async with httpx.AsyncClient(headers=headers) as client:
            address = f"{url}/api/mcp/shop/mcp"
            asked = (await client.post(address, json=call(), headers=ALICE)).json()["result"]
            given = {"answer": {"action": "accept", "content": {"day": "Monday"}}}
            own = call(inputResponses=given, requestState=asked["requestState"])
            for who_calls, body in (
                (BOB, own),
                (ALICE, call(inputResponses=given, requestState=asked["requestState"][:-2] + "xx")),
                (ALICE, call(inputResponses=given, requestState='{"city": "Paris"}')),
            ):
                refused = (await client.post(address, json=body, headers=who_calls)).json()
                assert refused["error"]["code"] == -32602
            done = (await client.post(address, json=own, headers=ALICE)).json()["result"]
            assert done["content"][0]["text"] == "Rome on Monday, breakfast True"


async def listed_until_gone(client: MCPClient) -> None:
    while True:
        await client.list_tools()
        await asyncio.sleep(0.01)


async def test_the_server_stops_with_open_sessions() -> None:
    async with running(application()) as (url, runner):
        client = MCPClient({"s": f"{url}/api/mcp/shop/mcp"})
        assert "s_who" in await client.list_tools()
        runner.should_exit = True
        gone = asyncio.timeout(30)
        with pytest.raises(ToolError):
            async with gone:
                await listed_until_gone(client)
        await client.aclose()


async def test_the_transport_of_2024() -> None:
    from mcp import Client
    from mcp.client.sse import sse_client

    async with running(application(), AUTH) as (url, _):
        transport = sse_client(f"{url}/api/mcp/shop/sse", headers=ALICE)
        async with Client(transport, mode="legacy") as client:
            content: Any = (await client.call_tool("who", {})).content[0]
            assert content.text == "alice"


PROJECT = """
from mastra import Mastra, tool

print("a module that prints while it is imported")

@tool
async def double(n: int) -> int:
    '''Double a number.'''
    print("a tool that prints")
    return n * 2

mastra = Mastra(tools={"double": double})
"""


@pytest.mark.every_engine  # starts the command line
@pytest.mark.timeout(120)
async def test_the_command_speaks_on_its_standard_output_alone(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(PROJECT)
    command = str(Path(sys.executable).with_name("mastra"))
    env = {"PYTHONPATH": str(Path(__file__).parents[2])}
    program = {"command": command, "args": ["mcp"], "cwd": str(tmp_path), "env": env}
    async with MCPClient({"all": program}, timeout_s=90) as client:
        assert await (await client.list_tools())["all_double"].execute({"n": 21}) == "42"
    wrong = {**program, "args": ["mcp", "nope"]}
    async with MCPClient({"all": wrong}, timeout_s=90) as client:
        with pytest.raises(ToolError, match="cannot be reached"):
            await client.list_tools()
