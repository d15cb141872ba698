"""Heads of runs: stored, rewritten, listed, removed."""

from __future__ import annotations

import functools
from typing import Any

import anyio
import pytest

from mastra.errors import SerializationError, StorageError
from mastra.storage.base import WorkflowStore
from tests.support.storage import SQL_STORES, SettableClock, TestRow, append, head, keys


async def test_a_run_that_is_stored_is_read_back(store: WorkflowStore) -> None:
    stored = head(
        status="running",
        resource_id="user-1",
        created_at=5,
        updated_at=6,
        input={"city": "Zürich"},
        result=[1, None, "x"],
        error={"message": "no"},
        state={"a": {"b": 1}},
        request_context={"k": "v"},
        owner="host:1:2",
        lease_until=7,
        data={"labels": ["l"]},
        answers=[{"data": "yes"}, {"data": None}],
    )
    assert await store.create_run(stored)
    assert await store.get_run("w", "r") == stored


async def test_times_are_those_of_the_clock_where_they_are_left_out(
    store: WorkflowStore, clock: SettableClock
) -> None:
    await store.create_run(head())
    run = await store.get_run("w", "r")
    assert run is not None
    assert (run.created_at, run.updated_at) == (clock.ms, clock.ms)


async def test_answers_are_kept_in_the_order_in_which_they_come(store: WorkflowStore) -> None:
    await store.create_run(head(status="running"))
    answers: list[Any] = [{"data": "one, two\u2028\n"}, [], 3]
    for answer in answers:
        assert await store.keep_answer("w", "r", answer, expected_status=("running", "waiting"))
    assert not await store.keep_answer("w", "r", 4, expected_status=("suspended",))
    assert not await store.keep_answer("w", "unknown", 4, expected_status=("running",))
    run = await store.get_run("w", "r")
    assert run is not None
    assert run.answers == answers
    await store.update_run("w", "r", {"answers": answers[1:]})
    assert await store.keep_answer("w", "r", 4, expected_status=("running",))
    run = await store.get_run("w", "r")
    assert run is not None
    assert run.answers == [[], 3, 4]
    await store.update_run("w", "r", {"answers": []})
    run = await store.get_run("w", "r")
    assert run is not None
    assert run.answers == []


async def test_answers_that_come_at_once_are_all_kept(store: WorkflowStore) -> None:
    await store.create_run(head(status="running"))
    async with anyio.create_task_group() as tasks:
        for number in range(8):
            keep = functools.partial(store.keep_answer, expected_status=("running",))
            tasks.start_soon(keep, "w", "r", number)
    run = await store.get_run("w", "r")
    assert run is not None
    assert sorted(map(str, run.answers)) == [*"01234567"]


async def test_a_run_whose_id_is_taken_is_not_stored(store: WorkflowStore) -> None:
    assert await store.create_run(head(input=1))
    assert not await store.create_run(head(input=2))
    run = await store.get_run("w", "r")
    assert run is not None
    assert run.input == 1


async def test_a_store_may_be_opened_and_closed_any_number_of_times(
    store: WorkflowStore, storage_name: str
) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(store.open)
    await store.open()
    await store.create_run(head())
    await store.aclose()
    await store.aclose()
    await store.open()
    is_kept = storage_name != "sqlite-memory"
    assert (await store.get_run("w", "r") is not None) is is_kept


async def test_a_store_says_whether_other_processes_see_it(
    store: WorkflowStore, storage_name: str
) -> None:
    assert store.is_shared is (storage_name not in {"memory", "sqlite-memory"})


async def test_two_workflows_may_use_one_run_id(store: WorkflowStore) -> None:
    assert await store.create_run(head(workflow_id="a", input="a"))
    assert await store.create_run(head(workflow_id="b", input="b"))
    run = await store.get_run("b", "r")
    assert run is not None
    assert run.input == "b"


async def test_a_run_that_is_not_there_is_none(store: WorkflowStore) -> None:
    assert await store.get_run("w", "nobody") is None


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(value, id=name)
        for name, value in {
            "null": None,
            "false": False,
            "zero": 0,
            "empty": "",
            "list": [],
            "infinity": [float("inf"), -float("inf")],
            "large": 2**80,
            "tiny": 5e-324,
            "nul": "a\x00b",
            "emoji": "🌤 é",
            "nested": {"": [{"x": [[]]}]},
        }.items()
    ],
)
async def test_values_come_back_as_they_were(store: WorkflowStore, value: Any) -> None:
    await store.create_run(head(input=value))
    await store.update_run("w", "r", {"result": value, "state": {"k": value}})
    run = await store.get_run("w", "r")
    assert run is not None
    assert (run.input, run.result, run.state) == (value, value, {"k": value})


async def test_nan_comes_back_as_nan(store: WorkflowStore) -> None:
    await store.create_run(head(input=float("nan")))
    run = await store.get_run("w", "r")
    assert run is not None
    assert run.input != run.input


@pytest.mark.parametrize("storage_name", SQL_STORES, indirect=True)
async def test_what_json_cannot_hold_is_refused_with_its_path(store: WorkflowStore) -> None:
    with pytest.raises(SerializationError, match=r"input of run 'r'.*a\.0 is builtins\.object"):
        await store.create_run(head(input={"a": [object()]}))


@pytest.mark.parametrize("storage_name", SQL_STORES, indirect=True)
async def test_what_a_database_cannot_hold_is_refused(store: WorkflowStore) -> None:
    await store.create_run(head())
    with pytest.raises(StorageError, match=r"Could not update run 'r' of workflow 'w' in the "):
        await store.update_run("w", "r", {"lease_until": 2**70})
    odd = "\ud800"  # half of a character
    for work, what in (
        (store.get_run("w", odd), "read run"),
        (store.create_run(head(odd)), "store run"),
        (store.delete_run("w", odd), "delete run"),
    ):
        with pytest.raises(StorageError, match=f"Could not {what}"):
            await work
    assert await store.get_run("w", "r") is not None


async def test_an_update_rewrites_what_it_names(store: WorkflowStore, clock: SettableClock) -> None:
    await store.create_run(head(input=1, state={"a": 1}, owner="me"))
    clock.ms += 5
    assert await store.update_run("w", "r", {"status": "success", "result": 2, "owner": None})
    run = await store.get_run("w", "r")
    assert run == head(
        status="success",
        input=1,
        state={"a": 1},
        result=2,
        created_at=clock.ms - 5,
        updated_at=clock.ms,
    )


async def test_an_update_may_name_its_time(store: WorkflowStore) -> None:
    await store.create_run(head())
    await store.update_run("w", "r", {"updated_at": 42})
    run = await store.get_run("w", "r")
    assert run is not None
    assert run.updated_at == 42


async def test_an_update_of_nothing_is_none(store: WorkflowStore) -> None:
    assert not await store.update_run("w", "r", {"status": "success"})


@pytest.mark.parametrize(
    ("expected", "is_done"),
    [
        (["suspended"], True),
        (["a", "b", "suspended"], True),
        ({"pending", "running"}, False),
        ([], False),
    ],
)
async def test_an_update_expects_one_of_some_statuses(
    store: WorkflowStore, expected: Any, is_done: bool
) -> None:
    await store.create_run(head(status="suspended"))
    changes: Any = {"status": "running"}
    assert await store.update_run("w", "r", changes, expected_status=expected) is is_done
    run = await store.get_run("w", "r")
    assert run is not None
    assert run.status == ("running" if is_done else "suspended")


async def test_an_update_expects_an_owner(store: WorkflowStore) -> None:
    await store.create_run(head(owner="me"))
    assert not await store.update_run("w", "r", {"result": 1}, expected_owner="you")
    assert await store.update_run("w", "r", {"result": 1}, expected_owner="me")
    assert not await store.update_run(
        "w", "r", {"result": 1}, expected_owner="me", expected_status=["running"]
    )


async def test_one_of_many_claims_of_a_suspension_wins(store: WorkflowStore) -> None:
    await store.create_run(head(status="suspended"))
    won: list[bool] = []

    async def resume() -> None:
        won.append(
            await store.update_run("w", "r", {"status": "running"}, expected_status=["suspended"])
        )

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(resume)
    assert sorted(won) == [False] * 19 + [True]


async def make_five(store: WorkflowStore) -> None:
    for number in range(5):
        await store.create_run(
            head(
                f"r{number}",
                "odd" if number % 2 else "even",
                status="success" if number < 3 else "failed",
                resource_id="me" if number in (1, 2) else None,
                created_at=100 + number,
            )
        )


@pytest.mark.parametrize(
    ("wanted", "found", "total"),
    [
        ({}, "43210", 5),
        ({"limit": 2}, "43", 5),
        ({"limit": 2, "offset": 3}, "10", 5),
        ({"offset": 4}, "0", 5),
        ({"limit": 2, "offset": 9}, "", 5),
        ({"limit": 0}, "", 5),
        ({"workflow_id": "odd"}, "31", 2),
        ({"status": ["success"]}, "210", 3),
        ({"status": ["success", "failed", "x"]}, "43210", 5),
        ({"status": []}, "", 0),
        ({"resource_id": "me"}, "21", 2),
        ({"from_ms": 101, "to_ms": 103}, "321", 3),
        ({"workflow_id": "even", "status": ["success"], "from_ms": 101, "limit": 5}, "2", 1),
    ],
)
async def test_runs_are_listed_the_newest_first(
    store: WorkflowStore, wanted: Any, found: str, total: int
) -> None:
    await make_five(store)
    page = await store.list_runs(**wanted)
    assert ("".join(run.run_id[1:] for run in page.runs), page.total) == (found, total)


async def test_runs_made_at_one_time_are_listed_the_newest_first(store: WorkflowStore) -> None:
    for number in range(4):
        await store.create_run(head(f"r{number}", created_at=1))
    page = await store.list_runs()
    assert [run.run_id for run in page.runs] == ["r3", "r2", "r1", "r0"]


async def test_a_deleted_run_takes_its_journal_with_it(store: WorkflowStore) -> None:
    for run_id in ("r1", "r2", "r3"):
        await store.create_run(head(run_id))
        await append(store, run_id, TestRow("k"))
    assert await store.delete_run("w", "r2")
    assert not await store.delete_run("w", "r2")
    assert await store.get_run("w", "r2") is None
    await store.create_run(head("r2"))
    assert [len(await store.load_rows("w", f"r{n}")) for n in (1, 2, 3)] == [1, 0, 1]


async def test_old_runs_are_deleted_by_state_and_age(
    store: WorkflowStore, clock: SettableClock
) -> None:
    for number in range(450):
        await store.create_run(head(f"old{number}", status="success", updated_at=10))
    await append(store, "old7", TestRow("k"))
    await store.create_run(head("young", status="success", updated_at=20))
    await store.create_run(head("busy", status="suspended", updated_at=10))
    await store.create_run(head("other", "v", status="success", updated_at=10))
    wanted: Any = {"statuses": ["success", "failed"], "workflow_id": "w"}
    assert await store.delete_runs_before(20, **wanted) == 450
    assert await store.delete_runs_before(20, **wanted) == 0
    assert await store.delete_runs_before(20, statuses=[]) == 0
    left = await store.list_runs()
    assert {run.run_id for run in left.runs} == {"young", "busy", "other"}
    assert await store.delete_runs_before(99, statuses=["success"]) == 2
    assert keys(await store.load_rows("w", "old7")) == []
