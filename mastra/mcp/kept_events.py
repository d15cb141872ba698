"""What a session has said, for a client that lost its connection while a call was under way.

A client that comes back names the last event that it has seen, and is sent the rest of that stream,
also what is still to come. Each session sees its own events alone, and of all sessions only so much
is kept: the oldest goes first.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCResponse

__all__ = ["KeptEvents", "SessionEvents"]

_MOST_EVENTS: Final = 512
"""Of one session."""
_MOST_BYTES: Final = 67_108_864
"""Of all sessions of a server."""
_OVERHEAD: Final = 256
"""What keeping an event takes beside its message, in bytes."""
_LOOK_S: Final = 1.0
"""How often one who waits for more looks whether the session is over."""


@dataclass(frozen=True, slots=True)
class _Event:
    id: str
    stream_id: str
    message: JSONRPCMessage | None
    """Nothing, where a stream only begins."""
    size: int

    @property
    def is_last(self) -> bool:
        """Whether the call of the stream is answered."""
        return isinstance(self.message, JSONRPCResponse | JSONRPCError)


class KeptEvents:
    """The events of all sessions of a server, the oldest first."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._size = 0
        self._all: deque[tuple[SessionEvents, _Event]] = deque()

    def add(self, session: SessionEvents, event: _Event) -> None:
        """Keep an event, and let go of the oldest where it gets too much."""
        self._all.append((session, event))
        self._size += event.size
        while self._all and (
            self._size > self._most_bytes or not self._all[0][0].has(self._all[0][1])
        ):
            owner, oldest = self._all.popleft()
            self._size -= oldest.size
            owner.forget(oldest)


class SessionEvents(EventStore):
    """The events of one session.

    Args:
        kept: Those of all.
        is_over: Tells whether the session has ended.
    """

    def __init__(self, kept: KeptEvents, is_over: Callable[[], bool]) -> None:
        self._kept = kept
        self._is_over = is_over
        self._events: OrderedDict[str, _Event] = OrderedDict()
        self._count = 0
        self._changed = asyncio.Event()

    def has(self, event: _Event) -> bool:
        """Return whether an event is kept."""
        return not self._is_over() and event.id in self._events

    def forget(self, event: _Event) -> None:
        """Let go of an event."""
        self._events.pop(event.id, None)

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Keep an event of a stream; return its id."""
        self._count += 1
        size = _OVERHEAD + (0 if message is None else len(message.model_dump_json()))
        event = _Event(str(self._count), stream_id, message, size)
        self._events[event.id] = event
        if len(self._events) > _MOST_EVENTS:
            self._events.popitem(last=False)
        self._kept.add(self, event)
        self._changed.set()
        self._changed = asyncio.Event()
        return event.id

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> None:
        """Send what followed an event in its stream, as it comes, until its call is answered.

        It gives no stream to go on with: between what was and what comes nothing may be lost, so both
        are sent here.
        """
        known = self._events.get(last_event_id)
        if known is None or known.is_last:
            return
        seen = int(known.id)
        while True:
            changed = self._changed
            for event in [one for one in self._events.values() if int(one.id) > seen]:
                seen = int(event.id)
                if event.stream_id != known.stream_id or event.message is None:
                    continue
                await send_callback(EventMessage(event.message, event.id))
                if event.is_last:
                    return
            if changed is not self._changed:
                continue
            try:
                await asyncio.wait_for(changed.wait(), _LOOK_S)
            except TimeoutError:
                if self._is_over():
                    return
