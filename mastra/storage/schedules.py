"""What a store of schedules has to do, and one that keeps them in this process.

A schedule is due when its `next_fire_at` has come. Whoever starts what is due moves that on in one
atomic step in which the fire is also noted, so that several processes may look at once. Before
that a process reserves what it is about to start: the others then leave it alone for a while, which
saves work and decides nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeAlias, TypedDict

from mastra.jsonable import Json, dump_json, load_json
from mastra.storage.limits import check_columns

__all__ = [
    "InMemorySchedules",
    "ScheduleChanges",
    "ScheduleRecord",
    "ScheduleStatus",
    "ScheduleStore",
    "TriggerRecord",
    "check_schedule",
    "check_trigger",
]

ScheduleStatus: TypeAlias = Literal["active", "paused"]


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """One schedule. Times in milliseconds since 1970."""

    id: str
    target: str
    """What it starts: `workflow/` or `agent/` and an id."""
    cron: str
    timezone: str | None
    status: ScheduleStatus
    next_fire_at: int
    created_at: int
    updated_at: int
    resource_id: str | None = None
    """Whose it is, and whose runs it starts; `None` for the application's own."""
    last_fire_at: int | None = None
    last_run_id: str | None = None
    data: dict[str, Json] = field(default_factory=dict[str, Json])
    """What it is started with, and everything else."""
    error: str | None = None
    """Why the data could not be read. It is not stored."""


class ScheduleChanges(TypedDict, total=False):
    """Columns of a schedule to rewrite; the others stay."""

    cron: str
    timezone: str | None
    status: ScheduleStatus
    next_fire_at: int
    updated_at: int
    resource_id: str | None
    last_fire_at: int
    last_run_id: str
    data: dict[str, Json]


@dataclass(frozen=True, slots=True)
class TriggerRecord:
    """One fire of a schedule. Times in milliseconds since 1970."""

    id: str
    schedule_id: str
    run_id: str | None
    scheduled_at: int
    actual_at: int
    outcome: str
    kind: str = "schedule-fire"
    error: str | None = None
    data: dict[str, Json] = field(default_factory=dict[str, Json])


class ScheduleStore(Protocol):
    """Keeps schedules. Every call is safe from several processes where the store itself is."""

    @property
    def is_shared(self) -> bool:
        """Whether another process can change them."""
        ...

    async def create(self, record: ScheduleRecord) -> bool:
        """Store a schedule. Return `False`, changing nothing, if its id is taken."""
        ...

    async def get(self, schedule_id: str) -> ScheduleRecord | None:
        """Return a schedule, or `None`."""
        ...

    async def list(
        self,
        *,
        target: str | None = None,
        status: ScheduleStatus | None = None,
        resource_id: str | None = None,
    ) -> Sequence[ScheduleRecord]:
        """Return schedules, the first made first."""
        ...

    async def update(
        self,
        schedule_id: str,
        changes: ScheduleChanges,
        *,
        expected_next: int | None = None,
        expected_status: ScheduleStatus | None = None,
        trigger: TriggerRecord | None = None,
    ) -> bool:
        """Rewrite columns, and let go of what was reserved of it.

        Args:
            schedule_id: The schedule.
            changes: The columns.
            expected_next: Change nothing unless this is its `next_fire_at`.
            expected_status: Change nothing unless this is its status.
            trigger: Noted in the same atomic step.

        Returns:
            Whether it was there and met the expectations.
        """
        ...

    async def delete(self, schedule_id: str) -> bool:
        """Remove a schedule with its fires. Return whether it was there."""
        ...

    async def reserve(
        self, targets: Collection[str], *, by: str, now: int, until: int, limit: int
    ) -> Sequence[ScheduleRecord]:
        """Return active schedules that are due and that nobody else has reserved, the oldest first.

        Args:
            targets: Only what starts one of these.
            by: Who reserves them.
            now: What time it is.
            until: Until when the others leave them alone.
            limit: How many at most.
        """
        ...

    async def next_due(self, targets: Collection[str]) -> int | None:
        """Return when the next of the active ones can be reserved; `None` where there is none."""
        ...

    async def add_trigger(self, trigger: TriggerRecord) -> None:
        """Note a fire, in place of what was noted of it before."""
        ...

    async def list_triggers(
        self,
        schedule_id: str,
        *,
        from_ms: int | None = None,
        to_ms: int | None = None,
        limit: int | None = None,
    ) -> Sequence[TriggerRecord]:
        """Return the fires of a schedule, the latest first, from one time on and before another."""
        ...

    async def delete_triggers_before(self, before_ms: int) -> int:
        """Remove the fires of all schedules before a time. Return how many."""
        ...


def check_schedule(record: ScheduleRecord) -> bytes:
    """Return the data as JSON, of a schedule that every store takes.

    Raises:
        SerializationError: One of them would not take it.
    """
    what = f"Schedule {record.id!r}"
    texts = ("id", "target", "cron", "timezone", "resource_id", "last_run_id")
    check_columns(what, record, *texts, "next_fire_at", "last_fire_at", "created_at", "updated_at")
    return dump_json(record.data, what=what)


def check_trigger(trigger: TriggerRecord) -> bytes:
    """Return the data as JSON, of a fire that every store takes.

    Raises:
        SerializationError: One of them would not take it.
    """
    what = f"Fire {trigger.id!r}"
    texts = ("id", "schedule_id", "run_id", "outcome", "kind", "error")
    check_columns(what, trigger, *texts, "scheduled_at", "actual_at")
    return dump_json(trigger.data, what=what)


class InMemorySchedules:
    """Keeps schedules in dicts."""

    is_shared = False

    def __init__(self) -> None:
        self._kept: dict[str, ScheduleRecord] = {}
        self._fires: dict[str, dict[str, TriggerRecord]] = {}

    async def create(self, record: ScheduleRecord) -> bool:
        """Store a schedule unless its id is taken."""
        data = check_schedule(record)
        if record.id in self._kept:
            return False
        self._kept[record.id] = replace(record, data=load_json(data))
        return True

    async def get(self, schedule_id: str) -> ScheduleRecord | None:
        """Return a schedule, or `None`."""
        found = self._kept.get(schedule_id)
        return None if found is None else replace(found, data=load_json(dump_json(found.data)))

    async def list(
        self,
        *,
        target: str | None = None,
        status: ScheduleStatus | None = None,
        resource_id: str | None = None,
    ) -> Sequence[ScheduleRecord]:
        """Return schedules, the first made first."""
        return [
            found
            for kept in self._kept.values()
            if target in (None, kept.target)
            and status in (None, kept.status)
            and resource_id in (None, kept.resource_id)
            and (found := await self.get(kept.id)) is not None
        ]

    async def update(
        self,
        schedule_id: str,
        changes: ScheduleChanges,
        *,
        expected_next: int | None = None,
        expected_status: ScheduleStatus | None = None,
        trigger: TriggerRecord | None = None,
    ) -> bool:
        """Rewrite columns."""
        kept = self._kept.get(schedule_id)
        if (
            kept is None
            or expected_next not in (None, kept.next_fire_at)
            or expected_status not in (None, kept.status)
        ):
            return False
        changed = replace(kept, **changes)
        self._kept[schedule_id] = replace(changed, data=load_json(check_schedule(changed)))
        if trigger is not None:
            await self.add_trigger(trigger)
        return True

    async def delete(self, schedule_id: str) -> bool:
        """Remove a schedule with its fires."""
        self._fires.pop(schedule_id, None)
        return self._kept.pop(schedule_id, None) is not None

    async def reserve(
        self, targets: Collection[str], *, by: str, now: int, until: int, limit: int
    ) -> Sequence[ScheduleRecord]:
        """Return active schedules that are due; nobody else can reserve them."""
        del by, until
        due = [
            one
            for one in self._kept.values()
            if one.status == "active" and one.next_fire_at <= now and one.target in targets
        ]
        due.sort(key=lambda one: one.next_fire_at)
        return due[:limit]

    async def next_due(self, targets: Collection[str]) -> int | None:
        """Return when the next of the active ones is due."""
        active = (one for one in self._kept.values() if one.status == "active")
        return min((one.next_fire_at for one in active if one.target in targets), default=None)

    async def add_trigger(self, trigger: TriggerRecord) -> None:
        """Note a fire."""
        data = check_trigger(trigger)
        fires = self._fires.setdefault(trigger.schedule_id, {})
        fires[trigger.id] = replace(trigger, data=load_json(data))

    async def list_triggers(
        self,
        schedule_id: str,
        *,
        from_ms: int | None = None,
        to_ms: int | None = None,
        limit: int | None = None,
    ) -> Sequence[TriggerRecord]:
        """Return the fires of a schedule, the latest first."""
        found = [
            one
            for one in reversed(self._fires.get(schedule_id, {}).values())
            if (from_ms is None or one.actual_at >= from_ms)
            and (to_ms is None or one.actual_at < to_ms)
        ]
        found.sort(key=lambda one: one.actual_at, reverse=True)
        return found[:limit]

    async def delete_triggers_before(self, before_ms: int) -> int:
        """Remove the fires of all schedules before a time."""
        count = 0
        for fires in self._fires.values():
            old = [name for name, one in fires.items() if one.actual_at < before_ms]
            for name in old:
                del fires[name]
            count += len(old)
        return count
