"""A run that another process drives, or nobody: seen through storage alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from mastra.errors import RunNotFoundError
from mastra.workflows.engines.base import Engine, one_by_one, run_stopped
from mastra.workflows.engines.commands import RunTarget
from mastra.workflows.engines.journal import LoadedRun, check_head, fold_rows, load_run
from mastra.workflows.engines.outcome import result_from_storage
from mastra.workflows.events import Event, to_event
from mastra.workflows.results import WorkflowResult
from mastra.workflows.spec_forms import forms_of
from mastra.workflows.versions.choice import spec_for

__all__ = ["StoredHandle", "no_such_run"]

POLL_S: Final = 0.1
"""How often storage is asked for what another process has done. One run, one small query."""


def no_such_run(target: RunTarget) -> RunNotFoundError:
    """Return the error for an unknown run id."""
    return RunNotFoundError(
        f"Workflow {target.workflow_id!r} has no run {target.run_id!r} in this storage.",
        details={"runId": target.run_id, "workflowId": target.workflow_id},
    )


class StoredHandle:
    """Reads a run's journal as it grows."""

    first_seq = 0
    has_given_up = False
    is_elsewhere = False

    def __init__(self, target: RunTarget, engine: Engine) -> None:
        """Prepare to read.

        Args:
            target: The run.
            engine: Through which it is looked at: once that is closed, nobody waits any more.
        """
        self._target = target
        self._engine = engine
        self._closings = engine.closings

    async def _pause(self) -> None:
        """Wait a moment for what others do.

        Raises:
            RunStateError: The engine was closed.
        """
        await asyncio.sleep(POLL_S)
        if self._engine.closings != self._closings:
            raise run_stopped(self._target.workflow_id, self._target.run_id, "followed")

    async def _load(self) -> LoadedRun:
        target = self._target
        loaded = await load_run(target.store, target.workflow_id, target.run_id)
        if loaded is None:
            raise no_such_run(target)
        return loaded

    async def result(self) -> WorkflowResult[Any]:
        """Wait until the run is no longer under way and return its result.

        Raises:
            RunNotFoundError: There is no such run, or not any more.
            RunStateError: The engine was closed.
        """
        target = self._target
        while True:
            head = await target.store.get_run(target.workflow_id, target.run_id)
            if head is None:
                raise no_such_run(target)
            check_head(head)  # nobody can end a run that cannot be read
            if head.status not in ("pending", "running", "waiting"):
                loaded = await self._load()
                result = result_from_storage(spec_for(target.spec, loaded.head), loaded)
                if result is not None:
                    return result
            await self._pause()

    def batches(self, start: int, limit: int) -> AsyncIterator[Sequence[Event]]:
        """Yield what `events` does, one by one."""
        del limit
        return one_by_one(self.events(start))

    async def events(self, start: int) -> AsyncIterator[Event]:
        """Yield stored events from a seq on, and those that come, until the run has ended."""
        target = self._target
        loaded = await self._load()
        forms = forms_of(spec_for(target.spec, loaded.head))
        seq = start
        while True:
            while seq < len(loaded.entries):
                entry = loaded.entries[seq]
                if entry is not None:
                    yield to_event(target.run_id, target.workflow_id, seq, entry, forms)
                seq += 1
            if loaded.head.status not in ("pending", "running", "waiting"):
                return
            await self._pause()
            head = await target.store.get_run(target.workflow_id, target.run_id)
            if head is None:
                return
            check_head(head)
            rows = await target.store.load_rows(
                target.workflow_id, target.run_id, loaded.last_position
            )
            loaded.head = head
            fold_rows(loaded, rows)
