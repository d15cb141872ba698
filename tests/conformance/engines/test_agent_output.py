"""What an agent inside a step streams, seen by the readers of the run."""

from __future__ import annotations

from typing import Any

from mastra import Agent, StepContext, create_step, create_workflow
from mastra.testing import ScriptedModel
from tests.support.engines import Env


def planning(*, pipes: bool) -> Any:
    async def execute(ctx: StepContext[str]) -> str:
        stream = await ctx.mastra.get_agent("planner").stream(ctx.input_data)
        if pipes:
            await stream.pipe_to(ctx.writer)
        else:
            async for text in stream.text_stream:
                await ctx.writer.write(text)
        return await stream.text()

    step = create_step(id="plan", input_schema=str, output_schema=str, execute=execute)
    workflow = create_workflow(id="w", input_schema=str, output_schema=str)
    return workflow.then(step).commit()


async def told(env: Env, *, pipes: bool) -> tuple[list[Any], Any]:
    agent = Agent(id="planner", name="planner", instructions="Plan.", model=ScriptedModel("A plan"))
    workflow = env.workflow(planning(pipes=pipes), agents={"planner": agent})
    run = await workflow.create_run()
    events, result = await env.read(run.stream("Rome"))
    return [e for e in events if e.type == "workflow-step-output"], (run, events, result)


async def test_chunks_that_are_piped_arrive_as_step_output(env: Env) -> None:
    outputs, (_, _, result) = await told(env, pipes=True)
    kinds = [event.payload.output["type"] for event in outputs]
    assert kinds[0] == "start"
    assert "text-delta" in kinds
    assert kinds[-1] == "finish"
    assert result.unwrap() == "A plan"


async def test_piped_chunks_come_between_start_and_result_of_the_step(env: Env) -> None:
    outputs, (_, events, _) = await told(env, pipes=True)
    types = [event.type for event in events]
    assert types[:2] == ["workflow-start", "workflow-step-start"]
    assert types[-2:] == ["workflow-step-result", "workflow-finish"]
    assert types[2:-2] == ["workflow-step-output"] * len(outputs)


async def test_text_that_is_written_is_the_agents_text(env: Env) -> None:
    outputs, _ = await told(env, pipes=False)
    assert "".join(event.payload.output for event in outputs) == "A plan"


async def test_usage_of_a_piped_agent_counts_for_the_run(env: Env) -> None:
    outputs, (_, events, _) = await told(env, pipes=True)
    finish = outputs[-1].payload.output["payload"]["output"]["usage"]
    assert events[-1].payload.output["usage"]["totalTokens"] == finish["totalTokens"]


async def test_piped_chunks_are_there_for_late_readers_elsewhere(env: Env) -> None:
    _, (run, events, _) = await told(env, pipes=True)
    elsewhere = await env.again(run)
    stored, _ = await env.read(elsewhere.observe_stream())
    assert [event.to_wire() for event in stored] == [event.to_wire() for event in events]
