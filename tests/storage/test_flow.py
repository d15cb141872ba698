"""Stores of tickets: who is let in is decided once, and nobody who is dead is in the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mastra.storage.flow import UNSHARED, FlowStore, Ticket
from mastra.storage.sql import SQLStorage
from mastra.workflows.engines.door import let_in
from tests.support.storage import SHARED_STORES, drivers_of_claims

pytestmark = pytest.mark.anyio

ME = "m" * 36


def ticket(run_id: str, **columns: Any) -> Ticket:
    given = {"owner": UNSHARED, "rank": 0, "due_at": 0, "first_at": 0, **columns}
    return Ticket("w", run_id, "w", **given)


@pytest.fixture
async def flow(storage: Any) -> AsyncIterator[FlowStore]:
    store = storage.workflows
    if store.drivers is not None:
        await store.drivers.beat(ME, "")
    yield store.flow
    await storage.aclose()


@pytest.fixture
def owner(storage: Any) -> str:
    return UNSHARED if storage.workflows.drivers is None else f"{ME}:1"


def ids(tickets: Any) -> list[str]:
    return [one.run_id for one in tickets]


async def test_those_that_may_begin_are_called_in_their_order(flow: FlowStore, owner: str) -> None:
    for run_id, rank, due_at in (("b", 2, 0), ("a", 1, 0), ("later", 0, 50), ("c", 2, 0)):
        await flow.put(ticket(run_id, owner=owner, rank=rank, due_at=due_at, lane_a="x", limit_a=2))
    assert ids(await flow.waiting("w", now=10, without=(), limit=5)) == ["a", "b", "c"]
    assert ids(await flow.waiting("w", now=10, without=["x"], limit=5)) == []
    assert await let_in(flow, "w", 10) is None
    assert sorted(ids(await flow.called(owner[:36]))) == ["a", "b"]
    await flow.remove("w", "a", owner)
    assert await let_in(flow, "w", 60) is None
    assert sorted(ids((await flow.read("w")).tickets)) == ["b", "later"]


async def test_one_that_is_held_up_holds_up_nobody_else(flow: FlowStore, owner: str) -> None:
    for n in range(250):
        await flow.put(ticket(f"x{n}", owner=owner, rank=n, lane_a="x", limit_a=1))
    await flow.put(ticket("y", owner=owner, rank=999, lane_a="y", limit_a=1))
    await let_in(flow, "w", 1)
    assert sorted(ids(await flow.called(owner[:36]))) == ["x0", "y"]


async def test_a_door_is_changed_by_one_at_a_time(flow: FlowStore, owner: str) -> None:
    waiting = [ticket(f"r{n}", owner=owner) for n in range(4)]
    for one in waiting:
        await flow.put(one)
    for version in (0, 1):
        writes = [
            flow.write("w", version, called=[replace(one, state="in")], marks={"m": version})
            for one in waiting[2 * version : 2 * version + 2]
        ]
        assert sorted(await asyncio.gather(*writes)) == [False, True]
    view = await flow.read("w")
    assert (view.version, len(view.tickets)) == (2, 2)
    assert await flow.marks(["m", "none"]) == {"m": 1}


async def test_one_that_has_left_is_not_called_back(flow: FlowStore, owner: str) -> None:
    gone = ticket("gone", owner=owner)
    await flow.put(gone)
    await flow.remove("w", "gone", owner)
    assert await flow.write(
        "w", 0, called=[replace(gone, state="in")], new=ticket("n", owner=owner)
    )
    assert ids(await flow.waiting("w", now=1, without=(), limit=9)) == ["n"]
    assert (await flow.read("w")).tickets == []


async def test_a_mark_moves_only_as_far_as_is_tolerated(flow: FlowStore) -> None:
    async def take(now: int) -> bool:
        return await flow.take("m", now_us=now, emission_us=100, tolerance_us=200)

    assert [await take(now) for now in (1000, 1000, 1000, 1099, 1100)] == [
        True,
        True,
        False,
        False,
        True,
    ]
    await flow.prune(1)
    assert await flow.marks(["m"]) == {"m": 1300}
    await flow.prune(2)
    assert await flow.marks(["m"]) == {}


@pytest.fixture(params=SHARED_STORES)
async def claims(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SQLStorage]:
    async with drivers_of_claims(request, tmp_path, alive="a" * 36, dead="d" * 36) as storage:
        yield storage


async def test_what_a_dead_driver_has_is_not_there(claims: SQLStorage) -> None:
    flow = claims.workflows.flow
    for run_id, driver in (("alive", "a" * 36), ("dead", "d" * 36)):
        await flow.put(ticket(run_id, owner=f"{driver}:1", lane_a="x", limit_a=1))
        if run_id == "dead":
            assert await let_in(flow, "w", 1) is None
    assert ids((await flow.read("w")).tickets) == ["alive"]
    await flow.prune(10)
    assert ids(await flow.called("d" * 36)) == []
