"""A process that runs a durable agent, for tests that kill it.

    python -m tests.support.agent_process URL NOTES COMMAND [DIES_AT]

The model asks for one tool call a turn, `TURNS` times, and then says how many results it has seen.
Model and tool note what they do as lines of the file NOTES, `model 3` and `tool 3`, each in one
write. With DIES_AT, such as `tool 2`, the process kills itself with `kill -9` at that line.
Commands:

- `start`: start the run of a workflow in which the agent is a durable step.
- `ask`: ask the agent itself, which is durable.
- `recover`: go on with whichever of them was cut off, and wait for it.

Both print what the run gave.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from mastra import Agent, Mastra, SQLStorage, create_step, create_workflow, tool
from mastra.testing import FunctionModel, ToolCall
from mastra.workflows.engines.base import Engine

TURNS = 6


def note(text: str) -> None:
    """Add a line to the notes, or die there."""
    file = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{text}\n".encode())
    os.close(file)
    if text in sys.argv[4:]:
        os.kill(os.getpid(), signal.SIGKILL)


async def answer(request: Any) -> Any:
    """Ask for the next call, or say what came of all of them."""
    results = [message.parts[0].result for message in request.messages if message.role == "tool"]
    note(f"model {len(results) + 1}")
    await asyncio.sleep(0.001)
    if len(results) < TURNS:
        return ToolCall("count", {"number": len(results) + 1}, id=f"call-{len(results) + 1}")
    return f"I have seen {results}."


@tool
async def count(number: int) -> int:
    """Count."""
    note(f"tool {number}")
    await asyncio.sleep(0.001)
    return number


def build(url: str, engine: Engine | None = None) -> Mastra:
    """Return the `Mastra` that every process of a test has."""
    options = {"max_steps": TURNS + 1}
    agent = Agent(
        id="counter",
        model=FunctionModel(answer),
        tools={"count": count},
        default_options=options,
        durable=True,
    )
    workflow = create_workflow(id="count", input_schema=dict[str, str], output_schema=Any)
    workflow.then(create_step(agent)).commit()
    return Mastra(
        workflows={"count": workflow},
        agents={"counter": agent},
        storage=SQLStorage(url),
        engine=engine,
    )


async def main() -> None:
    """Do what the command line says."""
    url, command = sys.argv[1], sys.argv[3]
    async with build(url) as mastra:
        sys.stdout.write(f"{await said(mastra, command)}\n")


async def said(mastra: Mastra, command: str) -> str:
    """Return what the agent has said in the end."""
    workflow, agent = mastra.get_workflow("count"), mastra.get_agent("counter")
    if command == "ask":
        return (await agent.generate("Count.", run_id="r")).text
    if command == "start":
        run = await workflow.create_run("r")
        return (await run.start({"prompt": "Count."})).unwrap()["text"]
    restarted = await mastra.restart_all_active_workflow_runs()
    recovered = await mastra.recover_all_durable_agents()
    known = workflow if restarted or not recovered else agent.durable_runs.workflow
    run = await known.create_run("r")
    return (await run.result()).unwrap()["text"]


if __name__ == "__main__":
    asyncio.run(main())
