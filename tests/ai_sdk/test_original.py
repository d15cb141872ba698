"""The parts of a message are those that the original's adapter makes, apart from a list."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mastra import (
    Agent,
    Mastra,
    StepContext,
    ToolContext,
    create_step,
    create_tool,
    create_workflow,
)
from mastra.ai_sdk import UIMessageStream, to_ui_message_stream
from mastra.models.chunks import Usage
from mastra.testing import FunctionModel, ToolCall, Turn
from tests.ai_sdk.app import City
from tests.ai_sdk.wire import put_together
from tests.support.npm import drive, install

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parent / "js"
ORIGINAL: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "original.json").read_text()
)
"""Recorded by `js/record_original.mjs`."""

WANTED = """
A message that waits for approval is finished: `finish-step` and `finish`, so that the page is ready.
The message tells what was used, as `metadata.usage`.
"""

Data = dict[str, Any]


def answer(request: Any) -> Any:
    last = request.messages[-1]
    usage = Usage(10, 5, 15)
    match last.role, last.text:
        case "tool", _:
            return Turn(("It is ", "cold."), usage=usage)
        case _, "pay":
            return Turn(("I will. ",), tool_calls=[ToolCall("pay", {"to": "ann"})], usage=usage)
        case _, "plain":
            return Turn(("A ", "plan."), usage=usage)
        case _:
            calls = [ToolCall("weather", {"city": "Oslo"})]
            return Turn(("Let me see. ",), tool_calls=calls, usage=usage)


async def weather(given: City, ctx: ToolContext) -> Data:
    await ctx.writer.custom({"type": "data-progress", "id": "p", "data": {"done": 1}})
    await ctx.writer.custom({"type": "data-progress", "id": "p", "data": {"done": 2}})
    return {"city": given.city, "degrees": 4}


async def pay(given: Data, ctx: ToolContext) -> str:
    return f"paid {given['to']}"


async def look(ctx: StepContext[City]) -> City:
    await ctx.writer.custom({"type": "data-found", "data": {"n": 1}})
    return ctx.input_data


async def plan(ctx: StepContext[City]) -> Data:
    assert isinstance(ctx.mastra, Mastra)
    async with ctx.mastra.get_agent("a").stream("plain") as stream:
        await stream.pipe_to(ctx.writer)
        return {"text": await stream.text()}


def build() -> Mastra:
    to = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}
    tools = {
        "weather": create_tool("weather", "Weather", City, execute=weather),
        "pay": create_tool("pay", "Pay", to, execute=pay, require_approval=True),
    }
    steps = [
        create_step(id="look", input_schema=City, output_schema=City, execute=look),
        create_step(id="plan", input_schema=City, output_schema=Data, execute=plan),
    ]
    trip: Any = create_workflow(id="trip", input_schema=City, output_schema=Data)
    for step in steps:
        trip = trip.then(step)
    agent = Agent(id="a", instructions="Be brief.", model=FunctionModel(answer), tools=tools)
    return Mastra(agents={"a": agent}, workflows={"trip": trip.commit()})


async def ours() -> dict[str, list[Data]]:
    async with build() as mastra:
        agent = mastra.get_agent("a")
        run = await mastra.get_workflow("trip").create_run()
        streams: dict[str, UIMessageStream] = {
            "tool": to_ui_message_stream(agent.stream("weather")),
            "approval": to_ui_message_stream(agent.stream("pay")),
            "workflow": to_ui_message_stream(run.stream({"city": "Oslo"})),
        }
        return {name: [chunk async for chunk in made] for name, made in streams.items()}


ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def same_ids(message: Data) -> list[Data]:
    """Return a message's parts, with ids that differ from run to run as the first, the second, …"""
    known: dict[str, str] = {}
    text = ID.sub(lambda found: known.setdefault(found[0], f"id{len(known)}"), json.dumps(message))
    return json.loads(text)["parts"]


@pytest.mark.parametrize("name", ORIGINAL)
async def test_the_parts_are_the_originals(name: str) -> None:
    made = (await ours())[name]
    assert same_ids(put_together({}, made)) == same_ids(put_together({}, ORIGINAL[name]))


@pytest.mark.npm
@pytest.mark.timeout(240)
@pytest.mark.parametrize("version", ["v6", "v7"])
async def test_the_sdk_makes_the_same_of_both(version: str, tmp_path: Path) -> None:
    await install(FOLDER)
    both = {f"ours {name}": made for name, made in (await ours()).items()}
    both |= {f"original {name}": made for name, made in ORIGINAL.items()}
    file = tmp_path / "streams.json"
    file.write_text(json.dumps(both))
    said = await drive(FOLDER, "parts.mjs", str(file), version)
    for name in ORIGINAL:
        one, other = said[f"ours {name}"], said[f"original {name}"]
        assert one["errors"] == other["errors"] == []
        assert same_ids(one["message"]) == same_ids(other["message"])
        assert one["message"]["metadata"]["usage"]["totalTokens"] in {15, 30}
