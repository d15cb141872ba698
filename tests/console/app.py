"""The reference app, with what waits for a person, a schedule and something to score beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel

from app.main import build_mastra
from app.samples import sample_forecast
from mastra import Agent, Mastra, StepContext, create_workflow, step, tool
from mastra.evals import Dataset, create_scorer
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


@step
async def tell(city: str) -> str:
    return f"All is well in {city}."


report = (
    create_workflow(
        id="report",
        input_schema=str,
        output_schema=str,
        schedule={"cron": "0 7 * * MON-FRI", "timezone": "Europe/Rome", "input_data": "Rome"},
    )
    .then(tell)
    .commit()
)

exact = (
    create_scorer(id="exact", description="Whether it says just that.")
    .generate_score(lambda ctx: ctx.run.output == ctx.run.ground_truth)
    .generate_reason(lambda ctx: "the same" if ctx.score else "something else")
)
cities = Dataset(
    "cities",
    [
        {"input": city, "ground_truth": f"All is well in {city}."}
        for city in ("Rome", "Oslo", "Bonn")
    ]
    + [{"input": "Paris", "ground_truth": "Paris is fine."}],
)


def build(gate: asyncio.Event, model: Any = None) -> Mastra:
    """Return the reference app on sample forecasts, with orders, reports and an agent that pays.

    Args:
        gate: Each plan is said as far as its morning until this is set.
        model: Whatever else makes the plans.
    """

    async def say(_: Any) -> AsyncIterator[str]:
        for piece in ("🌅 MORNING", " ACTIVITIES\n", "- a walk\n"):
            yield piece
        await gate.wait()
        for number in range(50):
            yield f"🌞 AFTERNOON {number}\n"

    async def weather(city: str) -> Any:
        return sample_forecast(city)

    mastra = build_mastra(model=model or FunctionModel(say), weather=weather)
    for workflow in (orders, report):
        mastra.add_workflow(workflow)
    mastra.add_scorer(exact, key="exact")
    says = Turn(
        "Let me **see**.",
        reasoning="They want money.",
        tool_calls=[ToolCall("pay", {"who": "ann", "amount": 3})],
    )
    payer = ScriptedModel(says, "Ann has **3** now.\n\n- one\n- two", says, "Ann got nothing.")
    mastra.add_agent(Agent(id="payer", model=payer, tools=[pay], memory=Memory()))
    mastra.observe(Observability(capture_content=True))
    return mastra
