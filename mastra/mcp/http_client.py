"""The HTTP client that the SDK's transport uses: a request that fails fails alone.

The SDK lets an error of the network end the whole connection, and with it every call that is
under way. Here it is the answer to its own request, and says whether the server can have seen it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final, cast

import httpx2
from mcp_types import CONNECTION_CLOSED, INTERNAL_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND

from mastra.failures import text_of

__all__ = ["FATE_KEY", "CallwiseHttpClient", "Timeout", "auth_of"]

Timeout = httpx2.Timeout

FATE_KEY: Final = "mastraFate"
"""Where an error's data says what became of a request: `refused` (not run) or `lost`."""

_SESSION_HEADER: Final = "mcp-session-id"
_UNSENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class CallwiseHttpClient(httpx2.AsyncClient):
    """Answers a request that failed with a JSON-RPC error, once a connection is open."""

    is_open: bool = False
    """Whether the first exchange is over; before that, errors are raised."""
    refused: httpx2.Response | None = None
    """With what the first exchange was refused, which the SDK does not tell."""
    on_gone: Callable[[], None] | None = None
    """Called where the stream of what the server says by itself cannot be opened again."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request."""
        if not self.is_open or request.method == "DELETE":
            response = await super().send(request, **options)
            if request.method == "POST" and response.status_code >= 400:
                self.refused = response
            return response
        if request.method == "GET":
            return await self._send_get(request, **options)
        try:
            response = await super().send(request, **options)
            if response.status_code >= 400:
                return _refused(request, response, await response.aread())
            if _is_json(response):
                # Read here, where a body that breaks off can still be answered for.
                await response.aread()
        except _UNSENT as error:
            return _answer(request, CONNECTION_CLOSED, text_of(error), "refused")
        except httpx2.TransportError as error:
            return _answer(request, CONNECTION_CLOSED, text_of(error), "lost")
        except Exception as error:  # noqa: BLE001 - an auth flow of the user's may raise anything
            text = f"{type(error).__name__}: {text_of(error)}"
            return _answer(request, INTERNAL_ERROR, text, None)
        return response

    async def _send_get(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        is_gone = True
        try:
            response = await super().send(request, **options)
            is_gone = response.status_code == 404
        finally:
            if is_gone and self.on_gone is not None:
                self.on_gone()
        return response


def auth_of(auth: Any) -> Any:
    """Return what the client takes as `auth`: one of the `httpx` package is made one of `httpx2`."""
    if isinstance(auth, httpx2.Auth) or not hasattr(auth, "async_auth_flow"):
        return auth
    return _ForeignAuth(auth)


class _ForeignAuth(httpx2.Auth):
    def __init__(self, auth: Any) -> None:
        self._auth = auth

    def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        return self._auth.async_auth_flow(request)


def _is_json(response: httpx2.Response) -> bool:
    return response.headers.get("content-type", "").lower().startswith("application/json")


def _refused(request: httpx2.Request, response: httpx2.Response, body: bytes) -> httpx2.Response:
    """Return the answer to what a server did not take."""
    error = _error_in(response)
    said = str(error.get("message") or "") if error is not None else ""
    status = response.status_code
    has_session = _SESSION_HEADER in request.headers
    if has_session and (status == 404 or (status == 400 and "session" in said.lower())):
        return _answer(request, INVALID_REQUEST, said or "Session not found", "refused")
    if error is not None:
        return response
    text = body.decode(errors="replace").strip()[:300]
    code = METHOD_NOT_FOUND if status == 404 else INTERNAL_ERROR
    return _answer(request, code, f"HTTP {status} {response.reason_phrase}: {text}", None)


def _error_in(response: httpx2.Response) -> Mapping[str, Any] | None:
    if not _is_json(response):
        return None
    try:
        body: Any = response.json()
    except ValueError:
        return None
    error: Any = cast("Mapping[str, Any]", body).get("error") if isinstance(body, dict) else None
    return cast("Mapping[str, Any]", error) if isinstance(error, dict) else None


def _answer(request: httpx2.Request, code: int, message: str, fate: str | None) -> httpx2.Response:
    error: dict[str, Any] = {"code": code, "message": message}
    if fate is not None:
        error["data"] = {FATE_KEY: fate}
    # The transport puts the request's own id in place of this one.
    body = {"jsonrpc": "2.0", "id": 0, "error": error}
    return httpx2.Response(502, json=body, request=request)
