"""What models give to tools, read as it is meant, and what functions give back one by one."""

from __future__ import annotations

import asyncio
import json
import types
from collections.abc import AsyncIterator, Generator, Iterator
from functools import partial
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from mastra.agents.agent import Agent
from mastra.models.messages import ToolResultPart
from mastra.testing.models import ScriptedModel, ToolCall
from mastra.tools.tool import Tool, as_tool, create_tool, tool
from mastra.workflows.step import create_step
from mastra.workflows.workflow import create_workflow


class Place(BaseModel):
    city: str
    tags: list[str] = []
    near: Place | None = None


@tool
def plan(
    days: list[int],
    place: Place | None = None,
    notes: dict[str, int] | list[int] | None = None,
    pace: Literal["slow", "fast"] = "slow",
    text: str = "",
    raw: str | list[int] = "",
) -> str:
    """Plan a trip."""
    return repr((days, place, notes, pace, text, raw))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"days": "[1, 2]"}, {"days": [1, 2]}),
        ({"days": [1], "place": '{"city": "Oslo"}'}, {"days": [1], "place": {"city": "Oslo"}}),
        (
            {"days": [1], "place": {"city": "Oslo", "tags": '["a"]'}},
            {"days": [1], "place": {"city": "Oslo", "tags": ["a"]}},
        ),
        (
            {"days": [1], "place": {"city": "Oslo", "near": '{"city": "Moss", "tags": "[]"}'}},
            {"days": [1], "place": {"city": "Oslo", "near": {"city": "Moss"}}},
        ),
        ({"days": "[1]", "notes": '{"a": 1}'}, {"days": [1], "notes": {"a": 1}}),
        ({"days": [1], "pace": None, "text": None}, {"days": [1]}),
        ({"days": "[1]", "text": "[1]", "raw": "[1]"}, {"days": [1], "text": "[1]", "raw": "[1]"}),
        ('{"days": [1]}', {"days": [1]}),
    ],
)
async def test_json_text_and_null_are_read_as_they_are_meant(given: Any, meant: Any) -> None:
    assert await plan.execute(given) == await plan.execute(meant)
    assert isinstance(await plan.execute(meant), str)


@pytest.mark.parametrize(
    "given", [{"days": "[1, 2"}, {"days": '{"a": 1}'}, {"days": "tomorrow"}, {"days": None}, "[1]"]
)
async def test_what_cannot_be_meant_is_told_as_it_was_given(given: Any) -> None:
    said: Any = await plan.execute(given)
    assert said["error"] is True
    assert json.dumps(given, indent=2) in said["message"]


def _drawn() -> Tool[Any, Any]:
    takes = {
        "type": "object",
        "properties": {"points": {"type": "array"}, "colour": {"type": "string"}},
        "required": ["points"],
    }
    return create_tool("draw", "Draw", takes, execute=lambda given: given)


async def test_a_tool_with_a_json_schema_gets_what_is_meant_too() -> None:
    assert await _drawn().execute({"points": "[1]", "colour": None}) == {"points": [1]}
    assert await _drawn().execute({"points": [1], "colour": "[1]"}) == {
        "points": [1],
        "colour": "[1]",
    }


async def test_arguments_that_are_encoded_twice_are_the_arguments() -> None:
    model = ScriptedModel(ToolCall("plan", json.dumps('{"days": [1]}')), "done")
    result = await Agent(id="a", model=model, tools=[plan]).generate("go")
    assert [call.payload.args for call in result.tool_calls] == [{"days": [1]}]
    assert result.tool_results[0].payload.result.startswith("([1]")


@tool
def counted(to: int) -> Iterator[int]:
    """Count."""
    yield from range(to)
    if to > 2:
        raise ValueError("too far")


@tool
async def waited(to: int) -> AsyncIterator[int]:
    """Count."""
    for number in range(to):
        yield number
    if to > 2:
        raise ValueError("too far")


@pytest.mark.parametrize("given", [counted, waited])
async def test_what_a_tool_yields_is_its_result_as_a_list(given: Tool[Any, Any]) -> None:
    model = ScriptedModel(ToolCall(given.id, {"to": 2}), ToolCall(given.id, {"to": 3}), "done")
    result = await Agent(id="a", model=model, tools=[given]).generate("go")
    said = [
        part
        for message in result.messages
        for part in message.parts
        if isinstance(part, ToolResultPart)
    ]
    assert [(part.result, part.is_error) for part in said] == [([0, 1], False), ("too far", True)]


class Counting:
    """Count."""

    def __call__(self, to: int) -> Iterator[int]:
        yield from range(to)


@types.coroutine
def awaited(to: int) -> Generator[Any, None, list[int]]:
    """Count."""
    yield from asyncio.sleep(0).__await__()
    return list(range(to))


@pytest.mark.parametrize("function", [Counting(), partial(Counting(), to=2), awaited])
async def test_other_functions_that_yield(function: Any) -> None:
    made = as_tool(function)
    given = {} if isinstance(function, partial) else {"to": 2}
    assert await made.execute(given) == [0, 1]
    step = create_step(id="count", execute=lambda to: function(to=to))
    flow = create_workflow(id="w", input_schema=int, output_schema=list[int]).then(step).commit()
    assert (await (await flow.create_run()).start(2)).unwrap() == [0, 1]
