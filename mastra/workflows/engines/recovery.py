"""Runs that nobody drives: found while the program runs, and given up where that leads nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from mastra.clock import steady_s
from mastra.errors import DefinitionChangedError, RunError
from mastra.jsonable import Json
from mastra.logs import get_logger
from mastra.storage.base import RunChanges, UnledRun, WorkflowStore
from mastra.storage.damage import is_unreadable
from mastra.storage.drivers import DRIVER_ID_LENGTH, DriverStore
from mastra.workflows.engines.base import Recoverable
from mastra.workflows.engines.commands import Command
from mastra.workflows.engines.drivers import silence_s
from mastra.workflows.engines.journal import LoadedRun
from mastra.workflows.engines.processes import has_ended
from mastra.workflows.versions.graph import is_current, note_of

__all__ = ["Lookout", "Recoveries", "note_recovery", "take_answer", "try_to_take_answer"]

_AT_A_TIME: Final = 200

_CALLERS_FIRST_S: Final = 0.05


class Lookout:
    """Looks for runs that nobody drives, and has them go on here."""

    def __init__(self, store: WorkflowStore, drivers: DriverStore) -> None:
        self._store = store
        self._drivers = drivers
        self._silence_s = silence_s(drivers.lease_s)
        self._heard: dict[str, tuple[int, float]] = {}
        """Of each driver: the end of its lease as seen last, and since when it is that."""
        self._refused: set[UnledRun] = set()
        """What the definition of this program does not fit."""

    async def look(self, workflows: Callable[[], Iterable[Recoverable]]) -> None:
        """Look once.

        Raises:
            StorageError: The storage cannot answer.
        """
        known = {workflow.id: workflow for workflow in workflows()}
        if not known:
            return
        dead = await self._listen()
        found = await self._store.list_unled(list(known), dead_drivers=dead, limit=_AT_A_TIME)
        for run in found:
            driver_id = (run.owner or "")[:DRIVER_ID_LENGTH]
            if run not in self._refused and (driver_id in dead or self._is_silent(driver_id)):
                await self._take_up(known[run.workflow_id], run)

    async def _listen(self) -> list[str]:
        """Note who has given a sign of life; return who has ended on this machine."""
        now = steady_s()
        found = await self._drivers.list_drivers()
        heard: dict[str, tuple[int, float]] = {}
        for driver in found:
            before = self._heard.get(driver.driver_id)
            is_same = before is not None and before[0] == driver.lease_until
            heard[driver.driver_id] = before if is_same and before else (driver.lease_until, now)
        self._heard = heard
        return [driver.driver_id for driver in found if has_ended(driver.about)]

    def _is_silent(self, driver_id: str) -> bool:
        # A clock that jumps, the storage's or the machine's, ends every lease at once: nobody is
        # dead for that. Who is not a driver, or no longer, cannot be heard.
        heard = self._heard.get(driver_id)
        return heard is None or steady_s() - heard[1] >= self._silence_s

    async def _take_up(self, workflow: Recoverable, run: UnledRun) -> None:
        log = get_logger({"run_id": run.run_id, "workflow_id": run.workflow_id})
        try:
            if await workflow.restart_run(run.run_id):
                log.warning("A run goes on here: nobody was driving it.")
        except DefinitionChangedError as error:
            self._refused.add(run)
            log.warning("A run that nobody drives was not restarted. %s", error)
        except Exception as error:
            if is_unreadable(error):
                self._refused.add(run)
            # The others are to go on, and this one later.
            log.exception("A run that nobody drives could not be taken up.")


async def take_answer(workflow: Recoverable, store: WorkflowStore, run_id: str) -> None:
    """Go on with a run that has just been suspended, where an answer is kept whose caller is gone.

    A caller that is there goes first: it may know more than can be kept.
    """
    head = await store.get_run(workflow.id, run_id)
    if head is not None and head.answers:
        await asyncio.sleep(_CALLERS_FIRST_S)
        await workflow.answer_run(run_id)


async def try_to_take_answer(workflow: Recoverable, store: WorkflowStore, run_id: str) -> None:
    """Do the same; what prevents it is told in the log, and the answer stays kept."""
    try:
        await take_answer(workflow, store, run_id)
    except Exception:
        log = get_logger({"run_id": run_id, "workflow_id": workflow.id})
        log.exception("A run could not be gone on with by an answer that is kept for it.")


class Recoveries:
    """How often a run was taken up since its last record."""

    def __init__(self, loaded: LoadedRun, owner_before: str | None) -> None:
        """Count once more, unless the run was given up by a driver that was well.

        Args:
            loaded: The run that is taken up.
            owner_before: Under which claim it was.
        """
        known = cast("dict[str, Any]", loaded.head.data.get("recoveries") or {})
        self.order = loaded.order
        self.count: int = known.get("count", 0) if known.get("order") == loaded.order else 0
        if owner_before is not None:
            self.count += 1

    def to_stored(self) -> dict[str, Json]:
        """Return what is kept of it in the run's head."""
        return {"count": self.count, "order": self.order}

    def error_over(self, limit: int, loaded: LoadedRun) -> RunError | None:
        """Return why the run must fail, where it was taken up too often."""
        if self.count <= limit:
            return None
        head = loaded.head
        return RunError(
            f"Run {head.run_id!r} of workflow {head.workflow_id!r} was taken up {limit} times "
            "without getting any further: whoever drove it came to an end each time. Look at what "
            "its next step does to the process, such as using up its memory.",
            code="RECOVERY_LIMIT",
            details={"runId": head.run_id, "recoveries": limit},
        )


async def note_recovery(
    command: Command, loaded: LoadedRun, owner_before: str | None, most: int
) -> BaseException | None:
    """Note that a run is taken up, and by which definition.

    Args:
        command: The leg that takes it up.
        loaded: The run, as it was found.
        owner_before: Who drove it.
        most: How often it may be taken up without having got any further.

    Returns:
        Why it must fail, where that was too often.
    """
    target, hold, data = command.target, command.hold, loaded.head.data
    failure = None
    if hold is not None:
        recoveries = Recoveries(loaded, owner_before)
        data["recoveries"] = recoveries.to_stored()
        failure = recoveries.error_over(most, loaded)
    elif is_current(target.spec, loaded.head):
        return None
    if not is_current(target.spec, loaded.head):
        data |= note_of(target.spec)
    await target.store.update_run(
        target.workflow_id,
        target.run_id,
        RunChanges(data=data),
        expected_owner=None if hold is None else hold.owner,
    )
    return failure
