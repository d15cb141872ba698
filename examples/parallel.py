"""Steps at the same time: all get the same input, and their results come together by id."""

import asyncio
import time
from typing import Any

from mastra import StepContext, create_workflow, step


@step
async def count_words(text: str) -> int:
    await asyncio.sleep(0.2)
    return len(text.split())


@step
async def count_letters(text: str) -> int:
    await asyncio.sleep(0.2)
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
    started = time.monotonic()
    run = await statistics.create_run()
    result = await run.start(input_data="Two steps, one wait")
    print(result.unwrap())
    print("waited once" if time.monotonic() - started < 0.4 else "waited twice")


if __name__ == "__main__":
    asyncio.run(main())
