"""What a process sends to readers elsewhere: the messages of all its runs, by where they go.

A place gets one message after another. What comes for it meanwhile goes together with the next
one, unless its readers know only messages that stand alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from mastra.ids import random_id
from mastra.inngest.wire.api import InngestApi
from mastra.jsonable import Json, dump_json
from mastra.logs import get_logger

__all__ = ["PART", "Outbox", "Place"]

PART: Final = "workflow-message-part"
"""A piece of a message that is too large for one."""

PART_CHARACTERS: Final = 120_000
"""Of a message that is sent in pieces. The server cuts what is over 512 KiB, and a character may
take four bytes."""

MESSAGE_BYTES: Final = 480 * 1024

Place: TypeAlias = tuple[str, str]
"""A realtime channel and a topic of it."""


@dataclass(slots=True)
class _Queue:
    task: asyncio.Task[None] | None = None
    waiting: list[bytes] = field(default_factory=list[bytes])
    sent: asyncio.Future[None] | None = None
    """Done when what waits has been sent."""


class Outbox:
    """Posts under way, at most one to a place."""

    def __init__(self, api: InngestApi) -> None:
        self._api = api
        self._queues: dict[Place, _Queue] = {}
        self._has_failed = False

    def put(
        self, place: Place, message: dict[str, Json], *, alone: bool = False
    ) -> asyncio.Future[None]:
        """Send a message soon.

        Args:
            place: Where to.
            message: What to say.
            alone: Whether its readers know no lists of messages.

        Returns:
            What is done once it has been sent, or could not be.
        """
        queue = self._queues.setdefault(place, _Queue())
        queue.waiting.append(dump_json(message, what="An event"))
        sent = queue.sent
        if sent is None:
            sent = queue.sent = asyncio.get_running_loop().create_future()
        if queue.task is None:
            queue.task = asyncio.create_task(  # noqa: TID251 - ends by itself, or in `aclose`
                self._work_off(place, queue, alone=alone), name=f"mastra outbox of {place[0]}"
            )
        return sent

    async def post(self, place: Place, message: dict[str, Json]) -> None:
        """Send a message now.

        Raises:
            NotReached: The server could not be reached.
            RunError: It did not take the message.
        """
        for content in _joined([dump_json(message, what="An event")]):
            await self._api.publish(*place, content)

    async def _work_off(self, place: Place, queue: _Queue, *, alone: bool) -> None:
        # What other runs have to say in this turn of the event loop goes with it.
        await asyncio.sleep(0)
        while queue.waiting:
            batch, queue.waiting = queue.waiting, []
            sent, queue.sent = queue.sent, None
            try:
                for content in batch if alone else _joined(batch):
                    await self._api.publish(*place, content)
                self._has_failed = False
            except Exception as error:  # noqa: BLE001 - readers find all of it in storage
                if not self._has_failed:
                    self._has_failed = True
                    get_logger().warning(
                        "Events could not be published; readers elsewhere get them from storage, "
                        "later: %s",
                        error,
                    )
            finally:
                if sent is not None and not sent.done():
                    sent.set_result(None)
        self._queues.pop(place, None)

    async def aclose(self) -> None:
        """Give up what has not been sent."""
        queues = list(self._queues.values())
        tasks = [queue.task for queue in queues if queue.task is not None]
        self._queues.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for queue in queues:  # nobody is to wait for what will not be sent
            if queue.sent is not None and not queue.sent.done():
                queue.sent.set_result(None)


def _joined(batch: Sequence[bytes]) -> Iterator[bytes]:
    """Yield messages as lists, each as large as the server takes."""
    chosen: list[bytes] = []
    size = 0
    for content in batch:
        pieces = [content] if len(content) < MESSAGE_BYTES else _pieces(content)
        for piece in pieces:
            if size + len(piece) > MESSAGE_BYTES:
                yield b"[" + b",".join(chosen) + b"]"
                chosen, size = [], 0
            chosen.append(piece)
            size += len(piece) + 1
    yield b"[" + b",".join(chosen) + b"]"


def _pieces(content: bytes) -> list[bytes]:
    text, name = content.decode(), random_id()
    texts = [text[i : i + PART_CHARACTERS] for i in range(0, len(text), PART_CHARACTERS)]
    return [
        dump_json({"type": PART, "id": name, "part": place, "of": len(texts), "text": piece})
        for place, piece in enumerate(texts)
    ]
