"""What an open stream keeps for readers who come late, or elsewhere, and that they get it."""

from __future__ import annotations

import copy
import gc
import pickle
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mastra import Agent, ConfigError
from mastra.agents.records.told_chunks import chunk_of
from mastra.models.chunks import FinishChunk, RawChunk, ReasoningDelta, TextDelta
from mastra.testing import FunctionModel, ScriptedModel, Turn

PIECES = 5_000


async def mixed(_: Any) -> AsyncIterator[Any]:
    for number in range(200):
        yield ReasoningDelta(f"thought {number}")
        yield TextDelta(f"text {number}") if number % 3 else ReasoningDelta("again")
        if number % 7 == 0:
            yield ReasoningDelta("")


async def test_a_late_reader_gets_what_the_first_one_got() -> None:
    agent = Agent(id="a", instructions="", model=FunctionModel(mixed))
    async with agent.stream("hi") as stream:
        first = [chunk.to_wire() async for chunk in stream]
        late = [chunk.to_wire() async for chunk in stream]
        in_batches = [chunk.to_wire() async for batch in stream.batches(3) for chunk in batch]
        seqs = [chunk.seq async for chunk in stream]
        said = "".join([text async for text in stream.text_stream])
        thought = await stream.reasoning()
    assert late == first == in_batches
    assert seqs == list(range(len(first)))
    texts = [wire["payload"]["text"] for wire in first if wire["type"] == "text-delta"]
    assert texts == [f"text {number}" for number in range(200) if number % 3]
    assert said == "".join(texts)
    thoughts = [wire["payload"]["text"] for wire in first if wire["type"] == "reasoning-delta"]
    assert "".join(thoughts) == thought
    assert [text for text in thoughts if text.startswith("thought")] == [
        f"thought {number}" for number in range(200)
    ]


async def test_an_open_stream_keeps_the_text_and_little_more() -> None:
    piece = "x" * 1000  # one object: what is counted is what is kept beside the text

    async def say(_: Any) -> AsyncIterator[str]:
        for _ in range(PIECES):
            yield piece

    agent = Agent(id="a", instructions="", model=FunctionModel(say))
    async with agent.stream("hi") as stream:
        reading = aiter(stream)
        await anext(reading)
        gc.collect()
        tracemalloc.start()
        try:
            read = 0
            async for chunk in reading:
                read += chunk.type == "text-delta"
                if read == PIECES:
                    break
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    assert grown / PIECES < 32  # bytes: the reference of the message and that of its readers


def test_a_chunk_of_another_process_has_what_its_type_has_and_nothing_else() -> None:
    def told(kind: str, payload: Any) -> Any:
        return chunk_of("run", {"type": kind, "from": "AGENT", "payload": payload}).payload

    thought = told("reasoning-signature", {"id": "1", "signature": "proof"})
    assert (thought.id, thought.signature) == ("1", "proof")
    hidden = told("redacted-reasoning", {"id": "1", "data": "x"})
    assert (hidden.data, hidden.provider_metadata) == ("x", None)
    end = told("finish", {"messageId": "m", "metadata": {}})
    assert (end.message_id, end.metadata, end.response) == ("m", {}, None)
    of_another_version = told("later", {"someFact": 1})
    assert of_another_version.some_fact == 1
    for payload in (thought, hidden, end, of_another_version):
        with pytest.raises(AttributeError, match="mesage_id"):
            _ = payload.mesage_id
    assert told("abort", {}) == {}
    assert told("raw", {"id": "x", "choices": []}) == {"id": "x", "choices": []}


def test_a_payload_of_another_process_is_copied_as_any_object_is() -> None:
    told = {"type": "finish", "payload": {"stepResult": {"reason": "stop"}}}
    payload = chunk_of("r", told).payload
    for other in (copy.deepcopy(payload), pickle.loads(pickle.dumps(payload))):
        assert other.step_result == {"reason": "stop"}
    with pytest.raises(AttributeError, match="'finish' has no 'text'"):
        _ = payload.text


async def test_pieces_that_say_nothing_make_no_part_and_raw_ones_are_streamed() -> None:
    turn = Turn(chunks=[TextDelta(""), RawChunk({"id": 1}), FinishChunk("stop")])
    stream = Agent(id="a", model=ScriptedModel(turn)).stream("hi", include_raw_chunks=True)
    assert [chunk.payload async for chunk in stream if chunk.type == "raw"] == [{"id": 1}]
    result = await stream.result()
    assert (result.text, [message.role for message in result.messages]) == ("", ["user"])


async def test_a_model_that_streams_something_else_is_told_so() -> None:
    class Text:
        provider, model_name = "own", "text"

        async def stream(self, _: Any) -> AsyncIterator[Any]:
            yield "Hello."

    with pytest.raises(ConfigError, match=r"own/text streamed 'Hello\.'.*TextDelta"):
        await Agent(id="a", model=Text()).generate("hi")
