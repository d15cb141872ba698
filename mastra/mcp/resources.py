"""Resources and prompts of MCP servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from mastra.errors import MastraError, ToolError
from mastra.mcp.content import message_of
from mastra.mcp.failures import of_each
from mastra.mcp.pages import Pages
from mastra.models.messages import Message

if TYPE_CHECKING:
    import mcp
    from mcp import types

    from mastra.mcp.connection import Connection

__all__ = ["MCPPrompt", "MCPPrompts", "MCPResources"]

_PAUSE_S: Final = 0.1


class Asker(Protocol):
    """Asks a server something, over a connection that works."""

    async def __call__(
        self, server: str, what: str, request: Callable[[Connection], Awaitable[Any]]
    ) -> Any: ...


class MCPResources:
    """The resources of a client's servers: `client.resources`."""

    def __init__(self, servers: Sequence[str], ask: Asker) -> None:
        self._servers = servers
        self._ask = ask

    async def list(self) -> dict[str, Sequence[types.Resource]]:
        """Return the resources by server, as the SDK has them.

        Raises:
            ToolError: A server cannot be reached.
        """
        return {name: await self._listed(name, "resources") for name in self._servers}

    async def list_with_errors(
        self,
    ) -> tuple[dict[str, Sequence[types.Resource]], dict[str, ToolError]]:
        """Return the resources of servers that can be asked, and what is wrong with the others."""
        return await of_each(self._servers, lambda name: self._listed(name, "resources"))

    async def templates(self) -> dict[str, Sequence[types.ResourceTemplate]]:
        """Return the templates of addresses, by server.

        Raises:
            ToolError: A server cannot be reached.
        """
        return {name: await self._listed(name, "resource_templates") for name in self._servers}

    async def templates_with_errors(
        self,
    ) -> tuple[dict[str, Sequence[types.ResourceTemplate]], dict[str, ToolError]]:
        """Return the templates of servers that can be asked, and what is wrong with the others."""
        return await of_each(self._servers, lambda name: self._listed(name, "resource_templates"))

    async def _listed(self, server: str, kind: str) -> Sequence[Any]:
        return await _pages(self._ask, server, "resources", kind)

    async def read(
        self, server: str, uri: str
    ) -> Sequence[types.TextResourceContents | types.BlobResourceContents]:
        """Return what a resource holds: parts with `text`, or `blob` in base64.

        Raises:
            ToolError: There is none at that address, or the server cannot be reached.
        """

        async def request(connection: Connection) -> types.ReadResourceResult:
            return await connection.client.read_resource(uri)

        return (await self._ask(server, f"resource {uri!r}", request)).contents

    @asynccontextmanager
    async def watch(self, server: str, *uris: str) -> AsyncGenerator[AsyncIterator[str]]:
        """Tell of changes: `async with client.resources.watch("s", uri) as changes: async for …`.

        The addresses that changed come one by one. After a connection was lost all of them come,
        since what happened meanwhile is not known.

        Raises:
            ToolError: The server cannot be reached, or offers no subscriptions.
        """
        found: asyncio.Queue[str | Exception] = asyncio.Queue()
        is_ready = asyncio.Event()
        following = self._follow(server, uris, found, is_ready)
        task = asyncio.get_running_loop().create_task(following)
        try:
            await is_ready.wait()
            yield _read(found)
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _follow(
        self,
        server: str,
        uris: Sequence[str],
        found: asyncio.Queue[str | Exception],
        is_ready: asyncio.Event,
    ) -> None:
        async def request(connection: Connection) -> None:
            if connection.client.session.initialize_result is None:
                await _listen(connection.client, uris, found, is_ready)
            else:
                await _subscribe(connection, uris, found, is_ready)

        while True:
            try:
                await self._ask(server, "changes of its resources", request)
            except MastraError as error:
                found.put_nowait(error)
                is_ready.set()
                return
            for uri in uris:
                found.put_nowait(uri)
            await asyncio.sleep(_PAUSE_S)


async def _listen(
    client: mcp.Client,
    uris: Sequence[str],
    found: asyncio.Queue[str | Exception],
    is_ready: asyncio.Event,
) -> None:
    from mcp.client.subscriptions import SubscriptionLost  # noqa: PLC0415 - an optional package

    with suppress(SubscriptionLost):
        async with client.listen(resource_subscriptions=uris) as events:
            is_ready.set()
            async for event in events:
                found.put_nowait(str(getattr(event, "uri", "")))


async def _subscribe(
    connection: Connection,
    uris: Sequence[str],
    found: asyncio.Queue[str | Exception],
    is_ready: asyncio.Event,
) -> None:
    """Follow changes as servers before 2026 tell of them: beside all answers, to the connection."""
    from mcp import types  # noqa: PLC0415 - an optional package

    updates: asyncio.Queue[str] = asyncio.Queue()
    connection.updates.add(updates)
    try:
        for uri in uris:
            params = types.SubscribeRequestParams(uri=uri)
            asked = types.SubscribeRequest(params=params)
            await connection.client.session.send_request(asked, types.EmptyResult)
        is_ready.set()
        while not connection.is_dead:
            uri = await updates.get()
            if uri in uris:
                found.put_nowait(uri)
    finally:
        connection.updates.discard(updates)


async def _read(found: asyncio.Queue[str | Exception]) -> AsyncGenerator[str]:
    while True:
        item = await found.get()
        if isinstance(item, Exception):
            raise item
        yield item


@dataclass(frozen=True, slots=True)
class MCPPrompt:
    """A prompt that a server filled in."""

    messages: Sequence[Message]
    """For an agent: `agent.generate(prompt.messages)`."""
    description: str | None = None
    """What it is for."""


class MCPPrompts:
    """The prompts of a client's servers: `client.prompts`."""

    def __init__(self, servers: Sequence[str], ask: Asker) -> None:
        self._servers = servers
        self._ask = ask

    async def list(self) -> dict[str, Sequence[types.Prompt]]:
        """Return the prompts by server, as the SDK has them.

        Raises:
            ToolError: A server cannot be reached.
        """
        return {name: await self._listed(name) for name in self._servers}

    async def list_with_errors(
        self,
    ) -> tuple[dict[str, Sequence[types.Prompt]], dict[str, ToolError]]:
        """Return the prompts of servers that can be asked, and what is wrong with the others."""
        return await of_each(self._servers, self._listed)

    async def _listed(self, server: str) -> Sequence[Any]:
        return await _pages(self._ask, server, "prompts", "prompts")

    async def get(self, server: str, name: str, args: Mapping[str, str] | None = None) -> MCPPrompt:
        """Return a prompt filled in with arguments.

        Raises:
            ToolError: There is none of that name, or the server cannot be reached.
        """

        async def request(connection: Connection) -> types.GetPromptResult:
            return await connection.client.get_prompt(name, dict(args or {}))

        result = await self._ask(server, f"prompt {name!r}", request)
        messages = [message_of(item.role, item.content) for item in result.messages]
        return MCPPrompt(messages, result.description)


async def _pages(ask: Asker, server: str, capability: str, kind: str) -> Sequence[Any]:
    """Return a whole list, of a server that has such things at all."""
    what = f"the list of its {kind.replace('_', ' ')}"

    async def request(connection: Connection) -> Sequence[Any]:
        client = connection.client
        if getattr(client.server_capabilities, capability) is None:
            return []
        read: Callable[..., Awaitable[Any]] = getattr(client, f"list_{kind}")
        items: list[Any] = []
        pages = Pages(server, what)
        cursor: str | None = None
        while True:
            page = await read(cursor=cursor)
            items += getattr(page, kind)
            cursor = pages.after(page)
            if cursor is None:
                return items

    return await ask(server, what, request)
