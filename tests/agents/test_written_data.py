"""What tools and processors write as `data-…` is kept with the conversation, and no model sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mastra import Agent, Mastra, SQLStorage, create_tool, tool
from mastra.memory import Memory
from mastra.models import DataPart
from mastra.models.message_forms import messages_from
from mastra.processors import Processor
from mastra.storage.in_process import InMemoryStorage
from mastra.testing import ScriptedModel, ToolCall
from mastra.testing.models import Turn
from mastra.tools.tool_context import ToolContext

THREAD: Any = {"memory": {"thread": "t", "resource": "r"}}


@tool
async def search(term: str, ctx: ToolContext) -> str:
    """Search."""
    await ctx.writer.custom({"type": "data-progress", "data": {"done": 1}, "id": "p"})
    await ctx.writer.custom({"type": "data-log", "data": "…", "transient": True})
    await ctx.writer.custom({"type": "data-progress", "data": {"done": 2}})
    return f"found {term}"


@tool
async def ask(ctx: ToolContext) -> str:
    """Ask somebody."""
    if ctx.resume_data is None:
        await ctx.writer.custom({"type": "data-asked", "data": None})
        await ctx.suspend({"who": "you"})
    await ctx.writer.custom({"type": "data-answered", "data": ctx.resume_data})
    return "thanks"


@pytest.fixture(params=["memory", "sqlite"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    url = f"sqlite:///{tmp_path}/a.db"
    kept = InMemoryStorage() if request.param == "memory" else SQLStorage(url)
    yield kept
    await kept.aclose()


def application(storage: Any, *turns: Any, **options: Any) -> tuple[Mastra, ScriptedModel]:
    model = ScriptedModel(*turns)
    agent = Agent(id="a", model=model, memory=Memory(), **options)
    return Mastra(agents={"a": agent}, storage=storage), model


async def stored(mastra: Mastra) -> list[list[tuple[str, Any]]]:
    """Return the parts of what was answered, message by message: their types and their data."""
    page = await mastra.storage.memory.list_messages(thread_id="t")
    return [
        [(part["type"], part.get("data")) for part in message.content["parts"]]
        for message in page.messages
        if message.role == "assistant"
    ]


SEARCHED = [
    ("tool-invocation", None),
    ("data-progress", {"done": 1}),
    ("data-progress", {"done": 2}),
    ("step-start", None),
    ("text", None),
]


@pytest.mark.parametrize("durable", [False, True])
async def test_what_a_tool_writes_is_stored_behind_its_call(storage: Any, durable: bool) -> None:
    turns = ToolCall("search", {"term": "x"}), "Found.", "Again."
    mastra, model = application(storage, *turns, tools=[search], durable=durable)
    agent = mastra.get_agent("a")
    result = await agent.generate("Go.", **THREAD)
    assert await stored(mastra) == [SEARCHED]
    written = [
        part for message in result.messages for part in message.parts if isinstance(part, DataPart)
    ]
    assert [part.data for part in written] == [{"done": 1}, {"done": 2}]
    # Nor does the model see it, then and when the conversation goes on.
    await agent.generate("And?", **THREAD)
    sent = [
        part for request in model.requests for message in request.messages for part in message.parts
    ]
    assert not any(isinstance(part, DataPart) for part in sent)
    assert [message.role for message in model.requests[-1].messages] == [
        *("user", "assistant", "tool", "assistant", "user")
    ]
    assert "data-" not in str(result.steps[0].response_messages())


@pytest.mark.parametrize("durable", [False, True])
async def test_what_was_written_before_a_wait_is_stored_with_what_came_after(
    storage: Any, durable: bool
) -> None:
    turns = ToolCall("ask", {}), "Done."
    mastra, _ = application(storage, *turns, tools=[ask], durable=durable)
    agent = mastra.get_agent("a")
    waits = await agent.generate("Go.", **THREAD)
    assert waits.finish_reason == "suspended"
    (run,) = (await agent.list_suspended_runs()).runs
    assert [part["type"] for part in run.tool_calls[0].written] == ["data-asked"]
    assert "written" not in run.to_wire()["toolCalls"][0]
    done = await agent.resume_generate("yes", run_id=waits.run_id)
    assert done.text == "Done."
    assert await stored(mastra) == [
        [
            ("tool-invocation", None),
            ("data-asked", None),
            ("data-answered", "yes"),
            ("step-start", None),
            ("text", None),
        ]
    ]


async def test_several_calls_write_each_behind_its_own(storage: Any) -> None:
    calls = [ToolCall("search", {"term": term}) for term in "ab"]
    mastra, _ = application(storage, Turn(tool_calls=calls), "Found.", tools=[search])
    await mastra.get_agent("a").generate("Go.", **THREAD)
    (parts,) = await stored(mastra)
    assert [kind for kind, _ in parts] == [
        *["tool-invocation"] * 2, *["data-progress"] * 4, "step-start", "text"
    ]  # fmt: skip


@pytest.mark.parametrize("durable", [False, True])
async def test_what_a_sub_agent_s_tools_write_is_stored_too(storage: Any, durable: bool) -> None:
    finder = Agent(
        id="finder", model=ScriptedModel(ToolCall("search", {"term": "x"}), "ok"), tools=[search]
    )
    turns = ToolCall("agent-finder", {"prompt": "x"}), "Done."
    mastra, _ = application(storage, *turns, agents={"finder": finder}, durable=durable)
    await mastra.get_agent("a").generate("Go.", **THREAD)
    (parts,) = await stored(mastra)
    assert [part for part in parts if part[0].startswith("data-")] == [
        ("data-progress", {"done": 1}),
        ("data-progress", {"done": 2}),
    ]


class Telling(Processor):
    """Writes wherever it may."""

    async def process_input_step(self, ctx: Any) -> None:
        await ctx.writer.custom({"type": "data-before", "data": ctx.step_number})

    async def process_tool_result(self, ctx: Any) -> None:
        await ctx.writer.custom({"type": "data-seen", "data": ctx.tool_name})

    async def process_output_result(self, ctx: Any) -> None:
        await ctx.writer.custom({"type": "data-end", "data": 1})
        await ctx.writer.custom({"type": "data-gone", "data": 1, "transient": True})


@pytest.mark.parametrize("durable", [False, True])
async def test_what_processors_write_is_stored(storage: Any, durable: bool) -> None:
    telling = Telling()
    mastra, _ = application(
        storage,
        ToolCall("search", {"term": "x"}),
        "Found.",
        tools=[search],
        input_processors=[telling],
        output_processors=[telling],
        durable=durable,
    )
    await mastra.get_agent("a").generate("Go.", **THREAD)
    assert await stored(mastra) == [
        [
            ("tool-invocation", None),
            ("data-before", 0),
            ("data-progress", {"done": 1}),
            ("data-progress", {"done": 2}),
            ("data-seen", "search"),
            ("step-start", None),
            ("text", None),
            ("data-before", 1),
            ("data-end", 1),
        ]
    ]


class Hiding(Processor):
    """Takes out what is not for everybody."""

    async def process_output_stream(self, ctx: Any) -> Any:
        if ctx.part.type != "data-progress":
            return ctx.part
        if ctx.part.data["done"] == 1:
            return None
        ctx.part.payload["data"] = "hidden"
        return ctx.part


@pytest.mark.parametrize("durable", [False, True])
async def test_what_a_processor_does_not_let_through_is_not_stored(
    storage: Any, durable: bool
) -> None:
    turns = ToolCall("search", {"term": "x"}), "Found."
    mastra, _ = application(
        storage, *turns, tools=[search], output_processors=[Hiding()], durable=durable
    )
    await mastra.get_agent("a").generate("Go.", **THREAD)
    (parts,) = await stored(mastra)
    assert parts[1:3] == [("data-progress", "hidden"), ("step-start", None)]


async def test_a_page_s_own_parts_are_kept_and_not_sent(storage: Any) -> None:
    mastra, model = application(storage, "Hi.")
    said = [{"type": "data-place", "data": {"lat": 1}}, {"type": "text", "text": "Here."}]
    await mastra.get_agent("a").generate([{"role": "user", "parts": said}], **THREAD)
    page = await mastra.storage.memory.list_messages(thread_id="t")
    assert [part["type"] for part in page.messages[0].content["parts"]] == ["data-place", "text"]
    (sent,) = model.requests[0].messages
    assert [type(part).__name__ for part in sent.parts] == ["TextPart"]


async def test_what_is_said_of_a_message_is_said_of_its_last_part_that_a_model_sees() -> None:
    own = {"anthropic": {"cacheControl": {"type": "ephemeral"}}}
    parts = [{"type": "text", "text": "Hi."}, {"type": "data-place", "data": 1}]
    (said,) = messages_from([{"role": "user", "parts": parts, "providerOptions": own}])
    assert [getattr(part, "provider_metadata", None) for part in said.parts] == [own, None]


async def test_an_answer_that_a_page_repeats_with_its_parts_is_one_answer(storage: Any) -> None:
    look = create_tool("look", "Look.", dict[str, Any])  # the page runs it
    mastra, model = application(storage, ToolCall("look", {"n": 1}), "Seen.", tools=[look])
    agent = mastra.get_agent("a")
    await agent.generate("Go.", **THREAD)
    call = {"type": "tool-call", "toolCallId": "call_1", "toolName": "look", "input": {"n": 1}}
    given = [
        {"role": "assistant", "content": [{"type": "data-note", "data": 1}, call]},
        {"role": "tool", "content": [{**call, "type": "tool-result", "output": "a cat"}]},
    ]
    assert (await agent.generate(given, **THREAD)).text == "Seen."
    roles = [message.role for message in model.requests[-1].messages]
    assert roles == ["user", "assistant", "tool"]
