"""`to_ui_message_stream`: what becomes of each thing that an agent or a workflow streams."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from mastra import Agent, Mastra, ToolContext, create_tool, create_workflow, tool
from mastra.ai_sdk import to_ui_message_stream
from mastra.errors import ConfigError
from mastra.memory import Memory
from mastra.models.chunks import (
    BlockEnd,
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
from mastra.testing import FunctionModel, ScriptedModel, ToolCall, Turn
from tests.ai_sdk.app import Deeds, build, step
from tests.ai_sdk.wire import put_together

pytestmark = pytest.mark.anyio


class Total(BaseModel):
    total: int


def agent(*turns: Any, **options: Any) -> Agent:
    return Agent(id="a", model=ScriptedModel(*turns), **options)


async def message_of(stream: Any, **options: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    chunks = [chunk async for chunk in to_ui_message_stream(stream, **options)]
    return put_together({}, chunks), chunks


def kinds(chunks: list[dict[str, Any]]) -> list[str]:
    return [chunk["type"] for chunk in chunks]


RICH = Turn(
    chunks=[
        ReasoningDelta("Hm."),
        BlockEnd("reasoning", {"anthropic": {"signature": "s"}}),
        TextDelta("Look."),
        SourceChunk("s1", "https://example.com", "A page"),
        SourceChunk("s2", source_type="document", media_type="text/plain", filename="a.txt"),
        FileChunk("AAAA", "image/png"),
        ToolCallEnd("c1", "search", "{}", provider_executed=True),
        ProviderToolResult("c1", "search", {"hits": 2}),
        FinishChunk("stop"),
    ]
)


async def test_thoughts_sources_files_and_tools_of_the_provider() -> None:
    shown, _ = await message_of(
        agent(RICH).stream("q"), send_reasoning=True, send_sources=True, message_id="m"
    )
    assert shown["id"] == "m"
    assert [part["type"] for part in shown["parts"]] == [
        "step-start",
        "reasoning",
        "text",
        "source-url",
        "source-document",
        "file",
        "tool-search",
    ]
    document = shown["parts"][4]
    assert (document["mediaType"], document["title"]) == ("text/plain", "a.txt")
    assert shown["parts"][5]["url"] == "data:image/png;base64,AAAA"
    assert shown["parts"][6]["output"] == {"hits": 2}


async def test_thoughts_and_sources_are_left_out_unless_they_are_asked_for() -> None:
    shown, chunks = await message_of(agent(RICH).stream("q"))
    assert [part["type"] for part in shown["parts"]] == [
        "step-start",
        "text",
        "file",
        "tool-search",
    ]
    assert "signature" not in str(chunks)


async def test_start_and_finish_may_be_left_out_and_tell_more() -> None:
    _, chunks = await message_of(agent("hi").stream("q"), send_start=False, send_finish=False)
    assert kinds(chunks)[0] == "start-step"
    assert kinds(chunks)[-1] == "finish-step"

    def at(chunk: dict[str, Any]) -> dict[str, Any]:
        return {"at": chunk["type"]}

    _, chunks = await message_of(agent("hi").stream("q"), message_metadata=at)
    assert chunks[0]["messageMetadata"] == {"at": "start"}
    assert chunks[-1]["messageMetadata"]["at"] == "finish"
    assert chunks[-1]["messageMetadata"]["usage"]["outputTokens"] == 5


async def test_structured_output_is_a_part() -> None:
    shown, _ = await message_of(agent('{"total": 3}').stream("q", structured_output=Total))
    [part] = [part for part in shown["parts"] if part["type"] == "data-structured-output"]
    assert part["data"] == {"object": {"total": 3}}


class Strict(Processor):
    id = "strict"

    def __init__(self, *, retry: bool) -> None:
        self.retry = retry

    def process_output_step(self, ctx: Any) -> None:
        if ctx.text.startswith("bad"):
            ctx.abort("not like this", retry=self.retry, metadata={"n": 1})


async def test_a_refusal_is_a_part_and_ends_the_message() -> None:
    stream = agent("bad", output_processors=[Strict(retry=False)]).stream("q")
    shown, chunks = await message_of(stream)
    [part] = [part for part in shown["parts"] if part["type"] == "data-tripwire"]
    assert part["data"]["reason"] == "not like this"
    assert part["data"]["processorId"] == "strict"
    assert chunks[-1]["finishReason"] == "other"
    assert kinds(chunks).count("finish") == 1


@pytest.mark.parametrize("version", ["v6", "v7"])
async def test_what_a_processor_did_not_let_stand_is_taken_back(version: Any) -> None:
    stream = agent("bad", "good", output_processors=[Strict(retry=True)]).stream("q")
    shown, chunks = await message_of(stream, version=version)
    texts = [part["text"] for part in shown["parts"] if part["type"] == "text"]
    assert texts == (["good"] if version == "v7" else ["bad", "good"])
    assert ("reset-step" in kinds(chunks)) is (version == "v7")


async def test_what_tools_write_is_data() -> None:
    @tool
    async def noisy(ctx: ToolContext) -> str:
        """Be noisy."""
        await ctx.writer.write("a word")
        await ctx.writer.write({"n": 1})
        await ctx.writer.custom({"type": "data-own", "data": {"n": 2}, "id": "x"})
        await ctx.writer.write({"type": "data-own", "data": {"n": 3}, "id": "y"})
        return "done"

    shown, _ = await message_of(agent(ToolCall("noisy"), "ok", tools=[noisy]).stream("q"))
    data = [part for part in shown["parts"] if part["type"].startswith("data-")]
    place = {"toolCallId": "call_1", "toolName": "noisy"}
    assert data == [
        {"type": "data-tool-output", "data": {**place, "output": "a word"}},
        {"type": "data-tool-output", "data": {**place, "output": {"n": 1}}},
        {"type": "data-own", "data": {"n": 2}, "id": "x"},
        {"type": "data-own", "data": {"n": 3}, "id": "y"},
    ]


async def test_a_sub_agent_is_a_part_that_grows_in_proportion() -> None:
    words = " ".join(f"word{place}" for place in range(400))
    other = agent(ToolCall("look"), words, tools=[create_tool("look", "Look", dict, execute=look)])
    stream = agent(ToolCall("agent-other", {"prompt": "go"}), "ok", agents={"other": other})
    shown, chunks = await message_of(stream.stream("q"))
    [part] = [part for part in shown["parts"] if part["type"] == "data-tool-agent"]
    data = part["data"]
    assert data["text"] == words
    assert (data["status"], data["finishReason"]) == ("finished", "stop")
    assert [call["toolName"] for call in data["toolCalls"]] == ["look"]
    assert [result["result"] for result in data["toolResults"]] == [{"seen": True}]
    assert data["usage"]["totalTokens"] == 30
    assert data["pendingToolCalls"] == []
    assert (part["depth"], part["ancestry"][0]["agentId"]) == (1, "other")
    sent = sum(len(str(chunk)) for chunk in chunks if chunk["type"] == "data-tool-agent")
    assert len(words) < sent < 60 * len(words)
    assert len([c for c in chunks if c["type"] == "data-tool-agent"]) < 150


async def look(given: dict[str, Any], ctx: ToolContext) -> dict[str, Any]:
    return {"seen": True}


async def pass_on(ctx: Any) -> dict[str, Any]:
    return {"n": ctx.input_data["n"] + 1}


async def test_a_workflow_as_a_tool_is_a_part() -> None:
    data = dict[str, Any]
    made: Any = create_workflow(id="flow", input_schema=data, output_schema=data)
    flow = made.then(step("one", pass_on)).commit()
    asking = agent(ToolCall("workflow-flow", {"n": 1}), "ok", workflows={"flow": flow})
    async with Mastra(agents={"a": asking}, workflows={"flow": flow}) as mastra:
        shown, _ = await message_of(mastra.get_agent("a").stream("q"))
    parts = {part["type"]: part["data"] for part in shown["parts"] if "data" in part}
    assert parts["data-tool-workflow"]["status"] == "success"
    assert parts["data-tool-workflow-step"]["step"]["output"] == {"n": 2}


async def test_an_error_is_told_as_the_application_says() -> None:
    def sorry(error: Mapping[str, Any]) -> str:
        return f"Sorry ({error['name']})."

    failing = agent(Turn("half", error=RuntimeError("secret"))).stream("q")
    _, chunks = await message_of(failing, on_error=sorry)
    assert chunks[-2] == {"type": "error", "errorText": "Sorry (ModelError)."}
    wrong = agent("never said", memory=Memory()).stream("q", memory={"thread": "t"})
    _, chunks = await message_of(wrong)
    assert kinds(chunks) == ["start", "error", "finish"]
    assert chunks[-1]["finishReason"] == "error"


async def test_the_same_id_in_two_steps_is_two_calls() -> None:
    def answer(request: Any) -> Any:
        count = sum(message.role == "tool" for message in request.messages)
        return ToolCall("look", {}, id="0") if count < 2 else "done"

    tools = [create_tool("look", "Look", dict, execute=look)]
    looking = Agent(id="l", model=FunctionModel(answer), tools=tools)
    shown, _ = await message_of(looking.stream("q"))
    calls = [part for part in shown["parts"] if "toolCallId" in part]
    assert [call["state"] for call in calls] == ["output-available"] * 2


async def test_sse_ends_with_done() -> None:
    stream = to_ui_message_stream(agent("hi").stream("q"))
    assert stream.headers["x-vercel-ai-ui-message-stream"] == "v1"
    sent = b"".join([piece async for piece in stream.sse()])
    assert sent.startswith(b'data: {"type":"start"')
    assert sent.endswith(b"data: [DONE]\n\n")


def test_what_is_no_stream_and_no_version_is_refused() -> None:
    with pytest.raises(ConfigError, match="AgentStream"):
        to_ui_message_stream("text")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="v5"):
        to_ui_message_stream(agent("hi").stream("q"), version="v5")  # pyright: ignore[reportArgumentType]


async def test_a_durable_agent_takes_back_the_calls_that_it_has_not_come_to() -> None:
    deeds = Deeds()
    async with build(deeds, pause_s=0) as mastra:
        stream = mastra.get_agent("lasting").stream("mixed")
        shown, chunks = await message_of(stream, client_tools=())
    assert "reset-step" in kinds(chunks)
    calls = [part for part in shown["parts"] if "toolCallId" in part]
    assert [(call["toolCallId"], call["state"]) for call in calls] == [
        ("call_1", "approval-requested")
    ]
    assert [part["text"] for part in shown["parts"] if part["type"] == "text"] == ["I will. "]


async def test_what_is_approved_of_a_stream_that_the_page_has_is_not_told_again() -> None:
    deeds = Deeds()
    async with build(deeds, pause_s=0) as mastra:
        plain = mastra.get_agent("plain")
        asking = plain.stream("single")
        shown, _ = await message_of(asking)
        going_on = plain.approve_tool_call(asking.run_id, "call_1")
        chunks = [chunk async for chunk in to_ui_message_stream(going_on, send_start=False)]
    assert [kind for kind in kinds(chunks) if kind.startswith("tool-input")] == []
    put_together(shown, chunks)
    [call] = [part for part in shown["parts"] if "toolCallId" in part]
    assert (call["state"], call["output"]) == ("output-available", "paid ann")


class Filter(Processor):
    """Drops chunks."""

    id = "filter"

    def __init__(self, dropped: str) -> None:
        self.dropped = dropped.split()

    def process_output_stream(self, ctx: Any) -> Any:
        return None if ctx.part.type in self.dropped else ctx.part


@pytest.mark.parametrize(
    ("dropped", "said"),
    [
        ("text-start reasoning-start", ["Hm.", "Four."]),
        ("text-end reasoning-end", ["Hm.", "Four."]),
        ("text-start text-delta reasoning-start reasoning-delta", []),
    ],
)
async def test_a_processor_may_drop_what_opens_and_closes(dropped: str, said: list[str]) -> None:
    filtered = agent(Turn("Four.", reasoning="Hm."), output_processors=[Filter(dropped)])
    shown, _ = await message_of(filtered.stream("q"), send_reasoning=True)
    texts = [(part["text"], part["state"]) for part in shown["parts"] if "text" in part]
    assert texts == [(text, "done") for text in said]


async def test_the_answer_in_place_of_one_that_did_not_stand_has_the_id_that_is_told() -> None:
    for durable in (False, True):
        memory = Memory()
        strict = agent(
            "bad", "good", memory=memory, durable=durable, output_processors=[Strict(retry=True)]
        )
        async with Mastra(agents={"a": strict}):
            stream = strict.stream("q", memory={"thread": "t", "resource": "r"})
            shown, _ = await message_of(stream)
            stored = await memory.list_messages(thread_id="t", resource_id="r")
        assert [one.id for one in stored.messages][1:] == [shown["id"]]


async def test_an_agent_that_an_agent_asks_asks_another() -> None:
    other = Turn("deep.", reasoning="Hm.", tool_calls=[ToolCall("broken"), ToolCall("look")])
    tools = [
        create_tool("look", "Look", dict, execute=look),
        create_tool("broken", "Broken", dict, execute=broken),
    ]
    inner = agent(other, "end", tools=tools)
    middle = agent(ToolCall("agent-inner", {"prompt": "go"}), "mid", agents={"inner": inner})
    outer = agent(ToolCall("agent-middle", {"prompt": "go"}), "ok", agents={"middle": middle})
    shown, _ = await message_of(outer.stream("q"))
    first, second = [part for part in shown["parts"] if part["type"] == "data-tool-agent"]
    assert (first["depth"], first["data"]["text"], "parentAgentId" in first) == (1, "mid", False)
    assert (second["depth"], second["parentAgentId"]) == (2, "middle")
    assert [place["agentId"] for place in second["ancestry"]] == ["middle", "inner"]
    data = second["data"]
    assert (data["text"], data["reasoning"]) == ("deep.end", ["Hm."])
    assert [one["errorText"] for one in data["toolErrors"]] == ["the tool is out of order"]
    assert (data["pendingToolCalls"], data["status"]) == ([], "finished")


async def broken(given: dict[str, Any], ctx: ToolContext) -> None:
    raise RuntimeError("the tool is out of order")


async def test_arguments_that_a_sub_agent_writes_together_are_told_apart() -> None:
    turn = Turn(
        chunks=[
            ToolCallStart("a", "look"),
            ToolCallStart("b", "look"),
            ToolCallDelta("b", '{"b"'),
            ToolCallDelta("a", '{"a"'),
            TextDelta("So."),
            FinishChunk("stop"),
        ]
    )
    other = agent(turn, tools=[create_tool("look", "Look", dict, execute=look)])
    stream = agent(ToolCall("agent-other", {"prompt": "go"}), "ok", agents={"other": other})
    shown, _ = await message_of(stream.stream("q"))
    [part] = [part for part in shown["parts"] if part["type"] == "data-tool-agent"]
    written = {call["toolCallId"]: call["argsText"] for call in part["data"]["pendingToolCalls"]}
    assert written == {"a": '{"a"', "b": '{"b"'}


async def test_a_sub_agent_that_fails_does_not_stay_under_way() -> None:
    half = Turn("Half an ", error=RuntimeError("the model is out of order"))
    refused = agent("bad", output_processors=[Strict(retry=False)])
    for other, reason, text in ((agent(half), "error", "Half an "), (refused, "other", "bad")):
        stream = agent(ToolCall("agent-other", {"prompt": "go"}), "ok", agents={"other": other})
        shown, _ = await message_of(stream.stream("q"))
        [part] = [part for part in shown["parts"] if part["type"] == "data-tool-agent"]
        assert (part["data"]["status"], part["data"]["finishReason"]) == ("finished", reason)
        assert part["data"]["text"] == text


async def test_a_tool_may_suspend_with_a_text() -> None:
    async def ask(given: dict[str, Any], ctx: ToolContext) -> Any:
        return await ctx.suspend("Which?")

    asking = agent(ToolCall("ask"), tools=[create_tool("ask", "Ask", dict, execute=ask)])
    async with Mastra(agents={"a": asking}):
        shown, chunks = await message_of(asking.stream("q"))
    [part] = [part for part in shown["parts"] if part["type"] == "data-tool-call-suspended"]
    assert part["data"]["suspendPayload"] == "Which?"
    assert "tool-approval-request" not in kinds(chunks)


async def test_what_an_agent_of_an_agent_of_an_agent_asks_is_asked_of_the_page() -> None:
    paid: list[str] = []

    async def pay(given: dict[str, Any], ctx: ToolContext) -> str:
        paid.append("ann")
        return "paid"

    paying = create_tool("pay", "Pay", dict, execute=pay, require_approval=True)
    inner = agent(ToolCall("pay"), "inner", tools=[paying])
    middle = agent(ToolCall("agent-inner", {"prompt": "go"}), "mid", agents={"inner": inner})
    outer = agent(ToolCall("agent-middle", {"prompt": "go"}), "ok", agents={"middle": middle})
    async with Mastra(agents={"a": outer}):
        stream = outer.stream("q")
        shown, _ = await message_of(stream)
        [call] = [part for part in shown["parts"] if "toolCallId" in part and "state" in part]
        assert call["state"] == "approval-requested"
        going_on = outer.resume_stream(
            {"approved": True}, run_id=stream.run_id, tool_call_id=call["toolCallId"]
        )
        assert await going_on.text() == "ok"
    assert paid == ["ann"]


async def test_a_stream_that_the_application_closes_ends_as_stopped() -> None:
    async def endless() -> Any:
        yield "One "
        await asyncio.Event().wait()

    stream = Agent(id="a", model=FunctionModel(lambda _: endless())).stream("q")
    chunks: list[dict[str, Any]] = []
    async for chunk in to_ui_message_stream(stream):
        chunks.append(chunk)
        if chunk["type"] == "text-delta":
            await stream.aclose()
    assert kinds(chunks)[-4:] == ["text-end", "finish-step", "abort", "finish"]
    assert chunks[-1]["finishReason"] == "interrupted"
