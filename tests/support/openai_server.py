"""A real HTTP server on loopback that plays OpenAI's streaming format, with faults on demand.

Its answers are recorded ones, and others in their form.

A test queues answers; each request takes the next. It reads what was asked in `requests`.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import json
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

_DATA = Path(__file__).parents[1] / "models" / "data" / "openai_answers.json"

_HEAD = (
    "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n"
    "connection: keep-alive\r\n{extra}\r\n"
)


@dataclass
class Reply:
    """What one request gets."""

    events: Sequence[Any] = ()
    """JSON values, or text that is sent as it is."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    """In place of events: one JSON body."""
    delay: float = 0.0
    """Seconds before the first event."""
    pause: float = 0.0
    """Seconds between events."""
    pause_from: int = 0
    """The first event that is followed by a pause."""
    cut_after: int | None = None
    """Close the connection after so many events; 0 is before the first."""
    hang: bool = False
    """Take the request and never answer."""
    named: bool = False
    """Send each event's `type` as its name, as the responses API does."""
    done: bool = True
    """Whether `[DONE]` ends it."""
    ended: bool = True
    """Whether the body's end mark is sent; without it, the server waits for the client to go."""


@cache
def recorded_events(name: str) -> Any:
    """The events of a recorded answer, or its one body."""
    return json.loads(_DATA.read_text())["answers"][name]


def recorded(name: str, **options: Any) -> Reply:
    """A recorded answer, as it was sent."""
    is_chat = name.startswith("chat")
    return Reply(recorded_events(name), named=not is_chat, done=is_chat, **options)


def _like(event: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A recorded event with other values."""
    return {**copy.deepcopy(event), **values}


_MINE = {"id": "chatcmpl-1", "created": 1700000000, "model": "fake-1"}


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One chunk of a chat completion."""
    like = recorded_events("chat_text")[1]
    choice = _like(like["choices"][0], delta=delta, finish_reason=finish)
    return _like(like, **_MINE, choices=[choice], **more)


def _usage() -> dict[str, Any]:
    like = recorded_events("chat_text")[-1]
    counts = {"prompt_tokens": 10, "completion_tokens": 6, "total_tokens": 16}
    usage = _like(like["usage"], **counts)
    usage["prompt_tokens_details"]["cached_tokens"] = 4
    usage["completion_tokens_details"]["reasoning_tokens"] = 2
    return _like(like, **_MINE, usage=usage)


USAGE = _usage()


def text_reply(*pieces: str, finish: str = "stop", **options: Any) -> Reply:
    """An answer in text."""
    head = recorded_events("chat_text")[0]["choices"][0]["delta"]
    events = [chunk(head), *(chunk({"content": piece}) for piece in pieces)]
    return Reply([*events, chunk({}, finish), USAGE], **options)


def tool_reply(*calls: tuple[str, str, str], **options: Any) -> Reply:
    """An answer that calls tools: id, name and the arguments' text."""
    # One call comes with the role; several come after it.
    head = recorded_events("chat_call" if len(calls) == 1 else "chat_calls")[0]
    delta = head["choices"][0]["delta"]
    events = [] if len(calls) == 1 else [chunk(delta)]
    for index, (call_id, name, args) in enumerate(calls):
        function = {"name": name, "arguments": ""}
        call = {"index": index, "id": call_id, "type": "function", "function": function}
        first = _like(delta, tool_calls=[call]) if len(calls) == 1 else {"tool_calls": [call]}
        events.append(chunk(first))
        half = len(args) // 2
        events += [
            chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
            for piece in (args[:half], args[half:])
            if piece
        ]
    return Reply([*events, chunk({}, "tool_calls"), USAGE], **options)


def error_reply(status: int, message: str = "no", **headers: str) -> Reply:
    """An error, as OpenAI sends it."""
    body = recorded_events("chat_error")
    return Reply(
        status=status,
        body={"error": {**body["error"], "message": message, "type": "test", "code": None}},
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def embeddings_reply(vectors: Sequence[Sequence[float]], encoding: str | None = None) -> Reply:
    """Vectors, as OpenAI sends them, but not in order."""
    sent: list[Any] = [list(vector) for vector in vectors]
    if encoding == "base64":
        sent = [base64.b64encode(array("f", vector).tobytes()).decode() for vector in vectors]
    data = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index, vector in enumerate(sent)
    ]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return Reply(body={"object": "list", "data": data[::-1], "model": "e", "usage": usage})


class OpenAIServer:
    """The server. `url` is its base URL; `open_connections` counts its clients."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.open_connections = 0
        self.url = ""
        self.embed: Callable[[str], Sequence[float]] = lambda text: [float(len(text)), 1.0]
        """What a text means, for requests to `/embeddings` that no reply is queued for."""

    def queue(self, *replies: Reply) -> None:
        """Answer the next requests so."""
        self.replies += replies

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open_connections -= 1
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.paths.append(first.split()[1])
        self.headers.append(headers)
        self.requests.append(json.loads(body))
        if self.replies:
            reply = self.replies.pop(0)
        elif self.paths[-1].endswith("/embeddings"):
            asked = self.requests[-1]
            vectors = [self.embed(text) for text in asked["input"]]
            reply = embeddings_reply(vectors, asked.get("encoding_format"))
        else:
            reply = error_reply(400, "no reply queued")
        return await _send(reply, reader, writer)


async def _send(reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    if reply.hang:
        await reader.read()  # until the client goes
        return False
    extra = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
    kind = "text/event-stream" if reply.body is None else "application/json"
    writer.write(_HEAD.format(status=reply.status, kind=kind, extra=extra).encode())
    if reply.body is not None:
        _write(writer, json.dumps(reply.body))
    await writer.drain()
    await _pause(reply.delay, reader)
    for index, event in enumerate(reply.events):
        if index == reply.cut_after:
            return False
        _write(writer, _frame(event, named=reply.named))
        await writer.drain()
        await _pause(reply.pause if index >= reply.pause_from else 0, reader)
    if reply.cut_after is not None:
        return False
    if reply.body is None and reply.done:
        _write(writer, "data: [DONE]\n\n")
    if not reply.ended:
        await reader.read()
        return False
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


async def _pause(seconds: float, reader: asyncio.StreamReader) -> None:
    """Sleep, unless the client goes meanwhile."""
    until = asyncio.get_running_loop().time() + seconds
    while (left := until - asyncio.get_running_loop().time()) > 0:
        await asyncio.sleep(min(left, 0.01))
        if reader.at_eof():
            raise ConnectionError


def _frame(event: Any, *, named: bool) -> str:
    if isinstance(event, str):
        return event
    name = f"event: {event['type']}\n" if named else ""
    return f"{name}data: {json.dumps(event)}\n\n"


def _write(writer: asyncio.StreamWriter, text: str) -> None:
    data = text.encode()
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))


@asynccontextmanager
async def openai_server() -> AsyncIterator[OpenAIServer]:
    """Run the server."""
    server = OpenAIServer()
    connections: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        try:
            await server._serve(reader, writer)
        finally:
            connections.discard(writer)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    try:
        yield server
    finally:
        listener.close()
        for writer in list(connections):
            writer.transport.abort()
        while connections:
            await asyncio.sleep(0.005)
