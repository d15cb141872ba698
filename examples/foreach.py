"""One step for each item of a list, a few at a time; results keep the order of the items."""

import asyncio

from mastra import create_workflow, step


@step
async def shout(word: str) -> str:
    await asyncio.sleep(0.05)
    return word.upper()


@step
async def join(words: list[str]) -> str:
    return " ".join(words)


shouting = (
    create_workflow(id="shouting", input_schema=list[str], output_schema=str)
    .foreach(shout, concurrency=2)
    .then(join)
    .commit()
)


async def main() -> None:
    run = await shouting.create_run()
    result = await run.start(input_data=["one", "for", "each"])
    print(result.unwrap())


if __name__ == "__main__":
    asyncio.run(main())
