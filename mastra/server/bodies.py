"""How a request's body arrives: within a size, and within a time.

What arrives slowly holds memory and a connection, so that a few hundred slow callers could stop a
server. A body gets a time, and more of it for what has arrived: a large one on a slow line passes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mastra.server.errors import Refusal, error_response

__all__ = ["BoundedBody", "arriving"]

_SLOWEST: Final = 16 * 1024
"""Bytes a second that are never too slow."""


async def arriving(
    scope: Scope, receive: Receive, limit: int, timeout_s: float | None
) -> AsyncGenerator[Message]:
    """Give the messages of a body as they come.

    Args:
        scope: The request's.
        receive: Waits for the next message.
        limit: How many bytes are taken.
        timeout_s: How long a body may take, beside what its size allows it; `None` for any time.

    Raises:
        Refusal: It is too large, or too slow.
    """
    length = Headers(scope=scope).get("content-length", "")
    if length.isdecimal() and (len(length) > 18 or int(length) > limit):
        raise _too_large(limit)
    loop = asyncio.get_running_loop()
    begun, size = loop.time(), 0
    while True:
        end = None if timeout_s is None else begun + timeout_s + size / _SLOWEST
        try:
            async with asyncio.timeout_at(end):
                message = await receive()
        except TimeoutError:
            raise Refusal(408, "The request's body did not arrive in time.") from None
        size += len(message.get("body", b""))
        if size > limit:
            raise _too_large(limit)
        yield message
        if not message.get("more_body", False):
            return


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"The request body is larger than {limit} bytes.")


class BoundedBody:
    """An ASGI application that gets no more of a body, and for no longer, than a server takes.

    Args:
        app: The application.
        limit: How many bytes are taken.
        timeout_s: How long a body may take.
    """

    def __init__(self, app: ASGIApp, limit: int, timeout_s: float | None) -> None:
        self._app = app
        self._limit = limit
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        messages = arriving(scope, receive, self._limit, self._timeout_s)
        refusal: Refusal | None = None
        has_begun = has_arrived = False

        async def next_message() -> Message:
            nonlocal refusal, has_arrived
            if has_arrived:
                return await receive()
            try:
                message = await anext(messages)
            except Refusal as error:
                refusal, has_arrived = error, True
                return {"type": "http.disconnect"}
            has_arrived = not message.get("more_body", False)
            return message

        async def send_on(message: Message) -> None:
            nonlocal has_begun
            # To the application its caller is gone: what it would say now is said for it.
            if refusal is None or has_begun:
                has_begun = True
                await send(message)

        # A caller that is gone is answered nothing: it is nobody's fault here.
        with suppress(ClientDisconnect):
            await self._app(scope, next_message, send_on)
        if refusal is not None and not has_begun:
            answer = error_response(refusal.status, refusal.message, {"connection": "close"})
            await answer(scope, receive, send)
