"""Models of users' own, and whole answers put together of their chunks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from mastra import Agent, Fallback
from mastra.errors import ConfigError, ModelError
from mastra.models.base import ModelRequest
from mastra.models.calling import ModelEntry
from mastra.models.chunks import (
    BlockEnd,
    FinishChunk,
    ModelChunk,
    ReasoningDelta,
    ResponseMetadata,
    TextDelta,
    ToolCallEnd,
)
from mastra.models.collect import collect
from mastra.models.messages import Message
from mastra.models.resolve import resolve_model, resolve_models

ASKED = ModelRequest([Message("user", "hi")])


class Chunks:
    """An answer that can be iterated, and nothing else."""

    def __init__(self, chunks: Sequence[ModelChunk | Exception]) -> None:
        self._left = [*chunks]

    def __aiter__(self) -> Chunks:
        return self

    async def __anext__(self) -> ModelChunk:
        if not self._left:
            raise StopAsyncIteration
        chunk = self._left.pop(0)
        if isinstance(chunk, Exception):
            raise chunk
        return chunk


class Own:
    """A model with a name of its class alone."""

    def __init__(self, *chunks: ModelChunk | Exception) -> None:
        self._chunks = chunks

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelChunk]:
        return Chunks(self._chunks)


async def test_all_that_an_answer_says_is_put_together() -> None:
    call = ToolCallEnd("c", "look", "{}")
    metadata, finish = ResponseMetadata("r", "m"), FinishChunk("tool-calls")
    own = Own(
        metadata,
        ReasoningDelta("Hm"),
        ReasoningDelta("."),
        BlockEnd("reasoning"),
        TextDelta("I "),
        TextDelta("look."),
        call,
        finish,
    )
    found = await collect([ModelEntry(own)], ASKED)
    assert (found.text, found.reasoning, found.tool_calls) == ("I look.", "Hm.", [call])
    assert (found.finish, found.metadata, found.model) == (finish, metadata, "Own")


async def test_an_answer_of_nothing_is_one() -> None:
    assert (await collect([ModelEntry(Own())], ASKED)).text == ""
    result = await Agent(id="a", model=Own(ResponseMetadata("r", "m"))).generate("hi")
    assert result.text == ""


async def test_the_last_failure_of_several_models_names_those_before() -> None:
    first, last = ModelError("first"), ModelError("last")
    with pytest.raises(ModelError, match="last") as caught:
        await collect([ModelEntry(Own(first)), ModelEntry(Own(last))], ASKED)
    assert caught.value is last
    assert last.__context__ is first


async def test_what_a_model_of_a_user_s_own_raises_is_told_with_its_name() -> None:
    agent = Agent(id="a", model=Own(TextDelta("I "), RuntimeError("broke")))
    with pytest.raises(ModelError, match="Own failed: broke"):
        await agent.generate("hi")


async def test_an_object_that_streams_is_a_model() -> None:
    own = Own()
    assert resolve_model(own) is own
    assert [entry.model for entry in await resolve_models(lambda: own)] == [own]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "The list of models is empty"),
        (7, "7 is not a model"),
        (Fallback("openai/gpt-4o", enabled=False), "None of the models"),
    ],
)
async def test_what_cannot_be_asked_is_refused(value: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        await resolve_models(lambda: value)  # type: ignore[arg-type,return-value]  # pyright: ignore[reportArgumentType]
