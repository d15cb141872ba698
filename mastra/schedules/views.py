"""Schedules and their fires as callers see them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Self

from mastra.jsonable import Json
from mastra.names import camel
from mastra.storage.schedules import ScheduleRecord, ScheduleStatus, TriggerRecord
from mastra.workflows.schedule import CatchUp

__all__ = ["OF_AGENTS", "OF_WORKFLOWS", "Schedule", "ScheduleTrigger"]

OF_WORKFLOWS: Final = ("input_data", "initial_state", "request_context")
"""What only a workflow's schedule has."""
OF_AGENTS: Final = ("prompt", "name", "thread_id", "provider_options")
"""What only an agent's has."""
_IN_DATA: Final = (*OF_WORKFLOWS, *OF_AGENTS, "metadata", "catch_up")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a workflow or an agent is started, and with what. Times in milliseconds since 1970."""

    id: str
    workflow_id: str | None = None
    """Which workflow, where it is one."""
    agent_id: str | None = None
    """Which agent, where it is one."""
    cron: str
    timezone: str | None = None
    """An IANA name; `None` for that of the expression, else UTC."""
    status: ScheduleStatus
    next_fire_at: int
    last_fire_at: int | None = None
    last_run_id: str | None = None
    resource_id: str | None = None
    """Whose it is, and whose runs it starts."""
    input_data: Any = None
    initial_state: Any = None
    request_context: dict[str, Json] | None = None
    prompt: str | None = None
    """What an agent is asked."""
    name: str | None = None
    thread_id: str | None = None
    """The conversation that an agent answers in."""
    provider_options: dict[str, Json] | None = None
    metadata: dict[str, Json] | None = None
    catch_up: CatchUp = "one"
    """What becomes of moments that passed while nothing was there to start anything."""
    created_at: int
    updated_at: int

    @classmethod
    def of(cls, record: ScheduleRecord) -> Self:
        """Return a schedule as it is stored."""
        kind, _, target_id = record.target.partition("/")
        data = {name: record.data.get(camel(name)) for name in _IN_DATA}
        given = {name: value for name, value in data.items() if value is not None}
        columns = {
            one.name: getattr(record, one.name) for one in fields(cls) if hasattr(record, one.name)
        }
        return cls(**columns, **{f"{kind}_id": target_id}, **given)

    def to_wire(self) -> dict[str, Json]:
        """Return it as clients have it."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {camel(name): value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleTrigger:
    """One fire of a schedule. Times in milliseconds since 1970."""

    id: str
    schedule_id: str
    run_id: str | None
    """The run that it started."""
    scheduled_fire_at: int
    actual_fire_at: int
    outcome: str
    """Of a workflow `published` once its run is under way; of an agent `succeeded` or `aborted`;
    of both `failed` and `skipped`."""
    trigger_kind: str = "schedule-fire"
    """Or `manual`."""
    error: str | None = None

    @classmethod
    def of(cls, record: TriggerRecord) -> Self:
        """Return a fire as it is stored."""
        return cls(
            id=record.id,
            schedule_id=record.schedule_id,
            run_id=record.run_id,
            scheduled_fire_at=record.scheduled_at,
            actual_fire_at=record.actual_at,
            outcome=record.outcome,
            trigger_kind=record.kind,
            error=record.error,
        )

    def to_wire(self) -> dict[str, Json]:
        """Return it as clients have it."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            camel(name): value
            for name, value in values.items()
            if value is not None or name == "run_id"
        }
