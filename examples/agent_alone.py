"""An agent by itself: stream what it says, then read what the answer came to."""

import asyncio
import os

from mastra import Agent

agent = Agent(
    id="namer",
    name="namer",
    instructions="You suggest names for cafés. Answer with one short sentence.",
    model=os.environ.get("MASTRA_MODEL", "local/smollm2-135m"),
)


async def main() -> None:
    question = "What would you call a café by the sea?"
    async with agent.stream(question, model_settings={"max_output_tokens": 60}) as stream:
        async for text in stream.text_stream:
            print(text, end="", flush=True)
    usage = await stream.usage()
    print(f"\n({usage.output_tokens} tokens, finished: {await stream.finish_reason()})")


if __name__ == "__main__":
    asyncio.run(main())
