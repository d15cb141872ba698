"""Calls an ASGI app in memory and gives its answer as it comes, which httpx's own does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx

from tests.support.ending import end_tasks

__all__ = ["StreamingASGITransport"]


class _Body(httpx.AsyncByteStream):
    def __init__(self, pieces: asyncio.Queue[bytes | None], task: asyncio.Task[None]) -> None:
        self._pieces = pieces
        self._task = task

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await self._pieces.get()) is not None:
            yield piece

    async def aclose(self) -> None:
        self._task.cancel()
        await end_tasks([self._task], what="the app's answer to a request")


class StreamingASGITransport(httpx.AsyncBaseTransport):
    """A transport to one app."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request as soon as the app begins to."""
        content = await request.aread()
        started: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        has_sent = False

        async def receive() -> dict[str, Any]:
            nonlocal has_sent
            if has_sent:
                await asyncio.Event().wait()
            has_sent = True
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                started.set_result(message)
                return
            if message.get("body"):
                pieces.put_nowait(message["body"])
            if not message.get("more_body"):
                pieces.put_nowait(None)

        async def call() -> None:
            try:
                await self._app(scope, receive, send)
            except Exception as error:  # noqa: BLE001 - it is the caller's answer
                if not started.done():
                    started.set_exception(error)
            finally:
                pieces.put_nowait(None)

        url = request.url
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path,
            "query_string": url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "server": (url.host, url.port),
            "client": ("127.0.0.1", 1),
        }
        task = asyncio.create_task(call())
        try:
            message = await started
        except BaseException:
            task.cancel()
            raise
        return httpx.Response(
            message["status"], headers=message["headers"], stream=_Body(pieces, task)
        )
