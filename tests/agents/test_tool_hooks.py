"""Functions around every tool call."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from mastra.agents.agent import Agent
from mastra.testing.models import ScriptedModel, ToolCall
from mastra.tools.tool import tool
from mastra.tools.tool_context import ToolContext


class Size(BaseModel):
    cm: int


@tool
async def double(n: int) -> int:
    """Double a number."""
    if n < 0:
        raise ValueError("too small")
    return n * 2


def agent(*numbers: int, **options: Any) -> Agent:
    calls = [ToolCall("double", {"n": n}) for n in numbers]
    return Agent(id="a", model=ScriptedModel(*calls, "done"), tools=[double], **options)


async def test_a_hook_skips_a_tool() -> None:
    ran: list[Any] = []

    async def before(call: Any) -> Any:
        ran.append((call.name, call.args, call.id))
        return {"proceed": False, "output": Size(cm=3)} if call.args["n"] == 1 else None

    result = await agent(1, 2, hooks={"before_tool_call": before}).generate("q")
    assert [item.payload.result for item in result.tool_results] == [{"cm": 3}, 4]
    assert ran == [("double", {"n": 1}, "call_1"), ("double", {"n": 2}, "call_2")]


async def test_a_hook_sees_what_came_of_each_call() -> None:
    seen: list[Any] = []
    hooks: Any = {"after_tool_call": lambda call, output: seen.append((call.id, output))}
    result = await agent(1, -1).generate("q", hooks=hooks)
    assert result.text == "done"
    [first, (second_id, error)] = seen
    assert first == ("call_1", 2)
    assert (second_id, str(error)) == ("call_2", "too small")


async def test_a_call_s_hooks_go_before_the_agent_s() -> None:
    seen: list[str] = []
    subject = agent(
        1,
        hooks={
            "before_tool_call": lambda _: seen.append("agent before"),
            "after_tool_call": lambda *_: seen.append("agent after"),
        },
    )
    await subject.generate("q", hooks={"before_tool_call": lambda _: seen.append("call before")})
    assert seen == ["call before", "agent after"]


@pytest.mark.parametrize("name", ["before_tool_call", "after_tool_call"])
async def test_a_hook_that_raises_is_told_to_the_model(name: str) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no scale")

    hooks: Any = {name: broken}
    stream = agent(1).stream("q", hooks=hooks)
    errors = [str(chunk.payload.error) async for chunk in stream if chunk.type == "tool-error"]
    assert errors == ["no scale"]


async def test_a_tool_that_suspends_has_no_output_yet() -> None:
    seen: list[Any] = []

    @tool
    async def ask(ctx: ToolContext) -> str:
        """Ask."""
        return ctx.resume_data or await ctx.suspend("which?")

    hooks: Any = {"after_tool_call": lambda _, output: seen.append(output)}
    subject = Agent(id="a", model=ScriptedModel(ToolCall("ask"), "done"), tools=[ask], hooks=hooks)
    first = await subject.generate("q")
    assert seen == []
    await subject.resume_generate("that", run_id=first.run_id)
    assert seen == ["that"]
