"""Tools that write and end while the model goes on, and several readers who come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from mastra.agents.agent import Agent
from mastra.agents.agent_stream import AgentStream
from mastra.models.base import ChunkSource, ModelRequest, drained
from mastra.models.chunks import FinishChunk, ModelChunk, TextDelta, ToolCallEnd
from mastra.testing.models import FunctionModel
from mastra.tools.tool import tool
from mastra.tools.tool_context import ToolContext

CALL = ToolCallEnd("call_1", "act", "{}")


class Stage:
    """A model that calls a tool and goes on when it is told to, and that tool."""

    def __init__(self, *, fails: bool = False) -> None:
        self.goes_on = asyncio.Event()
        self.lines: asyncio.Queue[str | None] = asyncio.Queue()
        """What the tool writes next; `None` to end."""
        self.closed = 0

        @tool
        async def act(ctx: ToolContext) -> str:
            """Act."""
            while (line := await self.lines.get()) is not None:
                await ctx.writer.write(line)
            return "acted"

        async def speak(request: ModelRequest) -> AsyncIterator[Any]:
            if any(message.role == "tool" for message in request.messages):
                yield "done"
                return
            try:
                yield CALL
                await self.goes_on.wait()
                if fails:
                    raise OSError("gone")
                yield "mean"
                yield "while"
            finally:
                self.closed += 1

        self.agent = Agent(id="a", model=FunctionModel(speak), tools=[act])


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def types(chunks: AsyncIterator[Any], last: str) -> list[str]:
    """Read on to a chunk of a type; return the types on the way."""
    seen: list[str] = []
    async for chunk in chunks:
        seen.append(chunk.type)
        if chunk.type == last:
            break
    return seen


async def test_what_a_tool_writes_is_read_while_the_model_is_silent() -> None:
    stage = Stage()
    chunks = stage.agent.stream("q").full_stream
    await types(chunks, "tool-call")
    for line in ("one", "two"):
        reading = asyncio.create_task(anext(chunks))
        await settled()
        assert not reading.done()
        stage.lines.put_nowait(line)
        assert (await reading).payload.output == line
    reading = asyncio.create_task(types(chunks, "tool-result"))
    stage.lines.put_nowait(None)
    await settled()
    stage.goes_on.set()
    assert await reading == ["text-start", "text-delta", "text-delta", "text-end", "tool-result"]
    assert (await types(chunks, "finish"))[-1] == "finish"


async def test_a_slow_reader_gets_what_the_model_said_meanwhile() -> None:
    stage = Stage()
    stream = stage.agent.stream("q")
    chunks = stream.full_stream
    await types(chunks, "tool-call")
    reading = asyncio.create_task(anext(chunks))
    await settled()
    stage.lines.put_nowait("one")
    await reading
    stage.goes_on.set()
    await settled()  # it is busy with what it has read
    reading = asyncio.create_task(types(chunks, "text-delta"))
    assert await reading == ["text-start", "text-delta"]
    stage.lines.put_nowait(None)
    assert await stream.text() == "meanwhiledone"


async def test_a_run_is_closed_while_both_are_at_work() -> None:
    stage = Stage()
    async with stage.agent.stream("q") as stream:
        chunks = stream.full_stream
        await types(chunks, "tool-call")
        reading = asyncio.create_task(anext(chunks))
        await settled()
        stage.lines.put_nowait("one")
        await reading
    assert (stream.status, stage.closed) == ("canceled", 1)


async def test_a_model_that_fails_while_its_tool_runs_fails_the_run() -> None:
    stage = Stage(fails=True)
    stream = stage.agent.stream("q")
    reading = asyncio.create_task(types(stream.full_stream, "finish"))
    await settled()
    stage.goes_on.set()
    assert (await reading)[-3:] == ["error", "step-finish", "finish"]
    assert (stream.status, stage.closed) == ("failed", 1)


# -- readers -------------------------------------------------------------------------------------


async def texts(stream: AgentStream[Any]) -> str:
    return "".join([text async for text in stream.text_stream])


@pytest.mark.parametrize("leaver", [0, 1])
async def test_a_reader_who_leaves_takes_nothing_from_the_other(leaver: int) -> None:
    stage = Stage()
    stream = stage.agent.stream("q")
    readers = [asyncio.create_task(texts(stream)) for _ in range(3)]
    await settled()
    gone = readers.pop(leaver)
    gone.cancel()
    await asyncio.wait([gone])
    stage.lines.put_nowait(None)
    stage.goes_on.set()
    assert await asyncio.gather(*readers) == ["meanwhiledone"] * 2
    assert gone.cancelled()


class Fed:
    """A model that says what it is given, batch by batch; its readers read it themselves."""

    request: Mapping[str, Any] = {}

    def __init__(self, *batches: Sequence[ModelChunk]) -> None:
        self.batches: asyncio.Queue[Sequence[ModelChunk]] = asyncio.Queue()
        for batch in batches:
            self.batches.put_nowait(batch)
        self.leaves: asyncio.Task[Any] | None = None
        """Who leaves as soon as there is more."""

    async def open(self, request: ModelRequest) -> ChunkSource:
        if any(message.role == "tool" for message in request.messages):
            return Fed([TextDelta("done")], [FinishChunk("stop")])
        return self

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelChunk]:
        return drained(self, request)

    async def read(self) -> Sequence[ModelChunk]:
        batch = await self.batches.get()
        if self.leaves is not None:
            self.leaves.cancel()
        return batch

    def interrupt(self) -> None:
        self.batches.put_nowait(())

    async def aclose(self) -> None:
        pass


async def test_a_reader_may_leave_in_the_moment_that_the_answer_comes() -> None:
    model = Fed([TextDelta("a")])
    stream = Agent(id="a", model=model).stream("q")
    stays, goes = asyncio.create_task(texts(stream)), asyncio.create_task(texts(stream))
    await settled()
    model.leaves = goes
    model.batches.put_nowait([TextDelta("b")])
    model.batches.put_nowait([FinishChunk("stop")])
    assert await stays == "ab"
    assert goes.cancelled()


async def test_nothing_is_lost_of_an_answer_that_a_tool_was_faster_than() -> None:
    model, ends = Fed([CALL]), asyncio.Event()

    @tool
    async def act() -> str:
        """Act."""
        await ends.wait()
        return "acted"

    stream = Agent(id="a", model=model, tools=[act]).stream("q")
    reading = asyncio.create_task(texts(stream))
    await settled()
    ends.set()
    await settled()
    for batch in ([TextDelta("mean")], [TextDelta("while")], [FinishChunk("tool-calls")]):
        model.batches.put_nowait(batch)
        await settled()
    assert await reading == "meanwhiledone"
