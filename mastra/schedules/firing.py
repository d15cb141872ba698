"""Starting what a schedule names, once.

A workflow's run has the moment in its id, so starting it twice starts it once. It is started first,
and the schedule moved on after that: whoever dies in between leaves the schedule due, and whoever
takes it up finds the run there. What has no such id (an agent's answer, a run that is not stored
before it begins) is the other way round: it is started at most once.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from mastra.clock import now_ms
from mastra.cron import cron_of
from mastra.errors import ConfigError, MastraError, MissingDependencyError, StorageError
from mastra.failures import text_of
from mastra.given import MAX_ID
from mastra.logs import get_logger
from mastra.request_context import RESOURCE_ID
from mastra.schedules.settings import SchedulerConfig
from mastra.services import Services
from mastra.storage.schedules import (
    ScheduleChanges,
    ScheduleRecord,
    ScheduleStore,
    TriggerRecord,
)

__all__ = ["Firing", "Registered", "run_id_of"]

GRACE_MS: Final = 60_000
"""A moment that passed less long ago than this is late; one that passed longer ago was missed."""

_NOT_BEGUN: Final = ("RUN_NOT_BEGUN", "INNGEST_RUN_NOT_BEGUN")
"""Codes of runs that their workflow's flow control has left out."""


def run_id_of(prefix: str, schedule_id: str, mark: object) -> str:
    """Return the id of the run that a schedule starts; one that were too long has its digest."""
    full = f"{prefix}_{schedule_id}_{mark}"
    if len(full) <= MAX_ID:
        return full
    return f"{prefix}_{hashlib.sha256(schedule_id.encode()).hexdigest()}_{mark}"


class Registered(Services, Protocol):
    """An application whose workflows and agents can be listed."""

    def list_workflows(self) -> Mapping[str, Any]:
        """Return the workflows by key."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a start."""

    outcome: str
    error: str | None = None


class Firing:
    """Starts what schedules name."""

    def __init__(self, mastra: Registered, config: SchedulerConfig) -> None:
        self._mastra = mastra
        self._config = config
        self._logger = get_logger(None, mastra.logger)
        self._answers: set[asyncio.Task[None]] = set()

    @property
    def store(self) -> ScheduleStore:
        """Where schedules are kept."""
        return self._mastra.storage.schedules

    def targets(self) -> set[str]:
        """Return what this process can start."""
        flows = (f"workflow/{one.id}" for one in self._mastra.list_workflows().values())
        return {*flows, *(f"agent/{one.id}" for one in self._mastra.list_agents().values())}

    async def fire(self, record: ScheduleRecord) -> None:
        """Start what is due, and move the schedule on.

        Raises:
            StorageError: It could not be told to the storage. It is still due, or it is not.
            MissingDependencyError: The extra `schedules` is not installed.
        """
        moment, now = record.next_fire_at, now_ms()
        is_missed = now - moment > GRACE_MS
        catch_up = record.data.get("catchUp", "one")
        try:
            cron = cron_of(record.cron, record.timezone)
            next_at = cron.next_after(now if is_missed and catch_up != "all" else moment)
        except MissingDependencyError:
            raise
        except ConfigError as error:
            self._tell(error, record.id)
            await self.store.update(record.id, {"status": "paused"}, expected_next=moment)
            return
        run_id = run_id_of("sched", record.id, moment)
        trigger = TriggerRecord(run_id, record.id, run_id, moment, now, "published")
        changes: ScheduleChanges = {"next_fire_at": next_at}
        if is_missed and catch_up == "none":
            skipped = replace(trigger, run_id=None, outcome="skipped", error=_MISSED)
            await self.store.update(record.id, changes, expected_next=moment, trigger=skipped)
            return
        changes |= {"last_fire_at": now, "last_run_id": run_id}
        if record.target.startswith("workflow/") and self._is_started_once(record):
            outcome = await self._start_run(record, run_id)
            trigger = replace(trigger, outcome=outcome.outcome, error=outcome.error)
            await self.store.update(record.id, changes, expected_next=moment, trigger=trigger)
        elif await self.store.update(
            record.id, changes, expected_next=moment, expected_status="active"
        ):
            await self.start(record, trigger)

    async def start(self, record: ScheduleRecord, trigger: TriggerRecord) -> None:
        """Start what a schedule names, and note what came of it.

        Raises:
            StorageError: It could not be noted.
        """
        if record.target.startswith("agent/"):
            answer = asyncio.create_task(  # noqa: TID251 - an answer outlives the look at the clock
                self._answer(record, trigger), name=f"mastra schedule {record.id}"
            )
            self._answers.add(answer)
            answer.add_done_callback(self._answers.discard)
            return
        outcome = await self._start_run(record, trigger.run_id or "")
        await self.store.add_trigger(replace(trigger, outcome=outcome.outcome, error=outcome.error))

    def _is_started_once(self, record: ScheduleRecord) -> bool:
        spec: Any = self._workflow(record).spec
        return spec.should_persist_snapshot is None

    def _workflow(self, record: ScheduleRecord) -> Any:
        return self._mastra.get_workflow_by_id(record.target.partition("/")[2])

    async def _start_run(self, record: ScheduleRecord, run_id: str) -> Outcome:
        data = record.data
        try:
            run = await self._workflow(record).create_run(run_id, resource_id=record.resource_id)
            await run.start_async(
                data.get("inputData"),
                initial_state=data.get("initialState"),
                request_context=_context_of(record),
            )
        except StorageError:
            raise  # nothing is known of it: it is tried again
        except MastraError as error:
            if error.code in _NOT_BEGUN:
                return Outcome("skipped", error.message)
            self._tell(error, record.id)
            return Outcome("failed", error.message)
        except Exception as error:  # noqa: BLE001 - of the user's own callback `on_start`
            self._tell(error, record.id)
            return Outcome("failed", text_of(error))
        return Outcome("published")

    async def _answer(self, record: ScheduleRecord, trigger: TriggerRecord) -> None:
        outcome = Outcome("aborted", "The process ended before the agent did.")
        try:
            outcome = await self._ask(record, trigger.run_id or "")
        finally:
            noted = replace(trigger, outcome=outcome.outcome, error=outcome.error)
            await self.store.add_trigger(noted)

    async def _ask(self, record: ScheduleRecord, run_id: str) -> Outcome:
        data = record.data
        options: dict[str, Any] = {"run_id": run_id, "request_context": _context_of(record)}
        if "threadId" in data:
            options["memory"] = {"thread": data["threadId"], "resource": record.resource_id}
        if "providerOptions" in data:
            options["provider_options"] = data["providerOptions"]
        try:
            agent = self._mastra.get_agent_by_id(record.target.partition("/")[2])
            answer: Any = await agent.generate(data.get("prompt"), **options)
        except Exception as error:  # noqa: BLE001 - the next one is to come all the same
            self._tell(error, record.id)
            return Outcome("failed", text_of(error))
        if answer.tripwire is not None:
            return Outcome("failed", f"A processor refused it: {answer.tripwire.reason}")
        return Outcome("succeeded")

    def _tell(self, error: Exception, schedule_id: str) -> None:
        self._logger.error("Schedule %r could not start anything: %s", schedule_id, text_of(error))
        tell: Callable[[Exception, str], Any] | None = self._config.on_error
        if tell is not None:
            try:
                tell(error, schedule_id)
            except Exception:
                self._logger.exception("SchedulerConfig.on_error raised")

    async def aclose(self) -> None:
        """Stop answers that are under way."""
        answers = list(self._answers)
        for answer in answers:
            answer.cancel()
        await asyncio.gather(*answers, return_exceptions=True)


_MISSED: Final = "Nothing was there to start it when it was time."


def _context_of(record: ScheduleRecord) -> dict[str, Any]:
    """Return the values for what a schedule starts. Whose it is goes before what it was given."""
    context: Any = record.data.get("requestContext") or {}
    return context if record.resource_id is None else {**context, RESOURCE_ID: record.resource_id}
