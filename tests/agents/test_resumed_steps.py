"""The step in which a run goes on after a wait: what its tools see, and which ones it has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mastra.agents.agent import Agent
from mastra.memory import Memory
from mastra.models.chunks import FinishChunk, ProviderToolResult, ToolCallEnd
from mastra.models.messages import ToolResultPart
from mastra.registry import Mastra
from mastra.testing.models import FunctionModel, ScriptedModel, ToolCall, Turn
from mastra.tools.tool import create_tool
from mastra.tools.tool_context import ToolContext

MAIL = ToolCall("mail", {"to": "ann"})
LOOK = ToolCall("look", {})
ANY: Any = {"type": "object"}


def mailer(seen: list[Any], **options: Any) -> Any:
    async def send(given: Any, ctx: ToolContext) -> str:
        assert ctx.agent is not None
        seen.append([message.text for message in ctx.agent.messages if message.text])
        return "sent"

    return create_tool("mail", "Send a mail", ANY, execute=send, **options)


def made(durable: bool, model: Any, **options: Any) -> Agent:
    agent = Agent(id="mail", model=model, durable=durable, **options)
    return Mastra(agents={"mail": agent}).get_agent("mail")


async def look(given: Any) -> str:
    return "seen"


look_tool = create_tool("look", "Look", ANY, execute=look)


@pytest.mark.parametrize("durable", [False, True])
async def test_an_approved_tool_sees_the_conversation(durable: bool) -> None:
    seen: list[Any] = []
    agent = made(
        durable,
        ScriptedModel(LOOK, MAIL, "done"),
        tools={"mail": mailer(seen, require_approval=True), "look": look_tool},
    )
    first = await agent.generate(["You know me", "mail ann"])
    assert (await agent.approve_tool_call_generate(first.run_id)).text == "done"
    assert seen == [["You know me", "mail ann"]]


@pytest.mark.parametrize("durable", [False, True])
async def test_an_agent_that_is_asked_after_an_approval_sees_the_conversation(
    durable: bool,
) -> None:
    helper = ScriptedModel("It rains.")
    agent = made(
        durable,
        ScriptedModel(ToolCall("agent-helper", {"prompt": "the weather?"}), "done"),
        agents={"helper": Agent(id="helper", model=helper, description="Knows the weather")},
    )
    first = await agent.generate("In Oslo", require_tool_approval=True)
    assert (await agent.approve_tool_call_generate(first.run_id)).text == "done"
    assert [m.text for m in helper.requests[0].messages] == ["In Oslo", "the weather?"]


@pytest.mark.parametrize("durable", [False, True])
async def test_a_step_has_the_tools_that_it_had_before_the_wait(durable: bool) -> None:
    numbers: list[tuple[int, int]] = []

    async def prepare(step: Any) -> dict[str, Any]:
        numbers.append((step.step_number, len(step.steps)))
        return {"active_tools": ["mail"] if step.step_number else ["look"]}

    seen: list[Any] = []
    agent = made(
        durable,
        ScriptedModel(LOOK, MAIL, "done"),
        tools={"mail": mailer(seen, require_approval=True), "look": look_tool},
        default_options={"prepare_step": prepare},
    )
    first = await agent.generate("mail ann")
    last = await agent.approve_tool_call_generate(first.run_id)
    assert (last.text, seen) == ("done", [["mail ann"]])
    # A durable run has recorded which tools they were.
    assert numbers == [(0, 0), (1, 1), *([] if durable else [(1, 1)]), (2, 2)]


async def test_a_run_that_loses_the_one_it_would_answer_waits_by_itself() -> None:
    async def order(given: Any, ctx: ToolContext) -> str:
        if ctx.resume_data is None:
            return await ctx.suspend({"question": "Which size?"})
        return f"size {ctx.resume_data}"

    async def answer(request: Any) -> Any:
        if request.response_format is not None:  # which call does the message answer?
            await shop.resume_generate(41, run_id=first.run_id)  # somebody else is faster
            return json.dumps({"tool_call_id": "call_1", "resume_data": "42"})
        return "done" if request.messages[-1].role == "tool" else ToolCall("order", {})

    ask = create_tool("order", "Order", ANY, execute=order)
    shop = Agent(id="shop", model=FunctionModel(answer), tools=[ask], memory=Memory())
    here: Any = {"memory": {"thread": "t1", "resource": "ann"}}
    first = await shop.generate("Shoes, please", **here)
    journal = await (await shop.stored_runs.create_run(first.run_id)).journal()
    second = await shop.generate("42", auto_resume_suspended_tools=True, **here)
    assert second.run_id != first.run_id
    assert [run.run_id for run in (await shop.list_suspended_runs()).runs] == [second.run_id]
    last = await shop.resume_generate(43, run_id=second.run_id)
    assert [one.payload.result for step in last.steps for one in step.tool_results] == ["size 43"]
    ended = await (await shop.stored_runs.create_run(first.run_id)).journal()
    calls = [ended[op].output["result"] for op in ended if op not in journal and "tool" in op]
    assert calls == ["size 41"]


@pytest.mark.parametrize("durable", [False, True])
async def test_what_the_provider_ran_beside_an_approved_call_stays(durable: bool) -> None:
    found = {"hits": 1}
    asked = Turn(
        chunks=[
            ToolCallEnd("s1", "web_search", "{}", provider_executed=True),
            ProviderToolResult("s1", "web_search", found),
            ToolCallEnd("c1", "mail", '{"to": "ann"}'),
            FinishChunk("tool-calls"),
        ]
    )
    model = ScriptedModel(asked, "done")
    agent = made(durable, model, tools={"mail": mailer([], require_approval=True)})
    first = await agent.generate("search, and mail ann")
    stream = agent.approve_tool_call(first.run_id)
    assert [c.payload.result async for c in stream if c.type == "tool-result"] == ["sent"]
    parts = [part for message in model.requests[1].messages for part in message.parts]
    results = [part for part in parts if isinstance(part, ToolResultPart)]
    assert [(part.tool_call_id, part.result) for part in results] == [("s1", found), ("c1", "sent")]
