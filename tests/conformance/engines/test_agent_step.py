"""Agents as steps, and agents that steps call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from mastra import (
    Agent,
    ModelError,
    StepContext,
    WorkflowFailed,
    WorkflowTripwire,
    create_step,
    create_workflow,
)
from mastra.processors import Processor
from mastra.testing import FunctionModel, ScriptedModel, ToolCall, Turn, model_failure
from tests.support.engines import Calls, Env
from tests.support.flows import chain, outline


class Prompt(BaseModel):
    prompt: str


class Plan(BaseModel):
    title: str
    days: int


def agent(*turns: Any, id: str = "planner", **options: Any) -> Agent:
    model = options.pop("model", None) or ScriptedModel(*turns)
    return Agent(id=id, name=id, instructions="Be brief.", model=model, **options)


def start(output: Any = Any, id: str = "w") -> Any:
    return create_workflow(id=id, input_schema=Prompt, output_schema=output)


ASK = {"prompt": "What to do?"}


async def test_an_agent_takes_a_prompt_and_gives_text(env: Env) -> None:
    model = ScriptedModel("Go for a walk.")
    workflow = start().then(create_step(agent(model=model))).commit()
    result = await env.start(workflow, ASK)
    assert result.unwrap() == {"text": "Go for a walk."}
    assert result.steps["planner"].payload == ASK
    assert model.calls == 1


async def test_then_takes_an_agent_as_it_is(env: Env) -> None:
    result = await env.start(start().then(agent("Walk.")).commit(), ASK)
    assert result.unwrap() == {"text": "Walk."}


async def test_steps_before_and_after(env: Env) -> None:
    async def shout(answer: dict[str, str]) -> str:
        return answer["text"].upper()

    workflow = create_workflow(id="w", input_schema=str, output_schema=str)
    workflow.map(lambda ctx: {"prompt": f"What to do in {ctx.input_data}?"})
    workflow.then(agent("Walk.")).then(create_step(execute=shout)).commit()
    assert (await env.start(workflow, "Rome")).unwrap() == "WALK."


async def test_structured_output_is_the_steps_output(env: Env) -> None:
    seen: list[Any] = []

    async def look(plan: Plan) -> int:
        seen.append(plan)
        return plan.days

    planner = agent('{"title": "Rome", "days": 3}')
    workflow = start(int).then(create_step(planner, structured_output=Plan))
    result = await env.start(workflow.then(create_step(execute=look)).commit(), ASK)
    assert result.unwrap() == 3
    assert seen == [Plan(title="Rome", days=3)]


async def test_a_step_may_have_an_id_of_its_own(env: Env) -> None:
    result = await env.start(start().then(create_step(agent("Walk."), id="ask")).commit(), ASK)
    assert list(result.steps) == ["ask"]


async def test_options_reach_the_agent(env: Env) -> None:
    model = ScriptedModel("Walk.")
    step = create_step(agent(model=model), instructions="Shout.", model_settings={"temperature": 0})
    await env.start(start().then(step).commit(), ASK)
    (request,) = model.requests
    assert request.settings.temperature == 0
    assert "Shout." in str(request.messages[0])


async def test_the_agents_tools_run(env: Env, calls: Calls) -> None:
    async def look_up(city: str) -> str:
        """Look a city up."""
        calls.add(city)
        return "sunny"

    planner = agent(
        ToolCall("look_up", {"city": "Rome"}), "It is sunny.", tools={"look_up": look_up}
    )
    result = await env.start(start().then(planner).commit(), ASK)
    assert result.unwrap() == {"text": "It is sunny."}
    assert calls.names == ["Rome"]


async def test_agents_in_parallel(env: Env) -> None:
    workflow = start().parallel([agent("One.", id="a"), agent("Two.", id="b")]).commit()
    result = await env.start(workflow, ASK)
    assert result.unwrap() == {"a": {"text": "One."}, "b": {"text": "Two."}}


async def test_an_agent_in_a_foreach(env: Env) -> None:
    model = FunctionModel(lambda request: f"You said: {request.messages[-1].text}")
    workflow = create_workflow(id="w", input_schema=list[Prompt], output_schema=Any)
    workflow.foreach(agent(model=model), concurrency=2).commit()
    result = await env.start(workflow, [{"prompt": "a"}, {"prompt": "b"}])
    assert result.unwrap() == [{"text": "You said: a"}, {"text": "You said: b"}]


async def test_an_agent_in_a_nested_workflow(env: Env) -> None:
    inner = start(id="inner").then(agent("Deep.")).commit()
    middle = start(id="middle").then(inner).commit()
    result = await env.start(start().then(middle).commit(), ASK)
    assert result.unwrap() == {"text": "Deep."}
    assert "middle.inner.planner" in result.steps


async def test_an_agent_found_through_mastra_in_a_step(env: Env) -> None:
    async def ask(ctx: StepContext[Prompt]) -> str:
        answer = await ctx.mastra.get_agent("planningAgent").generate(ctx.input_data.prompt)
        return answer.text

    workflow = start(str).then(create_step(execute=ask)).commit()
    bound = env.workflow(workflow, agents={"planningAgent": agent("Walk.")})
    result = await (await bound.create_run()).start(ASK)
    assert result.unwrap() == "Walk."


async def test_what_an_agent_says_reaches_the_readers_of_the_run(env: Env) -> None:
    workflow = start().then(agent(Turn(["Go ", "for ", "a walk."]))).commit()
    events, _ = await env.events(workflow, ASK)
    chunks = [e.payload.output for e in events if e.type == "workflow-step-output"]
    texts = [c["payload"]["text"] for c in chunks if c["type"] == "text-delta"]
    assert "".join(texts) == "Go for a walk."
    lines = outline(events)
    assert lines[:2] == ["start", "step-start:planner"]
    assert lines[-2:] == ["step-result:planner", "finish"]


async def test_text_that_a_step_pipes_reaches_the_readers_in_order(env: Env) -> None:
    async def ask(ctx: StepContext[Prompt]) -> str:
        stream = await ctx.mastra.get_agent("planner").stream(ctx.input_data.prompt)
        async for text in stream.text_stream:
            await ctx.writer.write(text)
        return await stream.text()

    workflow = start(str).then(create_step(execute=ask)).commit()
    bound = env.workflow(workflow, agents={"planner": agent(Turn(["a", "b", "c", "d"]))})
    events, result = await env.read((await bound.create_run()).stream(ASK))
    assert [e.payload.output for e in events if e.type == "workflow-step-output"] == list("abcd")
    assert result.unwrap() == "abcd"


async def test_the_tokens_used_are_told_at_the_end(env: Env) -> None:
    workflow = start().parallel([agent("One.", id="a"), agent("Two.", id="b")]).commit()
    events, _ = await env.events(workflow, ASK)
    assert events[-1].payload is not None
    usage = events[-1].payload.output["usage"]
    assert (usage["inputTokens"], usage["outputTokens"], usage["totalTokens"]) == (20, 10, 30)


async def test_a_model_that_fails_fails_the_step(env: Env) -> None:
    planner = agent(model_failure("wrong key", status=401))
    result = await env.start(start().then(planner).commit(), ASK)
    assert isinstance(result, WorkflowFailed)
    assert isinstance(result.error, ModelError)
    assert "wrong key" in result.error.message
    assert result.steps["planner"].status == "failed"


async def test_a_step_made_of_an_agent_may_be_retried(env: Env) -> None:
    planner = agent(model_failure("not now", status=400), "Walk.")
    result = await env.start(start().then(create_step(planner, retries=1)).commit(), ASK)
    assert result.unwrap() == {"text": "Walk."}


async def test_bad_input_of_an_agent_step_names_step_and_field(env: Env) -> None:
    model = ScriptedModel()
    workflow = create_workflow(id="w", input_schema=Any, output_schema=Any)
    result = await env.start(workflow.then(agent(model=model)).commit(), {"question": "?"})
    assert isinstance(result, WorkflowFailed)
    assert "'planner'" in result.error.message
    assert "prompt" in result.error.message
    assert model.calls == 0


async def test_a_processor_that_refuses_ends_the_run_as_tripwire(env: Env, calls: Calls) -> None:
    class Guard(Processor):
        id = "guard"

        def process_input(self, ctx: Any) -> None:
            ctx.abort("not that", metadata={"level": 3})

    planner = agent("never said", input_processors=[Guard()])
    workflow = start().then(planner).map(lambda ctx: calls.add("after")).commit()
    result = await env.start(workflow, ASK)
    assert isinstance(result, WorkflowTripwire)
    assert result.status == "tripwire"
    assert result.tripwire["reason"] == "not that"
    assert result.tripwire["processorId"] == "guard"
    assert result.tripwire["metadata"] == {"level": 3}
    assert "retry" not in result.tripwire  # it was not asked for: clients expect no null there
    assert calls.names == []


async def test_a_tripwire_calls_finish_and_error(env: Env, calls: Calls) -> None:
    class Guard(Processor):
        id = "guard"

        def process_input(self, ctx: Any) -> None:
            ctx.abort("not that")

    workflow = create_workflow(
        id="w",
        input_schema=Prompt,
        output_schema=Any,
        on_finish=lambda info: calls.add(f"finish {info.status}"),
        on_error=lambda info: calls.add(f"error {info.tripwire['reason']}"),
    )
    await env.start(workflow.then(agent("x", input_processors=[Guard()])).commit(), ASK)
    assert calls.names == ["finish tripwire", "error not that"]


@pytest.mark.parametrize("depth", [0, 1])
async def test_cancelling_the_run_ends_the_model_call(env: Env, depth: int) -> None:
    asked, was_cut_off = asyncio.Event(), asyncio.Event()

    async def answer(request: Any) -> str:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            was_cut_off.set()
        return "never"

    workflow = start(id="inner" if depth else "w").then(agent(model=FunctionModel(answer))).commit()
    if depth:
        workflow = start().then(workflow).commit()
    run = await env.workflow(workflow).create_run()
    await run.start_async(ASK)
    await asked.wait()
    await run.cancel()
    assert (await run.result()).status == "canceled"
    assert was_cut_off.is_set()


async def test_an_agent_is_asked_once_however_the_graph_is_walked(env: Env) -> None:
    model = ScriptedModel("Walk.")
    after = chain(
        "after", create_step(id="x", execute=lambda ctx: 1), input_schema=Any, output_schema=Any
    )
    workflow = start().then(agent(model=model)).sleep(0.01).then(after).commit()
    await env.start(workflow, ASK)
    assert model.calls == 1
