"""Test an agent in a workflow without a model: a script answers, and every call is checked.

Run it with pytest, or by itself.
"""
# ruff: noqa: S101 - asserts are what a test is made of

import asyncio

from mastra import Agent, Mastra, StepContext, create_workflow, step
from mastra.testing import ScriptedModel, block_model_requests


@step
async def summarise(ctx: StepContext[str]) -> str:
    agent = ctx.mastra.get_agent("editor")
    return (await agent.generate(f"Summarise: {ctx.input_data}")).text


summaries = (
    create_workflow(id="summaries", input_schema=str, output_schema=str).then(summarise).commit()
)


def build(model: ScriptedModel) -> Mastra:
    editor = Agent(id="editor", name="editor", instructions="You summarise.", model=model)
    return Mastra(agents={"editor": editor}, workflows={"summaries": summaries})


async def summary_is_what_the_model_says() -> None:
    # Leaving the block fails if a turn of the script was not asked for.
    async with ScriptedModel("Short.") as model:
        run = await build(model).get_workflow("summaries").create_run()
        result = await run.start(input_data="A long story")
    assert result.unwrap() == "Short."
    assert "A long story" in str(model.requests[0].messages[-1].content)


async def a_model_that_fails_fails_the_step() -> None:
    model = ScriptedModel(RuntimeError("out of words"))
    run = await build(model).get_workflow("summaries").create_run()
    result = await run.start(input_data="A long story")
    assert result.status == "failed"
    assert "out of words" in str(result.steps["summarise"].error)


def test_summaries() -> None:
    with block_model_requests():
        asyncio.run(summary_is_what_the_model_says())
        asyncio.run(a_model_that_fails_fails_the_step())


if __name__ == "__main__":
    test_summaries()
    print("passed")
