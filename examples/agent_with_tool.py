"""An agent with a tool: the model asks for it, the tool runs, the model reads what it gave.

So small a model as the embedded one hardly ever asks for a tool; a script plays the model here,
unless MASTRA_MODEL names a real one.
"""

import asyncio
import os

from mastra import Agent, tool
from mastra.testing import ScriptedModel, ToolCall

script = ScriptedModel(
    ToolCall("get_stock", {"item": "tea"}),
    "There are 12 packets of tea left.",
)


@tool
async def get_stock(item: str) -> int:
    """Get how many packets of an item are left."""
    return {"tea": 12, "coffee": 0}.get(item, 0)


agent = Agent(
    id="shop",
    name="shop",
    instructions="You answer customers of a shop. Look the stock up, never guess it.",
    model=os.environ.get("MASTRA_MODEL") or script,
    tools={"get_stock": get_stock},
)


async def main() -> None:
    async with agent.stream("How much tea is left?") as stream:
        async for chunk in stream.full_stream:
            if chunk.type == "tool-call":
                print("asks for", chunk.payload.tool_name, chunk.payload.args)
            elif chunk.type == "tool-result":
                print("was told", chunk.payload.result)
            elif chunk.type == "text-delta":
                print(chunk.payload.text, end="", flush=True)
    print(f"\n({len(await stream.steps())} calls of the model)")


if __name__ == "__main__":
    asyncio.run(main())
