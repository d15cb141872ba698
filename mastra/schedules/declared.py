"""What workflows say of their schedules, kept like all others when an application opens."""

from __future__ import annotations

from typing import Any, Final

from mastra.clock import now_ms
from mastra.cron import cron_of
from mastra.errors import ConfigError
from mastra.jsonable import Json
from mastra.schedules.firing import Registered
from mastra.schema import ANY
from mastra.storage.schedules import ScheduleChanges, ScheduleRecord, ScheduleStore
from mastra.workflows.schedule import WorkflowSchedule, target_values

__all__ = ["sync_declared"]

_PREFIX: Final = "wf_"
"""What the ids of declared schedules begin with; no other one does."""


async def sync_declared(mastra: Registered, store: ScheduleStore) -> None:
    """Store what the registered workflows say, and forget what they no longer do.

    What is the same stays as it is, with its next moment and paused where somebody paused it.

    Raises:
        ConfigError: A `cron` is no expression, or two workflows' schedules are stored under one id.
    """
    owners: dict[str, str] = {}
    for workflow in mastra.list_workflows().values():
        declared = {_id(workflow.id, one): one for one in _declared(workflow)}
        for schedule_id in declared:
            if owners.setdefault(schedule_id, workflow.id) != workflow.id:
                raise ConfigError(
                    f"Workflows {owners[schedule_id]!r} and {workflow.id!r} both declare a schedule "
                    f"that is stored as {schedule_id!r}: give one of the schedules another id."
                )
        target = f"workflow/{workflow.id}"
        for known in await store.list(target=target):
            if known.id.startswith(_PREFIX) and known.id not in declared:
                await store.delete(known.id)
        for schedule_id, schedule in declared.items():
            await _keep(store, workflow, schedule_id, schedule)


def _declared(workflow: Any) -> tuple[WorkflowSchedule, ...]:
    """Return a workflow's schedules, with its `cron` where nobody else looks at the clock for it."""
    spec, flow = workflow.spec, workflow.spec.flow_control
    if flow.get("cron") is None or workflow.runtime.engine.has_server:
        return spec.schedules
    cron = WorkflowSchedule(
        cron=flow["cron"],
        input_data=flow.get("input_data"),
        initial_state=flow.get("initial_state"),
    )
    if any(one.id is None for one in spec.schedules):
        raise ConfigError(
            f"Workflow {workflow.id!r} has both `cron` and a `schedule` without an id: give the "
            "schedule an id, or leave one of them out."
        )
    return (*spec.schedules, cron)


def _id(workflow_id: str, schedule: WorkflowSchedule) -> str:
    name = f"{_PREFIX}{workflow_id}"
    return name if schedule.id is None else f"{name}__{schedule.id}"


async def _keep(
    store: ScheduleStore, workflow: Any, schedule_id: str, schedule: WorkflowSchedule
) -> None:
    data: dict[str, Json] = target_values(
        workflow.spec, schedule.input_data, schedule.initial_state, schedule.request_context
    )
    if schedule.metadata is not None:
        data["metadata"] = ANY.pack(schedule.metadata, what=f"metadata of {schedule_id!r}")
    if schedule.catch_up != "one":
        data["catchUp"] = schedule.catch_up
    now = now_ms()
    next_at = cron_of(schedule.cron, schedule.timezone).next_after(now)
    record = ScheduleRecord(
        id=schedule_id,
        target=f"workflow/{workflow.id}",
        cron=schedule.cron,
        timezone=schedule.timezone,
        status="active",
        next_fire_at=next_at,
        created_at=now,
        updated_at=now,
        data=data,
    )
    if await store.create(record):
        return
    known = await store.get(schedule_id)
    if known is None or (known.cron, known.timezone, known.data) == (
        record.cron,
        record.timezone,
        record.data,
    ):
        return
    changes: ScheduleChanges = {
        "cron": record.cron,
        "timezone": record.timezone,
        "data": data,
        "updated_at": now,
    }
    if (known.cron, known.timezone) != (record.cron, record.timezone):
        changes["next_fire_at"] = next_at
    await store.update(schedule_id, changes)
