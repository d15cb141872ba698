"""A run that ends before its last word: what it has said is told once, and as processors let it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mastra.agents.agent import Agent
from mastra.agents.output import StructuredOutput
from mastra.errors import ModelError
from mastra.memory import Memory
from mastra.models.chunks import ToolCallEnd, ToolCallStart
from mastra.models.messages import Message
from mastra.processors import PIIDetector, Processor
from mastra.processors.texts import map_text
from mastra.registry import Mastra
from mastra.stream.abort import AbortController
from mastra.testing.models import FunctionModel, ScriptedModel, ToolCall, Turn, model_failure
from mastra.tools.tool import tool

HERE: Any = {"thread": "t", "resource": "ann"}


class Stops(AbortController):
    """Is aborted by what hangs, when that has begun."""

    async def hang(self, *_: Any) -> Any:
        asyncio.get_running_loop().call_soon(self.abort)
        await asyncio.Event().wait()


async def kept(memory: Memory) -> list[tuple[str, str]]:
    """Return the types of the parts that are stored, and their texts."""
    page = await memory.list_messages(thread_id="t")
    parts: list[Any] = [part for stored in page.messages for part in stored.content["parts"]]
    return [(part["type"], part.get("text", "")) for part in parts]


@pytest.mark.parametrize("where", ["second model", "title", "tool", "next step", "waiting tool"])
async def test_a_text_is_told_once_wherever_the_run_is_stopped(where: str) -> None:
    stops = Stops()
    slow = FunctionModel(stops.hang)

    @tool(require_approval=where == "waiting tool")
    async def act() -> str:
        """Act."""
        return await stops.hang() if where != "next step" else "acted"

    options: dict[str, Any] = {"abort_signal": stops.signal, "memory": HERE}
    asks = Turn("Said.", [ToolCall("act")])
    model = ScriptedModel(asks if where not in {"second model", "title"} else "Said.")
    if where == "second model":
        options["structured_output"] = StructuredOutput(int, model=slow)
    memory = Memory(generate_title=slow) if where == "title" else Memory()
    agent = Agent(
        id="a",
        model=model,
        tools=[act],
        memory=memory,
        default_options={
            "prepare_step": lambda step: {"model": slow} if step.step_number else None
        },
    )
    if where == "waiting tool":
        asked = await agent.generate("q", memory=HERE)
        result = await agent.approve_tool_call(asked.run_id, abort_signal=stops.signal).result()
    else:
        result = await agent.generate("q", **options)
    assert (result.finish_reason, result.text) == ("aborted", "Said.")


@pytest.mark.parametrize("where", ["text", "tool", "next step"])
async def test_so_it_is_of_a_durable_run(where: str) -> None:
    stops = Stops()

    @tool
    async def act() -> str:
        """Act."""
        return await stops.hang() if where == "tool" else "acted"

    async def answer(request: Any) -> AsyncIterator[Any]:
        if request.messages[-1].role == "user":
            yield "Said."
            if where != "text":
                yield ToolCallStart("c1", "act")
                yield ToolCallEnd("c1", "act", "{}")
                return
        yield "" if where == "text" else " More."
        await stops.hang()

    agent = Agent(id="a", model=FunctionModel(answer), tools=[act], durable=True)
    mastra = Mastra(agents=[agent])
    result = await mastra.get_agent("a").generate("q", abort_signal=stops.signal)
    assert result.finish_reason == "aborted"
    assert result.text == ("Said. More." if where == "next step" else "Said.")
    assert len(result.steps) == (0 if where == "text" else 1)
    assert result.messages[0].text == "q"


async def test_what_was_said_by_then_is_what_processors_let_through() -> None:
    stops, told = Stops(), list[str]()

    async def answer(_: Any) -> AsyncIterator[str]:
        yield "To ann@example.com now"
        await stops.hang()

    agent = Agent(id="a", model=FunctionModel(answer), output_processors=[PIIDetector()])
    result = await agent.generate(
        "q", abort_signal=stops.signal, on_abort=lambda event: told.append(event.text)
    )
    assert [result.text, *told] == ["To [EMAIL] "] * 2


@pytest.mark.parametrize("strategy", ["redact", "block"])
async def test_so_it_is_where_the_model_fails(strategy: Any) -> None:
    broken = Turn(["To ann@", "example.com"], error=model_failure("it broke off"))
    agent = Agent(
        id="a", model=ScriptedModel(broken), output_processors=[PIIDetector(strategy=strategy)]
    )
    stream = agent.stream("q")
    chunks = [chunk async for chunk in stream]
    finish = chunks[-1].payload
    kinds = [chunk.type for chunk in chunks if chunk.type != "text-end"]
    if strategy == "redact":
        assert kinds[-4:] == ["error", "text-delta", "step-finish", "finish"]
        assert [step.text for step in finish.output.steps] == ["To [EMAIL]"]
    else:
        # The failure is how the run has ended; what was to be said last is refused all the same.
        assert kinds[-4:] == ["error", "tripwire", "step-finish", "finish"]
        assert [step.text for step in finish.output.steps] == ["To "]
        assert stream.tripwire is not None
    assert stream.status == "failed"
    with pytest.raises(ModelError, match="it broke off"):
        await stream.text()


@tool
async def quick() -> str:
    """Act."""
    return "acted"


async def test_what_is_kept_beside_what_a_tool_did_is_what_processors_let_through() -> None:
    stops, memory = Stops(), Memory()

    class Mask(Processor):
        def process_output_stream(self, ctx: Any) -> Any:
            if ctx.part.type == "text-delta":
                ctx.part.payload.text = ctx.part.payload.text.replace("ann", "_")
            return ctx.part

    async def answer(_: Any) -> AsyncIterator[Any]:
        yield "To ann"
        yield ToolCallStart("c1", "quick")
        yield ToolCallEnd("c1", "quick", "{}")
        await asyncio.sleep(0.01)
        yield " and ann"
        await stops.hang()

    agent = Agent(
        id="a",
        model=FunctionModel(answer),
        tools=[quick],
        output_processors=[Mask()],
        memory=memory,
    )
    result = await agent.generate("q", abort_signal=stops.signal, memory=HERE)
    assert result.text == "To _ and _"
    assert await kept(memory) == [
        *(("text", "q"), ("text", "To _ and _")),
        ("tool-invocation", ""),
    ]


class Stop(Processor):
    id = "stop"

    def process_output_result(self, ctx: Any) -> None:
        ctx.abort("no")


class Break(Processor):
    id = "break"

    def process_output_result(self, ctx: Any) -> None:
        raise OSError("The judge is out.")


class Mask(Processor):
    id = "mask"

    def process_output_result(self, ctx: Any) -> list[Message]:
        return [map_text(message, lambda text: text.replace("q", "_")) for message in ctx.messages]


@pytest.mark.parametrize("refusing", [Stop(), Break()])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("ends", ["well", "in a failure"])
async def test_of_what_is_refused_only_what_tools_did_is_kept(
    refusing: Processor, is_first: bool, ends: str
) -> None:
    memory = Memory()
    processors = [refusing, Mask()] if is_first else [Mask(), refusing]
    end: Any = "secret end" if ends == "well" else model_failure("it broke off")
    agent = Agent(
        id="a",
        model=ScriptedModel(Turn("secret", [ToolCall("quick")]), end),
        tools=[quick],
        output_processors=processors,
        memory=memory,
    )
    await agent.stream("q", memory=HERE).consume()
    assert await kept(memory) == [("text", "_"), ("tool-invocation", "")]
