"""A chunk's `seq` is its place in the run, whatever part of the run a reader looks at."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mastra import AbortController, Agent, AgentStream, ConfigError, Mastra, SQLStorage, tool
from mastra.testing import FunctionModel, ScriptedModel, ToolCall, Turn

pytestmark = pytest.mark.anyio


@tool(require_approval=True)
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


def payer(*, durable: bool) -> Agent:
    turns = [ToolCall("pay", {"amount": n}) for n in range(2)]
    model = ScriptedModel(*turns, "Paid both of them.")
    return Agent(id="payer", model=model, tools={"pay": pay}, durable=durable)


async def places(stream: AgentStream[object]) -> list[int]:
    return [chunk.seq async for chunk in stream]


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("has_hooks", [True, False])
async def test_a_resumed_run_counts_on_where_it_waited(durable: bool, has_hooks: bool) -> None:
    agent = payer(durable=durable)
    async with Mastra(agents={"payer": agent}) as mastra:
        agent = mastra.get_agent("payer")
        stream = agent.stream("Pay.")
        seqs = await places(stream)
        hooks = {"on_chunk": lambda _: None} if has_hooks and not durable else {}
        for _ in range(2):
            seqs += await places(agent.approve_tool_call(stream.run_id, **hooks))
        assert seqs == list(range(len(seqs)))
        assert await places(agent.observe(stream.run_id)) == seqs


async def test_a_run_goes_on_counting_in_another_process(tmp_path: object) -> None:
    storage = f"sqlite:///{tmp_path}/runs.db"
    async with Mastra(agents=[payer(durable=False)], storage=SQLStorage(storage)) as mastra:
        stream = mastra.get_agent("payer").stream("Pay.")
        first = await places(stream)
    agent = Agent(id="payer", model=ScriptedModel("Done."), tools={"pay": pay})
    async with Mastra(agents=[agent], storage=SQLStorage(storage)) as mastra:
        then = await places(mastra.get_agent("payer").approve_tool_call(stream.run_id))
    assert first + then == list(range(len(first + then)))


@pytest.mark.parametrize("offset", [0, 3, 7, 99])
async def test_what_is_observed_from_an_offset_on_keeps_its_places(offset: int) -> None:
    agent = Agent(id="sage", model=ScriptedModel("One, two, three, four."), durable=True)
    async with Mastra(agents={"sage": agent}) as mastra:
        agent = mastra.get_agent("sage")
        stream = agent.stream("Count.")
        seqs = await places(stream)
        assert await places(agent.observe(stream.run_id, offset)) == seqs[offset:]


async def test_a_payload_reads_as_json_too() -> None:
    turns = [Turn("Paying.", tool_calls=[ToolCall("pay", {"amount": 1}, id="c1")]), "Done."]
    agent = Agent(id="payer", model=ScriptedModel(*turns), tools={"pay": tool(id="pay")(paid)})
    chunks = {chunk.type: chunk async for chunk in agent.stream("Pay.")}
    for chunk in chunks.values():
        assert dict(chunk.payload) == chunk.to_wire()["payload"]
    call, end = chunks["tool-call"].payload, chunks["finish"].payload
    assert (call["toolName"], call["tool_name"], call.tool_name) == ("pay", "pay", "pay")
    assert call["args"] == {"amount": 1}
    assert (end["stepResult"]["reason"], end["output"]["usage"]["totalTokens"]) == ("stop", 30)
    assert ("toolName" in call, "result" in call, call.get("result", 0)) == (True, False, 0)
    with pytest.raises(KeyError, match="result"):
        call["result"]


def paid(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


async def test_an_event_stops_a_run_as_a_signal_does() -> None:
    event, controller = asyncio.Event(), AbortController()
    for signal, stop in ((event, event.set), (controller.signal, controller.abort)):
        agent = Agent(id="sage", model=ScriptedModel(Turn("One, two, three.", delay=0.01)))
        stream = agent.stream("Count.", abort_signal=signal)
        async for chunk in stream:
            if chunk.type == "text-delta":
                stop()
        assert await stream.finish_reason() == "aborted"


async def test_an_event_that_is_set_already_stops_a_run_before_the_model_is_asked() -> None:
    event, asked = asyncio.Event(), list[object]()
    event.set()
    agent = Agent(id="sage", model=FunctionModel(asked.append))
    assert (await agent.generate("Count.", abort_signal=event)).finish_reason == "aborted"
    assert asked == []


async def test_a_run_lets_go_of_an_event_when_it_ends() -> None:
    event = asyncio.Event()
    before = asyncio.all_tasks()
    agent = Agent(id="sage", model=ScriptedModel("One."))
    assert (await agent.generate("Count.", abort_signal=event)).text == "One."
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before


async def test_an_event_of_threads_is_refused() -> None:
    agent = Agent(id="sage", model=ScriptedModel("One."))
    with pytest.raises(ConfigError, match=r"AbortController\(\)\.signal, or an asyncio\.Event"):
        agent.stream("Count.", abort_signal=threading.Event())
