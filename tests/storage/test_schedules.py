"""Stores of schedules: what is due is one process's at a time, and moves on once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from mastra.errors import SerializationError
from mastra.storage.schedules import ScheduleRecord, ScheduleStore, TriggerRecord

pytestmark = pytest.mark.anyio

TARGETS = {"workflow/w", "agent/a"}


def schedule(name: str = "s", **columns: Any) -> ScheduleRecord:
    given = {"target": "workflow/w", "next_fire_at": 100, "status": "active", **columns}
    return ScheduleRecord(
        name, cron="0 9 * * *", timezone="UTC", created_at=1, updated_at=2, **given
    )


def fire(name: str, at: int, schedule_id: str = "s", **columns: Any) -> TriggerRecord:
    return TriggerRecord(name, schedule_id, name, at, at, "published", **columns)


@pytest.fixture
async def kept(storage: Any) -> Any:
    yield storage.schedules
    await storage.aclose()


async def test_a_schedule_comes_back_as_it_was_stored(kept: ScheduleStore) -> None:
    one = schedule(data={"inputData": {"a": [1, None]}}, resource_id="ada", last_fire_at=7)
    assert await kept.create(one)
    assert not await kept.create(replace(one, cron="1 1 1 1 1"))
    assert await kept.get("s") == one
    assert await kept.get("t") is None


async def test_they_are_listed_by_what_they_are(kept: ScheduleStore) -> None:
    made = [
        schedule("b"),
        schedule("a", target="agent/a", resource_id="ada"),
        schedule("c", status="paused", resource_id="ada"),
    ]
    for one in made:
        await kept.create(one)
    assert list(await kept.list()) == made
    assert [one.id for one in await kept.list(target="workflow/w")] == ["b", "c"]
    assert [one.id for one in await kept.list(status="active", resource_id="ada")] == ["a"]


async def test_what_is_due_is_reserved_once_and_the_oldest_first(kept: ScheduleStore) -> None:
    await kept.create(schedule("late", next_fire_at=50))
    await kept.create(schedule("due", next_fire_at=100))
    await kept.create(schedule("later", next_fire_at=101))
    await kept.create(schedule("paused", status="paused", next_fire_at=1))
    await kept.create(schedule("unknown", target="workflow/x", next_fire_at=1))
    found = await kept.reserve(TARGETS, by="me", now=100, until=150, limit=5)
    assert [one.id for one in found] == ["late", "due"]
    assert await kept.reserve(set(), by="me", now=100, until=150, limit=5) == []
    if kept.is_shared:
        assert await kept.reserve(TARGETS, by="you", now=100, until=150, limit=5) == []
        assert await kept.next_due(TARGETS) == 101
        again = await kept.reserve(TARGETS, by="you", now=151, until=200, limit=1)
        assert [one.id for one in again] == ["late"]


async def test_the_next_moment_is_that_of_what_this_process_can_start(kept: ScheduleStore) -> None:
    assert await kept.next_due(TARGETS) is None
    await kept.create(schedule("x", target="workflow/x", next_fire_at=1))
    await kept.create(schedule("p", status="paused", next_fire_at=2))
    await kept.create(schedule("a", target="agent/a", next_fire_at=30))
    assert await kept.next_due(TARGETS) == 30
    assert await kept.next_due(set()) is None


async def test_it_moves_on_once_together_with_the_note_of_it(kept: ScheduleStore) -> None:
    await kept.create(schedule())
    moved = [
        kept.update("s", {"next_fire_at": 200}, expected_next=100, trigger=fire(f"f{n}", 100))
        for n in range(4)
    ]
    assert sorted(await asyncio.gather(*moved)) == [False, False, False, True]
    assert len(await kept.list_triggers("s")) == 1
    await kept.update("s", {"status": "paused", "timezone": None, "data": {"a": 1}})
    found = await kept.get("s")
    assert found is not None
    assert (found.status, found.timezone, found.data) == ("paused", None, {"a": 1})
    assert not await kept.update("s", {"next_fire_at": 300}, expected_status="active")
    assert await kept.update("s", {"next_fire_at": 300}, expected_next=200)
    assert not await kept.update("t", {"next_fire_at": 300})


async def test_fires_are_listed_the_latest_first_and_forgotten_by_age(kept: ScheduleStore) -> None:
    await kept.create(schedule())
    for at in (10, 20, 30):
        await kept.add_trigger(fire(f"f{at}", at))
    await kept.add_trigger(fire("f20", 20, error="again", data={"n": 1}))
    await kept.add_trigger(fire("other", 20, "t"))
    found = await kept.list_triggers("s")
    assert [one.id for one in found] == ["f30", "f20", "f10"]
    assert (found[1].error, found[1].data) == ("again", {"n": 1})
    some = await kept.list_triggers("s", from_ms=10, to_ms=30, limit=1)
    assert [one.id for one in some] == ["f20"]
    assert await kept.delete_triggers_before(20) == 1
    assert [one.id for one in await kept.list_triggers("s")] == ["f30", "f20"]
    assert await kept.delete("s")
    assert not await kept.delete("s")
    assert await kept.list_triggers("s") == []
    assert len(await kept.list_triggers("t")) == 1


async def test_what_some_database_does_not_take_none_does(kept: ScheduleStore) -> None:
    with pytest.raises(SerializationError, match="cron holds a NUL"):
        await kept.create(replace(schedule(), cron="\0"))
    with pytest.raises(SerializationError, match="outcome holds"):
        await kept.add_trigger(replace(fire("f", 1), outcome="\ud800"))
