"""MCP with the official SDK at the other end: in process, as a program, and over HTTP."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pydantic import BaseModel

from mastra.agents.agent import Agent
from mastra.errors import ConfigError, ToolError
from mastra.mcp import MCPClient, MCPServer
from mastra.models.messages import ImagePart
from mastra.models.tool_content import content_in
from mastra.registry import Mastra
from mastra.testing.models import ScriptedModel, ToolCall
from mastra.tools.content import File, Image
from mastra.tools.tool import tool
from mastra.workflows.step import step
from mastra.workflows.workflow import create_workflow


class Number(BaseModel):
    n: int


@tool
async def double(n: int) -> Number:
    """Double a number."""
    if n > 100:
        raise ValueError("too big")
    return Number(n=n * 2)


@step
async def add_one(number: Number) -> Number:
    return Number(n=number.n + 1)


def server() -> MCPServer:
    workflow = (
        create_workflow(id="counting", input_schema=Number, output_schema=Number)
        .then(add_one)
        .commit()
    )
    helper = Agent(id="helper", description="Helps", model=ScriptedModel("here you are"))
    mastra = Mastra(
        agents={"helper": helper}, workflows={"counting": workflow}, tools={"double": double}
    )
    return MCPServer("all", mastra=mastra)


async def test_in_process() -> None:
    async with MCPClient({"all": {"server": server()}}) as client:
        tools = await client.list_tools()
        assert sorted(tools) == ["all_ask_helper", "all_double", "all_run_counting"]
        assert tools["all_double"].description == "Double a number."
        assert tools["all_double"].input_json_schema["properties"]["n"]["type"] == "integer"
        assert await tools["all_double"].execute({"n": 4}) == {"n": 8}
        assert await tools["all_ask_helper"].execute({"message": "help"}) == "here you are"
        counted: Any = await tools["all_run_counting"].execute({"n": 1})
        assert counted["result"] == {"n": 2}
        # What a tool raises may tell of the inside; what it has to say is a ToolError.
        with pytest.raises(ToolError, match="'double' failed: ValueError"):
            await tools["all_double"].execute({"n": 101})
        with pytest.raises(ToolError, match="validation failed"):
            await tools["all_double"].execute({"n": "x"})


async def test_an_agent_uses_a_program_that_speaks_mcp() -> None:
    program = str(Path(__file__).parent / "stdio_server.py")
    root = str(Path(__file__).parents[2])
    model = ScriptedModel(ToolCall("double", {"n": 21}), "forty-two")
    config = {"command": sys.executable, "args": [program], "env": {"PYTHONPATH": root}}
    async with MCPClient({"numbers": config}) as client:
        agent = Agent(id="a", model=model)
        result = await agent.generate("q", toolsets=await client.list_toolsets())
    assert result.tool_results[0].payload.result == "42"


async def test_over_http() -> None:
    config = uvicorn.Config(server().asgi_app(), port=0, log_level="warning", lifespan="on")
    running = uvicorn.Server(config)
    task = asyncio.ensure_future(running.serve())
    while not running.started:
        await asyncio.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    try:
        async with MCPClient({"all": f"http://127.0.0.1:{port}/mcp"}) as client:
            tools = await client.list_tools()
            assert await tools["all_double"].execute({"n": 3}) == {"n": 6}
    finally:
        running.should_exit = True
        await task


async def test_what_cannot_be_reached_and_what_is_wrong() -> None:
    async with MCPClient({"gone": "http://127.0.0.1:1/mcp"}) as client:
        with pytest.raises(ToolError, match="cannot be reached"):
            await client.list_tools()
    with pytest.raises(ConfigError, match="command or a url"):
        MCPClient({"x": {}})
    with pytest.raises(ConfigError, match="description"):
        MCPServer("x", agents={"a": Agent(id="a", model=ScriptedModel())})
    with pytest.raises(ConfigError, match="no tool"):
        await MCPServer("x").execute_tool("nope", {})


async def test_tools_of_two_servers_that_come_to_one_name() -> None:
    one = MCPServer("one", tools={"b_double": double})
    two = MCPServer("two", tools={"double": double})
    async with MCPClient({"a": {"server": one}, "a_b": {"server": two}}) as client:
        with pytest.raises(ConfigError, match="'a_b_double'"):
            await client.list_tools()
        assert sorted(await client.list_toolsets()) == ["a", "a_b"]


def test_a_server_with_two_tools_of_one_name() -> None:
    other = tool(id="double")(lambda: 2)
    with pytest.raises(ConfigError, match="'double'"):
        MCPServer("x", mastra=Mastra(tools={"double": double}), tools={"double": other})


@tool
async def show() -> Any:
    """Show something."""
    return [
        "look",
        Image(b"png", "image/png"),
        File(b"pdf", "application/pdf", "a b.pdf"),
        File(b"wav", "audio/wav"),
        Image(url="https://example.com/x.png"),
    ]


async def test_pictures_and_files_of_our_tools_are_shown_to_clients() -> None:
    async with MCPClient({"s": {"server": MCPServer("s", tools=[show])}}) as client:
        given: Any = await (await client.list_tools())["s_show"].execute({})
    kinds = [block["type"] for block in given]
    assert kinds == ["text", "image", "resource", "audio", "resource_link"]
    assert given[1]["data"] == "cG5n"
    assert given[2]["resource"]["uri"] == "file:///a%20b.pdf"
    parts = content_in(given)
    assert parts is not None
    assert isinstance(parts[1], ImagePart)
