"""`limits`: how much a run may use, counted over agents, fallbacks, waits and replays; and the cost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mastra import (
    Agent,
    ConfigError,
    InMemoryStorage,
    Mastra,
    ModelConfig,
    SQLStorage,
    UsageLimitError,
    UsageLimits,
    create_workflow,
    tool,
)
from mastra.testing import ScriptedModel, ToolCall
from tests.support.openai_server import OpenAIServer, error_reply, text_reply, tool_reply

done: list[int] = []
ADD = ToolCall("add", {"n": 1})


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


@tool
async def add(n: int) -> int:
    """Add."""
    done.append(n)
    return n


@tool(require_approval=True)
async def ask_first(n: int) -> int:
    """Add, once somebody agrees."""
    done.append(n)
    return n


def adder(*turns: Any, **options: Any) -> Agent:
    # Each answer takes 10 tokens of input and gives 5.
    return Agent(
        id="adder", instructions="Add.", model=ScriptedModel(*turns), tools=[add], **options
    )


@pytest.mark.parametrize(
    ("limits", "name", "steps", "ran"),
    [
        ({"requests": 2}, "requests", 2, 2),
        ({"requests": 0}, "requests", 0, 0),
        ({"tool_calls": 2}, "tool_calls", 3, 2),
        ({"input_tokens": 25}, "input_tokens", 3, 2),
        ({"output_tokens": 10}, "output_tokens", 2, 2),
        ({"total_tokens": 14}, "total_tokens", 1, 0),
        ({"totalTokens": 14}, "total_tokens", 1, 0),
    ],
)
async def test_a_run_ends_at_a_limit_with_what_there_is(
    limits: dict[str, int], name: str, steps: int, ran: int
) -> None:
    agent = adder(["one ", ADD], ["two ", ADD], ["three ", ADD], "done")
    with pytest.raises(UsageLimitError, match=name) as caught:
        await agent.generate("Add.", limits=limits)
    assert caught.value.code == "USAGE_LIMIT"
    assert caught.value.details["limit"] == name
    assert caught.value.details["max"] == next(iter(limits.values()))
    result = caught.value.result
    assert len(result.steps) == steps
    assert result.text == "".join(["one ", "two ", "three "][:steps])
    assert (result.usage.total_tokens or 0) == 15 * steps
    assert (result.finish_reason, len(done)) == ("error", ran)


async def test_what_is_used_up_to_the_limit_is_no_error() -> None:
    limits = UsageLimits(requests=2, tool_calls=1, input_tokens=20, total_tokens=30)
    result = await adder(ADD, "done").generate("Add.", limits=limits)
    assert (result.text, done) == ("done", [1])


async def test_the_calls_of_a_step_are_counted_before_any_of_them_runs() -> None:
    with pytest.raises(UsageLimitError):
        await adder([ADD, ADD, ADD], "done").generate("Add.", limits=UsageLimits(tool_calls=2))
    assert done == []


async def test_a_stream_ends_with_an_error() -> None:
    stream = adder(ADD, "done").stream("Add.", limits=UsageLimits(requests=1))
    chunks = [chunk async for chunk in stream]
    assert [chunk.type for chunk in chunks if chunk.type in {"error", "finish"}] == [
        "error",
        "finish",
    ]
    told = next(chunk for chunk in chunks if chunk.type == "error").payload.error
    assert isinstance(told, UsageLimitError)
    assert told.result.tool_results
    assert isinstance(stream.error, UsageLimitError)


async def test_a_call_adds_to_the_agents_own_limits() -> None:
    agent = adder(ADD, ADD, "done", default_options={"limits": {"requests": 1, "tool_calls": 1}})
    with pytest.raises(UsageLimitError, match="tool_calls"):
        await agent.generate("Add.", limits=UsageLimits(requests=5))
    with pytest.raises(UsageLimitError, match="requests"):
        await adder(ADD, "done", default_options={"limits": UsageLimits(requests=1)}).generate(
            "Add."
        )


@pytest.mark.parametrize(
    "limits", [{"requests": -1}, {"steps": 3}, {"requests": 1.5}, {"cost_usd": float("nan")}]
)
async def test_what_is_no_limit_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="limits"):
        await adder("done").generate("Add.", limits=limits)


# -- others are counted with the run ------------------------------------------------------------


def boss(*turns: Any, worker: Agent, **options: Any) -> Agent:
    model = ScriptedModel(*turns)
    return Agent(id="boss", instructions="Lead.", model=model, agents={"adder": worker}, **options)


ASK = ToolCall("agent-adder", {"prompt": "Add."})


async def test_agents_that_are_asked_are_counted() -> None:
    lead = boss(ASK, "done", worker=adder(ADD, ADD, "added"))
    with pytest.raises(UsageLimitError, match="requests") as caught:
        await lead.generate("Add.", limits=UsageLimits(requests=3))
    # One of its own and two of the agent that it asked: the third of that was never sent.
    assert (len(done), len(caught.value.result.steps)) == (2, 1)
    assert len(caught.value.result.spending) == 3


async def test_it_ends_even_where_nothing_more_would_be_asked() -> None:
    lead = boss(ASK, worker=adder([ADD, ADD], "added"))
    with pytest.raises(UsageLimitError, match="tool_calls"):
        await lead.generate("Add.", limits=UsageLimits(tool_calls=2), max_steps=1)
    assert done == []


async def test_the_limits_of_an_agent_that_is_asked_end_that_agent_alone() -> None:
    worker = adder(ADD, "added", default_options={"limits": {"requests": 1}})
    result = await boss(ASK, "It could not.", worker=worker).generate("Add.")
    assert result.text == "It could not."


async def test_agents_inside_of_tools_and_workflows_are_counted() -> None:
    worker = adder("one", "two", "three")

    @tool
    async def ask_it() -> str:
        """Ask."""
        return (await worker.generate("Add.")).text

    flow = create_workflow(
        id="flow", description="Adds.", input_schema=dict[str, Any], output_schema=Any
    )
    flow = flow.map(lambda _: {"prompt": "Add."}).then(worker.as_step(id="asks")).commit()
    model = ScriptedModel(ToolCall("ask_it", {}), ToolCall("workflow-flow", {}), "done", "more")
    lead = Agent(
        id="lead", instructions="", model=model, tools={"ask_it": ask_it}, workflows={"flow": flow}
    )
    result = await lead.generate("Add.")
    assert len(result.spending) == 5
    # What is asked after the run is no part of it.
    await worker.generate("Add.")
    assert len(result.spending) == 5


async def test_a_run_begun_in_a_tool_that_goes_on_after_the_run_is_its_own() -> None:
    kept: list[Any] = []

    @tool
    async def begin() -> str:
        """Begin."""
        kept.append(adder("one").stream("Add."))
        return "begun"

    lead = Agent(
        id="lead", instructions="", model=ScriptedModel(ToolCall("begin", {}), "x"), tools=[begin]
    )
    await lead.generate("Add.", limits=UsageLimits(requests=2))
    assert (await kept[0].result()).text == "one"


# -- waits, processes and replays ---------------------------------------------------------------


@pytest.fixture(params=["memory", "sqlite"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    made: Any = InMemoryStorage()
    if request.param == "sqlite":
        made = SQLStorage(f"sqlite:///{tmp_path}/limits.db")
    yield made
    await made.aclose()


def waiting(storage: Any, *turns: Any, durable: bool, workers: Any = None) -> Agent:
    agent = Agent(
        id="waits",
        instructions="Add.",
        model=ScriptedModel(*turns),
        tools={"ask_first": ask_first, "add": add},
        agents=workers,
        durable=durable,
    )
    return Mastra(agents={"waits": agent}, storage=storage).get_agent("waits")


WAIT = ToolCall("ask_first", {"n": 1})


@pytest.mark.parametrize("durable", [False, True])
async def test_what_was_used_before_a_wait_counts_after_it(storage: Any, durable: bool) -> None:
    limits = UsageLimits(requests=4, tool_calls=3)
    workers = {"adder": adder("added")}
    first = waiting(storage, ASK, WAIT, durable=durable, workers=workers)
    result = await first.generate("Add.", limits=limits)
    assert result.finish_reason == "suspended"
    assert len(result.spending) == 3
    # As another process would: nothing but the storage is the same.
    other = waiting(storage, ADD, "done", durable=durable, workers={})
    with pytest.raises(UsageLimitError, match="requests") as caught:
        await other.approve_tool_call_generate(result.run_id)
    assert done == [1, 1]
    assert caught.value.details["used"] == 5
    assert caught.value.result.usage.total_tokens == 45
    assert len(caught.value.result.spending) == 4


@pytest.mark.parametrize("durable", [False, True])
async def test_a_wait_counts_nothing_twice(storage: Any, durable: bool) -> None:
    limits = UsageLimits(requests=3, tool_calls=2, total_tokens=45)
    result = await waiting(storage, WAIT, durable=durable).generate("Add.", limits=limits)
    agent = waiting(storage, ADD, "done", durable=durable)
    result = await agent.approve_tool_call_generate(result.run_id)
    assert (result.text, len(result.spending), done) == ("done", 3, [1, 1])


async def test_an_agent_that_waits_inside_another_counts_once() -> None:
    worker = Agent(
        id="worker",
        instructions="",
        model=ScriptedModel(WAIT, "added"),
        tools={"ask_first": ask_first},
    )
    lead = boss(ToolCall("agent-adder", {"prompt": "Add."}), "done", worker=worker)
    limits = UsageLimits(requests=4, tool_calls=2, total_tokens=60)
    result = await lead.generate("Add.", limits=limits)
    assert (result.finish_reason, len(result.spending)) == ("suspended", 2)
    result = await lead.resume_generate({"approved": True}, run_id=result.run_id)
    assert (result.text, len(result.spending), done) == ("done", 4, [1])


async def test_a_durable_run_counts_the_agents_that_it_asks(storage: Any) -> None:
    agent = waiting(storage, ASK, ADD, "done", durable=True, workers={"adder": adder(ADD, "x")})
    with pytest.raises(UsageLimitError, match="requests") as caught:
        await agent.generate("Add.", limits=UsageLimits(requests=4))
    assert caught.value.details["used"] == 5
    assert len(caught.value.result.spending) == 4
    assert done == [1, 1]


async def test_a_durable_run_refuses_calls_before_any_of_them_runs(storage: Any) -> None:
    agent = waiting(storage, [ADD, ADD], "done", durable=True)
    with pytest.raises(UsageLimitError, match="tool_calls"):
        await agent.generate("Add.", limits={"tool_calls": 1})
    assert done == []


async def test_a_limit_is_not_tried_again_by_a_step(storage: Any) -> None:
    model = ScriptedModel("too much", "again")
    agent = Agent(id="once", instructions="", model=model)
    asks = agent.as_step(retries=3, limits=UsageLimits(output_tokens=1))
    flow = create_workflow(id="flow", input_schema=dict[str, Any], output_schema=Any)
    flow = flow.then(asks).commit()
    mastra = Mastra(workflows={"flow": flow}, storage=storage)
    result = await (await mastra.get_workflow("flow").create_run()).start({"prompt": "x"})
    assert (result.status, model.calls) == ("failed", 1)


# -- providers ------------------------------------------------------------------------------------


def mini(server: OpenAIServer, name: str = "openai/gpt-4o-mini") -> ModelConfig:
    return ModelConfig(id=name, url=server.url, api_key="k")


# 10 tokens in, of which 4 were cached; 6 out.
MINI = 6 * 0.15e-6 + 4 * 0.075e-6 + 6 * 0.6e-6
GPT_4O = 6 * 2.5e-6 + 4 * 1.25e-6 + 6 * 10e-6


async def test_a_fallback_is_a_request_and_has_its_own_price(server: OpenAIServer) -> None:
    agent = Agent(
        id="a",
        instructions="",
        model=[mini(server, "openai/gpt-4o"), mini(server)],
        max_retries=0,
    )
    server.queue(error_reply(500), text_reply("hi"), error_reply(500))
    result = await agent.generate("Hi.", limits=UsageLimits(requests=2))
    assert result.cost_usd == pytest.approx(MINI)
    with pytest.raises(UsageLimitError, match="requests"):
        await agent.generate("Hi.", limits=UsageLimits(requests=1))
    assert len(server.requests) == 3


async def test_the_cost_of_steps_runs_and_agents(server: OpenAIServer) -> None:
    worker = Agent(id="w", instructions="", model=mini(server, "openai/gpt-4o"))
    lead = Agent(id="l", instructions="", model=mini(server), agents={"w": worker})
    server.queue(tool_reply(("c1", "agent-w", '{"prompt": "x"}')), text_reply("a"), text_reply("b"))
    stream = lead.stream("Hi.")
    result = await stream.result()
    assert [step.cost_usd for step in result.steps] == [pytest.approx(MINI)] * 2
    assert result.cost_usd == pytest.approx(2 * MINI + GPT_4O)
    assert await stream.cost_usd() == result.cost_usd
    usage = result.to_wire()["usage"]
    assert (usage["cachedInputTokens"], usage["reasoningTokens"]) == (8, 4)


async def test_the_cost_ends_a_run(server: OpenAIServer) -> None:
    agent = Agent(id="a", instructions="", model=mini(server), tools=[add])
    server.queue(*(tool_reply((f"c{n}", "add", '{"n": 1}')) for n in range(5)))
    with pytest.raises(UsageLimitError, match="cost_usd") as caught:
        await agent.generate("Hi.", limits={"cost_usd": 2.5 * MINI})
    assert (len(server.requests), len(done)) == (3, 2)
    assert caught.value.result.cost_usd == pytest.approx(3 * MINI)


async def test_where_a_price_is_not_known_there_is_no_cost(server: OpenAIServer) -> None:
    assert (await adder("done").generate("Add.")).cost_usd is None
    worker = Agent(id="w", instructions="", model=ScriptedModel("x"))
    lead = Agent(id="l", instructions="", model=mini(server), agents={"w": worker})
    server.queue(tool_reply(("c1", "agent-w", '{"prompt": "x"}')), text_reply("b"))
    result = await lead.generate("Hi.")
    assert result.cost_usd is None
    assert result.steps[0].cost_usd == pytest.approx(MINI)
