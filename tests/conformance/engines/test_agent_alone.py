"""Durable agents by themselves: driven by the application's engine, read and answered by anybody."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mastra import Agent, Mastra, create_tool, tool
from mastra.errors import ModelError
from mastra.stream.abort import AbortController
from mastra.testing import ScriptedModel, ToolCall, model_failure
from tests.support.engines import Calls, Env

ROME, OSLO = ToolCall("book", {"city": "Rome"}), ToolCall("book", {"city": "Oslo"})
PAY = ToolCall("pay", {"amount": 5})


@tool
async def fail(what: str) -> str:
    """Fail."""
    raise ValueError(f"no {what}")


def travel(calls: Calls, *turns: Any, durable: bool = True, **options: Any) -> Agent:
    async def book(city: str) -> str:
        """Book a room."""
        calls.add(city)
        return f"booked in {city}"

    async def pay(given: dict[str, int]) -> str:
        calls.add(f"paid {given['amount']}")
        return "paid"

    paying = create_tool("pay", "Pay", {"type": "object"}, execute=pay, require_approval=True)
    return Agent(
        id="travel",
        instructions="Book.",
        model=options.pop("model", None) or ScriptedModel(*turns),
        tools={"book": book, "pay": paying, "fail": fail, **options.pop("tools", {})},
        durable=durable,
        **options,
    )


def served(env: Env, agent: Agent) -> Agent:
    """Return the agent as one registered on a `Mastra` of the engine gives it."""
    return env.mastra(agents={"travel": agent}).get_agent("travel")


async def elsewhere(env: Env) -> Agent:
    """Return the same agent as another process has it."""
    mastra: Mastra = await env.new_process()
    return mastra.get_agent("travel")


async def told(stream: Any) -> list[Any]:
    return [chunk.to_wire() async for chunk in stream]


_VOLATILE = {"runId", "messageId", "id", "startedAt", "timestamp", "createdAt"}


def steady(value: Any) -> Any:
    """Return a chunk without what differs from run to run."""
    if isinstance(value, dict):
        return {key: 0 if key in _VOLATILE else steady(item) for key, item in value.items()}
    return [steady(item) for item in value] if isinstance(value, list) else value


SCRIPTS: dict[str, list[Any]] = {
    "text alone": ["Go for a walk."],
    "calls at once, twice": [["I book. ", ROME, OSLO], [OSLO, ROME], "Both booked."],
    "a tool that fails": [ToolCall("fail", {"what": "way"}), "It failed."],
}


@pytest.mark.parametrize("script", SCRIPTS)
async def test_it_streams_and_gives_what_the_same_agent_does(
    env: Env, calls: Calls, script: str
) -> None:
    seen: list[Any] = []
    for durable in (False, True):
        agent = served(env, travel(calls, *SCRIPTS[script], durable=durable))
        stream = agent.stream("A room.")
        chunks, result = await told(stream), await stream.result()
        seen.append(
            (
                steady(chunks),
                (result.text, result.finish_reason, result.usage, len(result.steps)),
                [(message.role, message.parts) for message in result.messages],
            )
        )
    assert seen[0] == seen[1]


async def test_the_applications_engine_drives_it(env: Env, calls: Calls) -> None:
    model = ScriptedModel(ROME, "Booked.")
    mastra = env.mastra(agents={"travel": travel(calls, model=model)})
    agent = mastra.get_agent("travel")
    assert agent.stored_runs.runtime.engine is mastra.engine
    result = await agent.generate("A room.", run_id="r")
    assert (result.text, model.calls, calls.names) == ("Booked.", 2, ["Rome"])
    info = await agent.stored_runs.get_run("r")
    assert info is not None
    assert (info.status, info.result["text"]) == ("success", "Booked.")


async def test_a_call_is_approved_by_another_process(env: Env, calls: Calls) -> None:
    model = ScriptedModel(["I pay. ", PAY], "Paid it.")
    agent = served(env, travel(calls, model=model))
    stream = agent.stream("Pay.", memory={"thread": "t", "resource": "ann"})
    first = await told(stream)
    assert (first[-1]["type"], stream.status) == ("tool-call-approval", "suspended")
    assert calls.names == []

    other = await elsewhere(env)
    (waiting,) = (await other.list_suspended_runs(thread_id="t")).runs
    assert (waiting.run_id, waiting.resource_id) == (stream.run_id, "ann")
    answering = other.approve_tool_call(waiting.run_id)
    then = await told(answering)
    assert (then[0]["type"], then[-1]["type"]) == ("tool-result", "finish")
    assert (await answering.result()).text == "I pay. Paid it."
    assert (calls.names, model.calls) == (["paid 5"], 2)
    assert await told((await elsewhere(env)).observe(stream.run_id)) == first + then


LOOK = ToolCall("look", {}, id="look")


@pytest.mark.parametrize("calls_of_step", [[PAY, LOOK], [LOOK, PAY]])
@pytest.mark.parametrize("durable", [True, False])
async def test_a_step_waits_for_a_person_and_for_the_callers_own_tool(
    env: Env, calls: Calls, durable: bool, calls_of_step: list[Any]
) -> None:
    model = ScriptedModel(calls_of_step, "I saw it.", [LOOK, PAY])
    agent = served(env, travel(calls, model=model, durable=durable))
    theirs = {"look": create_tool("look", "Look", {"type": "object"})}
    run_id = (await agent.generate("Pay.", client_tools=theirs)).run_id
    seen = {"type": "tool-result", "toolCallId": "look", "toolName": "look"}
    told_too: Any = [{**seen, "output": {"type": "json", "value": "rain"}}]
    other = await elsewhere(env)
    answering = other.approve_tool_call(run_id, client_results=told_too)
    results = {
        chunk["payload"]["toolCallId"]: chunk["payload"]["result"]
        for chunk in await told(answering)
        if chunk["type"] == "tool-result"
    }
    assert sorted(results.values()) == ["paid", "rain"]
    assert ((await answering.result()).text, model.calls) == ("I saw it.", 2)
    shown = model.requests[1]
    parts = [part for m in shown.messages if m.role == "tool" for part in m.parts]
    assert sorted(part.result for part in parts) == ["paid", "rain"]  # pyright: ignore[reportAttributeAccessIssue]
    assert "look" in [one.name for one in shown.tools]
    # Without it the model is not asked, and the run ends with the step.
    run_id = (await other.generate("Pay.", client_tools=theirs)).run_id
    ended = await other.approve_tool_call_generate(run_id)
    assert (ended.finish_reason, model.calls) == ("tool-calls", 3)
    assert calls.names == ["paid 5", "paid 5"]


async def test_a_call_that_is_declined_does_not_run(env: Env, calls: Calls) -> None:
    model = ScriptedModel(PAY, "Then not.")
    agent = served(env, travel(calls, model=model))
    run_id = (await agent.generate("Pay.")).run_id
    result = await agent.decline_tool_call_generate(run_id, reason="too late")
    assert (result.text, calls.names) == ("Then not.", [])
    assert model.requests[1].messages[-1].parts[0].result == "too late"  # pyright: ignore[reportAttributeAccessIssue]


async def test_another_process_observes_it_from_any_chunk(env: Env, calls: Calls) -> None:
    agent = served(env, travel(calls, ["I book. ", ROME, OSLO], "Both booked."))
    live = agent.stream("Two rooms.", run_id="r")
    chunks, result = await told(live), await live.result()
    other = await elsewhere(env)
    for offset in range(len(chunks) + 1):
        assert await told(other.observe("r", offset)) == chunks[offset:]
    again = await other.observe("r").result()
    assert (again.text, again.usage) == (result.text, result.usage)
    assert calls.names == ["Rome", "Oslo"]


async def test_a_reader_that_leaves_does_not_stop_it(env: Env, calls: Calls) -> None:
    agent = served(env, travel(calls, ROME, "Booked."))
    async with agent.stream("A room.", run_id="r") as stream:
        async for chunk in stream:
            if chunk.type == "tool-call":
                break
    assert (await agent.observe("r").result()).text == "Booked."
    assert calls.names == ["Rome"]


async def test_an_abort_ends_it(env: Env, calls: Calls) -> None:
    began = asyncio.Event()

    @tool
    async def wait(what: str) -> str:
        """Wait."""
        began.set()
        await asyncio.Event().wait()
        return what

    agent = served(
        env, travel(calls, ToolCall("wait", {"what": "on"}), "never", tools={"wait": wait})
    )
    controller = AbortController()
    stream = agent.stream("Go.", run_id="r", abort_signal=controller.signal)
    reading = asyncio.create_task(told(stream))
    await began.wait()
    controller.abort()
    assert [chunk["type"] for chunk in await reading][-2:] == ["abort", "finish"]
    assert stream.status == "aborted"
    info = await agent.stored_runs.get_run("r")
    assert info is not None
    assert info.status == "canceled"


async def test_a_model_that_fails_is_told_as_ever(env: Env, calls: Calls) -> None:
    agent = served(env, travel(calls, model_failure("wrong key", status=401)))
    stream = agent.stream("Hi.")
    assert [chunk["type"] for chunk in await told(stream)].count("error") == 1
    with pytest.raises(ModelError, match="wrong key"):
        await stream.result()
