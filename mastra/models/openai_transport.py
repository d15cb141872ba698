"""The transport that the `openai` SDK sends through.

The SDK speaks httpx; the bytes go over aiohttp, whose parser and connection pool cost a third.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import aiohttp
import httpx
import yarl

from mastra.models.sessions import LoopClients, loop_clients

__all__ = ["RESPONSE", "sdk_http"]

RESPONSE = "mastra.response"
"""Where the transport puts aiohttp's response among an httpx response's extensions."""

_OWN_HEADERS = frozenset((b"host", b"content-length", b"transfer-encoding"))
_DECODED = frozenset((b"content-encoding", b"content-length"))


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


async def sdk_http() -> tuple[dict[Any, Any], httpx.AsyncClient]:
    """Return the SDK's clients of the running event loop, and the client that they send through."""
    clients = await loop_clients()
    found = clients.by_key.get(_Client)
    if found is None:
        found = clients.by_key[_Client] = _Client(transport=_Transport(clients))
    return clients.by_key, found


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
    """Sends httpx's requests through an event loop's session."""

    def __init__(self, clients: LoopClients) -> None:
        self._clients = clients

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        limits = cast("Mapping[str, float | None]", request.extensions.get("timeout") or {})
        try:
            response = await self._clients.request(
                request.method,
                yarl.URL(str(request.url), encoded=True),
                data=await request.aread(),
                headers=[
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in request.headers.raw
                    if name.lower() not in _OWN_HEADERS
                ],
                connect_s=limits.get("connect"),
                silence_s=limits.get("read"),
            )
        except (aiohttp.ServerTimeoutError, TimeoutError) as error:
            raise httpx.ReadTimeout(str(error), request=request) from error
        except aiohttp.ClientConnectorError as error:
            raise httpx.ConnectError(str(error.os_error), request=request) from error
        except aiohttp.ClientError as error:
            raise httpx.ReadError(str(error), request=request) from error
        return httpx.Response(
            response.status,
            # aiohttp has decompressed the body already.
            headers=[pair for pair in response.raw_headers if pair[0].lower() not in _DECODED],
            stream=_Body(response),
            extensions={RESPONSE: response},
        )
