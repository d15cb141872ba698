"""Functions that are called with each event of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mastra.failures import call_user
from mastra.logs import get_logger
from mastra.workflows.engines.base import Engine, RunHandle
from mastra.workflows.engines.commands import RunTarget
from mastra.workflows.events import Event, EventPayload

__all__ = ["Watchers", "live_leg"]


def live_leg(engine: Engine, target: RunTarget) -> RunHandle | None:
    """Return the leg of a run that an engine drives in this process, if it does."""
    return engine.attach(target) if engine.active(target) is not None else None


class Watchers:
    """The functions that watch one run, each fed by a task of its own while the run goes on."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._callbacks: list[Callable[[Event], object]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def add(
        self, callback: Callable[[Event], object], handle: RunHandle | None
    ) -> Callable[[], None]:
        """Add a function; return how to remove it. A run that is under way begins to feed it."""
        self._callbacks.append(callback)
        if handle is not None:
            self._feed(callback, handle)

        def stop() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return stop

    def begin(self, handle: RunHandle) -> None:
        """Feed every function from a leg that has begun."""
        for callback in self._callbacks:
            self._feed(callback, handle)

    def _feed(self, callback: Callable[[Event], object], handle: RunHandle) -> None:
        async def follow() -> None:
            async for event in handle.events(handle.first_seq):
                if callback not in self._callbacks:
                    return
                await self._call(callback, event)
                if event.type == "workflow-step-result":
                    await self._call(callback, _step_finish(event))

        task = asyncio.create_task(follow(), name=f"mastra watch {self._run_id}")  # noqa: TID251
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call(self, callback: Callable[[Event], object], event: Event) -> None:
        try:
            await call_user(callback, event)
        except Exception:  # noqa: BLE001 - a watcher cannot stop the run; it is told
            get_logger({"run_id": self._run_id}).exception(
                "A watcher of run %r raised.", self._run_id
            )


def _step_finish(result: Event) -> Event:
    """Return the event that only watchers are told, after a step's result and with its seq."""
    facts = {} if result.payload is None else result.payload.to_wire()
    told = {key: facts[key] for key in ("stepName", "id", "stepCallId") if key in facts}
    told["metadata"] = facts.get("metadata", {})
    return Event(
        "workflow-step-finish", result.run_id, result.from_, result.seq, EventPayload(told)
    )
