"""Agents and workflows as tools of an agent, and agents and tools as steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from mastra.agents.agent import Agent
from mastra.models.messages import ToolResultPart
from mastra.processors import Processor
from mastra.registry import Mastra
from mastra.testing.models import FunctionModel, ScriptedModel, ToolCall
from mastra.tools.tool import create_tool, tool
from mastra.workflows.step import create_step, step
from mastra.workflows.step_context import StepContext
from mastra.workflows.workflow import create_workflow


class Number(BaseModel):
    n: int


@tool
async def double(n: int) -> int:
    """Double a number."""
    return n * 2


async def test_a_sub_agent_is_a_tool_and_its_chunks_are_streamed() -> None:
    researcher = Agent(
        id="researcher",
        description="Finds things out",
        model=ScriptedModel(ToolCall("double", {"n": 2}), "it is four"),
        tools=[double],
    )
    model = ScriptedModel(ToolCall("agent-researcher", {"prompt": "2 * 2?"}), "four")
    boss = Agent(id="boss", model=model, agents={"researcher": researcher})
    stream = boss.stream("q")
    chunks = [chunk async for chunk in stream]
    inner = [chunk.payload.output.type for chunk in chunks if chunk.type == "tool-output"]
    assert inner[0] == "start"
    assert inner[-1] == "finish"
    assert "tool-result" in inner
    wire = next(chunk for chunk in chunks if chunk.type == "tool-output").to_wire()
    assert wire["payload"]["output"]["type"] == "start"
    result = await stream.result()
    given = result.tool_results[0].payload.result
    assert given == {
        "text": "it is four",
        "subAgentThreadId": given["subAgentThreadId"],
        "subAgentResourceId": "boss-researcher",
        "subAgentToolResults": [
            {"toolCallId": "call_1", "toolName": "double", "args": {"n": 2}, "result": 4}
        ],
    }
    assert model.requests[0].tools[0].name == "agent-researcher"
    assert model.requests[0].tools[0].description == "Finds things out"
    assert model.requests[1].messages[-1].parts[0].result == "it is four"


async def test_a_sub_agent_that_waits() -> None:
    @tool(require_approval=True)
    async def danger() -> str:
        """Be dangerous."""
        return "boom"

    helper = Agent(id="helper", model=ScriptedModel(ToolCall("danger"), "did it"), tools=[danger])
    model = ScriptedModel(ToolCall("agent-helper", {"prompt": "go"}), "all done")
    boss = Agent(id="boss", model=model, agents={"helper": helper})
    first = await boss.generate("q")
    assert first.finish_reason == "suspended"
    assert first.suspend_payload["suspendPayload"]["toolName"] == "danger"
    last = await boss.resume_generate({"approved": True}, run_id=first.run_id)
    assert last.text == "all done"
    assert last.tool_results[0].payload.result["text"] == "did it"


@step
async def add_one(number: Number) -> Number:
    return Number(n=number.n + 1)


def counting() -> Any:
    return (
        create_workflow(
            id="counting", description="Adds one", input_schema=Number, output_schema=Number
        )
        .then(add_one)
        .commit()
    )


async def test_a_workflow_is_a_tool() -> None:
    model = ScriptedModel(ToolCall("workflow-count", {"n": 1}), "two")
    boss = Agent(id="boss", model=model, workflows={"count": counting()})
    stream = boss.stream("q")
    chunks = [chunk async for chunk in stream]
    events = [chunk.payload.output.type for chunk in chunks if chunk.type == "tool-output"]
    assert events[0] == "workflow-start"
    assert events[-1] == "workflow-finish"
    result = (await stream.result()).tool_results[0].payload.result
    assert result["result"] == {"n": 2}
    assert model.requests[0].tools[0].parameters["properties"]["n"]["type"] == "integer"


async def test_a_workflow_that_suspends_suspends_the_tool() -> None:
    async def ask(ctx: StepContext[Number]) -> Number:
        if ctx.resume_data is None:
            return await ctx.suspend({"why": "how many?"})
        return Number(n=ctx.resume_data["n"])

    workflow = (
        create_workflow(id="asking", input_schema=Number, output_schema=Number)
        .then(create_step(id="ask", input_schema=Number, output_schema=Number, execute=ask))
        .commit()
    )
    model = ScriptedModel(ToolCall("workflow-ask", {"n": 1}), "ok")
    boss = Agent(id="boss", model=model, workflows={"ask": workflow})
    first = await boss.generate("q")
    assert first.finish_reason == "suspended"
    last = await boss.resume_generate({"n": 9}, run_id=first.run_id)
    assert last.tool_results[0].payload.result["result"] == {"n": 9}


async def test_an_agent_and_a_tool_as_steps() -> None:
    agent = Agent(id="poet", model=ScriptedModel("roses are red"))

    class Prompt(BaseModel):
        prompt: str

    workflow = (
        create_workflow(id="w", input_schema=Prompt, output_schema=Any)
        .then(create_step(agent))
        .map(lambda ctx: {"n": len(ctx.input_data.text)})
        .then(create_step(double_tool))
        .commit()
    )
    mastra = Mastra(agents={"poet": agent}, workflows={"w": workflow})
    run = await mastra.get_workflow("w").create_run()
    async with run.stream(input_data={"prompt": "write"}) as stream:
        written = [
            event.to_wire()["payload"]["output"]["type"]
            async for event in stream
            if event.type == "workflow-step-output"
        ]
        result = await stream.result()
    assert result.unwrap() == 26
    assert written[0] == "start"
    assert written[-1] == "finish"


double_tool = create_tool("double", "Double", Number, int, execute=lambda number: number.n * 2)


async def test_an_agent_step_with_structured_output() -> None:
    agent = Agent(id="counter", model=ScriptedModel('{"n": 3}'))
    workflow = (
        create_workflow(id="w", input_schema=dict[str, str], output_schema=Number)
        .then(create_step(agent, structured_output=Number, id="ask"))
        .commit()
    )
    run = await workflow.create_run()
    assert (await run.start(input_data={"prompt": "q"})).unwrap() == Number(n=3)


async def test_what_an_agent_refuses_is_no_empty_answer() -> None:
    class Refuse(Processor):
        def process_output_result(self, ctx: Any) -> None:
            ctx.abort("not for you", metadata={"level": 2})

    expert = Agent(id="expert", model=ScriptedModel("secret"), output_processors=[Refuse()])
    model = ScriptedModel(ToolCall("agent-expert", {"prompt": "q"}), "sorry")
    result = await Agent(id="boss", model=model, agents={"expert": expert}).generate("q")
    assert (result.text, result.tripwire) == ("sorry", None)
    told = model.requests[1].messages[-1].parts[0]
    assert isinstance(told, ToolResultPart)
    assert told.is_error
    assert told.result == "Agent 'expert' refused: not for you"


def delegating(agent_id: str, to: str, others: Callable[[], Agent], **options: Any) -> Agent:
    """Return an agent that asks another whatever it is asked, until it is told that it cannot."""

    def reply(request: Any) -> Any:
        told = [part for message in request.messages for part in message.parts]
        answers = [part for part in told if isinstance(part, ToolResultPart)]
        asked.append(agent_id)
        return str(answers[-1].result) if answers else ToolCall(f"agent-{to}", {"prompt": "go on"})

    asked: list[str] = []
    return Agent(
        id=agent_id, model=FunctionModel(reply), agents=lambda _: {to: others()}, **options
    )


@pytest.mark.parametrize("durable", [False, True])
async def test_agents_that_delegate_to_each_other_end(durable: bool) -> None:
    """They asked each other for ever, each one a level deeper."""
    a = delegating("a", "b", lambda: b, durable=durable)
    b = delegating("b", "a", lambda: a, durable=durable)
    async with Mastra(agents=[a, b]) as mastra:
        result = await mastra.get_agent("a").generate("begin")
    assert "a → b → a → b → a → b → a. Answer without it." in result.text
    assert result.finish_reason == "stop"


async def test_an_agent_that_delegates_to_itself_ends() -> None:
    a = delegating("a", "a", lambda: a)
    assert "waits for this answer 3 times" in (await a.generate("begin")).text


async def test_an_agent_that_its_own_workflow_asks_ends() -> None:
    asked: list[str] = []

    def reply(request: Any) -> Any:
        asked.append("a")
        told = [part for message in request.messages for part in message.parts]
        answers = [part for part in told if isinstance(part, ToolResultPart)]
        return "enough" if answers else ToolCall("workflow-w", {"prompt": "go on"})

    a = Agent(id="a", model=FunctionModel(reply), workflows=lambda _: {"w": w})
    w = create_workflow(id="w", description="d", input_schema=Any, output_schema=Any)
    w.then(create_step(a)).commit()
    async with Mastra(agents=[a], workflows=[w]) as mastra:
        assert (await mastra.get_agent("a").generate("begin")).text == "enough"
    assert len(asked) == 6
