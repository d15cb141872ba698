"""Streams as they are sent.

Agents: server-sent events, `data: {json}` and `data: [DONE]` at the end. Workflows: JSON records
ended by 0x1E, or on request server-sent events. On request both have an `id:`, by which a reader
that was cut off goes on. What is ready together is sent together, and streams take turns, so that other requests
stay quick. A reader that is slow is waited for by its own task alone, parked until the socket takes
more; what it has not read yet is kept once for all readers, not for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from mastra.agents.chunks import AgentChunk
from mastra.errors import MastraError
from mastra.jsonable import Json, dump_wire
from mastra.logs import get_logger
from mastra.server.context import Server
from mastra.server.errors import Refusal, message_of
from mastra.server.hanging_up import gone
from mastra.workflows.events import Event
from mastra.workflows.run import Run
from mastra.workflows.run_stream import RunStream

__all__ = [
    "EVENT_STREAM",
    "OPENED",
    "EventStreamResponse",
    "agent_response",
    "last_event_id",
    "run_response",
    "wants_events",
]

EVENT_STREAM = {
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}
"""What server-sent events say of themselves."""
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
    """Return the id of the last event that a reader has seen, if it says so.

    Raises:
        Refusal: It is the id of no event. All events would come once more, unnoticed.
    """
    given = {text for text in request.headers.getlist("last-event-id") if text}
    if not given:
        return None
    text = given.pop()
    if given or not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Refusal(
            400, "Last-Event-ID has to be the id of an event of this run: a number from 0 on."
        )
    return int(text)


OPENED: Final = b""
"""The first piece of every stream. It is taken before anything is sent: closing a generator that has
not begun runs nothing of it, so that what it holds would stay open where its reader has gone."""


def _opened(content: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Return a stream that has begun, by its first piece, for which it waits for nothing."""
    try:
        content.__anext__().send(None)
    except StopIteration as first:
        if first.value == OPENED:
            return content
    raise RuntimeError("A stream of the server's must begin with OPENED.")


class StreamResponse(StreamingResponse):
    """A stream that ends when its reader hangs up, sent by the task of its request.

    What has been sent is not kept until there is more: each of hundreds of readers would keep its
    last batch.
    """

    def __init__(self, content: AsyncGenerator[bytes, None], headers: dict[str, str]) -> None:
        """Prepare to send.

        Args:
            content: What is sent. Its first piece is `OPENED`, inside of what closes its source.
            headers: The answer's.
        """
        super().__init__(content, headers=headers)
        self._content = _opened(content)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream, and close its source whatever happens."""
        del scope
        hang_up = asyncio.timeout(None)
        try:
            async with hang_up:
                listening = asyncio.create_task(_listen(receive, hang_up))  # noqa: TID251
                try:
                    await self.stream_response(send)
                finally:
                    listening.cancel()
        except TimeoutError:
            if not hang_up.expired():
                raise

    async def stream_response(self, send: Send) -> None:
        """Send the start, the content and the end."""
        async with aclosing(self._content):
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            await self.send_content(send)
        await send(_body(b"", more=False))

    async def send_content(self, send: Send) -> None:
        """Send what there is, piece by piece."""
        async for chunk in self._content:
            message = _body(chunk)
            del chunk
            await send(message)
            del message


async def _listen(receive: Receive, hang_up: asyncio.Timeout) -> None:
    await gone(receive)
    hang_up.reschedule(0)


def _body(content: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


class EventStreamResponse(StreamResponse):
    """A stream that sends a comment where it would be silent for long, so that nobody hangs up."""

    def __init__(
        self, content: AsyncGenerator[bytes, None], headers: dict[str, str], keep_alive: float
    ) -> None:
        super().__init__(content, headers)
        self._keep_alive = keep_alive

    async def send_content(self, send: Send) -> None:
        """Send what there is, piece by piece, and comments in between."""
        ticks, time = _Ticks(send, self._keep_alive), asyncio.get_running_loop().time
        try:
            async for chunk in self._content:
                message = _body(chunk)
                del chunk
                await send(message)
                del message
                ticks.sent_at = time()
        finally:
            ticks.end()


class _Ticks:
    """Sends a comment when nothing else was sent for a while.

    A timer, and a task only for as long as it takes to send one: hundreds of streams may be open.
    """

    __slots__ = ("_every", "_loop", "_send", "_telling", "_timer", "sent_at")

    def __init__(self, send: Send, every: float) -> None:
        self._send = send
        self._every = every
        self._loop = asyncio.get_running_loop()
        self.sent_at = self._loop.time()
        """When something was sent last, by the loop's clock."""
        self._telling: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(every, self._look)

    def end(self) -> None:
        """Send nothing more."""
        self._timer.cancel()
        if self._telling is not None:
            self._telling.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        if now >= self.sent_at + self._every:
            self.sent_at = now
            # A reader that takes nothing is not sent one comment after the other.
            if self._telling is None or self._telling.done():
                self._telling = asyncio.ensure_future(self._send(_body(b": keep-alive\n\n")))
        self._timer = self._loop.call_at(self.sent_at + self._every, self._look)


def _sse(chunk: Json) -> bytes:
    return b"data: " + dump_wire(chunk) + b"\n\n"


def _bare_chunk(chunk: AgentChunk) -> bytes:
    return _sse(chunk.to_wire())


def _framed_chunk(chunk: AgentChunk) -> bytes:
    return b"id: %d\n%b" % (chunk.seq, _sse(chunk.to_wire()))


# -- agents ------------------------------------------------------------------------------------


def agent_response(server: Server, request: Request, stream: Any) -> StreamingResponse:
    """Return an agent's stream as server-sent events. When the reader goes, the model stops.

    Who asks for server-sent events by name gets an `id:` before each; the original's clients do
    not, and look for `data:` at the beginning of each.
    """
    framed = _framed_chunk if wants_events(request) else _bare_chunk

    async def frames() -> AsyncGenerator[bytes, None]:
        try:
            yield OPENED
            async with aclosing(stream.batches(_BATCH)) as batches:
                async for batch in batches:
                    await server.turns.next()
                    sent = b"".join([framed(chunk) for chunk in batch])
                    del batch
                    yield sent
                    del sent
        except MastraError as error:
            yield _sse(error_chunk(stream.run_id, error))
        finally:
            await stream.aclose()
        yield _DONE

    return EventStreamResponse(frames(), EVENT_STREAM, server.config.keep_alive)


def error_chunk(run_id: str, error: MastraError) -> Json:
    """Return an error that ends a stream as a chunk of it."""
    return {
        "type": "error",
        "runId": run_id,
        "from": "AGENT",
        "payload": {"error": {"message": message_of(error), "name": type(error).__name__}},
    }


# -- workflows ---------------------------------------------------------------------------------


def run_response(
    server: Server,
    request: Request,
    stream: RunStream[Any] | None,
    follow: Callable[[], Awaitable[Run[Any]]] | None = None,
) -> StreamingResponse:
    """Return a run's events, as records or as server-sent events.

    The run goes on without readers.

    Args:
        server: The server.
        request: What is answered.
        stream: The events of a leg of the run; `None` where there are none, and none to come.
        follow: Where the answer goes on after a suspension: gives the run anew.
    """
    as_events = wants_events(request)
    framed = _framed_event if as_events else _record
    if request.headers.get("x-mastra-client-type") == "studio":
        framed = _studio_record

    async def frames() -> AsyncGenerator[bytes, None]:
        leg: RunStream[Any] | None = stream
        try:
            yield OPENED
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
        return EventStreamResponse(frames(), EVENT_STREAM, server.config.keep_alive)
    return StreamResponse(frames(), _RECORDS)


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
