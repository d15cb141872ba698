"""What clients of a server of ours are told when something of it changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp.server.connection import Connection
    from mcp.server.subscriptions import InMemorySubscriptionBus

__all__ = ["News", "PromptNews", "ResourceNews"]


class News:
    """Who wants to know what: connections until 2026, and requests that listen since."""

    def __init__(self) -> None:
        self._bus: InMemorySubscriptionBus | None = None
        self._connections: set[Connection] = set()
        self._watched: dict[Connection, set[str]] = {}

    @property
    def bus(self) -> InMemorySubscriptionBus:
        """What requests that listen are told by."""
        if self._bus is None:
            from mcp.server.subscriptions import (  # noqa: PLC0415 - an optional package
                InMemorySubscriptionBus,
            )

            self._bus = InMemorySubscriptionBus()
        return self._bus

    def met(self, connection: Connection) -> None:
        """Note a connection, for as long as it is open."""
        if connection not in self._connections:
            self._connections.add(connection)
            connection.exit_stack.callback(self._forget, connection)

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._watched.pop(connection, None)

    def watch(self, connection: Connection, uri: str) -> None:
        """Tell a connection of changes at an address."""
        self._watched.setdefault(connection, set()).add(uri)

    def unwatch(self, connection: Connection, uri: str) -> None:
        """Tell it no longer."""
        self._watched.get(connection, set()).discard(uri)

    async def tell(self, event: Any, uri: str | None = None) -> None:
        """Tell whoever wants to know.

        Args:
            event: What happened, as requests that listen are told.
            uri: The address that changed; `None` for a list.
        """
        from mcp.shared.subscriptions import event_to_notification  # noqa: PLC0415 - optional

        await self.bus.publish(event)
        found = [
            connection
            for connection in self._connections
            if uri is None or uri in self._watched.get(connection, ())
        ]
        told = event_to_notification(event, {}).model_dump(
            by_alias=True, mode="json", exclude_none=True
        )
        params = {key: value for key, value in told.get("params", {}).items() if key != "_meta"}
        sends = [one.outbound.notify(told["method"], params) for one in found]
        # A connection that is gone tells of itself; what could not be told is told to nobody.
        await asyncio.gather(*sends, return_exceptions=True)


class ResourceNews:
    """Tells clients of changes: `server.resources`."""

    def __init__(self, news: News) -> None:
        self._news = news

    async def notify_updated(self, uri: str) -> None:
        """Tell those who watch an address that what is there has changed."""
        from mcp.server.subscriptions import ResourceUpdated  # noqa: PLC0415 - optional

        await self._news.tell(ResourceUpdated(uri=uri), uri)

    async def notify_list_changed(self) -> None:
        """Tell that there are others than before."""
        from mcp.server.subscriptions import ResourcesListChanged  # noqa: PLC0415 - optional

        await self._news.tell(ResourcesListChanged())


class PromptNews:
    """Tells clients of changes: `server.prompts`."""

    def __init__(self, news: News) -> None:
        self._news = news

    async def notify_list_changed(self) -> None:
        """Tell that there are others than before."""
        from mcp.server.subscriptions import PromptsListChanged  # noqa: PLC0415 - optional

        await self._news.tell(PromptsListChanged())
