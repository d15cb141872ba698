"""`mastra.schedules`: what is scheduled, for programs and for the server's routes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict, Unpack, get_args

from mastra.clock import ms_from_datetime, now_ms
from mastra.cron import cron_of
from mastra.errors import ConfigError, IdTakenError, NotFoundError
from mastra.given import AGE, ID, MAPPING, TEXT, Form, check_given, check_listing, one_of
from mastra.ids import new_id
from mastra.jsonable import Json
from mastra.names import camel, hint, python_names
from mastra.schedules.declared import sync_declared
from mastra.schedules.firing import Firing, Registered, run_id_of
from mastra.schedules.settings import SchedulerConfig
from mastra.schedules.ticker import Ticker
from mastra.schedules.views import OF_AGENTS, OF_WORKFLOWS, Schedule, ScheduleTrigger
from mastra.schema import ANY
from mastra.services import surroundings
from mastra.storage.schedules import (
    ScheduleChanges,
    ScheduleRecord,
    ScheduleStatus,
    TriggerRecord,
)
from mastra.workflows.schedule import CATCH_UP, CatchUp, target_values

__all__ = ["ScheduleOptions", "Schedules"]

_SLUG: Final = re.compile(r"[^A-Za-z0-9_-]+")


class ScheduleOptions(TypedDict, total=False):
    """What a schedule may have beside its target and its cron expression."""

    timezone: str | None
    status: ScheduleStatus
    resource_id: str | None
    metadata: Mapping[str, Any] | None
    catch_up: CatchUp
    input_data: Any
    initial_state: Any
    request_context: Mapping[str, Any] | None
    prompt: str
    name: str | None
    thread_id: str | None
    provider_options: Mapping[str, Any] | None


_OPTIONS: Final[Mapping[str, Form]] = {
    "timezone": TEXT,
    "status": one_of(*get_args(ScheduleStatus)),
    "resource_id": ID,
    "metadata": MAPPING,
    "catch_up": one_of(*CATCH_UP),
    "request_context": MAPPING,
    "name": TEXT,
    "thread_id": ID,
    "provider_options": MAPPING,
}


@python_names
class Schedules:
    """Keeps schedules, and starts what they name.

    A process starts what is due while its application is open: in `async with mastra`, or served.
    """

    def __init__(self, mastra: Registered, config: SchedulerConfig) -> None:
        self._mastra = mastra
        self._config = config
        self._firing = Firing(mastra, config)
        self._ticker = Ticker(mastra, self._firing, config)

    # -- what there is -------------------------------------------------------------------------

    async def create(
        self,
        *,
        cron: str,
        workflow_id: str | None = None,
        agent_id: str | None = None,
        id: str | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> Schedule:
        """Keep a schedule.

        Args:
            cron: Five fields, or six with seconds first, or a name such as `"@daily"`.
            workflow_id: The workflow to start, with `input_data`, `initial_state` and
                `request_context`.
            agent_id: Or the agent to ask, with `prompt`; `thread_id` with `resource_id` is the
                conversation that it answers in.
            id: Its id, to which `schedule_` or `agent_` is added; left out, a random one.
            options: See `ScheduleOptions`.

        Raises:
            ConfigError: An option is not of its form, or none of this target.
            NotFoundError: There is no such workflow or agent.
            IdTakenError: There is a schedule of this id.
            InputValidationError: The workflow does not take what it is to be started with.
        """
        if (workflow_id is None) == (agent_id is None):
            raise ConfigError("A schedule starts either a workflow_id or an agent_id.")
        kind = "workflow" if workflow_id is not None else "agent"
        target = f"{kind}/{self._target_id(workflow_id, agent_id)}"
        prefix = "schedule" if kind == "workflow" else "agent"
        with surroundings(self._mastra):
            name = f"{prefix}_{new_id()}" if id is None else _slug(id, prefix)
            now = now_ms()
        timezone = options.get("timezone")
        record = ScheduleRecord(
            id=name,
            target=target,
            cron=cron,
            timezone=timezone,
            status=options.get("status") or "active",
            next_fire_at=cron_of(cron, timezone).next_after(now),
            created_at=now,
            updated_at=now,
            resource_id=options.get("resource_id"),
        )
        record = self._with_data(record, dict(options))
        if not await self._firing.store.create(record):
            raise IdTakenError(
                f"There is a schedule {name!r} already: give the new one another id."
            )
        self._ticker.wake()
        return Schedule.of(record)

    def _target_id(self, workflow_id: str | None, agent_id: str | None) -> str:
        if workflow_id is not None:
            return self._mastra.get_workflow_by_id(workflow_id).id
        return self._mastra.get_agent_by_id(agent_id or "").id

    def _with_data(self, record: ScheduleRecord, options: dict[str, Any]) -> ScheduleRecord:
        """Return a schedule with what it is to be started with, checked."""
        kind, _, target_id = record.target.partition("/")
        others = OF_AGENTS if kind == "workflow" else OF_WORKFLOWS
        known = ScheduleOptions.__annotations__.keys() - set(others)
        if unknown := {name for name in options if name not in known}:
            raise ConfigError(
                f"A schedule of {'a' if kind == 'workflow' else 'an'} {kind} has no "
                f"{', '.join(sorted(unknown))}. Known: {', '.join(sorted(known))}."
                f"{hint(unknown, known)}"
            )
        check_given(f"Schedule {record.id!r}", options, _OPTIONS)
        old = Schedule.of(record)
        names = (OF_WORKFLOWS if kind == "workflow" else OF_AGENTS) + ("metadata", "catch_up")
        kept: dict[str, Any] = {name: options.get(name, getattr(old, name)) for name in names}
        data: dict[str, Json] = {
            camel(name): ANY.pack(kept[name], what=f"{name} of schedule {record.id!r}")
            for name in names
            if kept[name] is not None
        }
        if kind == "workflow":
            spec: Any = self._mastra.get_workflow_by_id(target_id)
            data |= target_values(spec.spec, *(kept[name] for name in OF_WORKFLOWS))
        else:
            _check_agent(record, kept)
        return replace(record, data=data)

    async def get(self, schedule_id: str) -> Schedule | None:
        """Return a schedule, or `None`."""
        record = await self._firing.store.get(schedule_id)
        return None if record is None else Schedule.of(record)

    async def list(
        self,
        *,
        workflow_id: str | None = None,
        agent_id: str | None = None,
        status: ScheduleStatus | None = None,
        resource_id: str | None = None,
        thread_id: str | None = None,
        name: str | None = None,
    ) -> list[Schedule]:
        """Return schedules, the first made first.

        Args:
            workflow_id: Only those that start this workflow.
            agent_id: Only those that ask this agent.
            status: Only those that are active, or paused.
            resource_id: Only those of this resource.
            thread_id: Only those whose agent answers in this conversation.
            name: Only those of this name.
        """
        target = f"workflow/{workflow_id}" if workflow_id else None
        if agent_id:
            target = f"agent/{agent_id}"
        found = await self._firing.store.list(target=target, status=status, resource_id=resource_id)
        views = [Schedule.of(record) for record in found]
        return [
            view
            for view in views
            if thread_id in (None, view.thread_id)
            and name in (None, view.name)
            and workflow_id in (None, view.workflow_id)
        ]

    async def update(
        self, schedule_id: str, *, cron: str | None = None, **options: Unpack[ScheduleOptions]
    ) -> Schedule:
        """Change a schedule. A new expression or zone, and going on after a pause, count from now.

        Raises:
            NotFoundError: There is none.
            ConfigError: An option is not of its form, or none of its target.
            InputValidationError: The workflow does not take what it is to be started with.
        """
        record = await self._need(schedule_id)
        changed = self._with_data(
            replace(
                record,
                cron=record.cron if cron is None else cron,
                timezone=options.get("timezone", record.timezone),
                status=options.get("status") or record.status,
                resource_id=options.get("resource_id", record.resource_id),
            ),
            dict(options),
        )
        with surroundings(self._mastra):
            now = now_ms()
        changes: ScheduleChanges = {
            "cron": changed.cron,
            "timezone": changed.timezone,
            "status": changed.status,
            "resource_id": changed.resource_id,
            "data": changed.data,
            "updated_at": now,
        }
        cron_now = cron_of(changed.cron, changed.timezone)
        is_new = (changed.cron, changed.timezone) != (record.cron, record.timezone)
        if is_new or (record.status, changed.status) == ("paused", "active"):
            changes["next_fire_at"] = cron_now.next_after(now)
        await self._firing.store.update(schedule_id, changes)
        self._ticker.wake()
        return Schedule.of(await self._need(schedule_id))

    async def delete(self, schedule_id: str) -> None:
        """Remove a schedule and what is known of its fires. What it has started goes on.

        Raises:
            NotFoundError: There is none.
        """
        if not await self._firing.store.delete(schedule_id):
            raise await self._no_such(schedule_id)

    async def pause(self, schedule_id: str) -> Schedule:
        """Start nothing by a schedule until it is resumed; also after the next deploy.

        Raises:
            NotFoundError: There is none.
        """
        return await self._turn(schedule_id, "paused")

    async def resume(self, schedule_id: str) -> Schedule:
        """Go on with a schedule from now; what it would have started meanwhile is left out.

        Raises:
            NotFoundError: There is none.
        """
        return await self._turn(schedule_id, "active")

    async def _turn(self, schedule_id: str, status: ScheduleStatus) -> Schedule:
        record = await self._need(schedule_id)
        if record.status == status:
            return Schedule.of(record)
        return await self.update(schedule_id, status=status)

    async def run(self, schedule_id: str) -> dict[str, Any]:
        """Start what a schedule names once, at once, beside its moments. It may be paused.

        Returns:
            `scheduleId`, `claimId` (the id of the run), `scheduledFireAt`.

        Raises:
            NotFoundError: There is none.
        """
        record = await self._need(schedule_id)
        with surroundings(self._mastra):
            run_id, now = run_id_of("manual", schedule_id, new_id()), now_ms()
            trigger = TriggerRecord(run_id, record.id, run_id, now, now, "published", "manual")
            await self._firing.start(record, trigger)
        return {"scheduleId": schedule_id, "claimId": run_id, "scheduledFireAt": now}

    async def list_triggers(
        self,
        schedule_id: str,
        *,
        limit: int | None = None,
        from_date: datetime | None = None,
        to_date: datetime | None = None,
    ) -> list[ScheduleTrigger]:
        """Return when a schedule started something, the latest first.

        Args:
            schedule_id: The schedule.
            limit: How many at most.
            from_date: Only from then on.
            to_date: Only before then.

        Raises:
            ConfigError: An option is of another kind.
        """
        check_listing(f"Triggers of schedule {schedule_id!r}", locals())
        found = await self._firing.store.list_triggers(
            schedule_id,
            from_ms=None if from_date is None else ms_from_datetime(from_date),
            to_ms=None if to_date is None else ms_from_datetime(to_date),
            limit=limit,
        )
        return [ScheduleTrigger.of(one) for one in found]

    async def delete_triggers_older_than(self, age: timedelta) -> int:
        """Forget when schedules started things longer ago than this. Return how many.

        Raises:
            ConfigError: It is no length of time.
        """
        check_given("Triggers of schedules", {"age": age}, {"age": AGE})
        with surroundings(self._mastra):
            before = now_ms() - int(age.total_seconds() * 1000)
        return await self._firing.store.delete_triggers_before(before)

    async def _need(self, schedule_id: str) -> ScheduleRecord:
        record = await self._firing.store.get(schedule_id)
        if record is None:
            raise await self._no_such(schedule_id)
        return record

    async def _no_such(self, schedule_id: str) -> NotFoundError:
        """Return the error for an unknown id, such as one as it was given to `create`."""
        meant: list[str] = []
        for prefix in ("schedule", "agent", "wf"):
            name = f"{prefix}_{_SLUG.sub('-', str(schedule_id)).strip('-')}"
            if await self._firing.store.get(name) is not None:
                meant.append(repr(name))
        told = f" Did you mean {' or '.join(meant)}, which is its whole id?" if meant else ""
        return NotFoundError(f"There is no schedule {schedule_id!r}.{told}")

    # -- starting ------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take over what the workflows say of schedules, and begin to start what is due.

        Raises:
            ConfigError: What one says is not of its form.
        """
        with surroundings(self._mastra):
            await sync_declared(self._mastra, self._firing.store)
        if self._config.enabled:
            self._ticker.start()

    async def stop(self) -> None:
        """Start nothing more that is due; what has been started goes on."""
        await self._ticker.stop()

    async def aclose(self) -> None:
        """Start nothing more, and stop agents that answer because of a schedule."""
        await self._ticker.stop()
        await self._firing.aclose()


def _slug(given: str, prefix: str) -> str:
    slug = _SLUG.sub("-", given.removeprefix(f"{prefix}_")).strip("-")
    if not slug:
        raise ConfigError(f"The id {given!r} of a schedule has no letter and no digit.")
    return f"{prefix}_{slug}"


def _check_agent(record: ScheduleRecord, kept: dict[str, Any]) -> None:
    if not isinstance(kept["prompt"], str) or not kept["prompt"]:
        raise ConfigError("A schedule of an agent needs the prompt to ask it.")
    if kept["thread_id"] is not None and record.resource_id is None:
        raise ConfigError("A schedule with a thread_id needs the resource_id whose thread it is.")
