"""The REST API, asked in this process as any client asks it over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing, suppress
from typing import Any, TypeAlias, cast
from urllib.parse import quote, unquote, urlencode

from starlette.types import ASGIApp, Message, Scope

from mastra.jsonable import Json, dump_wire

__all__ = ["Api", "Refused", "at", "facts"]

_HOPS = (b"accept", b"connection", b"content-", b"if-", b"origin", b"referer", b"sec-", b"upgrade")
"""How headers of a page's request begin that say nothing of who asks."""
_JSON = b"application/json"
_Parts: TypeAlias = AsyncGenerator[bytes]
_AHEAD = 32  # how many parts of a stream are read before they are asked for


def at(*parts: str) -> str:
    """Return a path made of parts, each encoded: ids may hold any character."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def facts(value: Any) -> dict[str, Any]:
    """Return what is an object of JSON, or an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


class Refused(Exception):  # noqa: N818 - what it is, as the server's own `Refusal`
    """The API answered that it will not, or cannot, with an HTTP status and a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Api:
    """Asks the API for whoever asked for a page, by the headers of that request.

    Every method raises `Refused` where the API refuses.
    """

    def __init__(self, app: ASGIApp, prefix: str, scope: Scope) -> None:
        self._app = app
        self._prefix = prefix
        names = ("asgi", "client", "extensions", "server", "state")
        scheme = scope.get("scheme", "http").replace("ws", "http")
        self._base = {"scheme": scheme} | {name: scope[name] for name in names if name in scope}
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._headers = [pair for pair in headers if not pair[0].startswith(_HOPS)]

    async def get(self, path: str, **query: Any) -> Any:
        """Return what is at a path; parameters of the query that are `None` are left out."""
        return json.loads(b"".join([part async for part in self._parts(path, None, query)]))

    async def post(self, path: str, body: Json = None, **query: Any) -> Any:
        """Send JSON to a path and return the answer."""
        return json.loads(b"".join([part async for part in self._parts(path, body or {}, query)]))

    async def events(self, path: str, body: Json = None, **query: Any) -> AsyncGenerator[Any]:
        """Yield the events of a stream as they come, with `seq` where they have a number.

        Whoever closes it hangs up.
        """
        rest = b""
        async with aclosing(self._parts(path, body or {}, query, b"text/event-stream")) as parts:
            async for part in parts:
                *frames, rest = (rest + part).split(b"\n\n")
                for frame in frames:
                    head, _, data = frame.partition(b"data: ")
                    if data and data != b"[DONE]":
                        event = json.loads(data)
                        if head.startswith(b"id: "):
                            event["seq"] = int(head[4:])
                        yield event

    async def _parts(self, path: str, body: Json, query: Any, accept: bytes = _JSON) -> _Parts:
        """Call the application and yield the parts of its answer while it makes it."""
        whole = f"{self._prefix}{path}"
        asked = {name: value for name, value in query.items() if value is not None}
        scope: Scope = {**self._base, "type": "http", "http_version": "1.1", "root_path": ""}
        scope |= {"method": "GET" if body is None else "POST", "path": unquote(whole)}
        scope |= {"query_string": urlencode(asked, doseq=True).encode(), "raw_path": whole.encode()}
        own = [(b"accept", accept), (b"content-type", _JSON)]
        scope |= {"headers": [*self._headers, *own]}
        call = _Call(b"" if body is None else dump_wire(body))
        answering = self._app(scope, call.receive, call.send)
        task = asyncio.create_task(call.run(answering))  # noqa: TID251 - ended below
        refusal = b""
        try:
            while (part := await call.parts.get()) is not None:
                if call.status < 300:
                    yield part
                else:
                    refusal += part
            await task  # what the application raised
        finally:
            call.gone.set()
            task.cancel()
            await asyncio.wait([task])
        if call.status >= 300:
            message = refusal.decode(errors="replace")
            with suppress(ValueError, AttributeError):
                message = str(json.loads(refusal).get("error") or message)
            raise Refused(call.status, message or f"The API answered {call.status}.")


class _Call:
    """The caller's side of one call of an application."""

    def __init__(self, body: bytes) -> None:
        self.status = 500
        self.gone = asyncio.Event()
        self.parts: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)
        self._body = [body]

    async def run(self, answering: Awaitable[None]) -> None:
        try:
            await answering
        finally:
            if not self.gone.is_set():
                await self.parts.put(None)

    async def receive(self) -> Message:
        if self._body:
            return {"type": "http.request", "body": self._body.pop(), "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message.get("body"):
            await self.parts.put(message["body"])
