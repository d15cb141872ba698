"""Whatever a tool or a callback raises fails that call, is told to the model, and ends no run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from mastra import Agent, MastraError, ToolContext, create_tool, tool
from mastra.testing import FunctionModel, ScriptedModel, ToolCall


class Odd(BaseException):
    """No `Exception`."""


RAISED: list[Callable[[], BaseException]] = [
    StopIteration,
    StopAsyncIteration,
    lambda: SystemExit(2),
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    lambda: Odd("x"),
    lambda: ValueError("half \udc80"),
    lambda: BaseExceptionGroup("two", [ValueError("a"), SystemExit(3)]),
]
NAMES = [type(make()).__name__ for make in RAISED]


def calling(called: Any, *answers: Any) -> Agent[Any]:
    model = ScriptedModel(ToolCall("bad", {}), *(answers or ("I could not.",)))
    return Agent(id="a", name="a", model=model, tools={"bad": called})


@pytest.mark.parametrize("is_sync", [False, True], ids=["async", "sync"])
@pytest.mark.parametrize("make", RAISED, ids=NAMES)
async def test_the_model_is_told_what_a_tool_raised(
    make: Callable[[], BaseException], is_sync: bool
) -> None:
    async def bad() -> str:
        raise make()

    def plain() -> str:
        raise make()

    agent = calling(create_tool("bad", "Fails.", execute=plain if is_sync else bad))
    stream = agent.stream("go")
    chunks = [chunk async for chunk in stream]
    assert "tool-error" in [chunk.type for chunk in chunks]
    assert await stream.text() == "I could not."
    for chunk in chunks:
        str(chunk.to_wire()).encode()


async def test_the_model_is_told_of_a_tool_that_cancels_its_own_task() -> None:
    async def bad() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return "never"

    stream = calling(create_tool("bad", "Fails.", execute=bad)).stream("go")
    assert "tool-error" in [chunk.type async for chunk in stream]
    assert await stream.text() == "I could not."


async def test_an_error_without_text_is_told_by_its_name() -> None:
    class ApiError(Exception):
        def __str__(self) -> str:
            raise KeyError("error")

    async def bad() -> str:
        raise ApiError

    agent = calling(create_tool("bad", "Fails.", execute=bad))
    result = await agent.generate("go")
    assert result.text == "I could not."


@pytest.mark.parametrize("make", RAISED[2:7], ids=NAMES[2:7])
@pytest.mark.parametrize("where", ["instructions", "prepare_step", "model", "stop_when"])
async def test_what_a_function_of_the_agent_raises_fails_the_run(
    where: str, make: Callable[[], BaseException]
) -> None:
    def bad(*_: Any) -> Any:
        raise make()

    given: dict[str, Any] = {"model": ScriptedModel(ToolCall("fine", {}), "x"), "instructions": "y"}
    options: dict[str, Any] = {}
    if where in given:
        given[where] = bad
    else:
        options[where] = bad

    async def fine() -> str:
        return "ok"

    agent = Agent(
        id="a", name="a", tools={"fine": create_tool("fine", "Fine.", execute=fine)}, **given
    )
    with pytest.raises(MastraError) as raised:
        await agent.generate("go", **options)
    assert type(raised.value.__cause__) is type(make())


@pytest.mark.parametrize("make", RAISED[2:7], ids=NAMES[2:7])
async def test_what_a_model_raises_fails_the_run(make: Callable[[], BaseException]) -> None:
    async def answer(*_: Any) -> AsyncIterator[Any]:
        raise make()
        yield

    agent = Agent(id="a", name="a", model=FunctionModel(answer))
    with pytest.raises(MastraError):
        await agent.generate("go")


@pytest.mark.parametrize("make", [ValueError, *RAISED[2:7]], ids=["ValueError", *NAMES[2:7]])
async def test_on_finish_does_not_change_how_the_run_ended(
    make: Callable[[], BaseException],
) -> None:
    def bad(_: Any) -> None:
        raise make()

    agent = Agent(id="a", name="a", model=ScriptedModel("hello"))
    result = await agent.generate("go", on_finish=bad)
    assert (result.text, result.finish_reason) == ("hello", "stop")


def always(_: Any) -> bool:
    return True


@pytest.mark.parametrize("name", ["on_step_finish", "on_chunk", "on_iteration_complete", "task"])
@pytest.mark.parametrize("make", [ValueError, *RAISED[:7]], ids=["ValueError", *NAMES[:7]])
async def test_a_callback_that_raises_changes_nothing_of_the_run(
    name: str, make: Callable[[], BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Any] = []

    def bad(value: Any) -> None:
        told.append(value)
        raise make()

    async def fine() -> str:
        return "ok"

    model = ScriptedModel(ToolCall("fine", {}), "hello")
    agent = Agent(
        id="a", name="a", model=model, tools={"fine": create_tool("fine", "Fine.", execute=fine)}
    )
    options: dict[str, Any] = {name: bad}
    if name == "task":
        options = {"is_task_complete": {"scorers": [always], "on_complete": bad}}
    result = await agent.generate("go", **options)
    assert (result.text, result.finish_reason, len(result.steps)) == ("hello", "stop", 2)
    assert told
    raised = [record for record in caplog.records if "raised" in record.message]
    assert raised
    assert len(raised) == (1 if name != "on_iteration_complete" else len(told))


async def test_a_plain_tool_writes_and_suspends() -> None:
    @tool(id="bad")
    def ask(ctx: ToolContext) -> str:
        """Ask."""
        ctx.writer.write("asking")
        if ctx.resume_data is None:
            _ = ctx.suspend({"question": "?"})
        return f"said {ctx.resume_data}"

    agent = calling(ask, "done")
    stream = agent.stream("go")
    chunks = [chunk async for chunk in stream]
    assert [c.payload.output for c in chunks if c.type == "tool-output"] == ["asking"]
    assert stream.status == "suspended"
    resumed = agent.resume_stream("yes", run_id=stream.run_id)
    results = [c.payload.result async for c in resumed if c.type == "tool-result"]
    assert results == ["said yes"]


async def test_a_caught_suspend_suspends_all_the_same() -> None:
    @tool(id="bad")
    async def ask(ctx: ToolContext) -> str:
        """Ask."""
        try:
            await ctx.suspend({"question": "?"})
        except BaseException:  # noqa: BLE001 - what the case is about
            return "nobody was asked"

    stream = calling(ask, "done").stream("go")
    await stream.result()
    assert stream.status == "suspended"


async def test_plain_tools_run_at_once() -> None:
    together = threading.Barrier(10)

    @tool
    def meet(n: int) -> int:
        """Meet the others."""
        together.wait(15)  # breaks unless ten are there at once
        return n

    calls = [ToolCall("meet", {"n": n}) for n in range(10)]
    agent = Agent(id="a", name="a", model=ScriptedModel(calls, "met"), tools={"meet": meet})
    result = await agent.generate("go")
    assert result.text == "met"
    assert [one.payload.result for one in result.tool_results] == list(range(10))
