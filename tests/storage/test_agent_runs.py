"""Runs of agents that wait for an answer: kept, taken by one for a time, given back, forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from mastra.errors import IdTakenError, SerializationError
from mastra.storage import AgentRunStore
from mastra.storage.drivers import DRIVER_ID_LENGTH
from tests.support.storage import SHARED_STORES, SettableClock, drivers_of_claims

ALIVE, DEAD, GONE = (f"{name * 36}:1" for name in "abc")
"""Claims of a driver with a lease, of one whose lease is over, and of one that nobody knows."""


@pytest.fixture(params=SHARED_STORES)
async def leased(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AgentRunStore]:
    """Runs of agents in a database with two drivers."""
    async with drivers_of_claims(request, tmp_path, alive=ALIVE, dead=DEAD) as storage:
        yield storage.agent_runs


@pytest.fixture
async def runs(storage: Any) -> AsyncIterator[AgentRunStore]:
    """Its runs of agents."""
    yield storage.agent_runs
    await storage.aclose()


async def ids(runs: AgentRunStore, agent_id: str = "a") -> list[str]:
    return [record["runId"] for record in await runs.list_agent_runs(agent_id)]


async def take(runs: AgentRunStore, run_id: str = "r", owner: str = "me", **options: Any) -> Any:
    """Claim a run, as a driver with a lease."""
    if runs.drivers is not None and len(owner) < DRIVER_ID_LENGTH:
        await runs.drivers.beat(owner, "")
    return await runs.claim_agent_run(run_id, owner, **options)


async def test_a_record_that_waits_is_claimed_once(runs: AgentRunStore) -> None:
    await runs.save_agent_run("r", "a", {"createdAt": 5, "waiting": [{"x": 1}]})
    record = await take(runs)
    assert record == {"createdAt": 5, "waiting": [{"x": 1}], "agentId": "a", "runId": "r"}
    assert await take(runs) is None
    assert await ids(runs) == []


async def test_a_record_that_is_not_there_cannot_be_claimed(runs: AgentRunStore) -> None:
    assert await take(runs) is None


async def test_a_record_that_is_released_waits_again(runs: AgentRunStore) -> None:
    await runs.save_agent_run("r", "a", {"createdAt": 5})
    await take(runs)
    await runs.release_agent_run("r", "you")
    assert await ids(runs) == []
    await runs.release_agent_run("r", "me")
    assert await ids(runs) == ["r"]
    assert await take(runs) is not None
    await runs.release_agent_run("nobody", "me")


async def test_saving_again_replaces_the_record_and_makes_it_wait(
    runs: AgentRunStore, clock: SettableClock
) -> None:
    for number, run_id in enumerate(["r1", "r2", "r3"]):
        clock.ms += 1
        await runs.save_agent_run(run_id, "a", {"createdAt": number})
    await take(runs, "r1")
    clock.ms += 1
    await runs.save_agent_run("r1", "a", {"createdAt": 9})
    assert await ids(runs) == ["r1", "r3", "r2"]
    record = await take(runs, "r1")
    assert record is not None
    assert record["createdAt"] == 9


async def test_records_of_one_moment_are_listed_the_latest_first(runs: AgentRunStore) -> None:
    for run_id in ("r1", "r2", "r3"):
        await runs.save_agent_run(run_id, "a", {"createdAt": 1})
    await runs.save_agent_run("other", "b", {"createdAt": 1})
    assert await ids(runs) == ["r3", "r2", "r1"]


async def test_a_deleted_record_is_gone(runs: AgentRunStore) -> None:
    await runs.save_agent_run("r", "a", {"createdAt": 1})
    await runs.delete_agent_run("r")
    await runs.delete_agent_run("r")
    assert await take(runs) is None
    assert await ids(runs) == []


async def test_one_of_many_claims_wins(runs: AgentRunStore) -> None:
    await runs.save_agent_run("r", "a", {"createdAt": 1})
    won: list[Any] = []

    async def claim() -> None:
        if (record := await take(runs)) is not None:
            won.append(record)

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(claim)
    assert len(won) == 1


@pytest.mark.parametrize(
    ("owner", "dead", "is_won"),
    [
        pytest.param(ALIVE, (), False, id="its owner lives"),
        pytest.param(ALIVE, (ALIVE,), True, id="its owner is known to be dead"),
        pytest.param(ALIVE, ("she",), False, id="somebody else is dead"),
        pytest.param(DEAD, (), True, id="its lease is over"),
        pytest.param(GONE, (), True, id="its driver is not known"),
    ],
)
async def test_a_claim_is_a_lease(
    leased: AgentRunStore, owner: str, dead: Any, is_won: bool
) -> None:
    await leased.save_agent_run("r", "a", {"createdAt": 1})
    await take(leased, owner=owner)
    assert len(await leased.list_agent_runs("a")) == (owner != ALIVE)
    taken = await take(leased, owner="you", dead_owners=dead)
    assert (taken is not None) is is_won
    assert await leased.agent_run_owner("r") == ("you" if is_won else owner)


async def test_what_a_driver_gives_up_waits_again(leased: AgentRunStore) -> None:
    await leased.save_agent_run("r", "a", {"createdAt": 1})
    await take(leased, owner=ALIVE)
    assert leased.drivers is not None
    await leased.drivers.release(ALIVE)
    assert await ids(leased) == ["r"]
    assert await take(leased, owner="you") is not None


async def test_who_has_lost_a_run_can_no_longer_change_it(runs: AgentRunStore) -> None:
    await runs.save_agent_run("r", "a", {"createdAt": 1})
    assert await take(runs) is not None
    await take(runs, owner="you", dead_owners=["me"])
    assert not await runs.save_agent_run("r", "a", {"createdAt": 2}, expected_owner="me")
    await runs.release_agent_run("r", "me")
    await runs.delete_agent_run("r", "me")
    assert await runs.agent_run_owner("r") == "you"
    assert await runs.save_agent_run("r", "a", {"createdAt": 2}, expected_owner="you")
    assert (await take(runs))["createdAt"] == 2
    await runs.delete_agent_run("r", "me")
    assert await runs.agent_run_owner("r") is None
    assert await take(runs) is None


async def test_what_json_cannot_hold_is_refused(runs: AgentRunStore) -> None:
    with pytest.raises(SerializationError, match=r"Run 'r' of agent 'a'.*messages\.0"):
        await runs.save_agent_run("r", "a", {"messages": [object()]})
    for odd in (10**4300, "\ud800"):
        with pytest.raises(SerializationError, match=r"Run 'r' of agent 'a'.*messages\.0"):
            await runs.save_agent_run("r", "a", {"messages": [odd]})
    deep: Any = 1
    for _ in range(400):
        deep = {"x": deep}
    with pytest.raises(SerializationError, match=r"Run 'r' of agent 'a'.*messages\.0"):
        await runs.save_agent_run("r", "a", {"messages": [deep]})
    assert await runs.get_agent_run("r") is None


@pytest.mark.parametrize(("agent_id", "resource"), [("b", "ann"), ("a", "bob"), ("a", None)])
async def test_an_id_is_of_whoever_chose_it_first(
    runs: AgentRunStore, agent_id: str, resource: str | None
) -> None:
    await runs.save_agent_run("r", "a", {"createdAt": 1, "resourceId": "ann"})
    with pytest.raises(IdTakenError, match="'r' is that of somebody else's run"):
        await runs.save_agent_run("r", agent_id, {"createdAt": 2, "resourceId": resource})
    kept = await runs.get_agent_run("r")
    assert kept is not None
    assert (kept["agentId"], kept["createdAt"]) == ("a", 1)
    await runs.save_agent_run("r", "a", {"createdAt": 3, "resourceId": "ann"})
    assert (await runs.list_agent_runs("a"))[0]["createdAt"] == 3


async def test_a_run_of_another_agent_is_not_claimed(runs: AgentRunStore) -> None:
    await runs.save_agent_run("r", "a", {"createdAt": 1})
    assert await take(runs, agent_id="b") is None
    assert await take(runs, agent_id="a") is not None
