"""An answer of many pieces takes as long a piece as one of few."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from time import process_time
from typing import Any, cast

import pytest
from a2a.types import Artifact, Part, Task

from mastra.models.anthropic_wire import AnthropicDecoder
from mastra.models.base import ModelRequest
from mastra.models.chunks import ModelChunk, TextDelta, ToolCallEnd, Usage
from mastra.models.collect import collect
from mastra.models.messages import Message
from mastra.models.resolve import resolve_models
from mastra.server.a2a import tasks
from mastra.server.openai.answers import Ended, Said
from mastra.server.openai.bodies import ResponsesBody
from mastra.server.openai.responses import WholeResponse
from tests.support.lanes import first_ones

PIECE = "a few words "
FEW, MANY = 10_000, 60_000


class Talker:
    """A model that says so many pieces."""

    def __init__(self, count: int) -> None:
        self._count = count

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelChunk]:
        del request
        for _ in range(self._count):
            yield TextDelta(PIECE)


def _collected(count: int) -> str:
    async def asked() -> str:
        entries = await resolve_models(cast("Any", Talker(count)))
        return (await collect(entries, ModelRequest([Message("user", "hi")]))).text

    return asyncio.run(asked())


def _arguments(count: int) -> str:
    decoder, out = AnthropicDecoder("m"), list[ModelChunk]()
    block: dict[str, Any] = {"type": "tool_use", "id": "t", "name": "write", "input": {}}
    decoder.event({"type": "content_block_start", "index": 0, "content_block": block}, out)
    delta = {"type": "input_json_delta", "partial_json": PIECE}
    for _ in range(count):
        decoder.event({"type": "content_block_delta", "index": 0, "delta": delta}, out)
    decoder.event({"type": "content_block_stop", "index": 0}, out)
    return next(chunk.args_text for chunk in out if isinstance(chunk, ToolCallEnd))


def _response(count: int) -> str:
    made = WholeResponse("r", ResponsesBody(model="m", input="hi"))
    for _ in range(count):
        made.text("t", PIECE)
    made.take(Ended("stop", Usage()))
    output: Any = made.to_wire()["output"]
    return output[0]["content"][0]["text"]


def _call_cut_off(count: int) -> str:
    made = WholeResponse("r", ResponsesBody(model="m", input="hi"))
    made.take(Said("call", "c", "write"))
    for _ in range(count):
        made.take(Said("args", "c", PIECE))
    made.take(Ended("error", Usage(), "gone"))
    output: Any = made.to_wire()["output"]
    return output[0]["arguments"]


def _task(count: int) -> str:
    task = Task(artifacts=[Artifact(parts=[Part(text=PIECE) for _ in range(count)])])
    tasks._join_texts(task)
    return task.artifacts[0].parts[0].text


def _time_of(make: Callable[[int], str], count: int) -> float:
    gc.collect()
    gc.disable()  # it looks at all that there is, which are more pieces in the one than in the other
    try:
        began = process_time()
        assert make(count) == PIECE * count
        return process_time() - began
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "make", first_ones(1, [_arguments, _response, _collected, _call_cut_off, _task])
)
def test_each_piece_costs_the_same(make: Callable[[int], str]) -> None:
    make(10)
    few, many = (min(_time_of(make, count) for _ in range(3)) for count in (FEW, MANY))
    # Where each piece copies what there is, it is 36 times; alone, 6.
    assert many < 20 * few
