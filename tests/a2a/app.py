"""Agents that other programs talk to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel

from mastra import Agent, Mastra, ServerConfig, tool
from mastra.memory import Memory
from mastra.models.base import ModelRequest
from mastra.models.chunks import FinishChunk, ModelChunk, TextDelta
from mastra.testing import FunctionModel, ToolCall
from mastra.tools.tool_context import ToolContext

PAID: list[str] = []
"""Whom the tool has paid."""


class Day(BaseModel):
    day: str


@tool(require_approval=True)
async def pay(to: str) -> str:
    """Pay somebody."""
    PAID.append(to)
    return f"paid {to}"


@tool(resume_schema=Day)
async def book(city: str, ctx: ToolContext) -> str:
    """Book a room."""
    if ctx.resume_data is None:
        return await ctx.suspend({"message": f"When in {city}?"})
    return f"{city} on {Day.model_validate(ctx.resume_data).day}"


def answer(request: Any) -> Any:
    last = request.messages[-1]
    if last.role == "tool":
        return f"Done: {last.parts[0].result}."
    match last.text.split():
        case ["pay", to]:
            return ToolCall("pay", {"to": to})
        case ["book", city]:
            return ToolCall("book", {"city": city})
        case ["fail"]:
            raise RuntimeError("broken inside")
        case ["count"]:
            said = [m.text for m in request.messages if m.role == "user"]
            return f"You said {len(said)} things: {', '.join(said)}."
        case _:
            return f"You said {last.text}."


class Slow:
    """A model that says a word and waits until it may go on."""

    provider, model_name = "test", "slow"

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()
        self.was_left = asyncio.Event()

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelChunk]:
        del request
        yield TextDelta("one ")
        try:
            await self.may_go_on.wait()
        except asyncio.CancelledError:
            self.was_left.set()
            raise
        yield TextDelta("two")
        yield FinishChunk()


def build(config: ServerConfig | None = None, *, durable: bool = False, **agents: Any) -> Mastra:
    helper = Agent(
        id="helper",
        description="Helps",
        model=FunctionModel(answer),
        tools={"pay": pay, "book": book},
        memory=Memory(),
        durable=durable,
    )
    return Mastra(agents={"helper": helper, **agents}, server=config)
