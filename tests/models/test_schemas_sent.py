"""Schemas on the wire of OpenAI's two APIs, and what is read back of fields left out."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel

from mastra import Agent, create_tool, tool
from mastra.models.resolve import ModelConfig
from tests.support.openai_server import OpenAIServer, text_reply, tool_reply


class Query(BaseModel):
    words: str
    limit: int = 5
    within: int | None = None


class Tree(BaseModel):
    name: str
    leaves: list[Tree] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]


def agent(server: OpenAIServer, api: Any = "chat", **options: Any) -> Agent:
    model = ModelConfig("openai/gpt-test", url=server.url, api_key="k", api=api)
    return Agent(id="a", model=model, **options)


@tool(strict=True)
def search(query: Query) -> str:
    """Search."""
    return f"{query.words}/{query.limit}/{query.within}"


async def test_a_strict_tool_gets_its_defaults(server: OpenAIServer) -> None:
    args = json.dumps({"words": "cats", "limit": None, "within": None})
    server.queue(tool_reply(("c", "search", args)), text_reply("done"))
    result = await agent(server, tools=[search]).generate("go")
    sent = server.requests[0]["tools"][0]["function"]
    assert sent["strict"] is True
    assert sent["parameters"]["required"] == ["words", "limit", "within"]
    assert sent["parameters"]["additionalProperties"] is False
    assert "default" not in json.dumps(sent["parameters"]["properties"]["within"])
    assert result.steps[0].tool_results[0].payload.result == "cats/5/None"
    call = server.requests[1]["messages"][-2]["tool_calls"][0]["function"]
    assert json.loads(call["arguments"]) == {"words": "cats", "within": None}


async def test_a_strict_tool_with_a_json_schema(server: OpenAIServer) -> None:
    given: list[Any] = []

    async def run(value: Any) -> str:
        given.append(value)
        return "ok"

    field = {"type": "object", "properties": {"b": {"type": "integer", "default": 1}}}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": field}}
    made = create_tool("t", "T", schema, execute=run, strict=True)
    server.queue(tool_reply(("c", "t", '{"a": {"b": null}}')), text_reply("done"))
    await agent(server, tools=[made]).generate("go")
    assert given == [{"a": {}}]
    assert made.input_json_schema == schema, "a tool's own schema stays as it was"


async def test_a_tool_whose_schema_cannot_be_strict(server: OpenAIServer) -> None:
    @tool(strict=True)
    def count(prices: dict[str, int]) -> int:
        """Count."""
        return len(prices)

    @tool(strict=True)
    def grow(tree: Tree) -> str:
        """Grow."""
        return tree.name

    server.queue(text_reply("a"), text_reply("b"))
    await agent(server, tools=[count, grow]).generate("go")
    loose, strict = (item["function"] for item in server.requests[0]["tools"])
    assert loose["strict"] is False
    assert loose["parameters"]["properties"]["prices"]["additionalProperties"] == {
        "type": "integer"
    }
    assert strict["strict"] is True
    assert strict["parameters"]["properties"]["name"]["type"] == "string"


async def test_a_tool_of_alternatives(server: OpenAIServer) -> None:
    """OpenAI refuses them at the top of a tool's schema, held to it or not."""

    async def run(value: Cat | Dog) -> str:
        return value.kind

    made = create_tool("t", "T", Cat | Dog, execute=run)
    server.queue(tool_reply(("c", "t", '{"kind": "dog"}')), text_reply("done"))
    result = await agent(server, tools=[made]).generate("go")
    sent = server.requests[0]["tools"][0]["function"]["parameters"]
    assert "anyOf" not in sent
    assert set(sent["properties"]) == {"kind", "lives"}
    assert result.steps[0].tool_results[0].payload.result == "dog"


async def test_a_union_for_an_answer(server: OpenAIServer) -> None:
    answer = '{"value": {"kind": "cat", "lives": null}}'
    server.queue(text_reply(answer[:12], answer[12:]))
    result = await agent(server).generate("go", structured_output={"schema": Cat | Dog})
    wanted = server.requests[0]["response_format"]["json_schema"]
    assert wanted["strict"] is True
    assert list(wanted["schema"]["properties"]) == ["value"]
    assert result.object == Cat(kind="cat", lives=9)


async def test_responses_api(server: OpenAIServer) -> None:
    server.queue(text_reply("x"))
    schema: Any = {"schema": dict[str, int], "error_strategy": "warn"}
    stream = agent(server, "responses", tools=[search]).stream("go", structured_output=schema)
    await stream.consume()
    sent = server.requests[0]
    assert sent["text"]["format"]["strict"] is False
    assert sent["tools"][0]["strict"] is True
    assert sent["tools"][0]["parameters"]["required"] == ["words", "limit", "within"]
