"""An application for pages of the AI SDK, whose model does what the last message asks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel

from mastra import (
    Agent,
    Mastra,
    StepContext,
    ToolContext,
    create_step,
    create_tool,
    create_workflow,
)
from mastra.ai_sdk import chat_route, workflow_route
from mastra.memory import Memory
from mastra.server import ServerConfig
from mastra.testing import FunctionModel, ToolCall, Turn

PIECES, MIDDLE = 24, 5
AGENTS = [
    "plain",
    "durable",
    pytest.param("remembering", marks=pytest.mark.every_engine),
    pytest.param("lasting", marks=pytest.mark.every_engine),
]
"""With and without a memory; each is durable or not."""
PAUSE_S = 0.03


class City(BaseModel):
    city: str


class Deeds:
    """What tools and models have done."""

    def __init__(self) -> None:
        self.paid: list[str] = []
        self.pieces = 0
        self.paying: asyncio.Event | None = None
        self.waiting = 0
        self.held: asyncio.Event | None = None
        """Where it is set, a slow answer stops in its middle until this is."""
        self.silent: asyncio.Event | None = None
        """Where it is set, a slow answer says nothing until this is."""
        self.cut = 0
        """How many slow answers have ended, or were ended."""
        self.requests: list[Any] = []


def asked_of(request: Any) -> str:
    users = [message.text for message in request.messages if message.role == "user"]
    return users[-1] if users else ""


def model_of(deeds: Deeds, pause_s: float = PAUSE_S) -> FunctionModel:
    async def slowly(text: str, pause_s: float = pause_s) -> AsyncIterator[str]:
        try:
            if deeds.silent is not None:
                await deeds.silent.wait()
            for place in range(PIECES):
                await asyncio.sleep(pause_s)
                if place == MIDDLE and deeds.held is not None:
                    await deeds.held.wait()
                deeds.pieces += 1
                yield f"{text}{place} "
        finally:
            deeds.cut += 1

    def answer(request: Any) -> Any:  # noqa: PLR0911, PLR0912 - an arm a word
        deeds.requests.append(request)
        asked, last = asked_of(request), request.messages[-1]
        if last.role == "tool":
            results = ", ".join(str(part.result) for part in last.parts)
            return slowly("after") if "slow" in asked else f"The tools said: {results}."
        match asked.split(" ")[0]:
            case "long":
                return slowly("word", pause_s * 5 if "slowly" in asked else pause_s)
            case "weather" if "slowly" in asked:
                call = ToolCall("weather", {"city": "Oslo"})
                return Turn("Let me see. ", tool_calls=[call], delay=0.15)
            case "weather":
                return ["Let me see. ", ToolCall("weather", {"city": "Oslo"})]
            case "pay":
                return ["I will. ", ToolCall("pay", {"to": "ann"}), ToolCall("pay", {"to": "bob"})]
            case "mixed":
                calls = [ToolCall("pay", {"to": "ann"}), ToolCall("weather", {"city": "Oslo"})]
                return ["I will. ", *calls, ToolCall("pay", {"to": "bob"})]
            case "delegate":
                return ToolCall("agent-payer", {"prompt": "single"})
            case "another":
                return ToolCall("pay", {"to": "cid"}, id="call_of_another")
            case "exactly":
                parts = [1, {"a": None}]
                return ToolCall("pay", {"to": "ann", "sum": 2.0, "now": True, "parts": parts})
            case "two":
                return [ToolCall("ask", {"question": "which?"}), ToolCall("locate", {})]
            case "single":
                return ToolCall("pay", {"to": "ann"})
            case "both":
                calls = [ToolCall("pay", {"to": "ann"}), ToolCall("locate", {})]
                return calls[::-1] if "reversed" in asked else calls
            case "locate":
                return ToolCall("locate", {})
            case "ask":
                return ToolCall("ask", {"question": "which?"})
            case "wrong":
                return ToolCall("weather", {"town": 1})
            case "broken":
                return ToolCall("broken", {})
            case "fail":
                return Turn("Half an ", error=RuntimeError("the model is out of order"))
            case "think":
                return Turn("Four.", reasoning="Two and two.")
            case _:
                return f"You said: {asked}"

    return FunctionModel(answer)


def tools_of(deeds: Deeds, pause_s: float) -> dict[str, Any]:
    async def weather(given: City, ctx: ToolContext) -> dict[str, Any]:
        await ctx.writer.custom({"type": "data-progress", "id": "p", "data": {"done": 1}})
        await asyncio.sleep(pause_s)
        await ctx.writer.custom({"type": "data-hint", "data": "soon", "transient": True})
        await ctx.writer.custom({"type": "data-progress", "id": "p", "data": {"done": 2}})
        return {"city": given.city, "degrees": 4}

    async def pay(given: dict[str, Any], ctx: ToolContext) -> str:
        if deeds.paying is not None:
            deeds.waiting += 1
            await deeds.paying.wait()
        deeds.paid.append(given["to"])
        return f"paid {given['to']}"

    async def ask(given: dict[str, Any], ctx: ToolContext) -> str:
        if ctx.resume_data is None:
            return await ctx.suspend({"question": given["question"]})
        return f"answered {ctx.resume_data['answer']}"

    async def broken(given: dict[str, Any], ctx: ToolContext) -> str:
        raise RuntimeError("the tool is out of order")

    def text(*names: str) -> dict[str, Any]:
        properties = {name: {"type": "string"} for name in names}
        return {"type": "object", "properties": properties, "required": list(names)}

    return {
        "weather": create_tool("weather", "Weather", City, execute=weather),
        "pay": create_tool("pay", "Pay", text("to"), execute=pay, require_approval=True),
        "ask": create_tool("ask", "Ask", text("question"), execute=ask),
        "broken": create_tool("broken", "Broken", text(), execute=broken),
        "locate": create_tool("locate", "Where the page is", text()),
    }


async def look(ctx: StepContext[Any]) -> dict[str, Any]:
    await ctx.writer.custom({"type": "data-found", "data": {"n": 1}})
    return {"city": ctx.input_data["city"]}


async def confirm(ctx: StepContext[Any]) -> dict[str, Any]:
    if ctx.resume_data is None:
        return await ctx.suspend({"ask": "go on?"})
    return {**ctx.input_data, "sure": ctx.resume_data["sure"]}


async def nap(ctx: StepContext[Any]) -> dict[str, Any]:
    await asyncio.sleep(30)
    return {}


async def fail(ctx: StepContext[Any]) -> dict[str, Any]:
    raise RuntimeError("the step is out of order")


def step(name: str, function: Any) -> Any:
    data = dict[str, Any]
    return create_step(id=name, input_schema=data, output_schema=data, execute=function)


def workflow(name: str, *steps: Any) -> Any:
    made: Any = create_workflow(id=name, input_schema=dict[str, Any], output_schema=dict[str, Any])
    for one in steps:
        made = made.then(one)
    return made.commit()


def build(deeds: Deeds, storage: Any = None, pause_s: float = PAUSE_S, **config: Any) -> Mastra:
    """Return the application."""
    model, tools = model_of(deeds, pause_s), tools_of(deeds, pause_s * 3)

    def agent(name: str, **options: Any) -> Agent:
        return Agent(id=name, model=model, tools=tools, **options)

    routes = [
        *chat_route(send_reasoning=True),
        chat_route("/only", agent="plain", version="v6"),
        workflow_route(),
        *config.pop("api_routes", ()),
    ]
    return Mastra(
        agents={
            "plain": agent("plain", agents={"payer": agent("payer")}),
            "remembering": agent("remembering", memory=Memory()),
            "durable": agent(
                "durable", memory=Memory(), durable=True, agents={"payer": agent("payer")}
            ),
            "lasting": agent("lasting", durable=True),
        },
        workflows={
            "trip": workflow("trip", step("look", look), step("confirm", confirm)),
            "failing": workflow("failing", step("look", look), step("fail", fail)),
            "sleepy": workflow("sleepy", step("look", look), step("nap", nap)),
        },
        server=ServerConfig(api_routes=routes, **config),
        **({} if storage is None else {"storage": storage}),
    )
