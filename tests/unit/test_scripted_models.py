"""The models of tests: what a turn may be, what is refused, and how calls are named."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mastra import Agent
from mastra.errors import ConfigError, MastraError, ModelError
from mastra.models.base import ModelRequest
from mastra.models.chunks import FinishChunk, TextDelta, ToolCallDelta, ToolCallEnd, Usage
from mastra.testing import FakeClock, FunctionModel, ScriptedModel, ToolCall, Turn
from mastra.testing.models import model_failure

pytestmark = pytest.mark.anyio


async def chunks_of(model: Any) -> list[Any]:
    return [chunk async for chunk in model.stream(ModelRequest([]))]


async def text_of(model: Any) -> str:
    return "".join(one.text for one in await chunks_of(model) if isinstance(one, TextDelta))


def look(city: str) -> str:
    """Look."""
    return f"sunny in {city}"


@pytest.mark.parametrize(
    ("turn", "text", "calls"),
    [
        ("two words", "two words", []),
        ({"text": ["a", "b"]}, "ab", []),
        (ToolCall("look", {"city": "a"}), "", ["look"]),
        (("so: ", ToolCall("look"), ToolCall("tell")), "so: ", ["look", "tell"]),
        ({"tool_calls": [{"name": "look"}]}, "", ["look"]),
        (Turn(chunks=[TextDelta("x")]), "x", []),
        ((), "", []),
    ],
)
async def test_a_turn_has_many_forms(turn: Any, text: str, calls: list[str]) -> None:
    for model in (ScriptedModel(turn), FunctionModel(lambda _: turn)):
        found = await chunks_of(model)
        assert "".join(one.text for one in found if isinstance(one, TextDelta)) == text
        assert [one.tool_name for one in found if isinstance(one, ToolCallEnd)] == calls


@pytest.mark.parametrize(
    ("turn", "told"),
    [
        (7, "A turn is 7. It takes text, a ToolCall"),
        (None, "A turn is None"),
        (("a", 7), "A turn is ('a', 7). It takes"),
        (({"name": "look"},), "A turn is ({'name': 'look'},). It takes"),
        ({"txt": "a"}, "A turn has 'txt', which no turn has. Did you mean 'text'?"),
        ({"toolCalls": []}, "A turn has 'toolCalls', which no turn has."),
        (
            {1: "a", None: "b", "txt": "c"},
            "A turn has '1', 'None', 'txt', which no turn has. Did you",
        ),
    ],
)
async def test_what_is_no_turn_is_refused(turn: Any, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        ScriptedModel(turn)
    assert told in raised.value.message
    with pytest.raises(ConfigError) as raised:
        await chunks_of(FunctionModel(lambda _: turn))
    assert told in raised.value.message


async def test_each_call_of_a_conversation_has_an_id_of_its_own() -> None:
    def answer(request: ModelRequest) -> Any:
        return ToolCall("look", {"city": "Rome"}) if len(request.messages) < 6 else "done"

    async def later(request: ModelRequest) -> Any:
        await asyncio.sleep(0)
        return answer(request)

    own = ToolCall("look", {"city": "Rome"}, id="own")
    script = [ToolCall("look", {"city": "Rome"}), own, ToolCall("look", {"city": "Oslo"}), "done"]
    for model, ids in (
        (FunctionModel(answer), ["call_1", "call_2", "call_3"]),
        (FunctionModel(later), ["call_1", "call_2", "call_3"]),
        (ScriptedModel(script), ["call_1", "own", "call_3"]),
    ):
        result = await Agent(id="a", model=model, tools=[look]).generate("?")
        calls = [call.payload.tool_call_id for step in result.steps for call in step.tool_calls]
        assert (calls, result.text) == (ids, "done")


async def test_a_call_is_streamed_as_its_text() -> None:
    for args, pieces in ((None, ["{", "}"]), ("x", ["x"]), ("", []), ({"a": 1}, ['{"a"', ": 1}"])):
        found = await chunks_of(ScriptedModel(ToolCall("look", args)))
        assert [one.args_text_delta for one in found if isinstance(one, ToolCallDelta)] == pieces
        assert found[-1] == FinishChunk("tool-calls", None, Usage(10, 5, 15, 0, 0))


async def test_a_function_may_give_the_chunks_itself() -> None:
    async def with_end(_: ModelRequest) -> Any:
        yield "a "
        yield TextDelta("b")
        yield FinishChunk("length", None, Usage(1, 2, 3, 0, 0))

    async def without(_: ModelRequest) -> Any:
        yield "a"

    async def nothing(_: ModelRequest) -> Any:
        for piece in ():
            yield piece

    assert await text_of(FunctionModel(with_end)) == "a b"
    assert (await chunks_of(FunctionModel(with_end)))[-1].reason == "length"
    for function in (without, nothing):
        assert (await chunks_of(FunctionModel(function)))[-1].reason == "stop"


async def test_a_function_that_gives_chunks_is_closed_where_it_is_left() -> None:
    closed: list[bool] = []

    async def endless(_: ModelRequest) -> Any:
        try:
            while True:
                yield "a"
        finally:
            closed.append(True)

    stream: Any = FunctionModel(endless).stream(ModelRequest([]))
    assert (await anext(stream)).text == "a"
    await stream.aclose()
    assert closed == [True]


async def test_a_script_that_is_played_too_often_or_not_to_its_end_is_said() -> None:
    model = ScriptedModel("a", "b")
    assert model.calls == 0
    with pytest.raises(AssertionError, match="has 1 unused turns of 2"):
        with model:
            await text_of(model)
    with pytest.raises(AssertionError, match="has 1 unused turns of 2"):
        async with model:
            pass
    with pytest.raises(KeyError):  # what a test raised itself stays
        async with model:
            raise KeyError
    with pytest.raises(KeyError), model:
        raise KeyError
    async with model:
        await text_of(model)
    with pytest.raises(MastraError, match="called 3 times and has 2 turns") as raised:
        await text_of(model)
    assert raised.value.code == "SCRIPT_EXHAUSTED"


async def test_a_turn_takes_its_time_and_fails_at_its_end() -> None:
    model = ScriptedModel(Turn("a b", error=ValueError("cut"), delay=60))
    with FakeClock() as clock:
        stream: Any = model.stream(ModelRequest([]))
        assert [(await anext(stream)).text for _ in range(2)] == ["a ", "b"]
        with pytest.raises(ValueError, match="cut"):
            await anext(stream)
        assert clock.monotonic() == 180


@pytest.mark.parametrize(
    ("status", "is_retryable"), [(None, False), (401, False), (408, True), (429, True), (503, True)]
)
async def test_a_failure_of_a_provider_can_be_scripted(
    status: int | None, is_retryable: bool
) -> None:
    with pytest.raises(ModelError, match="the model failed") as raised:
        await text_of(ScriptedModel(model_failure(status=status)))
    assert (raised.value.status_code, raised.value.is_retryable) == (status, is_retryable)
