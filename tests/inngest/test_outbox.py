"""Messages to readers elsewhere, on a server that is slow or takes none."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, cast

import pytest

from mastra.inngest.outbox import Outbox
from mastra.inngest.wire.api import InngestApi
from mastra.inngest.wire.transport import NotReached

PLACE = ("inbox", "mastra")


class Wire:
    """A server that holds up what is published, and refuses it where it is to."""

    def __init__(self) -> None:
        self.took: list[Any] = []
        self.is_open = asyncio.Event()
        self.refuses = False
        self.asked = 0

    async def publish(self, channel: str, topic: str, content: bytes) -> None:
        del channel, topic
        self.asked += 1
        await self.is_open.wait()
        if self.refuses:
            raise NotReached("nobody is there")
        self.took.append(json.loads(content))

    async def is_asked(self) -> None:
        async with asyncio.timeout(20):
            while not self.asked:
                await asyncio.sleep(0)


async def test_what_comes_meanwhile_goes_with_the_next_post() -> None:
    wire = Wire()
    outbox = Outbox(cast("InngestApi", wire))
    first = outbox.put(PLACE, {"n": 1})
    assert outbox.put(PLACE, {"n": 2}) is first
    await wire.is_asked()
    later = [outbox.put(PLACE, {"n": n}) for n in (3, 4)]
    assert later[0] is later[1] is not first
    wire.is_open.set()
    await asyncio.gather(first, *later)
    assert wire.took == [[{"n": 1}, {"n": 2}], [{"n": 3}, {"n": 4}]]


async def test_one_who_no_longer_waits_holds_nothing_up() -> None:
    wire = Wire()
    outbox = Outbox(cast("InngestApi", wire))
    let_go = outbox.put(PLACE, {"n": 1})
    await wire.is_asked()
    later = outbox.put(PLACE, {"n": 2})
    let_go.cancel()
    wire.is_open.set()
    async with asyncio.timeout(20):
        await later
    assert wire.took == [[{"n": 1}], [{"n": 2}]]


async def test_a_server_that_takes_nothing_is_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wire = Wire()
    wire.is_open.set()
    outbox = Outbox(cast("InngestApi", wire))
    with caplog.at_level(logging.WARNING, "mastra"):
        for refuses, warnings in [(True, 1), (True, 1), (False, 1), (True, 2)]:
            wire.refuses = refuses
            await outbox.put(PLACE, {"n": 1})
            told = [one for one in caplog.records if "could not be published" in one.message]
            assert len(told) == warnings
    assert wire.took == [[{"n": 1}]]


async def test_nobody_waits_for_what_will_not_be_sent() -> None:
    wire = Wire()
    outbox = Outbox(cast("InngestApi", wire))
    under_way = outbox.put(PLACE, {"n": 1})
    not_begun = outbox.put(("other", "mastra"), {"n": 2})
    await wire.is_asked()
    waiting = outbox.put(PLACE, {"n": 3})
    let_go = outbox.put(("other", "mastra"), {"n": 4})
    let_go.cancel()
    await outbox.aclose()
    async with asyncio.timeout(20):
        await asyncio.gather(under_way, not_begun, waiting)
    assert let_go.cancelled()
    assert wire.took == []
