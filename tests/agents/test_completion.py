"""Checks of whether the task is done, and the hook after each step."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from pydantic import BaseModel

from mastra.agents.agent import Agent
from mastra.agents.stop_conditions import step_count_is
from mastra.errors import ConfigError
from mastra.memory import Memory
from mastra.testing.models import ScriptedModel, ToolCall
from mastra.tools.tool import tool

HERE: Any = {"thread": "t1", "resource": "ann"}


@tool
async def look(city: str) -> str:
    """Look."""
    return f"sunny in {city}"


LOOK = ToolCall("look", {"city": "Rome"})


def agent(*turns: Any, **options: Any) -> Agent:
    return Agent(id="a", name="A", model=ScriptedModel(*turns), tools=[look], **options)


def asked(subject: Agent, call: int = -1) -> list[tuple[str, str]]:
    model: Any = subject.spec.model
    return [(message.role, message.text) for message in model.requests[call].messages]


def calls(subject: Agent) -> int:
    model: Any = subject.spec.model
    return model.calls


def says_done(state: Any) -> Any:
    return {"score": 1 if "done" in state.text else 0, "reason": "it has to say done"}


async def test_the_loop_goes_on_until_the_task_is_done() -> None:
    subject = agent("half", "done")
    stream = subject.stream("do it", is_task_complete={"scorers": [says_done]})
    chunks = [chunk async for chunk in stream]
    assert [chunk.type for chunk in chunks] == [
        *("start", "step-start", "text-start", "text-delta", "text-end"),
        *("is-task-complete", "step-finish"),
        *("step-start", "text-start", "text-delta", "text-end"),
        *("is-task-complete", "step-finish", "finish"),
    ]
    first, second = [chunk for chunk in chunks if chunk.type == "is-task-complete"]
    wire = first.to_wire()["payload"]
    assert {**wire, "duration": 0, "results": []} == {
        "iteration": 1,
        "passed": False,
        "results": [],
        "duration": 0,
        "timedOut": False,
        "reason": "it has to say done",
        "maxIterationReached": False,
        "suppressFeedback": False,
    }
    assert {**wire["results"][0], "duration": 0} == {
        "score": 0.0,
        "passed": False,
        "scorerId": "says_done",
        "scorerName": "says_done",
        "duration": 0,
        "reason": "it has to say done",
    }
    assert (second.payload.passed, second.payload.iteration) == (True, 2)
    ends = [c.payload.step_result.is_continued for c in chunks if c.type == "step-finish"]
    assert ends == [True, False]
    assert await stream.text() == "halfdone"
    [task, answer, feedback] = asked(subject)
    assert (task, answer) == (("user", "do it"), ("assistant", "half"))
    assert feedback[0] == "assistant"
    assert "❌ NOT COMPLETE" in feedback[1]
    assert "**says_done** (says_done)\nScore: 0 ❌\nReason: it has to say done" in feedback[1]
    assert "Please continue working" in feedback[1]


async def test_steps_that_call_tools_are_not_checked() -> None:
    subject = agent(LOOK, "done")
    stream = subject.stream("q", is_task_complete={"scorers": [says_done]})
    kinds = [chunk.type async for chunk in stream]
    assert kinds.count("is-task-complete") == 1
    assert kinds.index("is-task-complete") > kinds.index("tool-result")


async def test_what_a_check_sees() -> None:
    seen: list[Any] = []

    def check(state: Any) -> bool:
        seen.append(state)
        return True

    subject = agent(LOOK, "done")
    await subject.generate(
        [{"role": "user", "content": "the task"}, {"role": "user", "content": "more"}],
        context=["by the way"],
        is_task_complete={"scorers": [check]},
        request_context={"who": "ann"},
        run_id="r1",
        max_steps=7,
    )
    [state] = seen
    assert (state.iteration, state.max_iterations) == (2, 7)
    assert (state.original_task, state.text) == ("the task", "done")
    assert (state.agent_id, state.agent_name, state.run_id) == ("a", "A", "r1")
    assert state.request_context["who"] == "ann"
    assert [message.role for message in state.messages][-1] == "assistant"


@pytest.mark.parametrize(
    ("options", "steps"), [({}, 5), ({"max_steps": 2}, 2), ({"stop_when": step_count_is(3)}, 3)]
)
async def test_the_loop_ends_where_it_may_not_go_on(options: Any, steps: int) -> None:
    subject = agent(*["half"] * 6)
    stream = subject.stream("q", is_task_complete={"scorers": [says_done]}, **options)
    verdicts = [c.payload async for c in stream if c.type == "is-task-complete"]
    assert calls(subject) == steps
    assert [verdict.passed for verdict in verdicts] == [False] * steps
    reached = [False] * (steps - 1) + ["stop_when" not in options]
    assert [verdict.max_iteration_reached for verdict in verdicts] == reached
    assert await stream.finish_reason() == "stop"


class Judge:
    """A check as an object, with names."""

    id = "judge"
    name = "The Judge"

    async def run(self, state: Any) -> Any:
        return {"passed": "done" in state.text}


@pytest.mark.parametrize(
    ("checks", "strategy", "passed"),
    [
        ([lambda _: True, lambda _: False], "all", False),
        ([lambda _: True, lambda _: False], "any", True),
        ([lambda _: False, lambda _: 0.9], "any", False),
        ([lambda _: 1.0, Judge()], "all", True),
    ],
)
@pytest.mark.parametrize("parallel", [True, False])
async def test_strategies(checks: Any, strategy: Any, passed: bool, parallel: bool) -> None:
    stream = agent("done").stream(
        "q",
        max_steps=1,
        is_task_complete={"scorers": checks, "strategy": strategy, "parallel": parallel},
    )
    [verdict] = [c.payload async for c in stream if c.type == "is-task-complete"]
    assert verdict.passed is passed


async def test_one_by_one_stops_where_the_verdict_is_clear() -> None:
    ran: list[str] = []

    def check(name: str, verdict: bool) -> Any:
        def run(_: Any) -> bool:
            ran.append(name)
            return verdict

        return run

    checks = [check("a", True), check("b", False), check("c", True)]
    done: list[Any] = []
    wanted: Any = {"scorers": checks, "parallel": False, "on_complete": done.append}
    await agent("x").generate("q", max_steps=1, is_task_complete=wanted)
    assert ran == ["a", "b"]
    assert (done[0].complete, len(done[0].scorers)) == (False, 2)


async def test_checks_run_at_once() -> None:
    both = asyncio.Barrier(2)

    async def meet(_: Any) -> bool:
        await both.wait()
        return True

    result = await agent("x").generate("q", is_task_complete={"scorers": [meet, meet]})
    assert len(result.steps) == 1


@pytest.mark.parametrize("parallel", [True, False])
async def test_a_check_that_takes_too_long_has_not_passed(parallel: bool) -> None:
    ended: list[str] = []

    async def never(_: Any) -> bool:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("never")
        return True

    done: list[Any] = []
    wanted: Any = {
        "scorers": [lambda _: True, never],
        "timeout": 0.01,
        "parallel": parallel,
        "on_complete": done.append,
    }
    subject = agent("x", "y")
    await subject.generate("q", max_steps=2, is_task_complete=wanted)
    assert ended == ["never", "never"]
    assert (done[0].timed_out, done[0].complete) == (True, False)
    assert done[0].scorers[1].reason == "Scorer did not finish before the completion timeout"
    assert "⚠️ Scoring timed out" in asked(subject)[-1][1]


async def test_a_check_that_raises_has_not_passed() -> None:
    def broken(_: Any) -> bool:
        raise ValueError("no scale")

    done: list[Any] = []
    wanted: Any = {"scorers": [broken, lambda _: "maybe"], "on_complete": done.append}
    await agent("x").generate("q", max_steps=1, is_task_complete=wanted)
    first, second = done[0].scorers
    assert first.reason == "Scorer threw an error: no scale"
    assert first.errored is True
    assert "neither a truth value, a score nor a dict" in second.reason


async def test_checks_that_cannot_be_are_refused() -> None:
    for wanted in ({"scorers": []}, {"scorers": [says_done], "strategy": "most"}):
        odd: Any = wanted
        with pytest.raises(ConfigError, match="is_task_complete needs scorers"):
            await agent("x").generate("q", is_task_complete=odd)


async def test_an_abort_leaves_no_check_behind() -> None:
    began = asyncio.Event()

    async def never(_: Any) -> bool:
        began.set()
        await asyncio.Event().wait()
        return True

    tasks = asyncio.all_tasks()
    stream = agent("x").stream("q", is_task_complete={"scorers": [never]})

    async def close() -> None:
        await began.wait()
        await stream.aclose()

    closing = asyncio.get_running_loop().create_task(close())
    kinds = [chunk.type async for chunk in stream]
    await closing
    assert kinds[-1] == "text-end"
    assert asyncio.all_tasks() == tasks


async def test_feedback_is_kept_apart_and_marked() -> None:
    subject = agent("half", "done", memory=Memory())
    wanted: Any = {"scorers": [says_done], "suppress_feedback": True}
    await subject.generate("q", is_task_complete=wanted, memory=HERE)
    memory: Any = subject.spec.memory
    messages = (await memory.list_messages(thread_id="t1")).messages
    assert [message.content["content"][:4] for message in messages] == ["q", "half", "####", "done"]
    assert messages[2].content["metadata"] == {
        "mode": "stream",
        "completionResult": {"passed": False, "suppressFeedback": True},
    }


class Plan(BaseModel):
    days: int


async def test_the_object_is_that_of_the_last_answer() -> None:
    subject = agent('{"days": 1}', '{"days": 2}')
    stream = subject.stream(
        "q",
        structured_output=Plan,
        is_task_complete={"scorers": [lambda state: '"days": 2' in state.text]},
    )
    found = [chunk async for chunk in stream]
    assert [chunk.type for chunk in found].count("object-result") == 1
    assert (await stream.result()).object == Plan(days=2)


# -- on_iteration_complete -------------------------------------------------------------------------


async def test_what_the_hook_sees() -> None:
    seen: list[Any] = []
    subject = agent(["Looking. ", LOOK], "sunny", memory=Memory())
    await subject.generate("q", on_iteration_complete=seen.append, memory=HERE, run_id="r1")
    first, second = seen
    assert (first.iteration, first.max_iterations, first.is_final) == (1, 5, False)
    assert (first.text, first.finish_reason) == ("Looking. ", "tool-calls")
    assert first.tool_calls[0].payload.tool_name == "look"
    assert first.tool_results[0].payload.result == "sunny in Rome"
    assert (first.run_id, first.thread_id, first.resource_id) == ("r1", "t1", "ann")
    assert (first.agent_id, first.agent_name) == ("a", "A")
    assert (second.iteration, second.is_final, second.text) == (2, True, "sunny")
    assert second.messages[-1].text == "sunny"


async def test_the_hook_comes_before_the_end_of_the_step() -> None:
    order: list[str] = []
    subject = agent("x")
    await subject.generate(
        "q",
        is_task_complete={"scorers": [lambda _: order.append("check") or True]},
        on_iteration_complete=lambda _: order.append("iteration"),
        on_chunk=lambda chunk: order.append(chunk.type),
        on_step_finish=lambda _: order.append("on_step_finish"),
    )
    assert order[-6:] == [
        *("check", "iteration", "is-task-complete", "step-finish"),
        *("on_step_finish", "finish"),
    ]


async def test_the_hook_ends_the_loop() -> None:
    subject = agent(LOOK, "never")
    result = await subject.generate("q", on_iteration_complete=lambda _: {"continue": False})
    assert calls(subject) == 1
    assert result.tool_results[0].payload.result == "sunny in Rome"


async def test_the_hook_keeps_the_loop_going() -> None:
    subject = agent("one", "two", "three")

    async def hook(ctx: Any) -> Any:
        if ctx.iteration < 3:
            assert ctx.is_final
            return {"continue": True, "feedback": f"more after {ctx.text}"}
        return None

    result = await subject.generate("q", on_iteration_complete=hook)
    assert [step.text for step in result.steps] == ["one", "two", "three"]
    assert asked(subject) == [
        ("user", "q"),
        ("assistant", "one"),
        ("assistant", "more after one"),
        ("assistant", "two"),
        ("assistant", "more after two"),
    ]


async def test_the_hook_cannot_pass_the_limit() -> None:
    subject = agent(*["more"] * 3)
    await subject.generate("q", max_steps=2, on_iteration_complete=lambda _: {"continue": True})
    assert calls(subject) == 2


async def test_a_last_word_before_the_end() -> None:
    subject = agent(LOOK, LOOK, "never")
    last: Any = {"continue": False, "feedback": "Say it in one word."}
    await subject.generate("q", on_iteration_complete=lambda _: last)
    assert calls(subject) == 2
    assert asked(subject)[-1] == ("assistant", "Say it in one word.")


async def test_feedback_in_the_middle_follows_the_tool_s_result() -> None:
    subject = agent(LOOK, "sunny")

    def hook(ctx: Any) -> Any:
        return {"feedback": "In Celsius."} if ctx.iteration == 1 else None

    await subject.generate("q", on_iteration_complete=hook)
    model: Any = subject.spec.model
    assert [message.role for message in model.requests[1].messages] == [
        *("user", "assistant", "tool", "assistant")
    ]


@pytest.mark.parametrize("odd", [RuntimeError("no"), {"carry_on": True}])
async def test_a_hook_that_fails_is_logged(odd: Any, caplog: pytest.LogCaptureFixture) -> None:
    def hook(_: Any) -> Any:
        if isinstance(odd, Exception):
            raise odd
        return odd

    with caplog.at_level(logging.ERROR, "mastra"):
        result = await agent(LOOK, "sunny").generate("q", on_iteration_complete=hook)
    assert result.text == "sunny"
    assert len(caplog.records) == 2
    assert "on_iteration_complete raised" in caplog.text
