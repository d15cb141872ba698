"""Looking at the clock: what is due is started, and the next moment waited for."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from typing import Any, Final

from mastra.clock import current_clock, now_ms
from mastra.cron import cron_of
from mastra.errors import MissingDependencyError
from mastra.ids import random_id
from mastra.logs import get_logger
from mastra.schedules.firing import Firing, Registered
from mastra.schedules.settings import SchedulerConfig
from mastra.services import surroundings

__all__ = ["Ticker"]

RESERVED_MS: Final = 3_000
"""For how long the others leave alone what this process is about to start."""
_PRUNED_EVERY_MS: Final = 3_600_000


class Ticker:
    """Starts what is due, for as long as its application is open.

    Several processes may do so over one storage: each moment is started once, by one of them.
    """

    def __init__(self, mastra: Registered, firing: Firing, config: SchedulerConfig) -> None:
        self._mastra = mastra
        self._firing = firing
        self._config = config
        self._logger = get_logger(None, mastra.logger)
        self._name = random_id()
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._pruned_at = 0
        self._is_ready = False
        self._at_once = 1
        """How much is reserved at once: of the first, whose start may load more, only that."""

    def start(self) -> None:
        """Begin. May be called again."""
        task = self._task
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            self._woken = asyncio.Event()
            with surroundings(self._mastra):
                self._task = asyncio.create_task(  # noqa: TID251 - it lives with the application
                    self._tick(), name="mastra scheduler"
                )

    def wake(self) -> None:
        """Look again: this process has changed a schedule."""
        self._woken.set()

    async def stop(self) -> None:
        """Start nothing more."""
        task, self._task = self._task, None
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _tick(self) -> None:
        while True:
            self._woken.clear()
            due = None
            try:
                due = await self._look()
            except MissingDependencyError as error:
                self._logger.error("%s Nothing that is scheduled is started here.", error)  # noqa: TRY400
                return
            except Exception as error:  # noqa: BLE001 - looked at again in a moment
                self._logger.warning("What is scheduled could not be looked at: %s", error)
                await asyncio.sleep(self._config.tick_interval)
            else:
                await self._wait(due)

    async def _look(self) -> int | None:
        """Start what is due; return when the next is, in milliseconds since 1970."""
        firing, store = self._firing, self._firing.store
        targets = firing.targets()
        while True:
            now = now_ms()
            # Asked first: to reserve is a write, and mostly there is nothing due.
            next_at = await store.next_due(targets)
            if next_at is not None and not self._is_ready:
                # Whoever is ready starts what becomes due meanwhile.
                await asyncio.to_thread(_load_what_starts_need)
                self._is_ready = True
                continue
            if next_at is None or next_at > now:
                break
            due = await store.reserve(
                targets, by=self._name, now=now, until=now + RESERVED_MS, limit=self._at_once
            )
            if not due:
                break  # another process has it
            async with asyncio.TaskGroup() as group:
                for record in due:
                    group.create_task(firing.fire(record))
            self._at_once = self._config.batch_size
        await self._prune(now)
        return next_at

    async def _prune(self, now: int) -> None:
        kept = self._config.keep_triggers
        if kept is not None and now - self._pruned_at >= _PRUNED_EVERY_MS:
            self._pruned_at = now
            await self._firing.store.delete_triggers_before(now - int(kept.total_seconds() * 1000))

    async def _wait(self, due: int | None) -> None:
        """Wait until a moment, or until somebody changes a schedule.

        The moment is one of the application's clock, which does not jump for it. Whether others have
        changed something, or that clock was set, is looked at by the machine's.
        """
        timer: Any = None
        if due is not None:
            seconds = max(0.0, (due - now_ms()) / 1000)
            timer = current_clock.get().call_later(seconds, self._woken.set)
        looks = due is not None or self._firing.store.is_shared
        try:
            async with asyncio.timeout(self._config.tick_interval if looks else None):
                await self._woken.wait()
        except TimeoutError:
            pass
        finally:
            if timer is not None:
                timer.cancel()


def _load_what_starts_need() -> None:
    """Import what the first start would: cron expressions, time zones and the checks of inputs."""
    cron_of("* * * * *", "UTC")
    importlib.import_module("pydantic").TypeAdapter(int)
