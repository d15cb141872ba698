"""The next message of a thread answers a tool that waits, where the model says so."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from pydantic import BaseModel

from mastra.agents.agent import Agent
from mastra.errors import ModelError, UsageLimitError
from mastra.memory import Memory
from mastra.models.messages import Message
from mastra.processors import Processor
from mastra.registry import Mastra
from mastra.storage.sql import SQLStorage
from mastra.testing.models import ScriptedModel, ToolCall
from mastra.tools.tool import create_tool, tool
from mastra.tools.tool_context import ToolContext
from mastra.workflows.workflow import create_workflow

HERE: Any = {"thread": "t1", "resource": "ann"}
AUTO: Any = {"memory": HERE, "auto_resume_suspended_tools": True}


class Size(BaseModel):
    size: int


async def order(given: Any, ctx: ToolContext) -> str:
    if ctx.resume_data is None:
        return await ctx.suspend({"question": "Which size?"})
    return f"{given['item']} in {ctx.resume_data.size}"


order_tool = create_tool(
    "order",
    "Order something",
    {"type": "object", "properties": {"item": {"type": "string"}}},
    execute=order,
    resume_schema=Size,
)
ORDER = ToolCall("order", {"item": "shoes"})


def answer(call: str | None, data: Any) -> str:
    text = data if data is None or isinstance(data, str) else json.dumps(data)
    return json.dumps({"tool_call_id": call, "resume_data": text})


def shop(*turns: Any, **options: Any) -> Agent:
    options = {"memory": Memory(), "tools": [order_tool], **options}
    return Agent(id="shop", model=ScriptedModel(*turns), **options)


def asked(agent: Agent, call: int = -1) -> list[tuple[str, str]]:
    model: Any = agent.spec.model
    return [(message.role, message.text) for message in model.requests[call].messages]


async def test_the_message_answers_the_tool() -> None:
    agent = shop(ORDER, answer("call_1", {"size": 42}), "On their way.")
    first = await agent.generate("Shoes, please", **AUTO)
    assert first.finish_reason == "suspended"
    stream = agent.stream("42", **AUTO)
    kinds = [chunk.type async for chunk in stream]
    assert kinds == [
        *("tool-result", "step-finish", "step-start"),
        *("text-start", "text-delta", "text-delta", "text-delta", "text-end"),
        *("step-finish", "finish"),
    ]
    result = await stream.result()
    assert result.run_id == first.run_id == stream.run_id
    assert result.text == "On their way."
    assert result.tool_results[0].payload.result == "shoes in 42"
    assert asked(agent) == [
        ("user", "Shoes, please"),
        ("assistant", ""),
        ("tool", ""),
        ("user", "42"),
    ]
    assert (await agent.list_suspended_runs()).total == 0
    memory: Any = agent.spec.memory
    page = await memory.list_messages(thread_id="t1")
    assert [m.content["content"] for m in page.messages] == [
        *("Shoes, please", "", "42", "On their way.")
    ]


async def test_what_the_model_is_asked() -> None:
    agent = shop("Hello!", ORDER, answer("call_1", {"size": 42}), "On their way.")
    await agent.generate("Hi", **AUTO)
    await agent.generate("Shoes, please", **AUTO)
    await agent.generate("I take 42", **AUTO)
    [(role, told), *messages] = asked(agent, 2)
    assert role == "system"
    [waiting] = json.loads(told.partition("Waiting:\n")[2])
    assert {**waiting, "resumeSchema": json.loads(waiting["resumeSchema"])["properties"]} == {
        "toolCallId": "call_1",
        "toolName": "order",
        "args": {"item": "shoes"},
        "suspendPayload": {"question": "Which size?"},
        "resumeSchema": {"size": {"title": "Size", "type": "integer"}},
    }
    assert messages == [("user", "Hi"), ("assistant", "Hello!"), ("user", "I take 42")]
    model: Any = agent.spec.model
    assert model.requests[2].response_format is not None


async def test_a_message_that_answers_nothing_is_like_any_other() -> None:
    agent = shop(ORDER, answer(None, None), "It is noon.")
    first = await agent.generate("Shoes, please", **AUTO)
    result = await agent.generate("What time is it?", **AUTO)
    assert (result.text, result.run_id == first.run_id) == ("It is noon.", False)
    assert (await agent.list_suspended_runs()).total == 1


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answer("call_1", {"size": "large"}), "does not fit 'order'"),
        (answer("call_1", "not JSON"), "no readable answer"),
        ("what?", "no readable answer"),
        (answer("call_9", {"size": 42}), None),
    ],
)
async def test_what_does_not_fit_resumes_nothing(
    said: str, why: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    agent = shop(ORDER, said, "Sorry?")
    await agent.generate("Shoes, please", **AUTO)
    with caplog.at_level(logging.WARNING, "mastra"):
        result = await agent.generate("the big ones", **AUTO)
    assert result.text == "Sorry?"
    assert (await agent.list_suspended_runs()).total == 1
    assert (why is None) == (caplog.records == [])
    assert (why or "") in caplog.text


async def test_without_the_option_nothing_is_resumed() -> None:
    agent = shop(ORDER, "Sorry?")
    await agent.generate("Shoes, please", memory=HERE)
    assert (await agent.generate("42", memory=HERE)).text == "Sorry?"


@pytest.mark.parametrize(
    "elsewhere", [{"thread": "t2", "resource": "ann"}, {"thread": "t1", "resource": "bob"}]
)
async def test_runs_of_other_conversations_are_left_alone(elsewhere: Any) -> None:
    agent = shop(ORDER, "Sorry?", memory=None)
    await agent.generate("Shoes, please", **AUTO)
    options = {**AUTO, "memory": elsewhere}
    assert (await agent.generate("42", **options)).text == "Sorry?"


async def test_an_approval_is_never_the_model_s_to_give() -> None:
    ran: list[str] = []

    @tool(require_approval=True)
    async def pay() -> str:
        """Pay."""
        ran.append("paid")
        return "paid"

    agent = shop(ToolCall("pay"), "Use the button.", tools=[pay])
    await agent.generate("Pay", **AUTO)
    assert (await agent.generate("yes", **AUTO)).text == "Use the button."
    helper = Agent(id="helper", model=ScriptedModel(ToolCall("pay")), tools=[pay])
    call = ToolCall("agent-helper", {"prompt": "pay"})
    boss = Agent(id="boss", model=ScriptedModel(call, "Use it."), agents={"helper": helper})
    await boss.generate("Pay", **AUTO)
    assert (await boss.generate("yes", **AUTO)).text == "Use it."
    flow = create_workflow(id="flow", input_schema=dict, output_schema=Any).then(pay).commit()
    call = ToolCall("workflow-flow", {})
    boss = Agent(id="boss", model=ScriptedModel(call, "Use it."), workflows={"flow": flow})
    await boss.generate("Pay", **AUTO)
    assert (await boss.generate("yes", **AUTO)).text == "Use it."
    assert ran == []


async def test_a_model_that_fails_fails_the_run() -> None:
    agent = shop(ORDER, ValueError("no"))
    await agent.generate("Shoes, please", **AUTO)
    with pytest.raises(ModelError, match="no"):
        await agent.generate("42", **AUTO)
    assert (await agent.list_suspended_runs()).total == 1


async def test_input_processors_see_the_answer_first() -> None:
    class Digits(Processor):
        def process_input(self, ctx: Any) -> Any:
            return [Message("user", m.text.replace("forty-two", "42")) for m in ctx.messages]

    agent = shop(
        ORDER, answer("call_1", {"size": 42}), "Done.", input_processors=[Digits()], memory=None
    )
    await agent.generate("Shoes, please", **AUTO)
    await agent.generate("forty-two", **AUTO)
    assert asked(agent, 1)[-1] == ("user", "42")
    assert asked(agent, 2)[-1] == ("user", "42")


async def test_a_tool_that_waits_again_keeps_what_was_said(tmp_path: Any) -> None:
    async def twice(_: Any, ctx: ToolContext) -> str:
        if ctx.resume_data is None or not ctx.resume_data.get("sure"):
            return await ctx.suspend("Sure?")
        return "done"

    anything: Any = {"type": "object", "properties": {}}
    agent = shop(
        ToolCall("twice"),
        answer("call_1", {"size": 1}),
        answer("call_1", {"sure": True}),
        "Done.",
        tools=[create_tool("twice", "Ask twice", anything, execute=twice)],
    )
    async with Mastra(
        agents={"shop": agent}, storage=SQLStorage(f"sqlite:///{tmp_path}/a.db")
    ) as mastra:
        agent = mastra.get_agent("shop")
        await agent.generate("Go", **AUTO)
        second = await agent.generate("one", **AUTO)
        assert second.finish_reason == "suspended"
        third = await agent.generate("yes", **AUTO)
        assert third.text == "Done."
        assert asked(agent)[-2:] == [("user", "one"), ("user", "yes")]
        assert [role for role, _ in asked(agent)] == ["user", "assistant", "tool", "user", "user"]


@pytest.mark.parametrize(("own", "kept"), [(2, None), (3, None), (5, 2), (2, 5), (3, 3)])
async def test_a_message_that_answers_gives_the_run_no_more_than_it_had(
    own: int, kept: int | None
) -> None:
    agent = shop(ORDER, answer("call_1", {"size": 42}), "On their way.")
    first: Any = {**AUTO, "limits": {"requests": own}}
    await agent.generate("Shoes, please", **first)
    more: Any = AUTO if kept is None else {**AUTO, "limits": {"requests": kept}}
    # Its own request, that for what the message means, and the one that is told the result.
    if min(own, kept or own) < 3:
        with pytest.raises(UsageLimitError, match="limit of requests is 2") as refused:
            await agent.generate("42", **more)
        found: Any = refused.value.result
        assert found.tool_results[0].payload.result == "shoes in 42"
    else:
        assert (await agent.generate("42", **more)).text == "On their way."
