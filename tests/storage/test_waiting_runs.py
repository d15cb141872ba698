"""Agents' runs that wait, found and paged by the store itself."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mastra.storage.base import RunHead, WorkflowStore
from mastra.storage.drivers import DRIVER_ID_LENGTH
from mastra.storage.sql import SQLStorage
from tests.support.storage import SHARED_STORES, drivers_of_claims, head

OURS = ("agent:a", "durable-agent:a")


def plain(run_id: str, since: int, **columns: Any) -> RunHead:
    """Return a run that its reader drove until it waited."""
    thread = columns.pop("thread", None)
    data = {
        "agentId": columns.pop("agent_id", "a"),
        "waiting": {"createdAt": since, "threadId": thread},
    }
    known = {"status": "suspended", "updated_at": since + 1, "created_at": 1, "data": data}
    return head(run_id, "agent:a", **(known | columns))


def durable(run_id: str, since: int, thread: Any = None, **columns: Any) -> RunHead:
    """Return a run that an engine drove until it waited."""
    memory = {} if thread is None else {"memory": {"thread": thread, "resource": "r"}}
    known: dict[str, Any] = {"status": "suspended", "updated_at": since, "created_at": 1}
    return head(run_id, "durable-agent:a", input={"options": memory}, **(known | columns))


async def make(store: WorkflowStore) -> None:
    stored = [
        plain("p1", 10, thread="t", resource_id="r"),
        durable("d2", 20, "t", resource_id="r"),
        plain("p3", 30),
        durable("d4", 40, {"id": "t", "title": "T"}),
        plain("p5", 50, thread="other", resource_id="r"),
        plain("foreign", 60, agent_id="A"),
        plain("ended", 70, status="success"),
        durable("busy", 80, status="running"),
        head("elsewhere", "agent:b", status="suspended", updated_at=90),
    ]
    for one in stored:
        assert await store.create_run(one)


@pytest.mark.parametrize(
    ("wanted", "found", "total"),
    [
        ({}, "p5 d4 p3 d2 p1", 5),
        ({"limit": 2}, "p5 d4", 5),
        ({"limit": 2, "offset": 3}, "d2 p1", 5),
        ({"limit": 2, "offset": 9}, "", 5),
        ({"thread_id": "t"}, "d4 d2 p1", 3),
        ({"thread_id": "t", "limit": 1, "offset": 1}, "d2", 3),
        ({"resource_id": "r"}, "p5 d2 p1", 3),
        ({"resource_id": "r", "thread_id": "t"}, "d2 p1", 2),
        ({"from_ms": 20, "to_ms": 40}, "d4 p3 d2", 3),
        ({"thread_id": 'no"n', "from_ms": 20}, "", 0),
    ],
)
async def test_runs_that_wait_are_found_by_what_is_known_of_them(
    store: WorkflowStore, wanted: Any, found: str, total: int
) -> None:
    await make(store)
    page = await store.list_waiting(OURS, "a", **wanted)
    assert (" ".join(run.run_id for run in page.runs), page.total) == (found, total)


async def test_runs_of_one_kind_alone_are_found(store: WorkflowStore) -> None:
    await make(store)
    page = await store.list_waiting(("agent:a",), "a")
    assert [run.run_id for run in page.runs] == ["p5", "p3", "p1"]
    assert (await store.list_waiting((), "a")).total == 0
    assert [run.run_id for run in (await store.list_waiting(OURS, "A", limit=1)).runs] == [
        "foreign"
    ]


ALIVE, DEAD = (f"{name * DRIVER_ID_LENGTH}:1" for name in "ab")


@pytest.fixture(params=SHARED_STORES)
async def leased(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[WorkflowStore]:
    """Runs in a database with a driver that has a lease and one that had one."""
    async with drivers_of_claims(request, tmp_path, alive=ALIVE, dead=DEAD) as storage:
        yield storage.workflows


async def test_a_run_that_was_answered_waits_where_the_process_with_the_answer_has_gone(
    leased: WorkflowStore,
) -> None:
    answered: dict[str, Any] = {"status": "running"}
    await leased.create_run(plain("alive", 1, owner=ALIVE, **answered))
    await leased.create_run(plain("dead", 2, owner=DEAD, **answered))
    await leased.create_run(plain("given up", 3, **answered))
    await leased.create_run(durable("engine's", 4, owner=DEAD, **answered))
    page = await leased.list_waiting(OURS, "a")
    assert ([run.run_id for run in page.runs], page.total) == (["given up", "dead"], 2)


async def test_a_run_whose_data_cannot_be_read_is_there_by_its_last_change(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    async with SQLStorage(url) as storage:
        await make(storage.workflows)
    connection = sqlite3.connect(tmp_path / "runs.db", isolation_level=None)
    connection.execute("UPDATE mastra_workflow_runs SET data = '{' WHERE run_id = 'p3'")
    connection.close()
    async with SQLStorage(url) as storage:
        page = await storage.workflows.list_waiting(OURS, "a", from_ms=30, limit=3)
        assert [run.run_id for run in page.runs] == ["p5", "d4", "p3"]
        assert page.runs[2].damage is not None
        assert (await storage.workflows.list_waiting(OURS, "a", thread_id="t")).total == 3
