"""What servers ask while a tool runs, and what they show: questions, a model, folders, progress."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from mastra.agents.agent import Agent
from mastra.errors import ConfigError, RunStateError, ToolError
from mastra.mcp import MCPClient, Question
from mastra.models.messages import ImagePart, ToolResultPart
from mastra.models.tool_content import content_of
from mastra.registry import Mastra
from mastra.storage.in_process import InMemoryStorage
from mastra.testing.models import ScriptedModel, ToolCall
from mastra.tools.tool_context import ToolContext
from mastra.workflows.workflow import create_workflow
from tests.mcp.worlds import PROGRAM, STDIO, HttpWorld, gone, kill

BOOK = ToolCall("w_book", {"place": "Oslo"})
PLACES = [
    "stdio",
    "http",
    pytest.param("stdio-newest", marks=pytest.mark.every_engine),
    pytest.param("http-newest", marks=pytest.mark.every_engine),
]
EACH_ONCE = ["stdio", pytest.param("http-newest", marks=pytest.mark.every_engine)]
"""Both ways to a server and both families of protocols, where their pairs make no difference."""


@pytest.fixture(scope="module")
def world_url() -> Generator[str]:
    with subprocess.Popen(
        [sys.executable, PROGRAM, "0"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/mcp"
        process.kill()


@pytest.fixture(params=EACH_ONCE)
def config(request: pytest.FixtureRequest, world_url: str) -> dict[str, Any]:
    kind, _, mode = request.param.partition("-")
    where = STDIO if kind == "stdio" else {"url": world_url}
    return {**where, "mode": mode or "auto"}


async def clerk(client: MCPClient, store: InMemoryStorage, *turns: Any) -> Agent:
    model = turns[0] if isinstance(turns[0], ScriptedModel) else ScriptedModel(*turns)
    agent = Agent(id="clerk", model=model, tools=await client.list_tools())
    return Mastra(agents={"clerk": agent}, storage=store).get_agent("clerk")


@pytest.mark.parametrize("config", PLACES, indirect=True)
async def test_a_question_suspends_the_run_until_it_is_answered(config: dict[str, Any]) -> None:
    async with MCPClient({"w": config}) as client:
        agent = await clerk(client, InMemoryStorage(), BOOK, "booked", BOOK, "a pity")
        waits = await agent.generate("book")
        assert waits.finish_reason == "suspended"
        asked: Any = waits.suspend_payload
        assert asked["message"] == "Who goes to Oslo?"
        assert asked["requestedSchema"]["properties"]["name"]["type"] == "string"
        done = await agent.resume_generate({"name": "Ada"}, run_id=waits.run_id)
        assert done.text == "booked"
        assert done.tool_results[0].payload.result == "Oslo for Ada"

        waits = await agent.generate("book")
        done = await agent.resume_generate({"action": "decline"}, run_id=waits.run_id)
        assert done.text == "a pity"
        assert not done.tool_results


@pytest.mark.every_engine
async def test_several_questions_are_asked_one_after_another(config: dict[str, Any]) -> None:
    names = {"Who goes to Oslo?": "Ada", "Who else goes to Oslo?": "Bob"}
    async with MCPClient({"w": config}) as client:
        call = ToolCall("w_book_two", {"place": "Oslo"})
        agent = await clerk(client, InMemoryStorage(), call, "booked")
        result = await agent.generate("book")
        for _ in names:
            asked: Any = result.suspend_payload
            answer = {"name": names[asked["message"]]}
            result = await agent.resume_generate(answer, run_id=result.run_id)
    assert result.tool_results[0].payload.result == "Oslo for Ada and Bob"


@pytest.mark.every_engine
@pytest.mark.parametrize("mode", ["auto", "newest"])
async def test_a_step_of_a_workflow_waits_for_the_answer_too(mode: str) -> None:
    async with MCPClient({"w": {**STDIO, "mode": mode}}) as client:
        book = (await client.list_tools())["w_book"]
        trip = create_workflow(id="trip", input_schema=dict[str, str], output_schema=str)
        run = await trip.then(book.as_step()).commit().create_run()
        waits: Any = await run.start({"place": "Oslo"})
        assert waits.status == "suspended"
        done: Any = await run.resume({"name": "Ada"})
        assert done.result == "Oslo for Ada"


@pytest.mark.parametrize("mode", ["auto", "newest"])
async def test_a_durable_agent_waits_for_the_answer_too(mode: str) -> None:
    async with MCPClient({"w": {**STDIO, "mode": mode}}) as client:
        tools = await client.list_tools()
        agent = Agent(id="d", model=ScriptedModel(BOOK, "booked"), tools=tools, durable=True)
        mastra = Mastra(agents={"d": agent})
        waits = await mastra.get_agent("d").generate("book")
        assert waits.finish_reason == "suspended"
        done = await mastra.get_agent("d").resume_generate({"name": "Ada"}, run_id=waits.run_id)
        assert done.text == "booked"
        assert done.tool_results[0].payload.result == "Oslo for Ada"


async def test_an_answer_is_given_by_another_client_where_the_protocol_has_no_session(
    world_url: str,
) -> None:
    newest = {"url": world_url, "mode": "newest"}
    store = InMemoryStorage()
    async with MCPClient({"w": newest}) as client:
        waits = await (await clerk(client, store, BOOK)).generate("book")
    async with MCPClient({"w": newest}) as client:
        agent = await clerk(client, store, "booked")
        done = await agent.resume_generate({"name": "Ada"}, run_id=waits.run_id)
    assert done.tool_results[0].payload.result == "Oslo for Ada"


@pytest.mark.every_engine
@pytest.mark.parametrize("lost", ["client", "server"])
async def test_a_question_whose_connection_is_gone_is_an_error_that_says_so(lost: str) -> None:
    store = InMemoryStorage()
    model = ScriptedModel("sorry")
    async with MCPClient({"w": STDIO}) as client:
        waits = await (await clerk(client, store, BOOK)).generate("book")
        pid: int = await (await client.list_tools())["w_pid"].execute({})
        if lost == "server":
            kill(pid)
            assert await gone(pid)
        else:
            await client.aclose()
        done = await (await clerk(client, store, model)).resume_generate(
            {"name": "Ada"}, run_id=waits.run_id
        )
    assert done.text == "sorry"
    told: Any = model.requests[0].messages[-1].content
    says = "can no longer be answered" if lost == "client" else "went away during tool 'book'"
    assert told[0].is_error
    assert says in str(told[0].result)


async def test_a_call_that_waits_for_an_answer_is_let_go_after_a_while() -> None:
    store = InMemoryStorage()
    async with MCPClient({"w": STDIO}, answer_s=0.0) as client:
        agent = await clerk(client, store, BOOK, "sorry")
        waits = await agent.generate("book")
        done = await agent.resume_generate({"name": "Ada"}, run_id=waits.run_id)
    assert done.text == "sorry"
    assert not done.tool_results


async def test_others_are_served_while_one_call_waits_for_an_answer() -> None:
    async with MCPClient({"w": STDIO}) as client:
        first = await clerk(client, InMemoryStorage(), BOOK, "booked")
        second = await clerk(
            client, InMemoryStorage(), ToolCall("w_book", {"place": "Rome"}), "booked"
        )
        one, two = await first.generate("book"), await second.generate("book")
        done = await second.resume_generate({"name": "Bob"}, run_id=two.run_id)
        assert done.tool_results[0].payload.result == "Rome for Bob"
        done = await first.resume_generate({"name": "Ada"}, run_id=one.run_id)
        assert done.tool_results[0].payload.result == "Oslo for Ada"


async def test_a_server_may_ask_in_the_middle_of_a_call() -> None:
    async with MCPClient({"w": STDIO}) as client:
        agent = await clerk(client, InMemoryStorage(), ToolCall("w_confirm", {}), "done")
        waits = await agent.generate("go")
        asked: Any = waits.suspend_payload
        assert asked["message"] == "Whose name?"
        done = await agent.resume_generate({"name": "Ada"}, run_id=waits.run_id)
    assert done.tool_results[0].payload.result == "accept Ada"


async def test_a_function_answers_at_once(config: dict[str, Any]) -> None:
    asked: list[Question] = []

    async def answer(question: Question) -> Any:
        asked.append(question)
        return {"name": "Ada"}

    async with MCPClient({"w": config}, elicitation=answer) as client:
        tools = await client.list_tools()
        assert await tools["w_book"].execute({"place": "Oslo"}) == "Oslo for Ada"
    assert [(each.server, each.message) for each in asked] == [("w", "Who goes to Oslo?")]


@pytest.mark.every_engine
async def test_nobody_can_be_asked_outside_a_run_or_where_it_is_off(config: dict[str, Any]) -> None:
    async with MCPClient({"w": config}) as client:
        book = (await client.list_tools())["w_book"]
        with pytest.raises(ToolError, match="asks: 'Who goes to Oslo\\?'") as raised:
            await book.execute({"place": "Oslo"})
        assert raised.value.code == "MCP_ELICITATION"
        assert isinstance(raised.value.__cause__, RunStateError)
    async with MCPClient({"w": config}, elicitation=False) as client:
        with pytest.raises(ToolError, match=r"(?i)elicit"):
            await (await client.list_tools())["w_book"].execute({"place": "Oslo"})


@pytest.mark.every_engine
async def test_a_model_is_asked_only_where_that_is_allowed(config: dict[str, Any]) -> None:
    model = ScriptedModel("brevity")
    async with MCPClient({"w": config}, sampling=model) as client:
        said: str = await (await client.list_tools())["w_word"].execute({})
    assert said.startswith("brevity (")
    request = model.requests[0]
    assert [message.role for message in request.messages] == ["system", "user"]
    assert request.settings.max_output_tokens == 7
    async with MCPClient({"w": config}) as client:
        with pytest.raises(ToolError, match=r"(?i)sampling"):
            await (await client.list_tools())["w_word"].execute({})


@pytest.mark.every_engine
async def test_folders_are_shown_as_addresses(config: dict[str, Any], tmp_path: Path) -> None:
    async with MCPClient({"w": {**config, "roots": [str(tmp_path), "file:///x"]}}) as client:
        said: str = await (await client.list_tools())["w_folders"].execute({})
    assert said == f"{tmp_path.as_uri()} file:///x"


class Kept:
    """A writer that keeps what it is given."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    async def write(self, value: Any) -> None:
        self.values.append(value)

    async def custom(self, chunk: Any) -> None:
        self.values.append(chunk)


@pytest.mark.every_engine
async def test_progress_goes_to_the_writer_and_logs_to_the_logger(
    config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mastra")
    kept = Kept()
    async with MCPClient({"w": {**config, "log_level": "info"}}) as client:
        climb = (await client.list_tools())["w_climb"]
        assert await climb.execute({}, ToolContext(writer=kept)) == "up"
    assert kept.values == [{"progress": 1.0, "total": 2.0, "message": "half way"}]
    assert "MCP server 'w': the view is good" in caplog.text


async def test_results_are_data_pictures_or_errors(config: dict[str, Any]) -> None:
    async with MCPClient({"w": config}) as client:
        tools = await client.list_tools()
        assert await tools["w_trip"].execute({"city": "Oslo"}) == {"city": "Oslo", "nights": 2}
        model = ScriptedModel(ToolCall("w_picture", {}), ToolCall("w_broken", {}), "seen")
        await Agent(id="a", model=model, tools=tools).generate("look")
    shown: Any = model.requests[1].messages[-1].content
    assert isinstance(shown[0], ToolResultPart)
    parts = content_of(shown[0])
    assert parts is not None
    assert isinstance(parts[1], ImagePart)
    assert (parts[1].data, parts[1].media_type) == ("iVBORw0KGgo=", "image/png")
    failed: Any = model.requests[2].messages[-1].content
    assert failed[0].is_error
    assert "the lift is out of order" in failed[0].result


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="no setting 'comand'"):
        MCPClient({"w": {"comand": "x"}})
    with pytest.raises(ConfigError, match="mode 'new'"):
        MCPClient({"w": {"command": "x", "mode": "new"}})
    with pytest.raises(ConfigError, match="one of them only"):
        MCPClient({"w": {"command": "x", "url": "http://x"}})
    with pytest.raises(ConfigError, match="headers or auth"):
        MCPClient({"w": {"command": "x", "headers": {"a": "b"}}})
    with pytest.raises(ConfigError, match="an address that begins with http"):
        MCPClient({"w": "localhost:8000/mcp"})
    with pytest.raises(ConfigError, match=r"'command': 'npx', 'args': \['-y', 'a-server'\]"):
        MCPClient({"w": {"command": "npx -y a-server"}})
    with pytest.raises(ConfigError, match="without 'mcpServers' around them"):
        MCPClient({"mcpServers": {"w": {"command": "x"}}})


async def test_resources_are_listed_read_and_watched(config: dict[str, Any]) -> None:
    async with MCPClient({"w": config}) as client:
        assert [str(item.uri) for item in (await client.resources.list())["w"]] == ["note://today"]
        templates = (await client.resources.templates())["w"]
        assert [item.uri_template for item in templates] == ["note://{day}/weather"]
        (read,) = await client.resources.read("w", "note://today")
        assert getattr(read, "text", None) == "rain"
        (read,) = await client.resources.read("w", "note://monday/weather")
        assert getattr(read, "text", None) == "monday: sun"
        with pytest.raises(ToolError, match="refused resource 'note://nothing'"):
            await client.resources.read("w", "note://nothing")


@pytest.mark.every_engine
async def test_changes_of_resources_are_told_before_and_after_a_restart() -> None:
    async with (
        HttpWorld() as world,
        MCPClient({"w": {"url": world.url, "mode": "newest"}}, reconnect_s=20) as client,
    ):
        change = (await client.list_tools())["w_change"]
        async with asyncio.timeout(60), client.resources.watch("w", "note://today") as changes:
            await change.execute({})
            assert await anext(changes) == "note://today"
            await world.kill()
            await world.start()
            # What was missed is not known, so it is told of once more.
            assert await anext(changes) == "note://today"


async def test_prompts_are_listed_and_filled_in(config: dict[str, Any]) -> None:
    async with MCPClient({"w": config}) as client:
        assert [item.name for item in (await client.prompts.list())["w"]] == ["greet"]
        prompt = await client.prompts.get("w", "greet", {"name": "Ada"})
        assert [message.role for message in prompt.messages] == ["user"]
        model = ScriptedModel("hello")
        await Agent(id="a", model=model).generate(prompt.messages)
        assert "Say hello to Ada." in str(model.requests[0].messages)
        with pytest.raises(ToolError, match="prompt 'nope'"):
            await client.prompts.get("w", "nope")
