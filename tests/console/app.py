"""The reference app with what waits for a person beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel

from app.main import build_mastra
from app.samples import sample_forecast
from mastra import Agent, Mastra, StepContext, create_workflow, step, tool
from mastra.memory import Memory
from mastra.observability import Observability
from mastra.testing import FunctionModel, ScriptedModel, ToolCall, Turn

__all__ = ["build"]


class Order(BaseModel):
    """What is ordered."""

    customer: str
    amount: int = 3


class Answer(BaseModel):
    """What the boss says."""

    approved: bool
    reason: str | None = None


@step(resume_schema=Answer)
async def ask_boss(order: Order, ctx: StepContext[Order]) -> Order:
    """Ask whether it may be spent."""
    if ctx.resume_data is None:
        await ctx.suspend({"question": f"May {order.customer} spend {order.amount}?"})
    return order


@step
async def bill(order: Order) -> str:
    """Bill it."""
    if order.amount > 100:
        raise ValueError(f"{order.amount} is too much")  # the test looks for this line
    return f"billed {order.amount}"


orders = (
    create_workflow(id="orders", input_schema=Order, output_schema=str)
    .then(ask_boss)
    .then(bill)
    .commit()
)


@tool(require_approval=True)
async def pay(who: str, amount: int) -> str:
    """Pay somebody."""
    return f"paid {who} {amount}"


def build(gate: asyncio.Event) -> Mastra:
    """Return the reference app on sample forecasts, with orders and an agent that pays.

    Args:
        gate: Each plan is said as far as its morning until this is set.
    """

    async def say(_: Any) -> AsyncIterator[str]:
        for piece in ("🌅 MORNING", " ACTIVITIES\n", "- a walk\n"):
            yield piece
        await gate.wait()
        for number in range(50):
            yield f"🌞 AFTERNOON {number}\n"

    async def weather(city: str) -> Any:
        return sample_forecast(city)

    mastra = build_mastra(model=FunctionModel(say), weather=weather)
    mastra.add_workflow(orders)
    says = Turn(
        "Let me **see**.",
        reasoning="They want money.",
        tool_calls=[ToolCall("pay", {"who": "ann", "amount": 3})],
    )
    payer = ScriptedModel(says, "Ann has **3** now.\n\n- one\n- two", says, "Ann got nothing.")
    mastra.add_agent(Agent(id="payer", model=payer, tools=[pay], memory=Memory()))
    mastra.observe(Observability(capture_content=True))
    return mastra
