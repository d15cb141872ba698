"""A server of ours over HTTP, inside an application that has a life of its own.

The clients' sessions begin with the first request, in a task of their own, and end together.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any, Final, cast

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from mastra.mcp.kept_events import KeptEvents, SessionEvents

if TYPE_CHECKING:
    from mastra.mcp.server import MCPServer

__all__ = ["HttpSessions", "SseSessions", "caller_of_session"]

_RETRY_MS: Final = 1000
"""After how long a client that was cut off is asked to come back."""

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


def caller_of_session(name: str) -> AuthenticatedUser:
    """Return what a scope has as its `user`, so that a session is its caller's alone."""
    return AuthenticatedUser(AccessToken(token="", client_id=name, scopes=[]))


class _Resumable(StreamableHTTPSessionManager):
    """The SDK's sessions, of which each keeps what it has said: the SDK would mix them in one store."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._kept = KeptEvents()

    def _admit_session(self, requestor: Any) -> StreamableHTTPServerTransport | None:
        made = super()._admit_session(requestor)
        if made is not None:
            made._event_store = SessionEvents(self._kept, lambda: made.is_terminated)  # noqa: SLF001
        return made


async def _arrived(receive: Receive, limit: int) -> Receive | None:
    """Wait for a request's body; return what gives it once more, or `None` where its caller is gone.

    The SDK takes a caller that hangs up in the middle of it for an error of the server's, and logs it.

    Args:
        receive: Waits for the next message.
        limit: How many bytes are waited for; what is longer is the SDK's to refuse.
    """
    messages: list[Any] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        messages.append(message)
        size += len(message.get("body", b""))
        if size > limit or not message.get("more_body", False):
            break
    messages.reverse()

    async def again() -> Any:
        return messages.pop() if messages else await receive()

    return again


class HttpSessions:
    """Streamable HTTP, as an ASGI application.

    Args:
        server: What is served.
        body_limit: How many bytes a request may have.
    """

    def __init__(self, server: MCPServer, body_limit: int) -> None:
        self._server = server
        self._body_limit = body_limit
        self._loop: asyncio.AbstractEventLoop | None = None
        self._manager: asyncio.Future[StreamableHTTPSessionManager] | None = None
        self._task: asyncio.Task[None] | None = None
        self._end = asyncio.Event()
        self._calls: set[object] = set()
        self._is_idle = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        manager = await self._running()
        if scope["method"] != "POST":
            await manager.asgi_app(scope, receive, send)
            return
        arrived = await _arrived(receive, self._body_limit)
        if arrived is None:
            return
        call = object()
        self._calls.add(call)
        try:
            await manager.asgi_app(scope, arrived, send)
        finally:
            self._calls.discard(call)
            if not self._calls:
                self._is_idle.set()

    async def _running(self) -> StreamableHTTPSessionManager:
        loop, made = asyncio.get_running_loop(), self._manager
        if made is None or self._loop is not loop or cast("asyncio.Task[None]", self._task).done():
            # No session works in another event loop than the one that it began in. An application
            # that has stopped may start once more, and what could not begin may the next time.
            made = self._manager = loop.create_future()
            self._loop, self._end = loop, asyncio.Event()
            self._is_idle, self._calls = asyncio.Event(), set()
            # It knows of no request, since it serves all of them.
            holding = self._hold(made, self._end)
            self._task = loop.create_task(holding, context=contextvars.Context())
        return await asyncio.shield(made)

    async def _hold(
        self, made: asyncio.Future[StreamableHTTPSessionManager], end: asyncio.Event
    ) -> None:
        async with AsyncExitStack() as stack:
            try:
                manager = _Resumable(
                    self._server.build(),
                    max_request_body_size=self._body_limit,
                    retry_interval=_RETRY_MS,
                )
                await stack.enter_async_context(manager.run())
            except Exception as error:  # noqa: BLE001 - told to whoever waits for it
                made.set_exception(error)
                return
            made.set_result(manager)
            await end.wait()

    async def aclose(self, patience_s: float) -> None:
        """End all sessions, once the calls under way are over or the patience is.

        Args:
            patience_s: How long to wait for them.
        """
        task = self._task
        if task is None or self._loop is not asyncio.get_running_loop():
            return
        if self._calls:
            self._is_idle.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_idle.wait(), patience_s)
        self._end.set()
        await asyncio.wait([task])


class SseSessions:
    """The transport until 2025, which some clients still have: a stream, and messages beside it.

    Args:
        server: What is served.
        messages: The path that messages are sent to.
        body_limit: How many bytes a message may have.
    """

    def __init__(self, server: MCPServer, messages: str, body_limit: int) -> None:
        self._server = server
        self._body_limit = body_limit
        self._transport = SseServerTransport(messages, max_request_body_size=body_limit)

    async def stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request that opens a stream, for as long as it is open."""
        built = self._server.build()
        async with self._transport.connect_sse(scope, receive, send) as (read, write):
            await built.run(read, write, built.create_initialization_options())

    async def message(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a message."""
        arrived = await _arrived(receive, self._body_limit)
        if arrived is not None:
            await self._transport.handle_post_message(scope, arrived, send)
