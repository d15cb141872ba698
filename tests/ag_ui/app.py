"""An application for pages of AG-UI: that of the other pages, with state, sub-agents and waits."""

from __future__ import annotations

from typing import Any

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
from mastra.ag_ui import ag_ui_route
from mastra.memory import Memory, WorkingMemory
from mastra.models.chunks import (
    FinishChunk,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from mastra.processors import Processor
from mastra.server import ServerConfig
from mastra.testing import FunctionModel, ToolCall, Turn
from tests.ai_sdk.app import Deeds, asked_of, confirm, fail, look, model_of, nap, step, tools_of

ROUTES = [ag_ui_route(), ag_ui_route("/ag-ui/workflows/{workflow_id}")]


class Profile(BaseModel):
    name: str | None = None
    likes: list[str] = []


class Sure(BaseModel):
    sure: bool


async def count(ctx: StepContext[Any]) -> dict[str, Any]:
    await ctx.set_state({**ctx.state, "count": ctx.state.get("count", 0) + 1})
    return ctx.input_data


async def tell(ctx: StepContext[Any]) -> dict[str, Any]:
    agent = ctx.mastra.get_agent("plain")
    async with agent.stream(ctx.input_data["city"]) as stream:
        await stream.pipe_to(ctx.writer)
    return {"said": await stream.text()}


def noting_model() -> FunctionModel:
    def answer(request: Any) -> Any:
        asked, last = asked_of(request), request.messages[-1]
        if last.role == "tool":
            return "I have noted it."
        if asked.startswith("I am"):
            return ToolCall("updateWorkingMemory", {"memory": {"name": asked.split()[-1]}})
        return "Hello."

    return FunctionModel(answer)


def blinking_model() -> FunctionModel:
    def answer(request: Any) -> Any:
        if request.messages[-1].role == "tool":
            return f"Seen: {request.messages[-1].parts[0].result}."
        return ToolCall(request.tools[0].name, {"eye": "left"})

    return FunctionModel(answer)


def boss_model() -> FunctionModel:
    def answer(request: Any) -> Any:
        if request.messages[-1].role == "tool":
            return "They are done."
        return ToolCall("agent-worker", {"prompt": asked_of(request)})

    return FunctionModel(answer)


def muddled_model() -> FunctionModel:
    """Goes on talking while it writes what it calls with, and gives each step's call the same id."""
    chunks = [
        TextDelta("One "),
        ToolCallStart("0", "locked"),
        ToolCallDelta("0", "{"),
        TextDelta("two"),
        ToolCallDelta("0", "}"),
        ToolCallEnd("0", "locked", "{}"),
        FinishChunk("tool-calls"),
    ]

    def answer(request: Any) -> Any:
        results = sum(message.role == "tool" for message in request.messages)
        return (Turn(chunks=chunks), ToolCall("locked", {}, id="0"), "done")[results]

    return FunctionModel(answer)


def strict_model() -> FunctionModel:
    return FunctionModel(
        lambda request: "good" if "not like this" in str(request.messages) else ["bad ", "one"]
    )


class Strict(Processor):
    id = "strict"

    def process_output_step(self, ctx: Any) -> None:
        if ctx.text.startswith("bad"):
            ctx.abort("not like this", retry=True)


async def locked(given: dict[str, Any], ctx: ToolContext) -> str:
    return "locked"


def chain(name: str, *steps: Any, **options: Any) -> Any:
    data = dict[str, Any]
    made: Any = create_workflow(id=name, input_schema=data, output_schema=data, **options)
    for one in steps:
        made = made.then(one)
    return made.commit()


def build(deeds: Deeds, storage: Any = None, pause_s: float = 0, **config: Any) -> Mastra:
    """Return the application."""
    model, tools = model_of(deeds, pause_s), tools_of(deeds, pause_s)
    data = dict[str, Any]

    def agent(name: str, **options: Any) -> Agent:
        return Agent(id=name, model=model, tools=tools, **options)

    worker = Agent(id="worker", model=model, tools=tools)
    asking = create_step(
        id="sure", input_schema=data, output_schema=data, resume_schema=Sure, execute=confirm_typed
    )
    both: Any = create_workflow(id="both", input_schema=data, output_schema=Any)
    return Mastra(
        agents={
            "plain": agent("plain"),
            "remembering": agent("remembering", memory=Memory()),
            "durable": agent("durable", memory=Memory(), durable=True),
            "noting": Agent(
                id="noting",
                model=noting_model(),
                memory=Memory(working_memory=WorkingMemory(schema=Profile)),
            ),
            "jotting": Agent(id="jotting", model=model, memory=Memory(working_memory=True)),
            **{
                name: Agent(id=name, model=blinking_model(), durable=name == "lasting")
                for name in ("blinking", "lasting")
            },
            "strict": Agent(
                id="strict", model=strict_model(), memory=Memory(), output_processors=[Strict()]
            ),
            "muddled": Agent(
                id="muddled",
                model=muddled_model(),
                tools={"locked": create_tool("locked", "Try", dict, execute=locked)},
            ),
            "boss": Agent(id="boss", model=boss_model(), agents={"worker": worker}),
        },
        workflows={
            "trip": chain(
                "trip", step("look", look), step("count", count), asking, state_schema=data
            ),
            "failing": chain("failing", step("look", look), step("fail", fail)),
            "sleepy": chain("sleepy", step("look", look), step("nap", nap)),
            "telling": chain("telling", step("tell", tell)),
            "both": both.parallel([step("a", confirm), step("b", confirm)]).commit(),
        },
        server=ServerConfig(api_routes=[*ROUTES, *config.pop("api_routes", ())], **config),
        **({} if storage is None else {"storage": storage}),
    )


async def confirm_typed(ctx: StepContext[Any]) -> dict[str, Any]:
    if ctx.resume_data is None:
        return await ctx.suspend({"message": "Go on?"})
    return {**ctx.input_data, "sure": ctx.resume_data.sure}
