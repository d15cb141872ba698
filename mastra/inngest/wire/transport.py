"""How an Inngest server is reached: over the connections that the event loop keeps for models.

A server in this process, such as that of the tests, has a transport of its own.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol

from mastra.jsonable import load_json

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Answer", "LoopTransport", "NotReached", "Stream", "Transport"]

TIMEOUT_S: Final = 30.0
CONNECT_S: Final = 10.0
_SESSIONS: Final = "mastra.models.sessions"


class NotReached(Exception):  # noqa: N818 - not an error by itself: what to do depends on the call
    """The server could not be reached, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """Return the body as JSON; `None` where it is none."""
        try:
            return load_json(self.text)
        except ValueError:
            return None


class Stream(Protocol):
    """An answer that goes on until it is closed."""

    status: int

    def lines(self) -> AsyncIterator[str]:
        """Yield lines as they come."""
        ...

    async def aclose(self) -> None:
        """Close the connection."""
        ...


class Transport(Protocol):
    """What takes requests to one server."""

    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send a request and return its answer.

        Raises:
            NotReached: There is none.
        """
        ...

    async def open(
        self, path: str, *, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> Stream:
        """Begin to read an answer that does not end by itself.

        Raises:
            NotReached: There is none.
        """
        ...


class _LoopStream:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status

    async def lines(self) -> AsyncIterator[str]:
        # A line may be longer than what aiohttp takes for one.
        rest = bytearray()
        async for data in self._response.content.iter_any():
            *whole, last = data.split(b"\n")
            for piece in whole:
                rest += piece
                yield rest.decode(errors="replace")
                rest.clear()
            rest += last

    async def aclose(self) -> None:
        self._response.close()


class LoopTransport:
    """Sends over the session of the running event loop."""

    def __init__(self, origin: str) -> None:
        self._origin = origin.rstrip("/")

    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """See `Transport`."""
        import aiohttp  # noqa: PLC0415 - on first use

        response: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                response = await self._request(method, path, headers, query, body, None)
                return Answer(response.status, await response.read())
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotReached(str(error) or type(error).__name__) from error
        finally:
            if response is not None:
                response.release()

    async def open(
        self, path: str, *, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> _LoopStream:
        """See `Transport`."""
        import aiohttp  # noqa: PLC0415 - on first use

        try:
            async with asyncio.timeout(TIMEOUT_S):
                return _LoopStream(await self._request("GET", path, headers, query, None, None))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotReached(str(error) or type(error).__name__) from error

    async def _request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None,
        body: bytes | None,
        silence_s: float | None,
    ) -> aiohttp.ClientResponse:
        if _SESSIONS not in sys.modules:
            await asyncio.to_thread(import_module, _SESSIONS)
        import yarl  # noqa: PLC0415 - imported by now

        from mastra.models.sessions import loop_clients  # noqa: PLC0415 - imports aiohttp

        url = yarl.URL(self._origin + path)
        if query:
            url = url.with_query(query)
        clients = await loop_clients()
        return await clients.request(
            method, url, data=body, headers=headers, connect_s=CONNECT_S, silence_s=silence_s
        )
