"""A durable agent: its process dies between two tool calls, and the next one goes on from there.

The script plays a model that books a room and then a table. The first process is stopped while
the table is being booked; the second one does not book the room again, and asks the model only what is new.
"""

import asyncio
import tempfile
from typing import Any

from pydantic import BaseModel

from mastra import Agent, Mastra, SQLStorage, create_step, create_workflow, tool
from mastra.testing import ScriptedModel, ToolCall

script = ScriptedModel(
    ToolCall("book", {"what": "a room"}),
    ToolCall("book", {"what": "a table"}),
    "A room and a table are booked.",
)
stops_here = ["a table"]
began_the_table = asyncio.Event()


class Prompt(BaseModel):
    """What to do."""

    prompt: str


@tool
async def book(what: str) -> str:
    """Book something."""
    print("booking", what)
    if what in stops_here:
        began_the_table.set()
        await asyncio.sleep(60)  # the process is stopped in here
    return f"{what}: booked"


agent = Agent(id="travel", instructions="Book it all.", model=script, tools={"book": book})
trips = create_workflow(id="trips", input_schema=Prompt, output_schema=Any)
trips.then(create_step(agent, durable=True)).commit()


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/trips.db"
        async with Mastra(workflows={"trips": trips}, storage=SQLStorage(url)) as first:
            run = await first.get_workflow("trips").create_run("trip-1")
            await run.start_async({"prompt": "A room and a table, please."})
            await began_the_table.wait()
            print("stopped")

        stops_here.clear()
        async with Mastra(workflows={"trips": trips}, storage=SQLStorage(url)) as second:
            await second.restart_all_active_workflow_runs()
            run = await second.get_workflow("trips").create_run("trip-1")
            print((await run.result()).unwrap()["text"])
    print(f"({script.calls} calls of the model)")


if __name__ == "__main__":
    asyncio.run(main())
