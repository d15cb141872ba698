"""How long a connection may be silent before it has headers, how large they are, and which are some.

Whatever answers sees a request once its headers have come, so this is the web server's to look at;
uvicorn waits for ever, and keeps all that comes.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.auto import AutoHTTPProtocol

__all__ = ["timed_protocol"]

_CLOSING = b"connection: close\r\ncontent-length: 0\r\n\r\n"
_NO_HANDSHAKE = b"HTTP/1.1 400 Bad Request\r\n" + _CLOSING
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\n" + _CLOSING
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\n" + _CLOSING
_LARGEST = 64 * 1024
"""How many bytes of headers are kept before they are whole."""
if TYPE_CHECKING:
    _Base = asyncio.Protocol
else:
    _Base = AutoHTTPProtocol


class _TimedProtocol(_Base):
    # One attribute more in the dictionary of uvicorn's own class would make it three times as large.
    __slots__ = ("_size", "_waits_for_headers")
    timeout_s: float | None
    transport: Any
    cycle: Any
    scope: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._waits_for_headers: asyncio.TimerHandle | None = None
        self._size = 0
        self._wait()

    def on_header(self, name: bytes, value: bytes) -> None:
        # What stands behind a body is no header of the request: one that a proxy would have taken
        # away could say there who calls, and there is no end to them.
        if self._is_in_headers():
            cast("Any", super()).on_header(name, value)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if (other := self.transport.get_protocol()) is not self:
            self._disarm()
            # All that a WebSocket begins with has come; where that is nothing to begin with, one of
            # uvicorn's protocols says so to nobody, and the connection would stay.
            if getattr(other, "handshake_initiated", True) is False:
                self._answer(_NO_HANDSHAKE)
        elif self._is_answering():
            self._disarm()
        else:
            self._size += len(data)
            # The time runs from the first byte: one more byte now and then wins nothing.
            self._wait()
            if self._size > _LARGEST and self._is_in_headers():
                self._end(_TOO_LARGE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _is_in_headers(self) -> bool:
        # What is left of the body of a request that was answered is another thing.
        return self.cycle is None or self.cycle.scope is not self.scope

    def _wait(self) -> None:
        if self._waits_for_headers is None and self.timeout_s is not None:
            loop = asyncio.get_running_loop()
            self._waits_for_headers = loop.call_later(self.timeout_s, self._give_up)

    def _disarm(self) -> None:
        self._size = 0
        if self._waits_for_headers is not None:
            self._waits_for_headers.cancel()
            self._waits_for_headers = None

    def _give_up(self) -> None:
        # Never while it answers: what arrives then ends the wait.
        self._waits_for_headers = None
        self._end(_TOO_SLOW if self._size else b"")

    def _end(self, answer: bytes) -> None:
        # A connection that became a WebSocket is another protocol's.
        if self.transport.get_protocol() is self:
            self._answer(answer)

    def _answer(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


@functools.cache
def timed_protocol(timeout_s: float | None) -> type[asyncio.Protocol]:
    """Return uvicorn's own protocol, which closes connections whose headers do not come in time.

    Args:
        timeout_s: How long they may take, from the first byte or from the connection; `None` for
            any time. They are never more than 64 KiB, give or take what comes at once.
    """
    return type("TimedProtocol", (_TimedProtocol,), {"timeout_s": timeout_s, "__slots__": ()})
