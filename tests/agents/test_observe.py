"""A durable agent's run is read by anybody: live or afterwards, from any chunk, by any process."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from mastra import Agent, ConfigError, Mastra, RunNotFoundError, SQLStorage, tool
from mastra.errors import AccessDeniedError, UsageLimitError
from mastra.models.chunks import (
    FileChunk,
    FinishChunk,
    RawChunk,
    ReasoningDelta,
    ReasoningSignature,
    RedactedReasoning,
    SourceChunk,
    TextDelta,
    ToolCallEnd,
)
from mastra.request_context import RESOURCE_ID
from mastra.storage.base import RunHead
from mastra.testing import ScriptedModel, ToolCall, Turn
from mastra.tools.tool_context import ToolContext
from tests.support import agent_process


@tool
async def look_up(city: str) -> dict[str, str]:
    """Look a city up."""
    return {"weather": f"sunny in {city}"}


@tool(require_approval=True)
async def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


def application(path: Path, *turns: Any) -> Mastra:
    agent = Agent(
        id="a", model=ScriptedModel(*turns), tools={"look_up": look_up, "pay": pay}, durable=True
    )
    return Mastra(agents={"a": agent}, storage=SQLStorage(f"sqlite:///{path}/a.db"))


TURNS = (
    ["I look. ", ToolCall("look_up", {"city": "Rome"}), ToolCall("look_up", {"city": 5})],
    ToolCall("none", {}),
    "Sunny.",
)


async def told(stream: Any) -> list[Any]:
    return [chunk.to_wire() async for chunk in stream]


async def test_cut_at_every_chunk_each_comes_once_in_another_process(tmp_path: Path) -> None:
    async with application(tmp_path, *TURNS) as mastra:
        live = mastra.get_agent("a").stream("Go.", run_id="r")
        chunks, result = await told(live), await live.result()
        assert await told(mastra.get_agent("a").observe("r")) == chunks
    assert chunks[-1]["type"] == "finish"
    async with application(tmp_path) as mastra:
        agent = mastra.get_agent("a")
        for offset in range(len(chunks) + 2):
            assert await told(agent.observe("r", offset)) == chunks[offset:]
        again = await agent.observe("r").result()
        typed = [chunk async for chunk in agent.observe("r") if chunk.type == "tool-result"]
    assert (typed[0].payload.tool_name, typed[0].payload.provider_executed) == ("look_up", None)
    assert typed[0].payload.result == {"weather": "sunny in Rome"}
    assert (again.text, again.usage) == (result.text, result.usage)
    assert [step.to_wire() | {"request": 0} for step in again.steps] == [
        step.to_wire() | {"request": 0} for step in result.steps
    ]
    assert [(m.role, m.parts, m.id) for m in again.messages] == [
        (m.role, m.parts, m.id) for m in result.messages
    ]


async def test_whoever_looks_on_sees_what_comes(tmp_path: Path) -> None:
    async with application(tmp_path, *TURNS) as mastra, application(tmp_path) as elsewhere:
        live = mastra.get_agent("a").stream("Go.", run_id="r")
        await live
        agents = (mastra.get_agent("a"), elsewhere.get_agent("a"))
        seen = await asyncio.gather(told(live), *(told(agent.observe("r")) for agent in agents))
    assert seen[0] == seen[1] == seen[2]


async def test_it_ends_where_the_run_waits_and_has_what_comes_of_the_answer(tmp_path: Path) -> None:
    async with application(tmp_path, ToolCall("pay", {"amount": 5}), "Paid.") as mastra:
        agent = mastra.get_agent("a")
        first = await told(agent.stream("Pay.", run_id="r"))
        looking = agent.observe("r", 1)
        assert await told(looking) == first[1:]
        assert (looking.status, await looking.finish_reason()) == ("suspended", "suspended")
        assert (await looking.suspend_payload())["toolName"] == "pay"
        then = await told(agent.approve_tool_call("r"))
        assert await told(agent.observe("r")) == first + then
        assert await told(agent.observe("r", len(first))) == then


@pytest.mark.parametrize(
    "dies_at", ["tool 2", pytest.param("model 4", marks=pytest.mark.every_engine)]
)
async def test_after_kill_9_of_whoever_drove_it(tmp_path: Path, dies_at: str) -> None:
    url, notes = f"sqlite:///{tmp_path}/k.db", str(tmp_path / "notes")

    async def process(*command: str) -> int | None:
        module = [sys.executable, "-m", "tests.support.agent_process", url, notes, *command]
        done = await asyncio.create_subprocess_exec(
            *module, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await done.wait()
        return done.returncode

    assert await process("ask", dies_at)
    mastra = agent_process.build(url)
    await mastra.open(restart_runs=False)  # it only looks on
    agent = mastra.get_agent("counter")
    looking = asyncio.ensure_future(told(agent.observe("r")))
    await asyncio.sleep(0.2)
    assert not looking.done()
    assert await process("recover") == 0
    chunks = await looking
    for offset in (0, 1, len(chunks) // 2, len(chunks) - 1):
        assert await told(agent.observe("r", offset)) == chunks[offset:]
    await mastra.aclose()
    results = [chunk for chunk in chunks if chunk["type"] == "tool-result"]
    numbers = [chunk["payload"]["result"] for chunk in results]
    assert numbers == list(range(1, agent_process.TURNS + 1))
    assert [chunk["type"] for chunk in chunks].count("finish") == 1


async def test_what_is_not_there_and_whose_it_is(tmp_path: Path) -> None:
    async with application(tmp_path, "Hi.") as mastra:
        agent = mastra.get_agent("a")
        with pytest.raises(RunNotFoundError, match="no stored run 'nobody'"):
            await told(agent.observe("nobody"))
        offsets: list[Any] = [-1, 1.0, math.nan, "1", None, True]
        for offset in offsets:
            with pytest.raises(ConfigError, match="Run 'r' of agent 'a': offset is"):
                agent.observe("r", offset)
        await agent.generate("Hi.", run_id="r", memory={"thread": "t", "resource": "ann"})
        bob = {RESOURCE_ID: "bob"}
        with pytest.raises(AccessDeniedError):
            await told(agent.observe("r", request_context=bob))
        ann = {RESOURCE_ID: "ann"}
        assert (await told(agent.observe("r", request_context=ann)))[-1]["type"] == "finish"


@pytest.mark.parametrize("is_stored", [True, False])
async def test_a_run_that_waits_is_a_stored_run_of_any_agent(
    tmp_path: Path, is_stored: bool
) -> None:
    turns = (
        ["Let me see. ", ToolCall("look_up", {"city": "Rome"})],
        ToolCall("pay", {"amount": 5}),
    )
    agent = Agent(
        id="a", model=ScriptedModel(*turns, "Paid.", *turns), tools={"look_up": look_up, "pay": pay}
    )
    mastra = Mastra(storage=SQLStorage(f"sqlite:///{tmp_path}/a.db")) if is_stored else None
    if mastra is not None:
        mastra.add_agent(agent, "a")
        agent = mastra.get_agent("a")
    first = await told(agent.stream("Pay.", run_id="r"))
    looking = agent.observe("r")
    assert await told(looking) == first
    assert (looking.status, (await looking.suspend_payload())["toolName"]) == ("suspended", "pay")
    then = await told(agent.approve_tool_call("r"))
    again = agent.observe("r", 2)
    assert await told(again) == [*first, *then][2:]
    assert (again.status, await again.text()) == ("success", "Let me see. Paid.")
    info = await agent.stored_runs.get_run("r")
    assert info is not None
    assert (info.status, info.result["finishReason"]) == ("success", "stop")

    await agent.generate("Pay.", run_id="other")
    # What was answered goes as a workflow's runs do; what waits stays.
    assert await agent.stored_runs.delete_runs_older_than(timedelta(seconds=-5)) == 1
    with pytest.raises(RunNotFoundError, match="no stored run"):
        await told(agent.observe("r"))
    assert (await agent.list_suspended_runs()).total == 1
    await (await agent.stored_runs.create_run("other")).cancel()
    assert (await agent.list_suspended_runs()).total == 0
    with pytest.raises(RunNotFoundError, match="that waits"):
        await agent.approve_tool_call_generate("other")
    assert await agent.stored_runs.delete_run("other")
    assert await agent.stored_runs.get_run("other") is None
    if mastra is not None:
        await mastra.aclose()


class Found(BaseModel):
    hits: int
    places: list[str] = []


@tool
async def show(city: str, ctx: ToolContext) -> str:
    """Show how far it is."""
    await ctx.writer.custom({"type": "data-progress", "data": {"city": city}, "transient": True})
    await ctx.writer.write({"city": city})
    return "shown"


async def test_every_kind_of_chunk_is_the_same_in_another_process(tmp_path: Path) -> None:
    rich = Turn(
        chunks=[
            ReasoningDelta("Hm."),
            ReasoningSignature("sig", "scripted"),
            RedactedReasoning("hidden"),
            SourceChunk("s", "https://example.com", "Rome"),
            FileChunk("QUJD", "image/png"),
            RawChunk({"id": 1}),
            ToolCallEnd("c", "show", '{"city": "Rome"}'),
            FinishChunk("tool-calls"),
        ]
    )
    answer = ['{"hits": 2, ', '"places": ["Forum", ', '"Trastevere"]}']

    def app(*turns: Any) -> Mastra:
        agent = Agent(
            id="a",
            model=ScriptedModel(*turns),
            tools=[show],
            durable=True,
            default_options={"structured_output": Found, "include_raw_chunks": True},
        )
        return Mastra(agents=[agent], storage=SQLStorage(f"sqlite:///{tmp_path}/a.db"))

    async with app(rich, Turn(answer)) as mastra:
        live = mastra.get_agent("a").stream("Go.", run_id="r")
        chunks, result = await told(live), await live.result()
    kinds = {chunk["type"] for chunk in chunks}
    assert {"data-progress", "object", "object-result", "raw", "source", "file"} <= kinds
    assert result.object == Found(hits=2, places=["Forum", "Trastevere"])
    async with app() as mastra:
        stream = mastra.get_agent("a").observe("r")
        assert await told(stream) == chunks
        again = await stream.result()
    assert Found.model_validate(again.object) == result.object
    assert [step.content for step in again.steps] == [step.content for step in result.steps]
    assert [len(step.sources) for step in again.steps] == [1, 0]


async def test_a_run_that_met_a_limit_says_in_another_process_how_far_it_came(
    tmp_path: Path,
) -> None:
    looks = Turn("I look.", [ToolCall("look_up", {"city": "Rome"})])
    async with application(tmp_path, looks, "Sunny.") as mastra:
        with pytest.raises(UsageLimitError):
            await mastra.get_agent("a").generate("Go.", run_id="r", limits={"requests": 1})
    async with application(tmp_path) as mastra:
        stream = mastra.get_agent("a").observe("r")
        await stream.consume()
        with pytest.raises(UsageLimitError, match="limit of requests is 1") as refused:
            await stream.result()
    found: Any = refused.value.result
    assert (found.text, len(found.steps), found.usage.total_tokens) == ("I look.", 1, 15)


async def test_what_an_earlier_version_kept_of_an_end_is_told() -> None:
    async with Mastra(agents=[Agent(id="a", model=ScriptedModel(), durable=True)]) as mastra:
        result = {"text": "Sunny.", "finishReason": "stop", "object": None, "usage": {}}
        result["usage"] = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}
        runs = mastra.storage.workflows
        head = RunHead("durable-agent:a", "r", "success", result=result, input={"prompt": []})
        head.data = {"initialState": {}, "hasResult": True}
        assert await runs.create_run(head)
        found = await mastra.get_agent("a").observe("r").result()
    assert (found.text, found.finish_reason, found.usage.total_tokens) == ("Sunny.", "stop", 15)


def test_a_reader_of_a_program_that_ends_is_no_failure(caplog: Any) -> None:
    class Hangs:
        provider, model_name = "own", "hangs"

        async def stream(self, _: Any) -> AsyncIterator[Any]:
            yield TextDelta("One")
            await asyncio.Event().wait()

    readers: list[asyncio.Task[None]] = []

    async def program() -> None:
        mastra = Mastra(agents=[Agent(id="a", model=Hangs(), durable=True)])
        stream = mastra.get_agent("a").stream("Go.")
        await anext(stream.text_stream)
        readers.append(asyncio.create_task(stream.consume()))
        for _ in range(9):
            await asyncio.sleep(0)

    asyncio.run(program())
    assert readers[0].cancelled()
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []
