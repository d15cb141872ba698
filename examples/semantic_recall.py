"""An agent that finds what was said long ago: the question is compared with old messages.

A count of words plays the embedding model here. A real one finds "pet" near "cat" too: name one
in MASTRA_EMBEDDER, such as openai/text-embedding-3-small.
"""

import asyncio
import os
from collections.abc import Sequence

from mastra import Agent
from mastra.memory import Memory, SemanticRecall
from mastra.testing import FunctionModel

WORDS = ("cat", "train", "rent")


def count_words(texts: Sequence[str]) -> list[list[float]]:
    return [[text.lower().count(word) + 0.01 for word in WORDS] for text in texts]


model = FunctionModel(lambda request: f"I was shown {len(request.messages)} messages.")
agent = Agent(
    id="friend",
    name="friend",
    model=model,
    memory=Memory(
        last_messages=False,
        semantic_recall=SemanticRecall(top_k=1, message_range=0, scope="thread"),
        embedder=os.environ.get("MASTRA_EMBEDDER") or count_words,
    ),
)


async def main() -> None:
    for text in ("My cat is called Tom.", "The train leaves at nine.", "What is my cat called?"):
        await agent.generate(text, memory={"thread": "t1", "resource": "ann"})
    for message in model.requests[-1].messages:
        print(f"{message.role}: {message.text}")


asyncio.run(main())
