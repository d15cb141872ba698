"""A storage that takes time, refuses, or is cut off in the middle of an append."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import pytest

from mastra import InMemoryStorage, Mastra, StorageError, create_workflow
from mastra.storage.base import JournalRow
from mastra.storage.in_process import InMemoryWorkflowStore
from tests.support.engines import Calls
from tests.support.waiting import Gate, blocking, plus


class SlowStore(InMemoryWorkflowStore):
    """Stores in memory, but not at once."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals = 0
        self.gate: asyncio.Event | None = None
        self.waiting = asyncio.Event()
        self.under_way = 0
        self.most_at_once = 0
        self.appends = 0

    def append(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, workflow_id: str, run_id: str, rows: Sequence[JournalRow]
    ) -> Awaitable[None]:
        return self._append(workflow_id, run_id, list(rows))

    async def _append(self, workflow_id: str, run_id: str, rows: list[JournalRow]) -> None:
        self.appends += 1
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            self.waiting.set()
            await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
            if self.refusals:
                self.refusals -= 1
                raise StorageError("The disk is full.")
            super().append(workflow_id, run_id, rows)
        finally:
            self.under_way -= 1


def registered(store: SlowStore, workflow: Any) -> Any:
    storage = InMemoryStorage()
    storage.workflows = store
    return Mastra(workflows={"w": workflow}, storage=storage).get_workflow("w")


def flow(output: Any = int) -> Any:
    return create_workflow(id="w", input_schema=int, output_schema=output)


async def stored_steps(store: SlowStore, run_id: str) -> list[str]:
    return [row.key for row in await store.load_rows("w", run_id) if row.key]


async def test_appends_of_a_run_come_one_after_the_other() -> None:
    store, calls = SlowStore(), Calls()
    arms = [plus(calls, f"s{number}") for number in range(10)]
    run = await registered(store, flow(dict).parallel(arms).commit()).create_run()
    await run.start(1)
    assert store.most_at_once == 1
    assert len(await stored_steps(store, run.run_id)) == 10


async def test_parallel_steps_share_an_append() -> None:
    store, calls = SlowStore(), Calls()
    arms = [plus(calls, f"s{number}") for number in range(10)]
    run = await registered(store, flow(dict).parallel(arms).commit()).create_run()
    await run.start(1)
    assert store.appends < 6


async def test_a_storage_that_refuses_stops_the_run_where_it_is() -> None:
    store, calls = SlowStore(), Calls()
    workflow = flow().then(plus(calls, "a")).then(plus(calls, "b")).commit()
    run = await registered(store, workflow).create_run()
    store.refusals = 1
    with pytest.raises(StorageError, match="disk is full"):
        await run.start(1)
    assert calls.names == ["a"]
    assert await run.status() == "running"


async def test_a_run_that_storage_stopped_can_be_restarted() -> None:
    store, calls = SlowStore(), Calls()
    workflow = flow().then(plus(calls, "a")).then(plus(calls, "b")).commit()
    run = await registered(store, workflow).create_run()
    store.refusals = 1
    with pytest.raises(StorageError):
        await run.start(1)
    assert (await run.restart()).unwrap() == 3


async def test_what_was_refused_for_one_is_not_taken_for_stored_by_another() -> None:
    store, calls = SlowStore(), Calls()
    after = create_workflow(id="x", input_schema=int, output_schema=int)
    after.then(plus(calls, "x1")).then(plus(calls, "x2")).commit()
    other = create_workflow(id="y", input_schema=int, output_schema=int)
    other.then(plus(calls, "y1")).then(plus(calls, "y2")).commit()
    run = await registered(store, flow(dict).parallel([after, other]).commit()).create_run("r")
    store.refusals = 100
    answers = await asyncio.gather(run.start(1), return_exceptions=True)
    assert isinstance(answers[0], Exception)
    assert calls["x2"] == calls["y2"] == 0


async def test_a_cancel_in_the_middle_of_an_append_loses_nothing() -> None:
    store, calls = SlowStore(), Calls()
    gate = Gate()
    workflow = flow().then(plus(calls, "a")).then(blocking(calls, "b", gate)).commit()
    run = await registered(store, workflow).create_run()
    store.gate = asyncio.Event()
    await run.start_async(1)
    await store.waiting.wait()
    cancelling = asyncio.ensure_future(run.cancel())
    await asyncio.sleep(0)
    store.gate.set()
    await cancelling
    assert (await run.result()).status == "canceled"
    assert (await stored_steps(store, run.run_id))[0] == "a"
