"""Messages in pieces, of which the server drops some."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any, cast

import orjson

from mastra.inngest.inbox import UNFINISHED, Inbox
from mastra.inngest.outbox import MESSAGE_BYTES, Outbox
from mastra.inngest.wire.api import InngestApi


class Wire:
    """A server that hands over what is published, but for what it loses, and breaks off after."""

    def __init__(self) -> None:
        self.published: list[bytes] = []
        self.rounds: list[list[Any]] = []
        self.is_over = asyncio.Event()

    async def publish(self, channel: str, topic: str, content: bytes) -> None:
        self.published.append(content)

    async def subscribe(self, channel: str, topic: str) -> Wire:
        if not self.rounds:
            self.is_over.set()
            await asyncio.Future()
        return self

    async def messages(self) -> AsyncIterator[Any]:
        for message in self.rounds.pop(0):
            yield message

    async def aclose(self) -> None:
        """Nothing is held."""


async def pieces(number: int) -> list[Any]:
    """Return what is published of a message that is too large for one, a piece each."""
    wire = Wire()
    outbox = Outbox(cast("InngestApi", wire))
    message: Any = {"type": "told", "number": number, "text": "é" * (MESSAGE_BYTES // 2)}
    await outbox.post(("inbox", "topic"), message)
    assert all(len(content) < 512 * 1024 for content in wire.published)
    return [piece for content in wire.published for piece in orjson.loads(content)]


async def hear(*rounds: list[Any]) -> tuple[list[int], Inbox, int]:
    """Return the numbers of the messages that come whole, the inbox, and how often it had a gap."""
    wire, taken, gaps = Wire(), list[int](), list[int]()
    wire.rounds = list(rounds)

    async def take(message: dict[str, Any]) -> None:
        assert message["text"] == "é" * (MESSAGE_BYTES // 2)
        taken.append(message["number"])

    inbox = Inbox(cast("InngestApi", wire), take, lambda: gaps.append(1))
    await inbox.open()
    async with asyncio.timeout(20):
        await wire.is_over.wait()
    await inbox.aclose()
    return taken, inbox, len(gaps)


def held(inbox: Inbox) -> int:
    return sum(sys.getsizeof(part) for parts in inbox._parts.values() for part in parts if part)


async def test_pieces_of_several_messages_come_together() -> None:
    one, two = await pieces(1), await pieces(2)
    mixed = [piece for pair in zip(one, reversed(two), strict=True) for piece in pair]
    taken, inbox, _ = await hear([[piece] for piece in mixed])
    assert (sorted(taken), held(inbox)) == ([1, 2], 0)


async def test_messages_that_never_get_whole_are_let_go() -> None:
    whole = await pieces(0)
    half = [[dict(piece, id=f"m{n}") for piece in whole[1:]] for n in range(2 * UNFINISHED)]
    taken, inbox, _ = await hear([*half, [dict(whole[0], id=f"m{2 * UNFINISHED - 1}")], whole])
    assert taken == [0, 0]
    assert held(inbox) <= UNFINISHED * sum(sys.getsizeof(piece["text"]) for piece in whole[1:])


async def test_what_was_begun_before_a_subscription_broke_off_is_let_go() -> None:
    whole = await pieces(0)
    taken, inbox, gaps = await hear([whole[:-1]], [await pieces(1)])
    assert (taken, held(inbox), gaps) == ([1], 0, 1)


async def test_what_is_no_message_costs_no_other() -> None:
    one, two = await pieces(1), await pieces(2)
    taken, _, _ = await hear([*one, "text", None, ["text", 7], *two])
    assert taken == [1, 2]
