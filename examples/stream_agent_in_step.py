"""Stream an agent from inside a step: whoever reads the run sees each word as it comes."""

import asyncio
import os

from mastra import Agent, Mastra, StepContext, create_workflow, step

poet = Agent(
    id="poet",
    name="poet",
    instructions="You write short poems.",
    model=os.environ.get("MASTRA_MODEL", "local/smollm2-135m"),
)


@step
async def write_poem(ctx: StepContext[str]) -> str:
    agent = ctx.mastra.get_agent("poet")
    stream = await agent.stream(
        f"Write four lines about {ctx.input_data}.", model_settings={"max_output_tokens": 80}
    )
    async for text in stream.text_stream:
        await ctx.writer.write(text)
    return await stream.text()


poems = create_workflow(id="poems", input_schema=str, output_schema=str).then(write_poem).commit()
mastra = Mastra(agents={"poet": poet}, workflows={"poems": poems})


async def main() -> None:
    run = await mastra.get_workflow("poems").create_run()
    async with run.stream(input_data="rain") as stream:
        async for event in stream:
            if event.type == "workflow-step-output" and event.payload is not None:
                print(event.payload.output, end="", flush=True)
    result = await stream.result()
    print(f"\n({result.status}, {len(result.unwrap())} characters)")


if __name__ == "__main__":
    asyncio.run(main())
