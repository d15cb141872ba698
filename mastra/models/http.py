"""The one HTTP client of an event loop, and the transport that the `openai` SDK sends through.

The SDK speaks httpx; the bytes go over aiohttp, whose parser and connection pool cost a third.
An asynchronous generator that the event loop itself closes owns the session, so a program that
simply ends leaves no open connection and no warning.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, cast

import aiohttp
import httpx
import yarl

__all__ = ["RESPONSE", "LoopClients", "let_end", "loop_clients"]


RESPONSE = "mastra.response"
"""Where the transport puts aiohttp's response among an httpx response's extensions."""

_OWN_HEADERS = frozenset((b"host", b"content-length", b"transfer-encoding"))
_DECODED = frozenset((b"content-encoding", b"content-length"))

_END_S = 1.0

_tls: ssl.SSLContext | None = None


def tls_context() -> ssl.SSLContext:
    """Return the TLS context of the process: making one takes as long as a whole model call."""
    global _tls  # noqa: PLW0603 - one for the process is the point
    if _tls is None:
        _tls = httpx.create_ssl_context()
    return _tls


class _NoCookies(httpx.Cookies):
    """Keeps no cookie, as `aiohttp.DummyCookieJar`: looking for one takes 0.1 ms an answer."""

    def extract_cookies(self, response: httpx.Response) -> None:
        pass

    def set_cookie_header(self, request: httpx.Request) -> None:
        pass


class _Client(httpx.AsyncClient):
    @property
    def cookies(self) -> httpx.Cookies:
        return _NO_COOKIES

    @cookies.setter
    def cookies(self, cookies: object) -> None:
        raise AttributeError(f"A client of models keeps no cookies, and was given {cookies!r}.")


_NO_COOKIES = _NoCookies()


class LoopClients:
    """What one event loop keeps open: a session, and the SDK's clients by what they were made of."""

    __slots__ = ("_ending", "_owner", "by_key", "http", "session")

    def __init__(self) -> None:
        self.by_key: dict[Any, Any] = {}
        """The SDK's clients."""
        self._ending: dict[aiohttp.ClientResponse, asyncio.TimerHandle] = {}
        self._owner: AsyncGenerator[None, None] | None = None
        self.session: aiohttp.ClientSession
        self.http: httpx.AsyncClient

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
        self.http = _Client(transport=_Transport(self.session))
        try:
            yield
        finally:
            if _clients.get(loop) is self:
                del _clients[loop]
            for response, timer in self._ending.items():
                timer.cancel()
                response.close()
            await self.session.close()

    def let_end(self, response: aiohttp.ClientResponse) -> None:
        """See the function of this name."""
        if response not in self._ending:
            loop = asyncio.get_running_loop()
            self._ending[response] = loop.call_later(_END_S, self._end, response)

    def _end(self, response: aiohttp.ClientResponse) -> None:
        del self._ending[response]
        response.close()

    async def aclose(self) -> None:
        """Close every connection; the next call opens new ones."""
        if self._owner is not None:
            await self._owner.aclose()


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


class _Body(httpx.AsyncByteStream):
    """A response's body for those who read it through httpx: the SDK, for an error's text."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while data := await self._response.content.readany():
                yield data
        except aiohttp.ClientError as error:
            raise httpx.ReadError(str(error)) from error

    async def aclose(self) -> None:
        self._response.close()


class _Transport(httpx.AsyncBaseTransport):
    """Sends httpx's requests through an aiohttp session."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        # Left to aiohttp, the environment is read in a worker thread for every request.
        self._proxies = urllib.request.getproxies()

    def _proxy_for(self, url: yarl.URL) -> str | None:
        proxy = self._proxies.get(url.scheme) or self._proxies.get("all")
        host = url.host or ""
        # A proxy could not reach this machine's loopback, least of all the embedded model's.
        if proxy is None or _is_loopback(host) or urllib.request.proxy_bypass(host):
            return None
        return proxy

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = yarl.URL(str(request.url), encoded=True)
        limits = cast("Mapping[str, float | None]", request.extensions.get("timeout") or {})
        try:
            response = await self._session.request(
                request.method,
                url,
                data=await request.aread(),
                headers=[
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in request.headers.raw
                    if name.lower() not in _OWN_HEADERS
                ],
                allow_redirects=False,
                proxy=self._proxy_for(url) if self._proxies else None,
                ssl=tls_context() if url.scheme == "https" else True,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=limits.get("connect"), sock_read=limits.get("read")
                ),
            )
        except (aiohttp.ServerTimeoutError, TimeoutError) as error:
            raise httpx.ReadTimeout(str(error), request=request) from error
        except aiohttp.ClientConnectorError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        except aiohttp.ClientError as error:
            raise httpx.ReadError(str(error), request=request) from error
        return httpx.Response(
            response.status,
            # aiohttp has decompressed the body already.
            headers=[pair for pair in response.raw_headers if pair[0].lower() not in _DECODED],
            stream=_Body(response),
            extensions={RESPONSE: response},
        )
