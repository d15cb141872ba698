"""Streams as they are sent.

Agents: server-sent events, `data: {json}` and `data: [DONE]` at the end. Workflows: JSON records
ended by 0x1E, or on request server-sent events with `id:`, by which a reader that was cut off
goes on. What is ready together is sent together, and streams take turns, so that other requests
stay quick. A reader that is slow is waited for by its own task alone, parked until the socket takes
more; what it has not read yet is kept once for all readers, not for each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Send

from mastra.errors import MastraError
from mastra.jsonable import Json, dump_wire
from mastra.logs import get_logger
from mastra.server.context import Server
from mastra.workflows.events import Event
from mastra.workflows.run import Run
from mastra.workflows.run_stream import RunStream

__all__ = [
    "EventStreamResponse",
    "agent_response",
    "last_event_id",
    "run_response",
    "wants_events",
]

_SSE = {
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}
_RECORDS = {"content-type": "text/plain"}
_DONE = b"data: [DONE]\n\n"
_WAITING = ("suspended", "paused")
_LOOK_S = 0.25
"""How often a stream that stays open looks whether its run was resumed: one small query."""
_BATCH = 64
"""How many events that are ready together are sent together."""


def wants_events(request: Request) -> bool:
    """Return whether a request asks for server-sent events."""
    return "text/event-stream" in request.headers.get("accept", "")


def last_event_id(request: Request) -> int | None:
    """Return the id of the last event that a reader has seen, if it says so."""
    text = request.headers.get("last-event-id", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


class EventStreamResponse(StreamingResponse):
    """A stream that sends a comment where it would be silent for long, so that nobody hangs up."""

    def __init__(
        self, content: AsyncGenerator[bytes, None], headers: dict[str, str], keep_alive: float
    ) -> None:
        super().__init__(content, headers=headers)
        self._content = content
        self._keep_alive = keep_alive
        self._sent_at = 0.0

    async def stream_response(self, send: Send) -> None:
        """Send the stream, and close its source whatever happens."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        async with aclosing(self._content) as content:
            self._sent_at = time.monotonic()
            ticker = asyncio.create_task(self._tick(send))  # noqa: TID251 - ended right below
            try:
                async for chunk in content:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                    self._sent_at = time.monotonic()
            finally:
                ticker.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _tick(self, send: Send) -> None:
        while True:
            wait = self._sent_at + self._keep_alive - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
                continue
            self._sent_at = time.monotonic()
            await send(
                {"type": "http.response.body", "body": b": keep-alive\n\n", "more_body": True}
            )


def _sse(chunk: Json) -> bytes:
    return b"data: " + dump_wire(chunk) + b"\n\n"


# -- agents ------------------------------------------------------------------------------------


def agent_response(server: Server, stream: Any, *, comment: str | None = None) -> StreamingResponse:
    """Return an agent's stream as server-sent events. When the reader goes, the model stops."""

    async def frames() -> AsyncGenerator[bytes, None]:
        if comment is not None:
            yield f": {comment}\n\n".encode()
        try:
            async with aclosing(stream.batches(_BATCH)) as batches:
                async for batch in batches:
                    await server.turns.next()
                    yield b"".join([_sse(chunk.to_wire()) for chunk in batch])
        except MastraError as error:
            yield _sse(error_chunk(stream.run_id, error))
        finally:
            await stream.aclose()
        yield _DONE

    return EventStreamResponse(frames(), _SSE, server.config.keep_alive)


def error_chunk(run_id: str, error: MastraError) -> Json:
    """Return an error that ends a stream as a chunk of it."""
    return {
        "type": "error",
        "runId": run_id,
        "from": "AGENT",
        "payload": {"error": {"message": error.message, "name": type(error).__name__}},
    }


# -- workflows ---------------------------------------------------------------------------------


def run_response(
    server: Server,
    request: Request,
    stream: RunStream[Any],
    follow: Callable[[], Awaitable[Run[Any]]] | None = None,
) -> StreamingResponse:
    """Return a run's events, as records or as server-sent events.

    The run goes on without readers.

    Args:
        server: The server.
        request: What is answered.
        stream: The events of a leg of the run.
        follow: Where the answer goes on after a suspension: gives the run anew.
    """
    as_events = wants_events(request)
    framed = _framed_event if as_events else _record
    if request.headers.get("x-mastra-client-type") == "studio":
        framed = _studio_record

    async def frames() -> AsyncGenerator[bytes, None]:
        leg: RunStream[Any] | None = stream
        try:
            while leg is not None:
                seq = 0
                async for batch in leg.batches(_BATCH):
                    await server.turns.next()
                    yield b"".join(map(framed, batch))
                    seq = batch[-1].seq + 1
                leg = None if follow is None else await _next_leg(follow, seq)
        except MastraError as error:
            # The answer has begun, so the status cannot tell; the stream ends without a finish.
            get_logger().warning("A reader of a run was cut off: %s", error.message)
        if as_events:
            yield _DONE

    if as_events:
        return EventStreamResponse(frames(), _SSE, server.config.keep_alive)
    return StreamingResponse(frames(), headers=_RECORDS)


async def _next_leg(follow: Callable[[], Awaitable[Run[Any]]], seq: int) -> RunStream[Any] | None:
    """Wait until a suspended run is resumed, by whomever; of one that has ended return `None`."""
    run = await follow()
    status = await run.status()
    if status not in _WAITING:
        return None
    while status in _WAITING:
        # It may be resumed in another process, of which only the storage tells.
        await asyncio.sleep(_LOOK_S)
        status = await run.status()
    return (await follow()).observe_stream(offset=seq)


def _framed_event(event: Event) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (event.seq, dump_wire(event.to_wire()))


def _studio_record(event: Event) -> bytes:
    # It takes every event for one of a step, and breaks at a step's own chunks, which have none.
    return dump_wire({"payload": {}, **event.to_wire()}) + b"\x1e"


def _record(event: Event) -> bytes:
    return dump_wire(event.to_wire()) + b"\x1e"
