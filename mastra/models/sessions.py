"""What one event loop keeps open to reach models: a session of aiohttp, and clients made on it.

An asynchronous generator that the event loop itself closes owns the session, so a program that
simply ends leaves no open connection and no warning.
"""

from __future__ import annotations

import asyncio
import io
import ipaddress
import ssl
import urllib.request
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import aiohttp
import yarl

__all__ = ["LoopClients", "has_tls", "let_end", "loop_clients", "tls_context"]

_END_S = 1.0
_LARGE_BYTES = 1 << 20

_tls: ssl.SSLContext | None = None


def has_tls() -> bool:
    """Return whether the TLS context of the process has been made."""
    return _tls is not None


def tls_context() -> ssl.SSLContext:
    """Return the TLS context of the process: making one takes as long as a whole model call."""
    global _tls  # noqa: PLW0603 - one for the process is the point
    if _tls is None:
        import httpx  # noqa: PLC0415 - only where a server is not this machine's

        _tls = httpx.create_ssl_context()
    return _tls


class LoopClients:
    """What one event loop keeps open: a session, and clients by what they were made of."""

    __slots__ = ("_ending", "_owner", "_proxies", "by_key", "session")

    def __init__(self) -> None:
        self.by_key: dict[Any, Any] = {}
        """What stands on the session, such as an SDK's clients."""
        self._ending: dict[aiohttp.ClientResponse, asyncio.TimerHandle] = {}
        self._owner: AsyncGenerator[None, None] | None = None
        # Left to aiohttp, the environment is read in a worker thread for every request.
        self._proxies = urllib.request.getproxies()
        self.session: aiohttp.ClientSession

    async def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Open the session and let the event loop close it when it shuts down."""
        self._owner = self._own(loop)
        await anext(self._owner)

    async def _own(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=1 << 18,
        )
        try:
            yield
        finally:
            del _clients[loop]
            for response, timer in self._ending.items():
                timer.cancel()
                response.close()
            await self.session.close()

    async def request(
        self,
        method: str,
        url: yarl.URL,
        *,
        data: bytes | None,
        headers: Mapping[str, str] | list[tuple[str, str]],
        connect_s: float | None,
        silence_s: float | None,
    ) -> aiohttp.ClientResponse:
        """Send a request and return its answer, once its head is there.

        Raises:
            TimeoutError: Nothing came in time.
            aiohttp.ClientError: The connection failed.
        """
        return await self.session.request(
            method,
            url,
            # What is large is written in pieces, so that the event loop goes on.
            data=data if data is None or len(data) < _LARGE_BYTES else io.BytesIO(data),
            headers=headers,
            allow_redirects=False,
            proxy=self._proxy_for(url) if self._proxies else None,
            ssl=tls_context() if url.scheme == "https" else True,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_s, sock_read=silence_s),
        )

    def _proxy_for(self, url: yarl.URL) -> str | None:
        proxy = self._proxies.get(url.scheme) or self._proxies.get("all")
        host = url.host or ""
        # A proxy could not reach this machine's loopback, least of all the embedded model's.
        if proxy is None or _is_loopback(host) or urllib.request.proxy_bypass(host):
            return None
        return proxy

    def let_end(self, response: aiohttp.ClientResponse) -> None:
        """See the function of this name."""
        if response not in self._ending:
            loop = asyncio.get_running_loop()
            self._ending[response] = loop.call_later(_END_S, self._end, response)

    def _end(self, response: aiohttp.ClientResponse) -> None:
        del self._ending[response]
        response.close()


_clients: dict[asyncio.AbstractEventLoop, LoopClients] = {}


async def loop_clients() -> LoopClients:
    """Return the clients of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _clients.get(loop)
    if found is None:
        found = _clients[loop] = LoopClients()
        await found.start(loop)
    return found


def let_end(response: aiohttp.ClientResponse) -> None:
    """Wait a second for the mark that ends a body: aiohttp then puts the connection back.

    Nothing waits for a server that never sends it, and a loop that shuts down closes it.
    """
    clients = _clients.get(asyncio.get_running_loop())
    if clients is None:
        response.close()
    else:
        clients.let_end(response)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
