"""A tool that a person must agree to runs nowhere without anybody who did."""

from __future__ import annotations

from typing import Any, Literal

import httpx
import pytest
from pydantic import BaseModel

from mastra import Agent, Mastra, ToolContext, create_tool, create_workflow, tool
from mastra.errors import ToolApprovalError, ToolError
from mastra.mcp import MCPClient, MCPServer
from mastra.server import create_app
from mastra.testing import ScriptedModel, ToolCall

pytestmark = pytest.mark.anyio
RAN: list[str] = []


def large(given: Any) -> bool:
    return given.amount > 10


@pytest.fixture(autouse=True)
def forget() -> None:
    RAN.clear()


@tool(require_approval=True)
async def pay(to: str) -> str:
    """Pay."""
    RAN.append(to)
    return f"paid {to}"


@tool(require_approval=large)
async def spend(amount: int) -> str:
    """Spend."""
    RAN.append(str(amount))
    return "spent"


def payer(*turns: Any) -> Agent:
    model = ScriptedModel(*(turns or (ToolCall("pay", {"to": "ann"}), "done")))
    return Agent(id="payer", description="Pays", model=model, tools={"pay": pay, "spend": spend})


def build() -> Mastra:
    flow = create_workflow(id="flow", input_schema=pay.input_schema.type, output_schema=Any)
    return Mastra(
        tools={"pay": pay, "spend": spend},
        agents={"payer": payer()},
        workflows={"flow": flow.then(pay).commit()},
    )


@pytest.mark.parametrize("base", ["/api/tools", "/api/agents/payer/tools"])
async def test_no_route_runs_a_tool_that_nobody_agreed_to(base: str) -> None:
    transport = httpx.ASGITransport(create_app(build()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for given in ({"data": {"to": "ann"}}, {"data": {"to": "ann"}, "approved": True}):
            refused = await client.post(f"{base}/pay/execute", json=given)
            assert refused.status_code == 403
            assert refused.headers["x-mastra-error-code"] == "TOOL_APPROVAL_REQUIRED"
        much = await client.post(f"{base}/spend/execute", json={"data": {"amount": 11}})
        assert (much.status_code, RAN) == (403, [])
        little = await client.post(f"{base}/spend/execute", json={"data": {"amount": 1}})
        assert (little.json(), RAN) == ("spent", ["1"])


@tool
async def ask(ctx: ToolContext) -> str:
    """Ask somebody."""
    if ctx.resume_data is None:
        return await ctx.suspend("which?")
    RAN.append(str(ctx.resume_data))
    return "asked"


@pytest.mark.parametrize("base", ["/api/tools", "/api/agents/asker/tools"])
async def test_no_route_goes_on_with_a_tool_that_was_not_suspended(base: str) -> None:
    """As with the original, whose routes take `data` and `requestContext` alone."""
    asker = Agent(id="asker", model=ScriptedModel(), tools={"ask": ask})
    mastra = Mastra(tools={"ask": ask}, agents={"asker": asker})
    transport = httpx.ASGITransport(create_app(mastra))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for given in ({"data": {}}, {"data": {}, "resumeData": "this one"}):
            refused = await client.post(f"{base}/ask/execute", json=given)
            assert refused.status_code == 409
            assert "no run to suspend" in refused.json()["error"]
    assert RAN == []


async def test_a_workflow_of_the_server_waits() -> None:
    transport = httpx.ASGITransport(create_app(build()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        base, query = "/api/workflows/flow", "?runId=r"
        made = await client.post(f"{base}/start-async{query}", json={"inputData": {"to": "ann"}})
        assert (made.json()["status"], RAN) == ("suspended", [])
        answer = {"resumeData": {"approved": True}}
        done = await client.post(f"{base}/resume-async{query}", json=answer)
        assert (done.json()["result"], RAN) == ("paid ann", ["ann"])


async def test_nothing_over_mcp_runs_a_tool_that_nobody_agreed_to() -> None:
    async with MCPClient({"s": {"server": MCPServer("s", mastra=build())}}) as client:
        tools = await client.list_tools()
        for name, given in (
            ("s_pay", {"to": "ann"}),
            ("s_spend", {"amount": 11}),
            ("s_run_flow", {"to": "ann"}),
            ("s_ask_payer", {"message": "pay ann"}),
        ):
            with pytest.raises(ToolError):
                await tools[name].execute(given)
        assert RAN == []
        assert await tools["s_spend"].execute({"amount": 1}) == "spent"


async def test_agents_that_ask_agents_and_workflows_wait() -> None:
    flow = create_workflow(id="flow", input_schema=pay.input_schema.type, output_schema=Any)
    for call, inside in (
        (ToolCall("agent-payer", {"prompt": "pay"}), {"agents": {"payer": payer()}}),
        (ToolCall("workflow-f", {"to": "ann"}), {"workflows": {"f": flow.then(pay).commit()}}),
    ):
        RAN.clear()
        boss = Agent(id="boss", model=ScriptedModel(call, "done"), **inside)
        first = await boss.generate("pay ann")
        assert (first.finish_reason, RAN) == ("suspended", [])
        last = await boss.resume_generate({"approved": True}, run_id=first.run_id)
        assert (last.text, RAN) == ("done", ["ann"])


async def test_a_tool_that_runs_another_does_not_agree_for_it() -> None:
    @tool
    async def wrap(ctx: ToolContext) -> Any:
        """Run another."""
        return await pay.execute({"to": "ann"}, ctx)

    with pytest.raises(ToolApprovalError):
        await wrap.execute({}, ToolContext())
    assert RAN == []
    assert await pay.execute({"to": "bob"}) == "paid bob"  # code of one's own, as in a test


@tool
async def look(to: str) -> str:
    """Look."""
    RAN.append(to)
    return "seen"


def raises(_: Any) -> bool:
    raise RuntimeError("broken")


def only_ann(call: Any) -> bool:
    return (
        call.tool_name == "look" and call.args["to"] == "ann" and not call.request_context.to_dict()
    )


def decided(_: Any) -> dict[str, Any]:
    return {"require_tool_approval": True}


@pytest.mark.parametrize(
    "defaults",
    [
        {"require_tool_approval": True},
        {"require_tool_approval": only_ann},
        {"require_tool_approval": raises},
        decided,
    ],
)
async def test_what_an_agents_author_decides_holds_where_its_tool_is_run_by_itself(
    defaults: Any,
) -> None:
    agent = Agent(id="g", model=ScriptedModel("x"), tools={"look": look}, default_options=defaults)
    transport = httpx.ASGITransport(create_app(Mastra(agents={"g": agent})))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for more in ({}, {"requireToolApproval": False}):
            body = {"data": {"to": "ann"}, **more}
            refused = await client.post("/api/agents/g/tools/look/execute", json=body)
            assert refused.status_code == 403
            assert refused.headers["x-mastra-error-code"] == "TOOL_APPROVAL_REQUIRED"
        assert RAN == []
        if isinstance(defaults, dict) and defaults["require_tool_approval"] is only_ann:
            other = {"data": {"to": "bob"}}
            fine = await client.post("/api/agents/g/tools/look/execute", json=other)
            assert (fine.json(), RAN) == ("seen", ["bob"])


class Admin(BaseModel):
    role: Literal["admin"]


@pytest.mark.parametrize("base", ["/api/tools", "/api/agents/g/tools", "/api/mcp/m/tools"])
async def test_a_tool_is_told_what_it_needs_of_a_request_wherever_it_is_run(base: str) -> None:
    strict = create_tool("strict", "Strict", dict, None, RAN.append, request_context_schema=Admin)
    tools = {"strict": strict}
    agent = Agent(id="g", model=ScriptedModel("x"), tools=tools)
    served = {"m": MCPServer("m", tools=tools)}
    app = create_app(Mastra(tools=tools, agents={"g": agent}, mcp_servers=served))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for context in ({}, {"role": "guest"}):
            body = {"data": {}, "requestContext": context}
            refused = await client.post(f"{base}/strict/execute", json=body)
            assert (refused.status_code, RAN) == (400, [])
        body = {"data": {}, "requestContext": {"role": "admin"}}
        assert (await client.post(f"{base}/strict/execute", json=body)).status_code == 200
        assert RAN == [{}]
