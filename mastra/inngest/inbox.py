"""One subscription of a process, for all runs that it waits for or drives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from mastra.ids import random_id
from mastra.inngest.outbox import PART
from mastra.inngest.wire.api import InngestApi, Subscription
from mastra.inngest.wire.names import OUR_TOPIC
from mastra.jsonable import load_json
from mastra.logs import get_logger

__all__ = ["Inbox"]

RETRY_S: Final = 0.2
RETRY_MAX_S: Final = 5.0

UNFINISHED: Final = 50
"""Messages of which pieces have come, but not all. A server that drops one piece never completes it."""


class Inbox:
    """Where workers tell what happens in runs, and readers which runs they read."""

    def __init__(
        self,
        api: InngestApi,
        take: Callable[[dict[str, Any]], Awaitable[None]],
        on_gap: Callable[[], None],
    ) -> None:
        """Prepare; nothing is sent.

        Args:
            api: The server.
            take: Called with each message.
            on_gap: Called when messages may have been missed.
        """
        self._api = api
        self._take = take
        self._on_gap = on_gap
        self.channel = f"mastra:{random_id()}"
        """Its name."""
        self._parts: dict[str, list[str | None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has been asked for in the running event loop."""
        return self._task is not None and self._task.get_loop() is asyncio.get_running_loop()

    def begin(self) -> asyncio.Future[None]:
        """Subscribe, if that has not been done; return what is done when that stands or failed."""
        if self._opened is None or not self.is_open:
            self._opened = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(  # noqa: TID251 - ended by `aclose`
                self._follow(self._opened), name="mastra inbox"
            )
        return self._opened

    async def open(self) -> None:
        """Subscribe. What is sent after this returns is not missed, or is known to be missed."""
        await asyncio.shield(self.begin())

    async def _follow(self, opened: asyncio.Future[None]) -> None:
        delay = RETRY_S
        while True:
            subscription: Subscription | None = None
            try:
                subscription = await self._api.subscribe(self.channel, OUR_TOPIC)
                delay = RETRY_S
                self._parts.clear()  # the rest of them was sent while nobody listened
                if opened.done():
                    self._on_gap()
                else:
                    opened.set_result(None)
                async for message in subscription.messages():
                    await self._read(message)
            except Exception as error:  # noqa: BLE001 - subscribe anew; storage has it all
                if opened.done():
                    get_logger().debug("Realtime of Inngest broke off: %s", error)
                else:
                    get_logger().warning("No realtime from Inngest, trying again: %s", error)
                    opened.set_result(None)
            finally:
                if subscription is not None:
                    await subscription.aclose()
            await asyncio.sleep(delay)
            delay = min(delay * 2, RETRY_MAX_S)

    async def _read(self, told: Any) -> None:
        for message in cast("list[Any]", told) if isinstance(told, list) else [told]:
            if not isinstance(message, dict):
                continue
            known = cast("dict[str, Any]", message)
            if known.get("type") != PART:
                await self._take_one(known)
                continue
            parts = self._parts.setdefault(known["id"], [None] * known["of"])
            parts[known["part"]] = known["text"]
            if None not in parts:
                del self._parts[known["id"]]
                await self._take_one(load_json("".join(cast("list[str]", parts))))
            elif len(self._parts) > UNFINISHED:
                del self._parts[next(iter(self._parts))]

    async def _take_one(self, message: dict[str, Any]) -> None:
        try:
            await self._take(message)
        except Exception as error:  # noqa: BLE001 - one run's message must not cost the others
            get_logger().warning("A realtime message could not be taken: %s", error)

    async def aclose(self) -> None:
        """End the subscription."""
        task, self._task, self._opened = self._task, None, None
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
