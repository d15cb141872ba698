"""What Anthropic wants back survives a person's approval, storage, durable runs and memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mastra import Agent, Mastra, ModelConfig, ProviderTool, SQLStorage, create_tool
from mastra.memory import Memory
from tests.support.anthropic_replies import call, reply, text
from tests.support.openai_server import OpenAIServer

THOUGHT = {"type": "thinking", "thinking": "Both.", "signature": "s1"}
HIDDEN = {"type": "redacted_thinking", "data": "xxx"}
SEARCH = {
    "type": "server_tool_use",
    "id": "srvtoolu_1",
    "name": "web_search",
    "input": {"query": "a"},
}
FOUND = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [
        {"type": "web_search_result", "url": "http://a", "title": "A", "encrypted_content": "e"}
    ],
}
LOOK = call("toolu_1", "look", n=1)
SAID = [THOUGHT, HIDDEN, text("I look."), SEARCH, FOUND, LOOK]


def looker(server: OpenAIServer, **options: Any) -> Agent:
    schema = {"type": "object", "properties": {}, "additionalProperties": True}
    approval = options.pop("require_approval", False)
    look = create_tool("look", "Look.", schema, execute=lambda _: "seen", require_approval=approval)
    config = ModelConfig(
        id="anthropic/claude-sonnet-4-5", url=server.url, api_key="k", api="native"
    )
    tools = [look, ProviderTool("anthropic", "web_search")]
    return Agent(id="looker", name="looker", model=config, tools=tools, **options)


def application(agent: Agent, path: Path) -> tuple[Mastra, Any]:
    app = Mastra(agents={"looker": agent}, storage=SQLStorage(f"sqlite:///{path}/a.db"))
    return app, app.get_agent("looker")


def sent(server: OpenAIServer, number: int) -> list[dict[str, Any]]:
    return server.requests[number]["messages"]


async def test_after_an_approval_elsewhere(server: OpenAIServer, tmp_path: Path) -> None:
    server.queue(reply(*SAID, stop="tool_use"), reply(text("Done.")))
    first, agent = application(looker(server, require_approval=True), tmp_path)
    stream = agent.stream("q")
    assert await stream.finish_reason() == "suspended"
    await first.aclose()
    second, agent = application(looker(server, require_approval=True), tmp_path)
    result = await agent.approve_tool_call_generate(stream.run_id)
    await second.aclose()
    assert result.text.endswith("Done.")
    assert sent(server, 1)[1]["content"] == SAID


@pytest.mark.parametrize("durable", [False, True])
async def test_in_a_run_with_a_tool(server: OpenAIServer, tmp_path: Path, durable: bool) -> None:
    server.queue(reply(*SAID, stop="tool_use"), reply(text("Done.")))
    app, agent = application(looker(server, durable=durable), tmp_path)
    result = await agent.generate("q")
    await app.aclose()
    assert result.text.endswith("Done.")
    assert sent(server, 1)[1]["content"] == SAID
    assert [block["type"] for block in sent(server, 1)[2]["content"]] == ["tool_result"]


async def test_from_a_thread_of_memory(server: OpenAIServer, tmp_path: Path) -> None:
    server.queue(reply(*SAID, stop="tool_use"), reply(text("Done.")), reply(text("More.")))
    app, agent = application(looker(server, memory=Memory()), tmp_path)
    thread: Any = {"thread": "t", "resource": "r"}
    await agent.generate("q", memory=thread)
    await agent.generate("and?", memory=thread)
    await app.aclose()
    turns = sent(server, 2)
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant", "user"]
    assert turns[1]["content"] == SAID
    assert turns[3]["content"] == [text("Done.")]


async def test_a_pause_in_a_durable_run(server: OpenAIServer, tmp_path: Path) -> None:
    server.queue(reply(THOUGHT, SEARCH, stop="pause_turn"), reply(FOUND, text("Done.")))
    app, agent = application(looker(server, durable=True), tmp_path)
    result = await agent.generate("q")
    await app.aclose()
    assert result.text == "Done."
    assert sent(server, 1)[1]["content"] == [THOUGHT, SEARCH]


async def test_code_that_calls_our_tools(server: OpenAIServer, tmp_path: Path) -> None:
    """Anthropic's code waits for our tool, in its container, and ends in the answer after."""
    code = {
        "type": "server_tool_use",
        "id": "srvtoolu_9",
        "name": "code_execution",
        "input": {"code": "look()"},
    }
    caller = {"type": "code_execution_20250825", "tool_id": "srvtoolu_9"}
    asked = {**call("toolu_9", "look", n=1), "caller": caller}
    ended = {
        "type": "code_execution_tool_result",
        "tool_use_id": "srvtoolu_9",
        "content": {
            "type": "code_execution_result",
            "stdout": "seen",
            "stderr": "",
            "return_code": 0,
        },
    }
    container = {"id": "container_1", "expires_at": "2999-01-01T00:00:00Z"}
    server.queue(
        reply(code, asked, stop="tool_use", container=container),
        reply(ended, text("Done."), container=container),
        reply(text("ok")),
    )
    subject = looker(server, memory=Memory())
    tools = [ProviderTool("anthropic", "code_execution"), *subject.spec.tools.values()]
    app, agent = application(
        Agent(id="l", model=subject.spec.model, tools=tools, memory=Memory()), tmp_path
    )
    thread: Any = {"thread": "t", "resource": "r"}
    result = await agent.generate("q", memory=thread)
    await agent.generate("and?", memory=thread)
    await app.aclose()
    assert sent(server, 1)[1]["content"] == [code, asked]
    assert [block["type"] for block in sent(server, 1)[2]["content"]] == ["tool_result"]
    assert server.requests[1]["container"] == "container_1"
    assert sent(server, 2)[3]["content"] == [ended, text("Done.")]
    assert server.requests[2]["container"] == "container_1"
    (found,) = [chunk.payload for chunk in result.steps[1].tool_results]
    assert (found.tool_name, found.result["stdout"]) == ("code_execution", "seen")


@pytest.mark.parametrize("waits", [False, True])
async def test_a_call_whose_result_never_came(server: OpenAIServer, waits: bool) -> None:
    """A pause that nobody went on with leaves a call of Anthropic's without a result."""
    server.queue(reply(text("I look."), SEARCH, stop="pause_turn"), reply(text("ok")))
    result = await looker(server).generate("q", max_steps=1)
    await looker(server).generate([*result.messages, *([] if waits else ["never mind"])])
    said = sent(server, 1)[1]["content"]
    assert said == ([text("I look."), SEARCH] if waits else [text("I look.")])
