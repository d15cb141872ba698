"""A server that dies and comes back: reached again, and never asked twice to act."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mastra.errors import ToolError
from mastra.mcp import MCPClient
from tests.mcp.worlds import STDIO, HttpWorld, gone, kill

MODES = ["auto", pytest.param("newest", marks=pytest.mark.every_engine)]


async def written(file: Path) -> None:
    while not (file.exists() and file.read_text()):  # noqa: ASYNC240
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("mode", MODES)
async def test_a_program_that_was_killed_is_started_again(mode: str) -> None:
    async with MCPClient({"w": {**STDIO, "mode": mode}}) as client:
        who = (await client.list_tools())["w_pid"]
        first: int = await who.execute({})
        kill(first)
        assert await gone(first)
        tools = await client.list_tools()
        # Several at once share one new connection.
        pids = await asyncio.gather(*(tools["w_pid"].execute({}) for _ in range(4)))
        assert len(set(pids)) == 1
        assert pids[0] != first
        assert await who.execute({}) == pids[0]
    assert await gone(pids[0])


@pytest.mark.parametrize("mode", MODES)
async def test_a_server_over_http_that_was_killed_is_reached_again(mode: str) -> None:
    async with (
        HttpWorld() as world,
        MCPClient({"w": {"url": world.url, "mode": mode}}, reconnect_s=20) as client,
    ):
        who = (await client.list_tools())["w_pid"]
        first: int = await who.execute({})
        await world.kill()
        # Asked while nobody is there: they wait, and it is on its way back.
        waiting = [asyncio.ensure_future(who.execute({})) for _ in range(3)]
        await world.start()
        pids = await asyncio.gather(*waiting)
        assert len(set(pids)) == 1
        assert pids[0] != first
        # A session that the new server does not know.
        await world.kill()
        await world.start()
        assert await who.execute({}) not in {first, pids[0]}


@pytest.mark.parametrize(
    "where",
    ["stdio", "http", pytest.param("http-newest", marks=pytest.mark.every_engine)],
)
async def test_a_call_under_way_fails_and_is_not_repeated(where: str, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    async with HttpWorld() as world:
        mode = "newest" if where.endswith("newest") else "auto"
        config = STDIO if where == "stdio" else {"url": world.url, "mode": mode}
        async with MCPClient({"w": config}, reconnect_s=20) as client:
            tools = await client.list_tools()
            pid: int = await tools["w_pid"].execute({})
            call = asyncio.ensure_future(tools["w_note_and_wait"].execute({"file": str(notes)}))
            await written(notes)
            if where == "stdio":
                kill(pid)
            else:
                await world.kill()
                await world.start()
            with pytest.raises(ToolError, match=r"'w' went away during tool 'note_and_wait'") as e:
                await call
            assert e.value.code == "MCP_CONNECTION_LOST"
            assert await tools["w_pid"].execute({}) != pid
    assert notes.read_text() == "called\n"


async def test_one_clear_error_where_a_server_stays_away() -> None:
    async with HttpWorld() as world, MCPClient({"w": world.url}, reconnect_s=0.5) as client:
        who = (await client.list_tools())["w_pid"]
        await world.kill()
        errors = await asyncio.gather(*(who.execute({}) for _ in range(3)), return_exceptions=True)
        for error in errors:
            assert isinstance(error, ToolError)
            assert error.code == "MCP_UNREACHABLE"
            assert f"MCP server 'w' ({world.url}) cannot be reached" in str(error)


@pytest.mark.every_engine
async def test_one_call_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    async with HttpWorld() as world, MCPClient({"w": world.url}, timeout_s=8) as client:
        tools = await client.list_tools()
        slow = asyncio.ensure_future(tools["w_note_and_wait"].execute({"file": str(notes)}))
        await written(notes)
        with pytest.raises(ToolError, match="the lift is out of order"):
            await tools["w_broken"].execute({})
        assert not slow.done()
        with pytest.raises(ToolError, match="did not answer tool 'note_and_wait' within 8 s"):
            await slow
        assert await tools["w_pid"].execute({}) > 0


def test_a_client_is_used_in_one_event_loop_after_another() -> None:
    client = MCPClient({"w": STDIO})

    async def ask() -> int:
        return await (await client.list_tools())["w_pid"].execute({})

    async def ask_and_close() -> tuple[int, int]:
        pid = await ask()
        await client.aclose()
        return pid, len(asyncio.all_tasks())

    first = asyncio.run(ask())
    second, tasks = asyncio.run(ask_and_close())
    assert first != second
    assert tasks == 1

    async def both_gone() -> bool:
        return await gone(first) and await gone(second)

    assert asyncio.run(both_gone())


async def test_closing_while_a_server_does_not_answer_leaves_nothing() -> None:
    silent = {"command": "sleep", "args": ["60"]}
    client = MCPClient({"s": silent}, timeout_s=30)
    before = asyncio.all_tasks()
    listing = asyncio.ensure_future(client.list_tools())
    while len(asyncio.all_tasks()) < len(before) + 4:  # the connection and its pipes
        await asyncio.sleep(0.01)
    await client.aclose()
    with pytest.raises((asyncio.CancelledError, ToolError)):
        await listing
    assert asyncio.all_tasks() == before


async def test_a_server_that_never_answers_is_given_up() -> None:
    silent = {"command": "sleep", "args": ["60"]}
    async with MCPClient({"s": silent}, timeout_s=0.5) as client:
        with pytest.raises(ToolError, match=r"'s' \(sleep\) cannot be reached"):
            await client.list_tools()


async def test_one_of_several_waiters_may_leave_while_the_connection_opens() -> None:
    async with MCPClient({"w": STDIO}) as client:
        leaves = asyncio.ensure_future(client.list_tools())
        stays = asyncio.ensure_future(client.list_tools())
        await asyncio.sleep(0)
        leaves.cancel()
        pid: int = await (await stays)["w_pid"].execute({})
    assert await gone(pid)
