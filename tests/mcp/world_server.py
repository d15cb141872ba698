"""A program with a bit of everything that MCP servers do, on its pipes or over HTTP at a port."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context, Elicit, Image, ListRoots, Resolve, Sample
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ListRootsResult, SamplingMessage, TextContent
from pydantic import BaseModel

PNG = bytes.fromhex("89504e470d0a1a0a")
app = MCPServer("world")


class Trip(BaseModel):
    city: str
    nights: int


class Name(BaseModel):
    name: str


def ask_for_name(place: str) -> Elicit[Name]:
    return Elicit(f"Who goes to {place}?", Name)


def ask_a_model() -> Sample:
    said = SamplingMessage(role="user", content=TextContent(type="text", text="A word?"))
    return Sample([said], max_tokens=7, system_prompt="Be brief.")


def ask_for_folders() -> ListRoots:
    return ListRoots()


@app.tool()
def pid() -> int:
    """Say which process answers."""
    return os.getpid()


@app.tool()
async def note_and_wait(file: str) -> str:
    """Write a line to a file, and never answer."""
    with Path(file).open("a") as notes:  # noqa: ASYNC230
        notes.write("called\n")
    await asyncio.Event().wait()
    return "never"


@app.tool()
def trip(city: str) -> Trip:
    """Plan a trip."""
    return Trip(city=city, nights=2)


@app.tool(structured_output=False)
def picture() -> list[Any]:
    """Show a picture."""
    return ["Here it is", Image(data=PNG, format="png")]


@app.tool()
def broken() -> str:
    """Fail."""
    raise ToolError("the lift is out of order")


@app.tool()
async def climb(ctx: Context) -> str:
    """Climb, and say how far it is."""
    await ctx.report_progress(1, 2, "half way")
    await ctx.info("the view is good")  # pyright: ignore[reportDeprecated]
    return "up"


@app.tool()
def book(place: str, who: Annotated[Name, Resolve(ask_for_name)]) -> str:
    """Book a place for somebody."""
    return f"{place} for {who.name}"


@app.tool()
async def confirm(ctx: Context) -> str:
    """Ask in the middle of the call."""
    answer = await ctx.elicit("Whose name?", Name)
    return f"{answer.action} {answer.data.name if answer.action == 'accept' else ''}"


def ask_for_friend(place: str) -> Elicit[Name]:
    return Elicit(f"Who else goes to {place}?", Name)


@app.tool()
def book_two(
    place: str,
    who: Annotated[Name, Resolve(ask_for_name)],
    friend: Annotated[Name, Resolve(ask_for_friend)],
) -> str:
    """Book a place for two."""
    return f"{place} for {who.name} and {friend.name}"


@app.tool()
def word(said: Annotated[Any, Resolve(ask_a_model)]) -> str:
    """Ask the client's model."""
    return f"{said.content.text} ({said.model})"


@app.tool()
def folders(found: Annotated[ListRootsResult, Resolve(ask_for_folders)]) -> str:
    """Say which folders the client shows."""
    return " ".join(str(root.uri) for root in found.roots)


@app.resource("note://today", mime_type="text/plain")
def today() -> str:
    """What is on today."""
    return "rain"


@app.resource("note://{day}/weather")
def weather(day: str) -> str:
    """The weather of a day."""
    return f"{day}: sun"


@app.tool()
async def change(ctx: Context) -> str:
    """Say that the note has changed."""
    await ctx.notify_resource_updated("note://today")
    return "changed"


@app.prompt()
def greet(name: str) -> str:
    """Greet somebody."""
    return f"Say hello to {name}."


def over_http(port: int) -> None:
    listening = socket.create_server(("127.0.0.1", port))
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(app.streamable_http_app(), log_level="warning")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        over_http(int(sys.argv[1]))
    else:
        app.run("stdio")
