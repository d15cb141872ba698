"""What the functions behind a server's resources, prompts and questions may give, and what not."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pydantic import BaseModel

from mastra import ConfigError, tool
from mastra.errors import ToolError
from mastra.mcp import MCPClient, MCPServer, MCPServerPrompts, MCPServerResources
from mastra.models.messages import ImagePart, Message
from mastra.tools.tool_context import ToolContext

pytestmark = pytest.mark.anyio

LISTED = [{"uri": "a://text", "name": "text", "mimeType": "text/plain"}]
CONTENT: dict[str, Any] = {
    "a://text": "words",
    "a://bytes": b"\x00\x01",
    "a://several": ["one", {"blob": "AAE="}],
    "a://number": 3,
    "a://broken": {"text": 3},
}
SAID: dict[str, Any] = {
    "text": ["Hi"],
    "message": [Message.user("See", ImagePart(data="AAE=")), Message.assistant("Seen")],
    "plain": [{"role": "user", "content": {"type": "text", "text": "as it is"}}],
    "system": [Message.system("no")],
    "number": [3],
    "broken": [{"role": "nobody"}],
}


def offering() -> MCPServer:
    return MCPServer(
        "s",
        resources=MCPServerResources(
            list_resources=lambda _: LISTED, get_resource_content=lambda uri, _: CONTENT.get(uri)
        ),
        prompts=MCPServerPrompts(
            list_prompts=lambda _: [
                *({"name": name} for name in SAID),
                {"name": "needy", "arguments": [{"name": "city", "required": True}]},
            ],
            get_prompt_messages=lambda name, args, _: SAID.get(name, [str(args)]),
        ),
    )


async def test_what_is_at_an_address() -> None:
    async with MCPClient({"s": {"server": offering()}}) as client:
        assert [one.uri for one in (await client.resources.list())["s"]] == ["a://text"]
        assert (await client.resources.templates())["s"] == []
        assert not (await client.prompts.list()).get("none")
        [text] = await client.resources.read("s", "a://text")
        assert (getattr(text, "text", None), text.mime_type) == ("words", "text/plain")
        [raw] = await client.resources.read("s", "a://bytes")
        assert base64.b64decode(getattr(raw, "blob", "")) == b"\x00\x01"
        assert len(await client.resources.read("s", "a://several")) == 2
        for uri in ("a://nothing", "a://number", "a://broken"):
            with pytest.raises(ToolError, match="'s'"):
                await client.resources.read("s", uri)


async def test_what_a_prompt_says() -> None:
    async with MCPClient({"s": {"server": offering()}}) as client:

        async def said(name: str, args: dict[str, str] | None = None) -> list[tuple[str, str]]:
            found = await client.prompts.get("s", name, args)
            return [(one.role, one.text) for one in found.messages]

        assert await said("text") == [("user", "Hi")]
        assert await said("message") == [("user", "See"), ("user", ""), ("assistant", "Seen")]
        assert await said("plain") == [("user", "as it is")]
        assert await said("needy", {"city": "Rome"}) == [("user", "{'city': 'Rome'}")]
        for name in ("system", "number", "broken", "needy", "nobody"):
            with pytest.raises(ToolError, match="'s'"):
                await said(name)


async def test_a_server_without_resources_has_none() -> None:
    async with MCPClient({"s": {"server": MCPServer("s", tools={})}}) as client:
        assert await client.resources.list() == {"s": []}
        assert await client.prompts.list() == {"s": []}


class Nested(BaseModel):
    class Inner(BaseModel):
        n: int

    inner: Inner


class Name(BaseModel):
    name: str = "Ada"
    age: int = 3


@tool(resume_schema=Nested)
async def deep(ctx: ToolContext) -> str:
    """Ask for what no form has."""
    return await ctx.suspend({"message": "?"})


@tool(resume_schema=dict[str, int])
async def deeper(ctx: ToolContext) -> str:
    """Ask for fields of any name."""
    return await ctx.suspend({"message": "?"})


@tool
async def formless(ctx: ToolContext) -> str:
    """Ask for nobody knows what."""
    return await ctx.suspend({"message": "?"})


@tool(resume_schema=Name)
async def endless(ctx: ToolContext) -> str:
    """Ask again and again."""
    return await ctx.suspend({"n": 1})


@tool(resume_schema=Name)
async def once(ctx: ToolContext) -> str:
    """Ask once."""
    if ctx.resume_data is None:
        return await ctx.suspend({"message": "Who?"})
    return f"{ctx.resume_data.name} {ctx.resume_data.age}"


@tool
async def ponder(ctx: ToolContext) -> str:
    """Ask the client's model."""
    return await ctx.mcp.sample("Hm?", max_tokens=3)


ASKING = MCPServer("s", tools=[deep, deeper, formless, endless, once, ponder])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("deep", "inner"),
        ("deeper", "simple fields"),
        ("formless", "does not say of what form"),
        ("endless", "times"),
        ("ponder", "no model to offer"),
    ],
)
async def test_what_cannot_be_asked_is_told(name: str, told: str) -> None:
    async with MCPClient({"s": {"server": ASKING}}, elicitation=lambda _: True) as client:
        with pytest.raises(ToolError, match=told):
            await (await client.list_tools())[f"s_{name}"].execute({})


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (True, "Ada 3"),  # what the schema says of itself
        ({"name": "Bob"}, "Bob 3"),
        (Name(name="Eve", age=9), "Eve 9"),
        ({"action": "accept", "content": {"name": "Bob", "age": 4}}, "Bob 4"),
    ],
)
async def test_forms_of_an_answer(answer: Any, told: str) -> None:
    async with MCPClient({"s": {"server": ASKING}}, elicitation=lambda _: answer) as client:
        assert await (await client.list_tools())["s_once"].execute({}) == told


@pytest.mark.parametrize("answer", [False, None, {"action": "cancel"}, {"action": "decline"}])
async def test_who_does_not_answer(answer: Any) -> None:
    async with MCPClient({"s": {"server": ASKING}}, elicitation=lambda _: answer) as client:
        with pytest.raises(ToolError):
            await (await client.list_tools())["s_once"].execute({})


def test_servers_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="state_keys"):
        MCPServer("s", state_keys=["short"])
    for given in (MCPServer("s"), 3, None):
        with pytest.raises(ConfigError, match=f"is given as {type(given).__name__}"):
            MCPClient({"s": given})  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match="has the mode 'odd'"):
        MCPClient({"s": {"url": "http://127.0.0.1:1/mcp", "mode": "odd"}})
