"""An application with something to schedule, and a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from mastra import Mastra, StepContext, create_step, create_workflow
from mastra.schedules import ScheduleTrigger
from mastra.testing import FakeClock

START = datetime(2026, 5, 4, 8, 30, tzinfo=UTC)


def hand_clock(start: datetime = START) -> FakeClock:
    return FakeClock(start, auto=False)


def flow(seen: list[Any], *, id: str = "flow", **options: Any) -> Any:
    """Return a workflow that notes what it is given, and whose run it is."""

    def note(ctx: StepContext[Any]) -> Any:
        seen.append((ctx.run_id, ctx.input_data, ctx.resource_id, dict(ctx.state)))
        return ctx.input_data

    step = create_step(
        id="note", input_schema=dict[str, Any], output_schema=dict[str, Any], execute=note
    )
    return (
        create_workflow(id=id, input_schema=dict[str, Any], output_schema=dict[str, Any], **options)
        .then(step)
        .commit()
    )


async def until(is_so: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.01)


async def fires(
    mastra: Mastra, schedule_id: str, count: int, *, outcomes: Sequence[str] = ()
) -> list[ScheduleTrigger]:
    """Return the fires of a schedule once there are so many, the first first."""
    async with asyncio.timeout(30):
        while True:
            found = await mastra.schedules.list_triggers(schedule_id)
            done = [one for one in found if not outcomes or one.outcome in outcomes]
            if len(done) >= count:
                return done[::-1]
            await asyncio.sleep(0.01)


def hours(found: Sequence[ScheduleTrigger]) -> list[str]:
    return [
        datetime.fromtimestamp(one.scheduled_fire_at / 1000, UTC).strftime("%d %H:%M")
        for one in found
    ]
