"""What becomes of each thing that an agent streams, also where it comes in no good order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mastra import Agent, Mastra, ToolContext, create_tool, create_workflow, tool
from mastra.ag_ui import ag_ui_route
from mastra.errors import MastraError
from mastra.memory import Memory
from mastra.models.chunks import (
    FileChunk,
    FinishChunk,
    ProviderToolResult,
    ReasoningDelta,
    SourceChunk,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from mastra.processors import Processor
from mastra.server import ServerConfig
from mastra.testing import FunctionModel, ScriptedModel, ToolCall, Turn
from tests.ag_ui.wire import Page, asking
from tests.ai_sdk.app import step

pytestmark = pytest.mark.anyio


def agent(*turns: Any, **options: Any) -> Agent:
    return Agent(id="a", model=ScriptedModel(*turns), **options)


@asynccontextmanager
async def page_of(answering: Agent, **options: Any) -> AsyncGenerator[Page]:
    """A page of one agent."""
    server = ServerConfig(api_routes=[ag_ui_route(**options)])
    async with asking(Mastra(agents={"a": answering}, server=server)) as http:
        yield Page(http, "a", "thread")


def texts(page: Page) -> list[Any]:
    return [one.get("content") for one in page.messages if one["role"] == "assistant"]


# -- text, thoughts, calls -------------------------------------------------------------------------


async def test_text_between_the_pieces_of_a_call() -> None:
    """Some models go on talking while they write what they call with."""
    turn = Turn(
        chunks=[
            TextDelta("One "),
            ToolCallStart("c", "look"),
            ToolCallDelta("c", "{"),
            TextDelta("two"),
            ToolCallDelta("c", "}"),
            ToolCallEnd("c", "look", "{}"),
            FinishChunk("tool-calls"),
        ]
    )
    look = create_tool("look", "Look", dict, execute=seen)
    async with page_of(agent(turn, "done", tools=[look])) as page:
        await page.ask("go")
    _, first, result, last = page.messages
    assert (first["content"], last["content"]) == ("One two", "done")
    assert first["toolCalls"][0]["function"] == {"name": "look", "arguments": "{}"}
    assert (result["toolCallId"], result["content"]) == ("c", '{"seen":true}')


async def seen(given: dict[str, Any], ctx: ToolContext) -> dict[str, Any]:
    return {"seen": True}


async def test_what_the_provider_runs_waits_for_nobody() -> None:
    turn = Turn(
        chunks=[
            ToolCallEnd("c1", "search", "", provider_executed=True),
            ProviderToolResult("c1", "search", {"hits": 2}),
            ToolCallEnd("c2", "search", '{"q": 1}', provider_executed=True),
            SourceChunk("s", "https://example.com", "A page"),
            FileChunk("AAAA", "image/png"),
            TextDelta("Found."),
            FinishChunk("stop"),
        ]
    )
    async with page_of(agent(turn)) as page:
        ended = await page.ask("go")
    assert ended["outcome"] == {"type": "success"}
    calls = {one["id"]: one["function"]["arguments"] for one in page.messages[1]["toolCalls"]}
    assert calls == {"c1": "{}", "c2": '{"q": 1}'}
    assert page.results == {"c1": '{"hits":2}'}
    assert {one["name"]: one["value"]["id" if one["name"] == "source" else "mimeType"]
            for one in page.of("CUSTOM")} == {"source": "s", "file": "image/png"}  # fmt: skip


async def test_a_thought_that_an_error_cuts_off_is_closed() -> None:
    turn = Turn(reasoning="Hm.", error=RuntimeError("the model is out of order"))
    async with page_of(agent(turn)) as page:
        ended = await page.ask("go")
    kinds = [event["type"] for event in page.events[-3:]]
    assert kinds == ["REASONING_MESSAGE_END", "REASONING_END", "RUN_ERROR"]
    assert "out of order" in ended["message"]


async def test_thoughts_are_kept_back_where_the_route_says_so() -> None:
    async with page_of(agent(Turn("Four.", reasoning="Hm.")), send_reasoning=False) as page:
        await page.ask("go")
    assert page.text == "Four."
    assert [event for event in page.events if event["type"].startswith("REASONING")] == []


async def test_an_error_is_told_as_the_application_says() -> None:
    def sorry(error: Mapping[str, Any]) -> str:
        return f"Sorry ({error['name']})."

    failing = agent(Turn("half", error=RuntimeError("secret")))
    async with page_of(failing, on_error=sorry) as page:
        ended = await page.ask("go")
    assert ended["message"] == "Sorry (ModelError)."


async def test_tools_that_cannot_be_found_end_the_run_with_an_error() -> None:
    def out_of_order(ctx: Any) -> Any:
        raise MastraError("the tools are out of order", code="TOOLS")

    async with page_of(Agent(id="a", model=ScriptedModel("hi"), tools=out_of_order)) as page:
        ended = await page.ask("go")
    assert ended == {"type": "RUN_ERROR", "message": "the tools are out of order", "code": "TOOLS"}


@pytest.mark.parametrize(("version", "outcome"), [("1.0", {"type": "cancelled"}), ("0.9", None)])
async def test_a_run_that_somebody_else_cancels(version: str, outcome: Any) -> None:
    held = asyncio.Event()

    async def slowly() -> Any:
        yield "One "
        held.set()
        await asyncio.Event().wait()

    lasting = Agent(id="a", model=FunctionModel(lambda _: slowly()), durable=True)
    mastra = Mastra(agents={"a": lasting}, server=ServerConfig(api_routes=[ag_ui_route()]))
    async with asking(mastra) as http:
        page = Page(http, "a", "thread")
        sent = asyncio.ensure_future(page.ask("go", protocolVersion=version))
        async with asyncio.timeout(10):
            await held.wait()
        runs = mastra.get_agent("a").stored_runs
        [run] = (await runs.list_runs()).runs
        await (await runs.create_run(run.run_id)).cancel()
        ended = await sent
    assert (ended["type"], ended.get("outcome")) == ("RUN_FINISHED", outcome)
    assert page.text == "One "


# -- processors ------------------------------------------------------------------------------------


class Filter(Processor):
    """Lets through what a function makes of each chunk."""

    id = "filter"

    def __init__(self, change: Any) -> None:
        self.change = change

    def process_output_stream(self, ctx: Any) -> Any:
        return self.change(ctx.part)


def without(kinds: str) -> Any:
    def keep(part: Any) -> Any:
        return None if part.type in kinds.split() else part

    return keep


def emptied(part: Any) -> Any:
    if part is not None and part.type.endswith("-delta"):
        part.payload.text = ""
    return part


THOUGHTFUL = Turn(
    chunks=[
        ReasoningDelta("Hm."),
        TextDelta("One "),
        ReasoningDelta("So."),
        TextDelta("two."),
        FinishChunk("stop"),
    ]
)


@pytest.mark.parametrize(
    "dropped",
    [
        "text-start reasoning-start",
        "text-end reasoning-end",
        "text-start text-end reasoning-start reasoning-end",
    ],
)
async def test_a_processor_may_drop_what_opens_and_closes(dropped: str) -> None:
    filtered = agent(THOUGHTFUL, output_processors=[Filter(without(dropped))])
    async with page_of(filtered) as page:
        ended = await page.ask("go")
    assert ended["outcome"] == {"type": "success"}
    assert (page.text, texts(page)) == ("One two.", ["One two."])
    thoughts = [event["delta"] for event in page.of("REASONING_MESSAGE_CONTENT")]
    assert thoughts == ["Hm.", "So."]


async def test_a_page_is_sent_no_empty_pieces() -> None:
    dropped = without("text-start text-delta reasoning-start reasoning-delta")
    unopened = without("text-start reasoning-start")

    def unopened_and_emptied(part: Any) -> Any:
        return emptied(unopened(part))

    for change in (emptied, dropped, unopened_and_emptied):
        async with page_of(agent(THOUGHTFUL, output_processors=[Filter(change)])) as page:
            ended = await page.ask("go")
        assert ended["outcome"] == {"type": "success"}
        assert page.text == ""
        assert page.of("REASONING_MESSAGE_CONTENT") == []


class Strict(Processor):
    id = "strict"

    def __init__(self, *, retry: bool) -> None:
        self.retry = retry

    def process_output_step(self, ctx: Any) -> None:
        if ctx.text.startswith("bad"):
            ctx.abort("not like this", retry=self.retry)


async def test_a_refusal_ends_the_run_with_its_reason() -> None:
    async with page_of(agent("bad", output_processors=[Strict(retry=False)])) as page:
        ended = await page.ask("go")
    assert ended == {"type": "RUN_ERROR", "message": "not like this", "code": "TRIPWIRE"}


@pytest.mark.parametrize("durable", [False, True])
async def test_what_a_processor_did_not_let_stand_is_taken_back_and_told_to_nobody(
    durable: bool,
) -> None:
    model = ScriptedModel("bad one", "good", "again", "bye")
    strict: dict[str, Any] = {"memory": Memory(), "output_processors": [Strict(retry=True)]}
    async with page_of(Agent(id="a", model=model, durable=durable, **strict)) as page:
        await page.ask("go")
        assert texts(page) == ["good"]
        for asked in ("more", "and more"):
            await page.ask(asked)
    assert texts(page) == ["good", "again", "bye"]
    told = [message.text for message in model.requests[-1].messages]
    assert told == ["go", "good", "more", "again", "and more"]


async def test_what_is_taken_back_takes_what_the_provider_gave_along() -> None:
    """The page drops it at once: what comes in its place has the same id."""
    turn = Turn(
        chunks=[
            TextDelta("bad one"),
            ToolCallEnd("c1", "search", "{}", provider_executed=True),
            ProviderToolResult("c1", "search", {"hits": 2}),
            FinishChunk("stop"),
        ]
    )
    async with page_of(agent(turn, "good", output_processors=[Strict(retry=True)])) as page:
        await page.ask("go")
    first, last = page.of("MESSAGES_SNAPSHOT")
    assert [one["role"] for one in first["messages"]] == ["user"]
    assert [one["role"] for one in last["messages"]] == ["user", "assistant"]
    assert len({event["messageId"] for event in page.of("TEXT_MESSAGE_START")}) == 1
    assert texts(page) == ["good"]


async def test_the_same_id_in_two_steps_is_two_calls() -> None:
    calls = [ToolCall(name, {}, id="0") for name in ("look", "gaze")]
    tools = [create_tool(name, "Look", dict, execute=seen) for name in ("look", "gaze")]
    model = ScriptedModel(*calls, "done", "bye")
    async with page_of(Agent(id="a", model=model, tools=tools)) as page:
        await page.ask("go")
        named = [event["toolCallName"] for event in page.of("TOOL_CALL_START")]
        assert named == ["look", "gaze"]
        roles = [message["role"] for message in page.messages]
        assert roles == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
        assert len({message["id"] for message in page.messages}) == len(roles)
        await page.ask("thanks")
    assert [message.role for message in model.requests[-1].messages] == [*roles, "user"]


# -- what tools write, and sub-agents --------------------------------------------------------------


async def test_what_a_tool_writes() -> None:
    @tool
    async def noisy(ctx: ToolContext) -> str:
        """Be noisy."""
        await ctx.writer.write("a word")
        await ctx.writer.write({"n": 1})
        await ctx.writer.write({"type": "data-own", "data": {"n": 2}, "id": "x"})
        return "done"

    async with page_of(agent(ToolCall("noisy"), "ok", tools=[noisy])) as page:
        await page.ask("go")
    place = {"toolCallId": "call_1", "toolName": "noisy"}
    assert page.of("CUSTOM") == [
        {"type": "CUSTOM", "name": "tool-output", "value": {**place, "output": output}}
        for output in ("a word", {"n": 1})
    ]
    [own] = page.of("ACTIVITY_SNAPSHOT")
    assert (own["messageId"], own["activityType"], own["content"]) == ("x", "data-own", {"n": 2})


async def test_a_workflow_as_a_tool_is_an_activity() -> None:
    data = dict[str, Any]

    async def pass_on(ctx: Any) -> dict[str, Any]:
        await ctx.writer.write("on its way")
        return {"n": ctx.input_data["n"] + 1}

    made: Any = create_workflow(id="flow", input_schema=data, output_schema=data)
    flow = made.then(step("one", pass_on)).commit()
    calling = agent(ToolCall("workflow-flow", {"n": 1}), "ok", workflows={"flow": flow})
    async with page_of(calling) as page:
        await page.ask("go")
    shown = page.of("ACTIVITY_SNAPSHOT")
    assert {one["activityType"] for one in shown} == {
        "data-tool-workflow",
        "data-tool-workflow-step",
    }
    last = [one for one in shown if one["activityType"] == "data-tool-workflow"][-1]
    assert (last["replace"], last["content"]["status"]) == (True, "success")
    assert last["content"]["steps"]["one"]["output"] == {"n": 2}
    assert page.results["call_1"].startswith("{")


async def test_a_sub_agent_that_fails_ends_with_its_error() -> None:
    half = Turn("Half an ", error=RuntimeError("the model is out of order"))
    other = Agent(id="o", model=ScriptedModel(half))
    async with page_of(
        agent(ToolCall("agent-other", {"prompt": "go"}), "ok", agents={"other": other})
    ) as page:
        ended = await page.ask("go")
    [failed] = page.of("SUBAGENT_ERROR")
    assert "out of order" in failed["message"]
    assert page.of("SUBAGENT_FINISHED") == []
    assert page.results["call_1"].startswith("Error: ")
    assert ended["outcome"] == {"type": "success"}


async def test_a_sub_agent_that_a_processor_refuses_ends_with_its_reason() -> None:
    other = Agent(id="o", model=ScriptedModel("bad"), output_processors=[Strict(retry=False)])
    async with page_of(
        agent(ToolCall("agent-other", {"prompt": "go"}), "ok", agents={"other": other})
    ) as page:
        await page.ask("go")
    assert [one["message"] for one in page.of("SUBAGENT_ERROR")] == ["not like this"]


async def test_agents_that_a_tool_reads_in_part_end_with_the_tool() -> None:
    """Two tools at once, each with an agent of its own, of which the page is shown the beginning."""

    async def begin(given: dict[str, Any], ctx: ToolContext) -> str:
        async with Agent(id=given["who"], model=ScriptedModel("a b c")).stream("go") as stream:
            async for chunk in stream:
                await ctx.writer.write(chunk.to_wire())
                if chunk.type == "text-delta":
                    return "enough"
        return ""

    begins = create_tool(
        "begins", "Begin", {"type": "object", "properties": {"who": {"type": "string"}}},
        execute=begin,
    )  # fmt: skip
    calls = [ToolCall("begins", {"who": "ann"}), ToolCall("begins", {"who": "bob"})]
    async with page_of(agent(Turn(tool_calls=calls), "ok", tools=[begins])) as page:
        await page.ask("go")
    assert {one["name"] for one in page.of("SUBAGENT_STARTED")} == {"ann", "bob"}
    assert len(page.of("SUBAGENT_FINISHED")) == 2
    assert page.results == {"call_1": "enough", "call_2": "enough"}


async def test_an_agent_of_an_agent_of_an_agent() -> None:
    inner = Agent(id="inner", model=ScriptedModel(Turn("deep", reasoning="Hm.")))
    middle = Agent(
        id="middle",
        model=ScriptedModel(ToolCall("agent-inner", {"prompt": "go"}), "mid"),
        agents={"inner": inner},
    )
    async with page_of(
        agent(ToolCall("agent-middle", {"prompt": "go"}), "top", agents={"middle": middle})
    ) as page:
        await page.ask("go")
    first, second = page.of("SUBAGENT_STARTED")
    assert (first["name"], second["name"]) == ("middle", "inner")
    assert second["parentSubagentRunId"] == first["subagentRunId"]
    said = {one.get("subagentRunId"): one["delta"] for one in page.of("TEXT_MESSAGE_CONTENT")}
    assert said == {first["subagentRunId"]: "mid", second["subagentRunId"]: "deep", None: "top"}


async def test_what_is_taken_back_takes_nothing_of_others_along() -> None:
    """Of two sub-agents at once one is asked again, while the other is in the middle of a text."""
    is_begun, is_refused = asyncio.Event(), asyncio.Event()

    async def slowly() -> Any:
        yield "One "
        is_begun.set()
        await is_refused.wait()
        yield "two"

    class Waiting(Processor):
        id = "waiting"

        async def process_output_step(self, ctx: Any) -> None:
            if ctx.text == "bad":
                await is_begun.wait()
                ctx.abort("not like this", retry=True)
            is_refused.set()

    refused = Agent(id="r", model=ScriptedModel("bad", "good"), output_processors=[Waiting()])
    slow = Agent(id="s", model=FunctionModel(lambda _: slowly()))
    calls = [ToolCall(f"agent-{name}", {"prompt": "go"}) for name in ("refused", "slow")]
    agents = {"refused": refused, "slow": slow}
    async with page_of(agent(Turn(tool_calls=calls), "ok", agents=agents)) as page:
        await page.ask("go")
    assert len(page.of("MESSAGES_SNAPSHOT")) == 1
    assert sorted(text for text in texts(page) if text) == ["One two", "good", "ok"]
