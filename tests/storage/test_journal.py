"""Journals: rows appended in order, read from a place on, removed by operation."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mastra.errors import SerializationError
from mastra.storage.base import WorkflowStore
from tests.support.storage import SQL_STORES, TestRow, append, head, keys, values


async def test_rows_come_back_in_the_order_they_were_appended(store: WorkflowStore) -> None:
    await store.create_run(head())
    await append(store, "r", TestRow("a", 1))
    await append(store, "r", TestRow("b", 2), TestRow("", 3), TestRow("a", 4))
    await append(store, "r", TestRow("c", 5))
    rows = await store.load_rows("w", "r")
    assert (keys(rows), values(rows)) == (["a", "b", "", "a", "c"], [1, 2, 3, 4, 5])
    positions = [row.position for row in rows]
    assert positions == sorted(set(positions))


async def test_a_new_run_has_an_empty_journal(store: WorkflowStore) -> None:
    await store.create_run(head())
    assert await store.load_rows("w", "r") == []


async def test_rows_are_read_from_a_position_on(store: WorkflowStore) -> None:
    await store.create_run(head())
    for number in range(5):
        await append(store, "r", TestRow(f"k{number}"))
    rows = await store.load_rows("w", "r")
    assert keys(await store.load_rows("w", "r", rows[2].position)) == ["k3", "k4"]
    assert await store.load_rows("w", "r", rows[4].position) == []


async def test_journals_of_runs_are_apart(store: WorkflowStore) -> None:
    for run_id in ("r1", "r2"):
        await store.create_run(head(run_id))
    for number in range(6):
        await append(store, f"r{number % 2 + 1}", TestRow(f"k{number}"))
    assert keys(await store.load_rows("w", "r1")) == ["k0", "k2", "k4"]
    assert keys(await store.load_rows("w", "r2")) == ["k1", "k3", "k5"]


async def test_the_first_thing_may_be_an_append(store: WorkflowStore) -> None:
    await append(store, "r", TestRow("a"))
    await store.create_run(head())
    assert await store.load_rows("w", "r") == []


async def test_appending_nothing_does_nothing(store: WorkflowStore) -> None:
    await store.create_run(head())
    await append(store, "r")
    assert await store.load_rows("w", "r") == []


async def test_rows_of_operations_are_removed(store: WorkflowStore) -> None:
    for run_id in ("r", "s"):
        await store.create_run(head(run_id))
        await append(store, run_id, *[TestRow(key) for key in "abcab"])
    await store.delete_rows("w", "r", {"a", "c", "nobody"})
    assert keys(await store.load_rows("w", "r")) == ["b", "b"]
    assert keys(await store.load_rows("w", "s")) == list("abcab")
    await append(store, "r", TestRow("d"))
    assert keys(await store.load_rows("w", "r")) == ["b", "b", "d"]
    await store.delete_rows("w", "gone", {"a"})
    assert await store.load_rows("w", "gone") == []


async def test_the_last_rows_can_be_removed_and_others_appended(store: WorkflowStore) -> None:
    await store.create_run(head())
    await append(store, "r", TestRow("a"))
    await append(store, "r", TestRow("b"))
    await store.delete_rows("w", "r", ["a", "b"])
    await append(store, "r", TestRow("c"))
    assert keys(await store.load_rows("w", "r")) == ["c"]


async def test_many_operations_are_removed_at_once(store: WorkflowStore) -> None:
    await store.create_run(head())
    await append(store, "r", *[TestRow(f"k{number}") for number in range(1500)])
    await store.delete_rows("w", "r", [f"k{number}" for number in range(1, 1500)])
    assert keys(await store.load_rows("w", "r")) == ["k0"]
    await store.delete_rows("w", "r", [])
    assert keys(await store.load_rows("w", "r")) == ["k0"]


async def test_rows_of_a_run_that_was_deleted_are_dropped(store: WorkflowStore) -> None:
    await store.create_run(head())
    await append(store, "r", TestRow("a"))
    await store.delete_run("w", "r")
    await append(store, "r", TestRow("b"))
    await append(store, "r", TestRow("c"), TestRow("d"))
    await append(store, "never", TestRow("e"))
    await store.create_run(head())
    await append(store, "r", TestRow("f"))
    assert keys(await store.load_rows("w", "r")) == ["f"]


@pytest.mark.parametrize("storage_name", SQL_STORES, indirect=True)
async def test_a_row_that_json_cannot_hold_is_refused_and_nothing_stored(
    store: WorkflowStore,
) -> None:
    await store.create_run(head())
    with pytest.raises(SerializationError, match=r"Row 'b'.*value\.x is builtins\.object"):
        await append(store, "r", TestRow("a"), TestRow("b", {"x": object()}))
    assert await store.load_rows("w", "r") == []


async def test_large_rows_are_kept(store: WorkflowStore) -> None:
    await store.create_run(head())
    await append(store, "r", TestRow("a", "x" * 3_000_000))
    [value] = values(await store.load_rows("w", "r"))
    assert len(value) == 3_000_000


async def test_runs_append_at_the_same_time(store: WorkflowStore) -> None:
    runs = [f"r{number}" for number in range(30)]
    for run_id in runs:
        await store.create_run(head(run_id))

    async def drive(run_id: str) -> None:
        for number in range(10):
            await append(store, run_id, TestRow(f"k{number}", run_id))
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        for run_id in runs:
            tasks.start_soon(drive, run_id)
    for run_id in runs:
        rows = await store.load_rows("w", run_id)
        assert keys(rows) == [f"k{number}" for number in range(10)]
        assert set(values(rows)) == {run_id}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    # JSON has no lone surrogates.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=8,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(written=st.lists(st.lists(JSON, max_size=3), max_size=6))
async def test_any_json_comes_back_in_order(store: WorkflowStore, written: list[list[Any]]) -> None:
    await store.delete_run("w", "r")
    await store.create_run(head())
    for rows in written:
        await append(store, "r", *[TestRow("k", value) for value in rows])
    assert values(await store.load_rows("w", "r")) == [value for rows in written for value in rows]
