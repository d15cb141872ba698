"""A client that lost its connection in the middle of a call gets the rest of the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from mcp_types import JSONRPCNotification, JSONRPCResponse

from mastra import Mastra, ServerConfig, tool
from mastra.mcp import MCPServer
from mastra.mcp.kept_events import KeptEvents, SessionEvents
from mastra.server import BearerAuth
from mastra.tools.tool_context import ToolContext
from tests.server.live import running

VERSION = "2025-11-25"
HEADERS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": VERSION}


class Work:
    """A tool that tells how far it is and waits in its middle; what it does it does once."""

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()
        self.is_half = asyncio.Event()
        self.runs = 0

    def mastra(self, **config: Any) -> Mastra:
        @tool
        async def work(ctx: ToolContext) -> str:
            """Work."""
            self.runs += 1
            await ctx.mcp.progress(1, 3, "one")
            self.is_half.set()
            await self.may_go_on.wait()
            await ctx.mcp.progress(2, 3, "two")
            return "done"

        servers = {"w": MCPServer("w", tools={"work": work})}
        return Mastra(mcp_servers=servers, server=ServerConfig(**config))


class Client:
    """A client that speaks by hand, so that it can be cut off where it wants."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self.http = http
        self.url = f"{url}/api/mcp/w/mcp"
        self.session = ""

    @property
    def headers(self) -> dict[str, str]:
        return {**HEADERS, "mcp-session-id": self.session} if self.session else HEADERS

    async def begin(self) -> None:
        info = {"name": "c", "version": "1"}
        params = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": info}
        call = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        answer = await self.http.post(self.url, json=call, headers=self.headers)
        self.session = answer.headers["mcp-session-id"]
        told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        await self.http.post(self.url, json=told, headers=self.headers)

    async def cut_off(self, call_id: int, work: Work) -> list[dict[str, Any]]:
        """Call the tool, and go away in its middle."""
        params = {"name": "work", "arguments": {}, "_meta": {"progressToken": f"p{call_id}"}}
        call = {"jsonrpc": "2.0", "id": call_id, "method": "tools/call", "params": params}
        seen: list[dict[str, Any]] = []
        async with self.http.stream("POST", self.url, json=call, headers=self.headers) as answer:
            async for event in events_of(answer):
                seen.append(event)
                if "data" in event:
                    break
        await asyncio.wait_for(work.is_half.wait(), 10)
        return seen

    async def rest(self, last: str, count: int = 99) -> list[dict[str, Any]]:
        """Come back, and return what is left."""
        headers = {**self.headers, "last-event-id": last}
        seen: list[dict[str, Any]] = []
        async with self.http.stream("GET", self.url, headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            async for event in events_of(answer):
                seen.append(event)
                if len(seen) == count:
                    break
        return seen


async def events_of(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    event: dict[str, Any] = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "data" and value:
            event["data"] = json.loads(value)
        elif name == "id":
            event["id"] = value
        elif not line and event:
            yield event
            event = {}


def said(event: dict[str, Any]) -> Any:
    data = event["data"]
    return data["params"]["message"] if "params" in data else data["result"]["content"][0]["text"]


@pytest.mark.parametrize("when", ["at once", "later", "after its end"])
async def test_the_rest_of_a_call_is_sent(when: str) -> None:
    work = Work()
    async with running(work.mastra()) as (url, _), httpx.AsyncClient(timeout=20) as http:
        client = Client(http, url)
        await client.begin()
        seen = await client.cut_off(1, work)
        assert said(seen[-1]) == "one"
        coming = asyncio.ensure_future(client.rest(seen[-1]["id"])) if when == "at once" else None
        work.may_go_on.set()
        if when == "after its end":
            while work.runs == 0 or len(await client.rest(seen[0]["id"])) < 3:
                pass
        rest = await (coming or client.rest(seen[-1]["id"]))
        assert [said(event) for event in rest] == ["two", "done"]
        # Cut off once more, it is told the same again from wherever it was.
        assert [said(event) for event in await client.rest(rest[0]["id"])] == ["done"]
        assert [said(event) for event in await client.rest(seen[0]["id"])] == ["one", "two", "done"]
        assert await client.rest(rest[-1]["id"]) == []
    assert work.runs == 1


async def test_each_call_has_a_stream_of_its_own_and_each_session_its_events() -> None:
    work = Work()
    auth = BearerAuth({"a": "alice", "b": "bob"})
    async with running(work.mastra(auth=auth)) as (url, _):
        async with (
            httpx.AsyncClient(timeout=20, headers={"authorization": "Bearer a"}) as http,
            httpx.AsyncClient(timeout=20, headers={"authorization": "Bearer b"}) as other,
        ):
            alice, again, bob = Client(http, url), Client(http, url), Client(other, url)
            for client in (alice, again, bob):
                await client.begin()
            first = await alice.cut_off(1, work)
            second = await alice.cut_off(2, work)
            # The same number of a call, in other sessions.
            third = await bob.cut_off(1, work)
            work.may_go_on.set()
            for seen, client in ((first, alice), (second, alice), (third, bob)):
                rest = await client.rest(seen[-1]["id"])
                assert [said(event) for event in rest] == ["two", "done"]
                assert rest[-1]["data"]["id"] == (2 if seen is second else 1)
            assert await again.rest("made-up") == []
            stolen = {**bob.headers, "mcp-session-id": alice.session, "last-event-id": "1"}
            assert (await other.get(bob.url, headers=stolen)).status_code == 404
    assert work.runs == 3


@pytest.mark.every_engine
async def test_a_server_stops_while_somebody_waits_for_the_rest() -> None:
    work = Work()
    async with running(work.mastra(drain_timeout=0.2)) as (url, _):
        async with httpx.AsyncClient(timeout=20) as http:
            client = Client(http, url)
            await client.begin()
            seen = await client.cut_off(1, work)
            waiting = asyncio.ensure_future(client.rest(seen[-1]["id"]))
            await asyncio.sleep(0)
    with pytest.raises(httpx.HTTPError):
        await waiting


async def test_the_oldest_is_let_go_of_and_the_newest_stays() -> None:
    kept = KeptEvents(most_bytes=10_000)
    sessions = [SessionEvents(kept, lambda: False) for _ in range(3)]
    ids: list[list[str]] = [[], [], []]
    for number in range(30):
        message = JSONRPCResponse(jsonrpc="2.0", id=number, result={"text": "x" * 1000})
        of = number % 3
        ids[of].append(await sessions[of].store_event(str(number), None))
        await sessions[of].store_event(str(number), message)
    found = [
        await told(session, one) for session, of in zip(sessions, ids, strict=True) for one in of
    ]
    assert 1 <= sum(map(len, found)) <= 9
    assert found[-1] == [29]
    chatty = SessionEvents(KeptEvents(), lambda: False)
    for _ in range(2000):
        await chatty.store_event("1", JSONRPCNotification(jsonrpc="2.0", method="x"))
    assert len(chatty._events) <= 512


async def test_what_is_said_while_the_rest_is_sent_is_sent_too() -> None:
    session = SessionEvents(KeptEvents(), lambda: False)
    first = await session.store_event("1", None)
    await session.store_event("1", JSONRPCNotification(jsonrpc="2.0", method="one"))
    got: list[str] = []

    async def take(event: Any) -> None:
        if not got:
            await session.store_event("2", JSONRPCNotification(jsonrpc="2.0", method="other"))
            await session.store_event("1", JSONRPCResponse(jsonrpc="2.0", id=7, result={}))
        got.append(getattr(event.message, "method", "answer"))

    await session.replay_events_after(first, take)
    assert got == ["one", "answer"]


async def test_who_waits_for_more_of_a_session_that_ended_waits_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mastra.mcp.kept_events._LOOK_S", 0.01)
    looks: list[bool] = []

    def is_over() -> bool:
        looks.append(len(looks) > 2)
        return looks[-1]

    session = SessionEvents(KeptEvents(), is_over)
    kept = SessionEvents.has
    first = await session.store_event("1", None)
    looks.clear()
    await asyncio.wait_for(session.replay_events_after(first, never), 5)
    assert looks == [False, False, False, True]
    assert not kept(session, session._events[first])


async def never(event: Any) -> None:
    raise AssertionError(event)


async def told(session: SessionEvents, last: str) -> list[Any]:
    got: list[Any] = []

    async def take(event: Any) -> None:
        got.append(event.message.id)

    await session.replay_events_after(last, take)
    return got
