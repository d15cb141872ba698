"""Tools' names that providers refuse: another on the wire, their own everywhere else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mastra import Agent, Mastra, create_tool, tool
from mastra.errors import ConfigError
from mastra.memory import Memory
from mastra.models.base import ProviderTool
from mastra.models.resolve import ModelConfig
from mastra.models.tool_names import wire_name
from mastra.storage import SQLStorage
from mastra.testing.models import FunctionModel, ScriptedModel, ToolCall
from tests.support.openai_server import OpenAIServer, Reply, text_reply, tool_reply

TAKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
LONG = "search_" + "everything_" * 8
NAMES = [
    *(
        "admin.files.list",
        "files/list",
        "two words",
        "café",
        "天気",
        "",
        "a:b",
        "line\nfeed",
        "x" * 65,
    ),
    *(LONG + "a", LONG + "b", "admin_files_list", "get-it_1"),
]


def named(name: str, **options: Any) -> Any:
    async def run(given: dict[str, Any]) -> str:
        return f"{name} of {given['q']}"

    schema = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
    return create_tool(name, "Does it", schema, execute=run, **options)


def agent(server: OpenAIServer, *names: str, **options: Any) -> Agent:
    model = ModelConfig("openai/gpt-test", url=server.url, api_key="k")
    options.setdefault("tools", {name: named(name) for name in names})
    return Agent(id="a", model=model, **options)


def sent_names(body: dict[str, Any]) -> list[str]:
    return [item["function"]["name"] for item in body["tools"]]


def calls(body: dict[str, Any]) -> list[str]:
    return [
        call["function"]["name"]
        for message in body["messages"]
        for call in message.get("tool_calls") or ()
    ]


def ran(result: Any) -> list[Any]:
    """What each tool gave, with its name."""
    return [item.payload for item in result.steps[0].tool_results]


def test_wire_names() -> None:
    made = [wire_name(name) for name in NAMES]
    assert all(TAKEN.fullmatch(name) for name in made)
    assert len(set(made)) == len(NAMES)
    assert made[-2:] == NAMES[-2:], "a name that is taken as it is stays"
    assert made == [wire_name(name) for name in NAMES], "the same in every process"
    assert wire_name("a.b", taken={wire_name("a.b")}) != wire_name("a.b")


@pytest.mark.parametrize("name", [name for name in NAMES if name])
async def test_called_by_another_name(server: OpenAIServer, name: str) -> None:
    server.queue(tool_reply(("c1", wire_name(name), '{"q": "cats"}')), text_reply("done"))
    stream = agent(server, *[item for item in NAMES if item]).stream("go")
    chunks = [chunk async for chunk in stream]
    named_by = {
        chunk.payload.tool_name
        for chunk in chunks
        if chunk.type in ("tool-call", "tool-result", "tool-call-input-streaming-start")
    }
    assert named_by == {name}
    (result,) = [item.payload for item in await stream.tool_results()]
    assert (result.tool_name, result.result) == (name, f"{name} of cats")
    assert all(TAKEN.fullmatch(item) for item in sent_names(server.requests[0]))
    assert calls(server.requests[1]) == [wire_name(name)]
    parts = [part for message in await stream.messages() for part in message.tool_calls]
    assert [part.tool_name for part in parts] == [name]


async def test_choice_and_active_tools(server: OpenAIServer) -> None:
    server.queue(text_reply("a"), text_reply("b"))
    subject = agent(server, "admin.list", "admin.drop")
    choice = {"type": "tool", "tool_name": "admin.drop"}
    await subject.generate("go", tool_choice=choice)
    chosen = server.requests[0]["tool_choice"]["function"]["name"]
    assert chosen == wire_name("admin.drop")
    assert chosen in sent_names(server.requests[0])
    await subject.generate("go", active_tools=["admin.list"])
    assert sent_names(server.requests[1]) == [wire_name("admin.list")]


async def test_a_model_may_use_the_public_name(server: OpenAIServer) -> None:
    server.queue(tool_reply(("c1", "admin.list", '{"q": "x"}')), text_reply("done"))
    result = await agent(server, "admin.list").generate("see admin.list")
    assert [item.result for item in ran(result)] == ["admin.list of x"]


async def test_approved_in_another_process(server: OpenAIServer, tmp_path: Path) -> None:
    """What is stored has the public name; the wire's is made again where the run goes on."""
    wire = wire_name("admin.files.drop")
    tools = {"admin.files.drop": named("admin.files.drop", require_approval=True)}
    server.queue(tool_reply(("c1", wire, '{"q": "all"}')))

    def application() -> tuple[Agent, Any]:
        storage = SQLStorage(f"sqlite:///{tmp_path}/kept.db")
        subject = agent(server, tools=tools, memory=Memory())
        return Mastra(agents={"a": subject}, storage=storage).get_agent("a"), storage

    first, kept = application()
    memory: Any = {"thread": "t", "resource": "r"}
    stream = first.stream("drop", memory=memory)
    await stream.consume()
    waiting = await first.list_suspended_runs()
    assert waiting.runs[0].tool_calls[0].tool_name == "admin.files.drop"
    await kept.aclose()

    server.queue(text_reply("dropped"), text_reply("as I said"))
    second, kept = application()
    result = await second.approve_tool_call_generate(stream.run_id)
    assert result.text == "dropped"
    assert calls(server.requests[1]) == [wire]
    # Of the thread's history, in a later call.
    await second.generate("what was that?", memory=memory)
    assert calls(server.requests[2]) == [wire]
    await kept.aclose()


async def test_history_of_a_tool_that_is_gone(server: OpenAIServer) -> None:
    server.queue(text_reply("ok"))
    history: Any = [
        {"role": "user", "content": "go"},
        {
            "role": "assistant",
            "content": [
                {"type": "tool-call", "toolCallId": "c", "toolName": "old.tool", "args": {}}
            ],
        },
        {
            "role": "tool",
            "content": [
                {"type": "tool-result", "toolCallId": "c", "toolName": "old.tool", "result": "x"}
            ],
        },
        {"role": "user", "content": "and?"},
    ]
    await agent(server).generate(history)
    assert calls(server.requests[0]) == [wire_name("old.tool")]


async def test_responses_api(server: OpenAIServer) -> None:
    call = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c1",
        "name": wire_name("admin.list"),
        "arguments": '{"q": "x"}',
    }
    done = {"type": "response.completed", "response": {"id": "r", "status": "completed"}}
    server.queue(
        Reply(
            [
                {"type": "response.created", "response": {"id": "r", "model": "m"}},
                {
                    "type": "response.output_item.added",
                    "output_index": 0,
                    "item": {**call, "arguments": ""},
                },
                {"type": "response.output_item.done", "output_index": 0, "item": call},
                done,
            ],
            named=True,
            done=False,
        ),
        Reply([done], named=True, done=False),
    )
    model = ModelConfig("openai/gpt-test", url=server.url, api_key="k", api="responses")
    result = await Agent(id="a", model=model, tools=[named("admin.list")]).generate("go")
    assert [item.tool_name for item in ran(result)] == ["admin.list"]
    assert server.requests[0]["tools"][0]["name"] == wire_name("admin.list")
    (again,) = [item for item in server.requests[1]["input"] if item.get("type") == "function_call"]
    assert again["name"] == wire_name("admin.list")


async def test_gemini_wants_a_letter_first(server: OpenAIServer) -> None:
    seen = wire_name("2fa", re.compile(r"[A-Za-z_].*"))
    part = {"functionCall": {"name": seen, "args": {"q": "x"}}}

    def says(part: dict[str, Any]) -> Reply:
        candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
        return Reply([{"candidates": [candidate], "modelVersion": "m"}], done=False)

    server.queue(says(part), says({"text": "done"}))
    url = server.url.removesuffix("/v1")
    model = ModelConfig("gemini/gemini-2.5-flash", url=url, api_key="k", api="native")
    result = await Agent(id="a", model=model, tools=[named("2fa"), named("ok")]).generate("go")
    assert [item.tool_name for item in ran(result)] == ["2fa"]
    names = [item["name"] for item in server.requests[0]["tools"][0]["functionDeclarations"]]
    assert names == [seen, "ok"]
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", item) for item in names)
    assert seen in json.dumps(server.requests[1])


async def test_a_model_of_ones_own_and_one_without_need() -> None:
    seen: list[Any] = []

    def answer(request: Any) -> Any:
        seen.append(request)
        return "done" if len(seen) > 1 else ToolCall(request.tools[0].name, {"q": "x"})

    result = await Agent(id="a", model=FunctionModel(answer), tools=[named("a.b")]).generate("go")
    assert [item.tool_name for item in ran(result)] == ["a.b"]
    assert TAKEN.fullmatch(seen[0].tools[0].name)


# -- two of one name -----------------------------------------------------------------------------


def one(name: str = "look") -> Any:
    return named(name)


@tool
def look() -> str:
    """Look."""
    return "seen"


@pytest.mark.parametrize(
    "tools",
    [
        [one(), one()],
        [look, one()],
        [ProviderTool("openai", "web_search"), ProviderTool("openai", "web_search", {"a": 1})],
        [ProviderTool("openai", "web_search"), one("web_search")],
        {"web_search": one(), "other": ProviderTool("anthropic", "web_search")},
    ],
)
def test_two_of_one_name(tools: Any) -> None:
    with pytest.raises(ConfigError, match=r"look|web_search"):
        Agent(id="a", model=ScriptedModel("x"), tools=tools)


@pytest.mark.parametrize(
    "options",
    [
        {"toolsets": {"more": {"look": one()}}},
        {"client_tools": {"look": one()}},
        {"toolsets": {"one": {"see": one()}, "two": {"see": one()}}},
        {"toolsets": {"more": {"agent-helper": one()}}},
        {"prepare_step": lambda _: {"tools": [one("a"), one("a")]}},
    ],
)
async def test_two_of_one_name_in_a_call(options: Any) -> None:
    helper = Agent(id="helper", description="Helps", model=ScriptedModel("x"))
    tools = {"look": look}
    subject = Agent(id="a", model=ScriptedModel("x"), tools=tools, agents={"helper": helper})
    with pytest.raises(ConfigError) as caught:
        await subject.generate("go", **options)
    assert caught.value.code == "TOOL_NAME_TAKEN"


async def test_a_sub_agents_name_is_taken() -> None:
    helper = Agent(id="helper", description="Helps", model=ScriptedModel("x"))
    subject = Agent(
        id="a", model=ScriptedModel("x"), tools=[one("agent-helper")], agents={"helper": helper}
    )
    with pytest.raises(ConfigError, match="'agent-helper'"):
        await subject.generate("go")


async def test_the_same_tool_twice_is_one() -> None:
    model = ScriptedModel("x")
    subject = Agent(id="a", model=model, tools=[look, look])
    await subject.generate("go", toolsets={"more": [look]})
    assert [item.name for item in model.requests[0].tools] == ["look"]


async def test_provider_tools_of_two_providers() -> None:
    model = ScriptedModel("x")
    tools: Any = [
        ProviderTool("openai", "web_search"),
        ProviderTool("anthropic", "web_search"),
        ProviderTool("openai", "mcp", {"server_label": "one"}),
        ProviderTool("openai", "mcp", {"server_label": "two"}),
        ProviderTool("openai", "mcp", {"server_label": "three"}),
    ]
    subject = Agent(id="a", model=model, tools=tools)
    more: Any = {"more": [ProviderTool("anthropic", "web_fetch")]}
    await subject.generate("go", toolsets=more)
    assert list(model.requests[0].provider_tools) == [*tools, *more["more"]]


async def test_a_client_says_what_its_own_tool_takes() -> None:
    model = ScriptedModel("x")
    subject = Agent(id="a", model=model, tools=[create_tool("pick", "Pick")])
    await subject.generate("go", client_tools={"pick": create_tool("pick", "Pick a colour")})
    assert [item.description for item in model.requests[0].tools] == ["Pick a colour"]
