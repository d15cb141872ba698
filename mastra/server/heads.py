"""HEAD: a request for what GET says of its answer, without the answer."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["as_get", "without_body"]


def as_get(scope: Scope) -> Scope:
    """Return a request as the GET that it asks about."""
    return {**scope, "method": "GET"}


def without_body(app: ASGIApp) -> ASGIApp:
    """Return an application that sends no body; what would stream one finds its reader gone."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        answered = asyncio.Event()

        async def receive_until_answered() -> Message:
            # Both are ended right below, whatever happens.
            hearing = asyncio.ensure_future(receive())
            ending = asyncio.ensure_future(answered.wait())
            try:
                await asyncio.wait({hearing, ending}, return_when=asyncio.FIRST_COMPLETED)
                return hearing.result() if hearing.done() else {"type": "http.disconnect"}
            finally:
                for one in (hearing, ending):
                    one.cancel()
                await asyncio.wait({hearing, ending})

        async def send_start(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
            elif not answered.is_set():
                answered.set()
                await send({"type": "http.response.body", "body": b""})

        await app(scope, receive_until_answered, send_start)

    return answer
