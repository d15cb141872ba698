"""Who drives a run: one process at a time, for as long as it shows that it is alive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from mastra.errors import RunClaimedError
from mastra.storage.base import WorkflowStore
from mastra.storage.drivers import DRIVER_ID_LENGTH, DriverStore, Work
from mastra.storage.sql import leases
from mastra.storage.sql.leases import SQLDrivers
from mastra.storage.sql.workflows import SQLWorkflowStore
from tests.support.storage import (
    SHARED_STORES,
    TestRow,
    append,
    drivers_of_claims,
    head,
    keys,
    values,
)

ALIVE, DEAD, GONE = (f"{name * DRIVER_ID_LENGTH}:1" for name in "abc")
"""Claims of a driver with a lease, of one whose lease is over, and of one that nobody knows."""
ALL = Work("w", "r")


@pytest.fixture(params=SHARED_STORES)
async def leased(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[WorkflowStore]:
    """Runs in a database with two drivers."""
    async with drivers_of_claims(request, tmp_path, alive=ALIVE, dead=DEAD) as storage:
        yield storage.workflows


@pytest.mark.parametrize(
    ("owner", "dead", "is_won"),
    [
        pytest.param(None, (), True, id="nobody drives it"),
        pytest.param("me", (), True, id="I drive it"),
        pytest.param(ALIVE, (), False, id="one who lives drives it"),
        pytest.param(ALIVE, ("she", ALIVE, "he"), True, id="it is known to be dead"),
        pytest.param(ALIVE, ("she",), False, id="somebody else is dead"),
        pytest.param(DEAD, (), True, id="the lease is over"),
        pytest.param(GONE, (), True, id="the driver is not known"),
    ],
)
async def test_a_run_is_claimed_where_nobody_alive_drives_it(
    leased: WorkflowStore, owner: str | None, dead: Any, is_won: bool
) -> None:
    await leased.create_run(head(owner=owner))
    assert await leased.claim("w", "r", "me", dead_owners=dead) is is_won
    run = await leased.get_run("w", "r")
    assert run is not None
    assert run.owner == ("me" if is_won else owner)


@pytest.mark.parametrize("hours", [-5, 5])
async def test_a_lease_of_the_time_before_the_database_s_clock_was_set_is_over(
    leased: Any, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    drivers = drivers_of(leased)
    await leased.create_run(head(owner=ALIVE))
    assert await drivers.begin_work(ALL, ALIVE)
    assert not await leased.claim("w", "r", "me")
    real = leases.database_clock
    monkeypatch.setattr(leases, "database_clock", lambda name: real(name) + hours * 3_600_000)
    set_back = SQLWorkflowStore(leased._database, SQLDrivers(leased._database, 60, Any))
    (worker,) = await drivers_of(set_back).workers(ALL)
    assert worker.is_over
    await drivers_of(set_back).beat(ALIVE[:DRIVER_ID_LENGTH], "")
    assert not await set_back.claim("w", "r", "me")  # it lives
    monkeypatch.undo()
    again = SQLWorkflowStore(leased._database, SQLDrivers(leased._database, 60, Any))
    assert await again.claim("w", "r", "me")


@pytest.mark.parametrize(("until", "is_won"), [(2**52, False), (1, True)])
async def test_a_program_of_an_earlier_version_has_its_lease_in_the_run(
    leased: WorkflowStore, until: int, is_won: bool
) -> None:
    await leased.create_run(head(owner="host:17:1:1", lease_until=until))
    assert await leased.claim("w", "r", "me") is is_won


async def test_a_run_that_is_not_there_cannot_be_claimed(store: WorkflowStore) -> None:
    assert not await store.claim("w", "r", "me")


async def test_one_of_many_claims_wins(store: WorkflowStore) -> None:
    await store.create_run(head(owner="me"))
    won: list[str] = []

    async def claim(owner: str) -> None:
        if store.drivers is not None:
            await store.drivers.beat(owner, "")
        if await store.claim("w", "r", owner, dead_owners=["me"]):
            won.append(owner)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(claim, f"p{number}")
    assert len(won) == 1


async def test_a_sign_of_life_prolongs_a_lease(leased: WorkflowStore) -> None:
    await leased.create_run(head(owner=DEAD))
    assert leased.drivers is not None
    await leased.drivers.beat(DEAD[:DRIVER_ID_LENGTH], "")
    assert not await leased.claim("w", "r", "me")
    await leased.drivers.forget(DEAD[:DRIVER_ID_LENGTH])
    assert await leased.claim("w", "r", "me")


async def test_runs_that_nobody_drives_are_found(leased: WorkflowStore) -> None:
    for number, owner in enumerate((None, ALIVE, DEAD, GONE)):
        for status in ("running", "waiting", "suspended", "pending"):
            await leased.create_run(
                head(f"{status}-{number}", owner=owner, status=status, created_at=number + 1)
            )
    await leased.create_run(head("other", "v", status="running"))
    await leased.create_run(head("answered", status="suspended", answers=[1]))
    await leased.create_run(head("answered-and-over", status="success", answers=[1]))
    found = await leased.list_unled(["w", "u"], limit=99)
    assert sorted(run.run_id for run in found) == [
        "answered",
        *("running-0", "running-2", "running-3"),
        *("waiting-0", "waiting-2", "waiting-3"),
    ]
    assert {run.owner for run in found} == {None, DEAD, GONE}
    alive = ALIVE[:DRIVER_ID_LENGTH]
    more = await leased.list_unled(["w"], dead_drivers=[alive], limit=99)
    assert len(more) == 9
    assert len(await leased.list_unled(["w"], limit=2)) == 2


@pytest.mark.parametrize("count", [1, 3])
async def test_only_the_owner_of_a_run_appends_to_it(leased: WorkflowStore, count: int) -> None:
    await leased.create_run(head(owner="me"))
    rows = [TestRow(f"k{number}") for number in range(count)]
    await append(leased, "r", *rows, owner="me")
    await append(leased, "r", *rows, owner="me")
    for options in ({}, {"is_again": True}):
        with pytest.raises(RunClaimedError, match="taken over by 'me'"):
            await append(leased, "r", *rows, owner="you", **options)
    assert keys(await leased.load_rows("w", "r")) == [row.key for row in (*rows, *rows)]
    await leased.claim("w", "r", "you", dead_owners=["me"])
    with pytest.raises(RunClaimedError, match="taken over by 'you'"):
        await append(leased, "r", *rows, owner="me")
    await append(leased, "nobody", *rows, owner="me")


@pytest.mark.parametrize("stored", range(4))
@pytest.mark.parametrize("before", range(3))
async def test_rows_whose_storing_was_not_answered_are_stored_once(
    leased: WorkflowStore, stored: int, before: int
) -> None:
    await leased.create_run(head(owner="me"))
    rows = [TestRow("a", 1), TestRow("", 2), TestRow("c", 3)]
    for place in range(before):
        await append(leased, "r", TestRow("a", -place), owner="me")
    if stored:
        await append(leased, "r", *rows[:stored], owner="me")
    await append(leased, "r", *rows, owner="me", is_again=True)
    await append(leased, "r", *rows, owner="me", is_again=True)
    found = values(await leased.load_rows("w", "r"))
    assert found == [*(-place for place in range(before)), 1, 2, 3]


ONE, OTHER = Work("w", "r", "one"), Work("w", "r", "other")
ME, HER = (f"{name * DRIVER_ID_LENGTH}:1" for name in "de")


def drivers_of(store: WorkflowStore) -> DriverStore:
    assert store.drivers is not None
    return store.drivers


@pytest.mark.parametrize(
    ("theirs", "owner", "mine", "dead", "is_mine"),
    [
        pytest.param(ALL, ALIVE, ALL, (), False, id="another is at work"),
        pytest.param(ALL, ALIVE, ALL, ("she", ALIVE, "he"), True, id="it is known to be dead"),
        pytest.param(ALL, ALIVE, ALL, ("she",), False, id="somebody else is dead"),
        pytest.param(ALL, ME, ALL, (), True, id="I am at work"),
        pytest.param(ONE, ALIVE, ONE, (), False, id="on the same part"),
        pytest.param(ONE, ALIVE, OTHER, (), True, id="on another part"),
        pytest.param(ONE, ALIVE, ALL, (), False, id="on a part of what I want"),
        pytest.param(ALL, ALIVE, ONE, (), False, id="on all of it"),
        pytest.param(Work("w", "s"), ALIVE, ALL, (), True, id="on another run"),
        pytest.param(Work("v", "r"), ALIVE, ALL, (), True, id="on a run of another workflow"),
    ],
)
async def test_no_two_who_live_are_at_work_on_the_same(
    leased: WorkflowStore, theirs: Work, owner: str, mine: Work, dead: Any, is_mine: bool
) -> None:
    drivers = drivers_of(leased)
    assert await drivers.begin_work(theirs, owner)
    await drivers.beat(ME[:DRIVER_ID_LENGTH], "")
    assert await drivers.begin_work(mine, ME, dead_owners=dead) is is_mine
    assert (ME in [worker.owner for worker in await drivers.workers(mine)]) is is_mine
    # What one has, others wait for, until it is given back by who has it.
    assert not await drivers.begin_work(mine, HER)
    await drivers.end_work(mine, HER)
    assert not await drivers.begin_work(mine, HER)
    await drivers.end_work(mine, ME if is_mine else owner)
    await drivers.end_work(theirs, owner)
    assert await drivers.begin_work(mine, HER)


async def test_whether_who_is_at_work_has_a_lease_is_told(leased: WorkflowStore) -> None:
    drivers = drivers_of(leased)
    for owner, part in ((ALIVE, "a"), (DEAD, "b"), (GONE, "c")):
        assert await drivers.begin_work(Work("w", "r", part), owner)
    told = {worker.owner: worker for worker in await drivers.workers(ALL)}
    assert {owner: worker.is_over for owner, worker in told.items()} == {
        ALIVE: False,
        DEAD: True,
        GONE: False,
    }
    known = await drivers.find(ALIVE[:DRIVER_ID_LENGTH])
    assert known is not None
    assert told[ALIVE].lease_until == known.lease_until
    assert told[GONE].lease_until is None


async def test_one_of_many_begins(leased: WorkflowStore) -> None:
    drivers, won = drivers_of(leased), list[str]()

    async def begin(number: int) -> None:
        driver_id = f"{number:036}"
        await drivers.beat(driver_id, "")
        if await drivers.begin_work(ALL, f"{driver_id}:1"):
            won.append(driver_id)

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(begin, number)
    assert len(won) == 1


async def test_what_is_given_up_and_what_a_forgotten_driver_did_is_free(
    leased: WorkflowStore,
) -> None:
    drivers = drivers_of(leased)
    await drivers.beat(ME[:DRIVER_ID_LENGTH], "")
    assert await drivers.begin_work(ONE, ME)
    assert await drivers.begin_work(OTHER, ME[:-1] + "2")
    await drivers.release(ME)
    assert await drivers.workers(ONE) == []
    await drivers.forget(ME[:DRIVER_ID_LENGTH])
    assert await drivers.workers(ALL) == []
