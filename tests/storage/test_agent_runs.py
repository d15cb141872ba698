"""Runs of agents that wait for an answer: kept, taken by one, given back, forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from mastra.agents.suspended import AgentRunStore, InMemoryAgentRuns
from mastra.errors import SerializationError
from tests.support.storage import SQL_STORES, SettableClock


@pytest.fixture
async def runs(storage: Any) -> AsyncIterator[AgentRunStore]:
    """Its runs of agents."""
    yield getattr(storage, "agent_runs", None) or InMemoryAgentRuns()
    await storage.aclose()


async def ids(runs: AgentRunStore, agent_id: str = "a") -> list[str]:
    return [record["runId"] for record in await runs.list_agent_runs(agent_id)]


async def test_a_record_that_waits_is_claimed_once(runs: AgentRunStore) -> None:
    await runs.save_agent_run("r", "a", {"createdAt": 5, "waiting": [{"x": 1}]})
    record = await runs.claim_agent_run("r")
    assert record == {"createdAt": 5, "waiting": [{"x": 1}], "agentId": "a", "runId": "r"}
    assert await runs.claim_agent_run("r") is None
    assert await ids(runs) == []


async def test_a_record_that_is_not_there_cannot_be_claimed(runs: AgentRunStore) -> None:
    assert await runs.claim_agent_run("r") is None


async def test_a_record_that_is_released_waits_again(runs: AgentRunStore) -> None:
    await runs.save_agent_run("r", "a", {"createdAt": 5})
    await runs.claim_agent_run("r")
    await runs.release_agent_run("r")
    assert await ids(runs) == ["r"]
    assert await runs.claim_agent_run("r") is not None
    await runs.release_agent_run("nobody")


async def test_saving_again_replaces_the_record_and_makes_it_wait(
    runs: AgentRunStore, clock: SettableClock
) -> None:
    for number, run_id in enumerate(["r1", "r2", "r3"]):
        clock.ms += 1
        await runs.save_agent_run(run_id, "a", {"createdAt": number})
    await runs.claim_agent_run("r1")
    clock.ms += 1
    await runs.save_agent_run("r1", "a", {"createdAt": 9})
    assert await ids(runs) == ["r1", "r3", "r2"]
    record = await runs.claim_agent_run("r1")
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
    assert await runs.claim_agent_run("r") is None
    assert await ids(runs) == []


async def test_one_of_many_claims_wins(runs: AgentRunStore) -> None:
    await runs.save_agent_run("r", "a", {"createdAt": 1})
    won: list[Any] = []

    async def claim() -> None:
        if (record := await runs.claim_agent_run("r")) is not None:
            won.append(record)

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(claim)
    assert len(won) == 1


@pytest.mark.parametrize("storage_name", SQL_STORES, indirect=True)
async def test_what_json_cannot_hold_is_refused(runs: AgentRunStore) -> None:
    with pytest.raises(SerializationError, match=r"Run 'r' of agent 'a'.*messages\.0"):
        await runs.save_agent_run("r", "a", {"messages": [object()]})
