"""An application whose MCP server has one of everything that a conformance suite asks for."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel, Field

from mastra import Mastra, create_tool, tool
from mastra.errors import ToolError
from mastra.mcp import MCPServer
from mastra.tools.content import Image
from mastra.tools.tool_context import ToolContext

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="


@tool
async def test_simple_text() -> str:
    """Give a text."""
    return "This is a simple text response for testing."


@tool
async def test_image_content() -> Any:
    """Give a picture."""
    return [Image(PNG, "image/png")]


@tool
async def test_audio_content() -> Any:
    """Give a sound."""
    return [{"type": "audio", "data": WAV, "mimeType": "audio/wav"}]


def resource(uri: str, kind: str, text: str) -> dict[str, Any]:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": text}}


@tool
async def test_embedded_resource() -> Any:
    """Give a resource."""
    text = "This is an embedded resource content."
    return [resource("test://embedded-resource", "text/plain", text)]


@tool
async def test_multiple_content_types() -> Any:
    """Give several things."""
    data = '{"test":"data","value":123}'
    return [
        {"type": "text", "text": "Multiple content types test:"},
        {"type": "image", "data": PNG, "mimeType": "image/png"},
        resource("test://mixed-content-resource", "application/json", data),
    ]


@tool
async def test_tool_with_logging(ctx: ToolContext) -> str:
    """Log what it does."""
    for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.mcp.log("info", text)
        await asyncio.sleep(0.05)
    return "logged"


@tool
async def test_error_handling() -> str:
    """Fail."""
    raise ToolError("This tool intentionally returns an error for testing")


@tool
async def test_tool_with_progress(ctx: ToolContext) -> str:
    """Tell how far it is."""
    for done in (0, 50, 100):
        await ctx.mcp.progress(done, 100)
        await asyncio.sleep(0.05)
    return "done"


@tool
async def test_sampling(prompt: str, ctx: ToolContext) -> str:
    """Ask the client's model."""
    return f"LLM response: {await ctx.mcp.sample(prompt, max_tokens=100)}"


class Person(BaseModel):
    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


@tool
async def test_elicitation(message: str, ctx: ToolContext) -> str:
    """Ask the person at the client."""
    answer = await ctx.mcp.elicitation.send_request(message, Person)
    return f"User response: action: {answer.action}, content: {answer.content}"


DEFAULTS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {
            "type": "string",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        "verified": {"type": "boolean", "default": True},
    },
    "required": [],
}
OPTIONS = ["option1", "option2", "option3"]
TITLED = [{"const": f"value{n}", "title": f"{name} Option"} for n, name in ((1, "First"), (2, "Second"), (3, "Third"))]  # fmt: skip
CHOICES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": OPTIONS},
        "titledSingle": {"type": "string", "oneOf": TITLED},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": OPTIONS}},
        "titledMulti": {"type": "array", "items": {"anyOf": TITLED}},
    },
    "required": [],
}


async def asks(schema: dict[str, Any], ctx: ToolContext) -> str:
    answer = await ctx.mcp.elicitation.send_request("Please answer", schema)
    return f"Elicitation completed: action={answer.action}, content={answer.content}"


@tool
async def test_elicitation_sep1034_defaults(ctx: ToolContext) -> str:
    """Ask with values that are there already."""
    return await asks(DEFAULTS, ctx)


@tool
async def test_elicitation_sep1330_enums(ctx: ToolContext) -> str:
    """Ask for choices."""
    return await asks(CHOICES, ctx)


@tool
async def test_reconnection(ctx: ToolContext) -> str:
    """Close the stream that the answer would come by."""
    if ctx.mcp.extra.close_sse_stream is not None:
        await ctx.mcp.extra.close_sse_stream()
    await asyncio.sleep(0.1)
    return "Reconnection test completed successfully"


async def take(given: dict[str, Any]) -> Any:
    return given


json_schema_2020_12_tool = create_tool(
    "json_schema_2020_12_tool",
    "Tool with JSON Schema 2020-12 features",
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
        "additionalProperties": False,
    },
    execute=take,
)


def resources(_ctx: ToolContext) -> list[dict[str, Any]]:
    return [
        {
            "uri": "test://static-text",
            "name": "text",
            "description": "A text",
            "mimeType": "text/plain",
        },
        {
            "uri": "test://static-binary",
            "name": "picture",
            "description": "A picture",
            "mimeType": "image/png",
        },
        {"uri": "test://watched-resource", "name": "watched", "description": "It changes"},
    ]


def templates(_ctx: ToolContext) -> list[dict[str, Any]]:
    return [{"uriTemplate": "test://template/{id}/data", "name": "data", "description": "By id"}]


def content(uri: str, _ctx: ToolContext) -> Any:
    if uri == "test://static-text":
        return "This is the content of the static text resource."
    if uri == "test://static-binary":
        return {"blob": PNG}
    if uri == "test://watched-resource":
        return "as it is"
    if uri.startswith("test://template/"):
        one = uri.split("/")[3]
        text = f'{{"id":"{one}","templateTest":true,"data":"Data for ID: {one}"}}'
        return {"text": text, "mimeType": "application/json"}
    return None


def argument(name: str) -> dict[str, Any]:
    return {"name": name, "description": f"The {name}", "required": True}


def prompts(_ctx: ToolContext) -> list[dict[str, Any]]:
    return [
        {"name": "test_simple_prompt", "description": "Simple"},
        {
            "name": "test_prompt_with_arguments",
            "description": "With arguments",
            "arguments": [argument("arg1"), argument("arg2")],
        },
        {
            "name": "test_prompt_with_embedded_resource",
            "description": "With a resource",
            "arguments": [argument("resourceUri")],
        },
        {"name": "test_prompt_with_image", "description": "With a picture"},
    ]


def said(name: str, args: dict[str, str], _ctx: ToolContext) -> list[Any]:
    if name == "test_simple_prompt":
        return ["This is a simple prompt for testing."]
    if name == "test_prompt_with_arguments":
        return [f"Prompt with arguments: arg1='{args['arg1']}', arg2='{args['arg2']}'"]
    if name == "test_prompt_with_image":
        picture = {"type": "image", "data": PNG, "mimeType": "image/png"}
        return [{"role": "user", "content": picture}, "Please analyze the image above."]
    text = "Embedded resource content for testing."
    block = resource(args["resourceUri"], "text/plain", text)
    return [
        {"role": "user", "content": block},
        "Please process the embedded resource above.",
    ]


RESOURCES: dict[str, Any] = {
    "list_resources": resources,
    "get_resource_content": content,
    "resource_templates": templates,
}
PROMPTS: dict[str, Any] = {"list_prompts": prompts, "get_prompt_messages": said}
TOOLS = [
    test_simple_text,
    test_image_content,
    test_audio_content,
    test_embedded_resource,
    test_multiple_content_types,
    test_tool_with_logging,
    test_error_handling,
    test_tool_with_progress,
    test_sampling,
    test_elicitation,
    test_elicitation_sep1034_defaults,
    test_elicitation_sep1330_enums,
    test_reconnection,
    json_schema_2020_12_tool,
]


def build() -> Mastra:
    server = MCPServer(
        "everything",
        description="One of everything",
        tools=TOOLS,
        resources=RESOURCES,
        prompts=PROMPTS,
        complete=lambda _of, _argument, value: [
            w for w in ("paris", "park") if w.startswith(value)
        ],
    )
    return Mastra(mcp_servers={"everything": server})


mastra = build()
