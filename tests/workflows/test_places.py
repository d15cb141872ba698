"""Places of runs with flow control: given away and had again, and what comes between."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from contextvars import Context
from typing import Any

import pytest

from mastra import (
    InMemoryStorage,
    Mastra,
    RunError,
    StepContext,
    StorageError,
    create_step,
    create_workflow,
)
from mastra.storage.flow import DoorView, InMemoryFlow, Ticket
from mastra.testing import FakeClock
from mastra.workflows.engines.base import LeftOutError
from mastra.workflows.engines.door import let_in
from mastra.workflows.engines.journal_writer import SnapshotQuestion
from tests.support.engines import Calls
from tests.support.waiting import Gate, blocking, plus

BY_USER = "event.data.inputData.user"


class Flow(InMemoryFlow):
    """Keeps tickets in memory, with something happening in between."""

    def __init__(self) -> None:
        super().__init__()
        self.after_read: list[Callable[[], Any]] = []
        """What happens, once each, between somebody's look at a door and what comes of it."""
        self.before_called: Callable[[], None] | None = None
        self.written: list[bool] = []
        self.leaving: tuple[asyncio.Event, asyncio.Event] | None = None
        """Told that somebody gives a place back, and until when that takes."""

    async def remove(self, workflow_id: str, run_id: str, owner: str) -> None:
        if self.leaving is not None:
            self.leaving[0].set()
            await self.leaving[1].wait()
        await super().remove(workflow_id, run_id, owner)

    async def read(self, door: str, *, lane: str | None = None) -> DoorView:
        view = await super().read(door, lane=lane)
        if lane is not None and self.after_read:
            await self.after_read.pop(0)()
        return view

    async def write(self, *arguments: Any, **options: Any) -> bool:
        is_written = await super().write(*arguments, **options)
        if options.get("new") is not None:
            self.written.append(is_written)
        return is_written

    async def called(self, driver_id: str) -> list[Ticket]:
        if self.before_called is not None:
            self.before_called()
        return [*await super().called(driver_id)]


def with_flow(flow: Flow) -> InMemoryStorage:
    storage = InMemoryStorage()
    storage.workflows._flow = flow
    return storage


def declared(*steps: Any, input_schema: Any = int, **options: Any) -> Any:
    types: Any = {"input_schema": input_schema, "output_schema": Any}
    workflow: Any = create_workflow(id="w", **types, **options)
    for step in steps:
        workflow.then(step)
    return workflow


async def begun(mastra: Mastra, run_id: str, value: Any = 0, **options: Any) -> asyncio.Task[Any]:
    run = await mastra.get_workflow("w").create_run(run_id, **options)
    return asyncio.ensure_future(run.start(value))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0)


async def waits(storage: InMemoryStorage, run_id: str) -> None:
    """Return when a run stands at its door and has not been let in."""
    async with asyncio.timeout(30):
        while run_id not in [
            one.run_id
            for one in await storage.workflows.flow.waiting("w", now=1 << 60, without=(), limit=100)
        ]:
            await asyncio.sleep(0)


async def test_arms_that_sleep_give_one_place_away_and_wait_for_it_together() -> None:
    calls, gate, clock, storage = (
        Calls(),
        Gate(),
        FakeClock(auto=False, settle=0.001),
        InMemoryStorage(),
    )

    async def begin(ctx: StepContext[int]) -> int:
        if ctx.input_data == 2:
            await gate.pass_through()
        return ctx.input_data

    def arm(name: str) -> Any:
        nested: Any = create_workflow(id=name, input_schema=int, output_schema=int)
        return nested.sleep(60).then(plus(calls, f"after-{name}")).commit()

    workflow = declared(create_step(id="begin", execute=begin), concurrency=1)
    workflow.parallel([arm("a"), arm("b")]).commit()
    async with Mastra(workflows=[workflow], storage=storage, clock=clock) as mastra:
        first = await begun(mastra, "first", 1)
        await until(lambda: clock.sleeping == 2)
        second = await begun(mastra, "second", 2)
        await gate.reached.wait()
        await clock.advance(61)
        await waits(storage, "first")
        assert calls["after-a"] == calls["after-b"] == 0
        gate.opened.set()
        assert (await first).unwrap() == {"a": 2, "b": 2}
        await until(lambda: clock.sleeping == 2)
        await clock.advance(61)
        assert (await second).unwrap() == {"a": 3, "b": 3}
        assert not await storage.workflows.flow.called("")


async def test_the_only_one_of_its_kind_stays_that_while_it_sleeps() -> None:
    pytest.importorskip("cel")
    clock = FakeClock(auto=False, settle=0.001)

    async def last(ctx: StepContext[dict[str, Any]]) -> str:
        return str(ctx.input_data["user"])

    options = {"concurrency": 1, "singleton": {"mode": "skip", "key": BY_USER}}
    workflow = declared(input_schema=dict, **options).sleep(60)
    workflow.then(create_step(id="last", execute=last)).commit()
    async with Mastra(workflows=[workflow], clock=clock) as mastra:
        ada = await begun(mastra, "ada", {"user": "ada"})
        await until(lambda: clock.sleeping == 1)
        bob = await begun(mastra, "bob", {"user": "bob"})
        await until(lambda: clock.sleeping == 2)  # it has had the place that the other one gave
        with pytest.raises(LeftOutError, match="run 'ada' is under way"):
            await (await begun(mastra, "again", {"user": "ada"}))
        await clock.advance(61)
        assert [(await ada).unwrap(), (await bob).unwrap()] == ["ada", "bob"]
        again = await begun(mastra, "again", {"user": "ada"})
        await until(lambda: clock.sleeping == 1)
        await clock.advance(61)
        assert (await again).unwrap() == "ada"


def test_what_was_known_of_an_event_loop_is_forgotten_with_it() -> None:
    mastra = Mastra(workflows=[declared(plus(Calls(), "add"), concurrency=1).commit()])
    loops: list[weakref.ref[Any]] = []

    async def work() -> int:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        return int((await (await begun(mastra, f"r{len(loops)}", 1))).unwrap())

    assert [asyncio.run(work()) for _ in range(3)] == [2, 2, 2]
    gc.collect()
    assert [loop() for loop in loops[:2]] == [None, None]


def at_its_end(asked: SnapshotQuestion) -> bool:
    return asked.workflow_status == "success"


async def test_of_a_run_that_is_stored_at_its_end_nothing_is_kept_where_it_is_left_out() -> None:
    gate, calls = Gate(), Calls()
    workflow = declared(
        blocking(calls, "hold", gate),
        singleton="skip",
        should_persist_snapshot=at_its_end,
    )
    async with Mastra(workflows=[workflow.commit()]) as mastra:
        first = await begun(mastra, "first", 1)
        await gate.reached.wait()
        with pytest.raises(LeftOutError, match="'first' is under way"):
            await (await begun(mastra, "second", 1))
        assert await mastra.get_workflow("w").get_run("second") is None
        gate.opened.set()
        assert (await first).unwrap() == 2
        assert calls["hold"] == 1


async def test_a_key_sees_whose_run_it_is() -> None:
    pytest.importorskip("cel")
    gate, calls, storage = Gate(), Calls(), InMemoryStorage()
    one_each = {"limit": 1, "key": "event.data.resourceId"}
    workflow = declared(blocking(calls, "hold", gate), concurrency=one_each).commit()
    async with Mastra(workflows=[workflow], storage=storage) as mastra:
        runs = [await begun(mastra, "a1", 1, resource_id="a")]
        await until(lambda: calls["hold"] == 1)
        runs.append(await begun(mastra, "a2", 1, resource_id="a"))
        await waits(storage, "a2")
        runs.append(await begun(mastra, "b1", 1, resource_id="b"))
        await until(lambda: calls["hold"] == 2)
        await waits(storage, "a2")
        gate.opened.set()
        assert [(await run).unwrap() for run in runs] == [2, 2, 2]


async def test_what_has_no_key_is_not_counted() -> None:
    pytest.importorskip("cel")
    limit = {"limit": 1, "period": "1h", "key": BY_USER}

    async def execute(given: dict[str, Any]) -> int:
        return len(given)

    step = create_step(id="s", execute=execute)
    workflow = declared(step, input_schema=dict, rate_limit=limit).commit()
    async with Mastra(workflows=[workflow]) as mastra:
        for number in range(3):
            assert (await (await begun(mastra, f"free-{number}", {}))).unwrap() == 0
        assert (await (await begun(mastra, "ada-1", {"user": "ada"}))).unwrap() == 1
        with pytest.raises(LeftOutError, match="rate_limit"):
            await (await begun(mastra, "ada-2", {"user": "ada"}))


async def test_who_comes_between_a_look_at_the_door_and_a_place_there_is_seen() -> None:
    gate, calls, flow = Gate(), Calls(), Flow()
    workflow = declared(blocking(calls, "hold", gate), singleton="skip").commit()
    storage = with_flow(flow)
    here, there = (Mastra(workflows=[workflow], storage=storage) for _ in range(2))
    async with here, there:
        faster: list[asyncio.Task[Any]] = []

        async def other() -> None:
            faster.append(await begun(there, "faster", 1))
            await gate.reached.wait()

        flow.after_read.append(other)
        with pytest.raises(LeftOutError, match="run 'faster' is under way"):
            await (await begun(here, "slower", 1))
        assert flow.written == [True, False]
        gate.opened.set()
        assert (await faster[0]).unwrap() == 2


async def test_those_that_wait_are_told_that_the_storage_is_away() -> None:
    gate, calls, flow = Gate(), Calls(), Flow()
    workflow = declared(blocking(calls, "hold", gate), concurrency=1).commit()
    storage = with_flow(flow)
    async with Mastra(workflows=[workflow], storage=storage) as mastra:
        first = await begun(mastra, "first", 1)
        await gate.reached.wait()
        leaving, waiting = await begun(mastra, "leaving", 1), await begun(mastra, "waiting", 1)
        await waits(storage, "leaving")
        await waits(storage, "waiting")

        def fail() -> None:
            # One of them is cancelled in the same moment.
            for task in asyncio.all_tasks():
                if task.get_name() == "mastra run leaving":
                    Context().run(task.cancel)  # by nobody who belongs to a run
            raise StorageError("The flow control cannot be read.")

        flow.before_called = fail
        with pytest.raises(StorageError, match="cannot be read"):
            await waiting
        with pytest.raises(RunError, match="no longer driven here"):
            await leaving
        flow.before_called = None
        gate.opened.set()
        assert (await first).unwrap() == 2
        again = await mastra.get_workflow("w").create_run("waiting")
        assert (await again.restart()).unwrap() == 2


async def test_an_engine_that_is_closed_while_a_place_is_given_back_leaves_nobody_waiting() -> None:
    flow = Flow()
    workflow = declared(plus(Calls(), "a"), concurrency=1).commit()
    async with Mastra(workflows=[workflow], storage=with_flow(flow)) as mastra:
        flow.leaving = (asyncio.Event(), asyncio.Event())
        ending = await begun(mastra, "r", 1)
        await flow.leaving[0].wait()
        await mastra.engine.aclose()
        async with asyncio.timeout(30):
            with pytest.raises(RunError, match="no longer driven here"):
                await ending
        flow.leaving[1].set()


async def test_who_need_not_wait_begins_though_a_hundred_before_it_are_throttled() -> None:
    flow, now = InMemoryFlow(), 1_000_000
    second = 1_000_000
    await flow.write("w", 0, marks={"w/throttle/ada": (now * 1000) + 60 * second})

    def ticket(number: int, user: str) -> Ticket:
        return Ticket(
            workflow_id="w",
            run_id=f"r{number}",
            door="w",
            owner="local",
            rank=number,
            due_at=now,
            first_at=now,
            lane_t=f"w/throttle/{user}",
            emission_us=second,
            tolerance_us=61 * second,
        )

    for number in range(150):
        await flow.put(ticket(number, "ada"))
    await flow.put(ticket(150, "bob"))
    again = await let_in(flow, "w", now)
    # Ada's mark is 60 s ahead and may be 61: one of hers begins, the next a second later.
    assert sorted(one.run_id for one in await flow.called("")) == ["r0", "r150"]
    assert again == now + 1000
