"""An answer as a pydantic value in place of text: the model is held to the type's schema."""

import asyncio
import os
from typing import Literal

from pydantic import BaseModel

from mastra import Agent


class Review(BaseModel):
    """What we want to know of a review."""

    mood: Literal["good", "bad", "mixed"]
    would_return: bool


agent = Agent(
    id="reader",
    name="reader",
    instructions="You read reviews of restaurants and say what they mean.",
    model=os.environ.get("MASTRA_MODEL", "local/smollm2-135m"),
)


async def main() -> None:
    result = await agent.generate(
        "Wonderful soup, friendly people. We will be back!", structured_output=Review
    )
    review = result.object
    print(type(review).__name__, review)


if __name__ == "__main__":
    asyncio.run(main())
