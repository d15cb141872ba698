"""Lists in which one entry cannot be read: the others can be used, and the log tells of it once."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any

import pytest
from mcp import types
from mcp.server.lowlevel import Server

from mastra.errors import ToolError
from mastra.mcp import MCPClient

pytestmark = pytest.mark.anyio

OBJECT = {"type": "object"}
GOOD = {"name": "good", "inputSchema": OBJECT}
NOWHERE = {**OBJECT, "properties": {"a": {"$ref": "#/nowhere"}}}
ENDLESS = {
    **OBJECT,
    "$defs": {"a": {"$ref": "#/$defs/a"}},
    "properties": {"a": {"$ref": "#/$defs/a"}},
}
SERVER = """
import json, sys
lists = json.loads(sys.argv[1])
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    method = asked["method"]
    if method == "initialize":
        result = {"protocolVersion": asked["params"]["protocolVersion"],
                  "capabilities": {"tools": {}, "prompts": {}, "resources": {}},
                  "serverInfo": {"name": "s", "version": "1"}}
    elif method == "tools/call":
        given = json.dumps(asked["params"].get("arguments"))
        result = {"content": [{"type": "text", "text": given}], "tools": [1], "structuredContent": {"a": 1}}
    else:
        result = lists[method]
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"""


def offering(lists: dict[str, Any]) -> dict[str, Any]:
    return {"command": sys.executable, "args": ["-c", SERVER, json.dumps(lists)]}


def offering_tools(*tools: Any) -> dict[str, Any]:
    return offering({"tools/list": {"tools": tools}})


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        (
            {"name": "odd", "inputSchema": {"type": "array"}},
            "a tool 'odd' that cannot be used .*type",
        ),
        (
            {"name": "odd", "inputSchema": {**OBJECT, "required": True}},
            "'odd' that cannot .*required",
        ),
        ({"name": "odd", "inputSchema": {**OBJECT, "properties": [1]}}, "'odd' that .*properties"),
        ({"inputSchema": OBJECT}, "a tool 'None' that cannot be used and is left out: name"),
        ({"name": "", "inputSchema": OBJECT}, "a tool '' that cannot be used"),
        ("text", "a tool 'text' that cannot be used"),
        (None, "a tool 'None' that cannot be used"),
    ],
)
async def test_a_tool_that_cannot_be_used_costs_itself_alone(
    odd: Any, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with MCPClient({"s": offering_tools(odd, GOOD)}) as client:
        for _ in range(2):
            tools = await client.list_tools()
            assert list(tools) == ["s_good"]
            assert await tools["s_good"].execute({"n": 1}) == {"a": 1}
    (warned,) = warnings(caplog)
    assert warned.startswith("MCP server 's' offers ")
    assert re.search(told, warned)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]


ODD_PARTS: list[tuple[str, Any, str]] = [
    ("outputSchema", {"type": "array"}, "outputSchema.type"),
    (
        "outputSchema",
        {**OBJECT, "properties": {"a": {"type": "strin"}}},
        "'strin' is not valid",
    ),
    ("outputSchema", NOWHERE, "refers to what is not in it"),
    ("outputSchema", ENDLESS, "refers to itself without an end"),
    ("annotations", {"readOnlyHint": "maybe"}, "annotations.readOnlyHint"),
    ("icons", [{}], "icons.0.src"),
    ("description", 5, "description"),
]


@pytest.mark.parametrize(("part", "value", "told"), ODD_PARTS)
async def test_a_tool_does_without_what_cannot_be_read_of_it(
    part: str, value: Any, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    odd = {"name": "odd", "inputSchema": OBJECT, part: value}
    async with MCPClient({"s": offering_tools(odd, GOOD)}) as client:
        for _ in range(2):
            tools = await client.list_tools()
            assert list(tools) == ["s_odd", "s_good"]
            assert await tools["s_odd"].execute({}) == {"a": 1}
    (warned,) = warnings(caplog)
    assert f"a tool 'odd' whose {part} cannot be read and is passed over" in warned
    assert told in warned


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ({}, {}),
        ([], {}),
        (None, {}),
        ({"properties": {"a": True}}, {"properties": {"a": True}}),
        ({"type": ["object", "null"]}, {}),
        ({"type": "object", "properties": []}, {"properties": {}}),
    ],
)
async def test_a_schema_that_leaves_open_what_is_an_object_in_any_case_is_used(
    schema: Any, shown: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with MCPClient({"s": offering_tools({"name": "odd", "inputSchema": schema})}) as client:
        tool = (await client.list_tools())["s_odd"]
        assert tool.input_json_schema == {**OBJECT, **shown}
        assert await tool.execute({"n": 1}) == {"a": 1}
    assert warnings(caplog) == []


async def test_an_output_schema_that_can_be_read_is_still_held_against_what_is_given() -> None:
    wanting = {
        **OBJECT,
        "properties": {"a": {"$ref": "#/$defs/t"}},
        "$defs": {"t": {"type": "string"}},
    }
    odd = {"name": "odd", "inputSchema": OBJECT, "outputSchema": wanting}
    async with MCPClient({"s": offering_tools(odd, GOOD)}) as client:
        tools = await client.list_tools()
        with pytest.raises(ToolError, match="1 is not of type 'string'"):
            await tools["s_odd"].execute({})


async def test_of_two_tools_of_one_name_the_first_counts(caplog: pytest.LogCaptureFixture) -> None:
    again = {**GOOD, "description": "Again."}
    async with MCPClient({"s": offering_tools({**GOOD, "description": "First."}, again)}) as client:
        tools = await client.list_tools()
        assert [tool.description for tool in tools.values()] == ["First."]
    (warned,) = warnings(caplog)
    assert "two tools named 'good'; the first counts" in warned


async def test_prompts_and_resources_that_cannot_be_read_cost_themselves_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lists: dict[str, Any] = {
        "prompts/list": {"prompts": [{"name": "odd", "arguments": [{}]}, {"name": "good"}]},
        "resources/list": {
            "resources": [{"name": "odd"}, {"name": "good", "uri": "n://a", "size": "big"}]
        },
        "resources/templates/list": {
            "resourceTemplates": [{"name": "odd"}, {"name": "good", "uriTemplate": "n://{a}"}]
        },
    }
    async with MCPClient({"s": offering(lists)}) as client:
        assert [one.name for one in (await client.prompts.list())["s"]] == ["good"]
        assert [one.name for one in (await client.resources.list())["s"]] == ["good"]
        assert [one.name for one in (await client.resources.templates())["s"]] == ["good"]
    told = "\n".join(warnings(caplog))
    assert "a prompt 'odd' that cannot be used and is left out: arguments.0.name" in told
    assert "a resource 'odd' that cannot be used and is left out: uri" in told
    assert "a resource 'good' whose size cannot be read" in told
    assert "a template 'odd' that cannot be used and is left out: uriTemplate" in told


async def test_a_server_that_cannot_be_asked_costs_itself_alone_where_errors_are_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lists: dict[str, Any] = {
        "tools/list": {"tools": [GOOD]},
        "prompts/list": {"prompts": [{"name": "p"}]},
        "resources/list": {"resources": [{"name": "r", "uri": "n://r"}]},
        "resources/templates/list": {"resourceTemplates": []},
    }
    gone = {"command": sys.executable, "args": ["-c", "raise SystemExit(1)"]}
    async with MCPClient({"gone": gone, "s": offering(lists)}) as client:
        with pytest.raises(ToolError, match=r"'gone' .* cannot be reached"):
            await client.list_tools()
        tools, errors = await client.list_tools_with_errors()
        assert (list(tools), list(errors)) == (["s_good"], ["gone"])
        assert errors["gone"].code == "MCP_UNREACHABLE"
        assert await tools["s_good"].execute({}) == {"a": 1}
        toolsets, _ = await client.list_toolsets_with_errors()
        assert {name: list(found) for name, found in toolsets.items()} == {"s": ["good"]}
        prompts, errors = await client.prompts.list_with_errors()
        assert ([one.name for one in prompts["s"]], list(errors)) == (["p"], ["gone"])
        resources, errors = await client.resources.list_with_errors()
        assert ([one.name for one in resources["s"]], list(errors)) == (["r"], ["gone"])
        templates, errors = await client.resources.templates_with_errors()
        assert (templates, list(errors)) == ({"s": []}, ["gone"])
    assert all("'gone'" in told for told in warnings(caplog))


async def test_of_the_newest_protocol_such_a_tool_costs_itself_alone_too() -> None:
    """The SDK takes any schema of an object there."""
    odd = types.Tool(name="odd", input_schema={**OBJECT, "required": True})
    good = types.Tool(name="good", input_schema=OBJECT)

    async def list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[odd, good])

    server: Any = Server("s", on_list_tools=list_tools)
    async with MCPClient({"s": {"server": server, "mode": "newest"}}) as client:
        assert list(await client.list_tools()) == ["s_good"]
