"""Reaches an Inngest server that is an ASGI app of this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from mastra.inngest.wire.transport import Answer, NotReached
from tests.support.asgi_stream import StreamingASGITransport

__all__ = ["MemoryTransport"]


class _Stream:
    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.status = response.status_code

    async def lines(self) -> AsyncIterator[str]:
        async for line in self._response.aiter_lines():
            yield line

    async def aclose(self) -> None:
        await self._response.aclose()


class MemoryTransport:
    """A `Transport` without a network, and what the SDK's own client takes for the same."""

    def __init__(self, app: Any, origin: str) -> None:
        self.asgi = StreamingASGITransport(app)
        self._http = httpx.AsyncClient(transport=self.asgi, base_url=origin, trust_env=False)

    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Call the app."""
        try:
            answer = await self._http.request(
                method, path, headers=headers, params=query, content=body
            )
        except httpx.HTTPError as error:
            raise NotReached(str(error)) from error
        return Answer(answer.status_code, answer.content)

    async def open(
        self, path: str, *, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> _Stream:
        """Call the app for an answer that goes on."""
        request = self._http.build_request("GET", path, headers=headers, params=query)
        try:
            return _Stream(await self._http.send(request, stream=True))
        except httpx.HTTPError as error:
            raise NotReached(str(error)) from error
