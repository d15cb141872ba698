"""Steps at the same time: all get the same input, and their results come together by id."""

import asyncio
from typing import Any

from mastra import StepContext, create_workflow, step


@step
async def count_words(text: str) -> int:
    print("counting words")
    await asyncio.sleep(0.1)
    print("counted")
    return len(text.split())


@step
async def count_letters(text: str) -> int:
    print("counting letters")
    await asyncio.sleep(0.1)
    print("counted")
    return sum(letter.isalpha() for letter in text)


@step
async def report(ctx: StepContext[dict[str, Any]]) -> str:
    counts = ctx.input_data
    return f"{counts['count_words']} words, {counts['count_letters']} letters"


statistics = (
    create_workflow(id="statistics", input_schema=str, output_schema=str)
    .parallel([count_words, count_letters])
    .then(report)
    .commit()
)


async def main() -> None:
    run = await statistics.create_run()
    result = await run.start(input_data="Two steps, one wait")
    print(result.unwrap())


if __name__ == "__main__":
    asyncio.run(main())
