"""`mastra chat`: talk to an agent."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.text import Text

from mastra.cli.load import load_app
from mastra.cli.terminal import AppOption, JsonOption, in_loop, notes, print_json, read_all, typed
from mastra.errors import ConfigError, ModelError
from mastra.ids import new_id
from mastra.jsonable import dump_wire
from mastra.models.messages import Message

__all__ = ["chat"]


def chat(
    agent: Annotated[str | None, typer.Argument(help="The agent's key or id.")] = None,
    message: Annotated[
        str | None, typer.Option("--message", "-m", help="Say one thing and leave.")
    ] = None,
    thread: Annotated[str | None, typer.Option(help="The thread of the agent's memory.")] = None,
    resource: Annotated[str, typer.Option(help="Whose thread it is.")] = "cli",
    app: AppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Talk to an agent. An empty line, Ctrl-D or `exit` leaves; Ctrl-C stops an answer."""
    in_loop(_chat, app, agent, message, thread, resource, as_json)


async def _chat(
    app: str | None,
    name: str | None,
    message: str | None,
    thread: str | None,
    resource: str,
    as_json: bool,
) -> None:
    async with load_app(app) as mastra:
        agents = mastra.list_agents()
        if name is None and len(agents) != 1:
            raise ConfigError(f"Which agent? There are: {', '.join(agents) or 'none'}.")
        agent = mastra.get_agent_by_id(name or next(iter(agents)))
        options: dict[str, Any] = {}
        if agent.spec.memory is not None:
            options["memory"] = {"thread": thread or new_id(), "resource": resource}
        if message is not None or as_json:
            said = message if message is not None else await read_all("What is to be said")
            if as_json:
                print_json((await agent.generate(said, **options)).to_wire())
            else:
                await _say(agent, said, options)
            return
        await _talk(agent, options)


async def _talk(agent: Any, options: dict[str, Any]) -> None:
    history: list[Message] = []
    console = notes()
    console.print(Text(f"{agent.name}. Leave with an empty line.", "dim"))
    lines = typed()
    while True:
        console.print(Text("> ", "bold"), end="")
        try:
            said = await lines.next()
        except asyncio.CancelledError:
            console.print()
            raise
        if said is None or (said := said.strip()) in {"", "exit", "quit"}:
            return
        # With a memory the thread holds what was said; without, the conversation is sent again.
        given: Any = said if "memory" in options else [*history, {"role": "user", "content": said}]
        try:
            history = await _unless_stopped(_say(agent, given, options)) or history
        except ModelError as error:
            console.print(Text(error.message, "red"))


async def _unless_stopped(saying: Coroutine[Any, Any, list[Message]]) -> list[Message] | None:
    """Return the conversation after an answer; `None` where Ctrl-C stopped it."""
    answer = asyncio.ensure_future(saying)
    task = asyncio.current_task()
    try:
        with _stopped_by_ctrl_c(answer):
            return await answer
    except asyncio.CancelledError:
        if not answer.cancelled() or (task is not None and task.cancelling()):
            raise
        sys.stdout.write("\n")
        notes().print(Text("Stopped.", "dim"))
        return None


@contextmanager
def _stopped_by_ctrl_c(answer: asyncio.Future[Any]) -> Generator[None]:
    loop = asyncio.get_running_loop()

    def stop(*_: Any) -> None:
        loop.call_soon_threadsafe(answer.cancel)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def _say(agent: Any, said: Any, options: dict[str, Any]) -> list[Message]:
    async with agent.stream(said, **options) as stream:
        with notes().status("…") as waiting:
            await stream
            waiting.stop()
        async for text in stream.text_stream:
            sys.stdout.write(text)
            sys.stdout.flush()
        sys.stdout.write("\n")
        result = await stream.result()
        if result.finish_reason == "suspended":
            asked = dump_wire(result.suspend_payload).decode()
            told = (
                f"The run {result.run_id} waits for somebody's answer, which the console (mastra "
                f"dev) and the API take: {asked}"
            )
            notes().print(Text(told, "yellow"), soft_wrap=True)
        messages: list[Message] = await stream.messages()
        return messages
