"""The REST API, asked in this process as any client asks it over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, cast
from urllib.parse import quote, unquote, urlencode

from starlette.types import ASGIApp, Message, Scope

from mastra.jsonable import Json, dump_wire

__all__ = ["Api", "Refused", "at", "facts"]

_HOPS = (b"accept", b"connection", b"content-", b"if-", b"origin", b"referer", b"sec-", b"upgrade")
"""How headers of a page's request begin that say nothing of who asks."""
_AHEAD = 32
"""How many parts of a stream are read before they are asked for."""


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
        return await self._send("GET", path, None, query)

    async def post(self, path: str, body: Json = None, **query: Any) -> Any:
        """Send JSON to a path and return the answer."""
        return await self._send("POST", path, body or {}, query)

    async def _send(self, method: str, path: str, body: Json, query: dict[str, Any]) -> Any:
        scope = self._scope(method, path, query, b"application/json")
        async with _Call(self._app, scope, body) as call:
            text = b"".join([part async for part in call.parts()])
        _check(call.status, text)
        return json.loads(text)

    async def events(
        self, path: str, body: Json = None, **query: Any
    ) -> AsyncGenerator[dict[str, Any]]:
        """Yield the events of a stream as they come, with `seq` where they have a number.

        Whoever closes it hangs up.
        """
        scope = self._scope("POST", path, query, b"text/event-stream")
        async with _Call(self._app, scope, body or {}) as call:
            rest = b""
            async for part in call.parts():
                *frames, rest = (rest + part).split(b"\n\n")
                for frame in frames:
                    head, _, data = frame.partition(b"data: ")
                    if data and data != b"[DONE]":
                        event = json.loads(data)
                        if head.startswith(b"id: "):
                            event["seq"] = int(head[4:])
                        yield event
            _check(call.status, rest)

    def _scope(self, method: str, path: str, query: dict[str, Any], accept: bytes) -> Scope:
        whole = f"{self._prefix}{path}"
        asked = {name: value for name, value in query.items() if value is not None}
        own = [(b"accept", accept), (b"content-type", b"application/json")]
        return {
            **self._base,
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": unquote(whole),
            "raw_path": whole.encode(),
            "root_path": "",
            "query_string": urlencode(asked, doseq=True).encode(),
            "headers": [*self._headers, *own],
        }


def _check(status: int, text: bytes) -> None:
    if status < 400:
        return
    message = text.decode(errors="replace")
    with suppress(ValueError, AttributeError):
        message = str(json.loads(text).get("error") or message)
    raise Refused(status, message or f"The API answered {status}.")


class _Call:
    """One call of the application: its answer is read while it is made."""

    def __init__(self, app: ASGIApp, scope: Scope, body: Json) -> None:
        self.status = 500
        self._answering = app(scope, self._receive, self._send)
        self._body: bytes | None = b"" if body is None else dump_wire(body)
        self._gone = asyncio.Event()
        self._parts: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)

    async def __aenter__(self) -> _Call:
        self._task = asyncio.create_task(self._run())  # noqa: TID251 - ended by __aexit__
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._gone.set()
        self._task.cancel()
        await asyncio.wait([self._task])

    async def parts(self) -> AsyncGenerator[bytes]:
        """Yield the parts of the answer; what the application raised is raised at their end."""
        while (part := await self._parts.get()) is not None:
            yield part
        await self._task

    async def _run(self) -> None:
        try:
            await self._answering
        finally:
            if not self._gone.is_set():
                await self._parts.put(None)

    async def _receive(self) -> Message:
        if self._body is None:
            await self._gone.wait()
            return {"type": "http.disconnect"}
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message.get("body"):
            await self._parts.put(message["body"])
