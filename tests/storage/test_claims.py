"""Who drives a run: one process at a time, for as long as it shows that it is alive."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from mastra.storage.base import WorkflowStore
from tests.support.storage import head


@pytest.mark.parametrize(
    ("owner", "dead", "is_won"),
    [
        pytest.param(None, (), True, id="nobody drives it"),
        pytest.param("me", (), True, id="I drive it"),
        pytest.param("you", (), False, id="you drive it"),
        pytest.param("you", ("she", "you", "he"), True, id="you are dead"),
        pytest.param("you", ("she",), False, id="somebody else is dead"),
    ],
)
async def test_a_run_is_claimed_where_nobody_alive_drives_it(
    store: WorkflowStore, owner: str | None, dead: Any, is_won: bool
) -> None:
    await store.create_run(head(owner=owner, lease_until=100))
    assert await store.claim("w", "r", "me", 200, now_ms=50, dead_owners=dead) is is_won
    run = await store.get_run("w", "r")
    assert run is not None
    assert (run.owner, run.lease_until) == (("me", 200) if is_won else (owner, 100))


@pytest.mark.parametrize(("now", "is_won"), [(99, False), (100, False), (101, True)])
async def test_a_lease_ends(store: WorkflowStore, now: int, is_won: bool) -> None:
    await store.create_run(head(owner="you", lease_until=100))
    assert await store.claim("w", "r", "me", 200, now_ms=now) is is_won


async def test_a_run_that_is_not_there_cannot_be_claimed(store: WorkflowStore) -> None:
    assert not await store.claim("w", "r", "me", 200, now_ms=1)


async def test_a_heartbeat_prolongs_the_leases_of_its_owner(store: WorkflowStore) -> None:
    for run_id, owner in (("r1", "me"), ("r2", "you"), ("r3", "me"), ("r4", None)):
        await store.create_run(head(run_id, owner=owner, lease_until=1))
    await store.heartbeat("me", 900)
    leases = [run.lease_until for run in (await store.list_runs()).runs]
    assert leases == [1, 900, 1, 900]


async def test_one_of_many_claims_wins(store: WorkflowStore) -> None:
    await store.create_run(head())
    won: list[str] = []

    async def claim(owner: str) -> None:
        if await store.claim("w", "r", owner, 200, now_ms=1):
            won.append(owner)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(claim, f"p{number}")
    assert len(won) == 1
