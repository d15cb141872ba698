"""How long a connection may be silent, or slow, before its request's headers are there.

Whatever answers sees a request once its headers have come, so this is the web server's to look at;
uvicorn waits for ever.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

__all__ = ["timed_protocol"]

_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
if TYPE_CHECKING:
    _Base = asyncio.Protocol
else:
    _Base = AutoHTTPProtocol


class _TimedProtocol(_Base):
    # One attribute more in the dictionary of uvicorn's own class would make it three times as large.
    __slots__ = ("_has_begun", "_waits_for_headers")
    timeout_s: float
    transport: Any
    cycle: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._waits_for_headers: asyncio.TimerHandle | None = None
        self._has_begun = False
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_answering():
            self._disarm()
        else:
            self._has_begun = True
            # The time runs from the first byte: one more byte now and then wins nothing.
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        if self._waits_for_headers is None:
            loop = asyncio.get_running_loop()
            self._waits_for_headers = loop.call_later(self.timeout_s, self._give_up)

    def _disarm(self) -> None:
        self._has_begun = False
        if self._waits_for_headers is not None:
            self._waits_for_headers.cancel()
            self._waits_for_headers = None

    def _give_up(self) -> None:
        self._waits_for_headers = None
        transport = self.transport
        # A connection that became a WebSocket is another protocol's.
        if self._is_answering() or transport.is_closing() or transport.get_protocol() is not self:
            return
        if self._has_begun:
            transport.write(_TOO_SLOW)
        transport.close()


@functools.cache
def timed_protocol(timeout_s: float) -> type[asyncio.Protocol]:
    """Return uvicorn's own protocol, which closes connections whose headers do not come in time.

    Args:
        timeout_s: How long they may take, from the first byte or from the connection.
    """
    return type("TimedProtocol", (_TimedProtocol,), {"timeout_s": timeout_s, "__slots__": ()})
