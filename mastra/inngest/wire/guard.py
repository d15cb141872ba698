"""Stands in front of the SDK, which parses what it is sent before it checks who sent it.

What is refused here is answered without a word about the app.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect

from mastra.inngest.wire.signature import Signatures, read_signature
from mastra.logs import get_logger

__all__ = ["MAX_BODY_BYTES", "Guard"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

MAX_BODY_BYTES: Final = 11 * 1024 * 1024
"""The results of steps, up to 4 MiB, and the event, up to 3 MiB, which is sent twice."""

_TEXTS = {401: b'{"message":"Unauthorized"}', 403: b'{"message":"Forbidden"}'}


class Guard:
    """An ASGI app that lets through what may come from an Inngest server.

    Args:
        app: What answers.
        path: The path that it answers at.
        signing_keys: With which of them requests have to be signed; `None` in dev mode, where
            nothing is signed.
        allow_remote_dev: Whether unsigned requests may come over another address than loopback.
    """

    def __init__(
        self,
        app: Any,
        *,
        path: str,
        signing_keys: Sequence[str] | None,
        allow_remote_dev: bool = False,
    ) -> None:
        self._app = app
        self._path = path
        self._signatures = None if signing_keys is None else Signatures(signing_keys)
        self._allow_remote_dev = allow_remote_dev

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        status = self._refusal(scope, headers)
        body = b""
        if status is None:
            try:
                read = await _read(receive)
            except ClientDisconnect:
                return  # part of a request is none, and nobody is there to be told
            if read is None:
                status = 413
            elif not await self._is_signed(scope["method"], headers, read):
                status = 401
            else:
                body = read
        if status is not None:
            await _refuse(send, status)
            return
        has_sent = False

        async def replay() -> Message:
            nonlocal has_sent
            if has_sent:
                return await receive()
            has_sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        # Whatever the app is mounted under, the SDK sees the path that it was told.
        inner = {**scope, "path": self._path, "raw_path": self._path.encode(), "root_path": ""}
        await self._app(inner, replay, send)

    def _refusal(self, scope: Scope, headers: dict[bytes, str]) -> int | None:
        length = headers.get(b"content-length", "0")
        if not (length.isascii() and length.isdigit()):
            return 400
        if len(length) > 12 or int(length) > MAX_BODY_BYTES:
            return 413
        if self._signatures is not None:
            return None if read_signature(headers.get(b"x-inngest-signature")) else 401
        if self._allow_remote_dev or (
            _is_local(scope) and _is_local_origin(headers.get(b"origin"))
        ):
            return None
        get_logger().error(
            "A request to %s was refused: in dev mode nothing is signed, so only requests over "
            "loopback are answered. Use a signing key, or `allow_remote_dev=True` where the "
            "network is yours alone, such as Docker's.",
            self._path,
        )
        return 403

    async def _is_signed(self, method: str, headers: dict[bytes, str], body: bytes) -> bool:
        if self._signatures is None:
            return True
        signature = read_signature(headers.get(b"x-inngest-signature"))
        if signature is None or not await self._signatures.are_good(signature, body):
            return False
        # Only calls of functions do anything twice that is not meant to happen twice.
        return method != "POST" or self._signatures.use(signature)


def _is_local(scope: Scope) -> bool:
    for end in ("server", "client"):
        address = scope.get(end)
        try:
            if address and not ipaddress.ip_address(address[0]).is_loopback:
                return False
        except ValueError:
            continue  # a name, such as a test client has, or a Unix socket
    return True


def _is_local_origin(origin: str | None) -> bool:
    # A web page in the developer's browser can post to loopback, but not without saying so.
    if origin is None:
        return True
    return (urlsplit(origin).hostname or "") in ("localhost", "127.0.0.1", "::1")


async def _read(receive: Receive) -> bytes | None:
    """Return the body, or `None` where it is too large.

    Raises:
        ClientDisconnect: It broke off.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body"):
            return bytes(body)


async def _refuse(send: Send, status: int) -> None:
    body = _TEXTS.get(status, b'{"message":"Refused"}')
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
