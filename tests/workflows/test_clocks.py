"""A machine's clock that is set while runs are under way: no run is stranded, none ends early."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest

from mastra import Agent, Mastra, SQLStorage, create_step, create_workflow
from mastra import clock as clocks
from mastra.clock import SystemClock, steady_s
from mastra.errors import RunError
from mastra.models.base import ModelRequest
from mastra.models.settings import ModelSettings, Timeouts
from mastra.schedules import SchedulerConfig
from mastra.storage.flow import Ticket
from mastra.storage.in_process import InMemoryStorage
from mastra.testing import FunctionModel
from mastra.workflows.engines import inprocess_ops
from mastra.workflows.engines.admission import _OfStore

HOURS = 3600.0


class Setting:
    """The machine's clocks, which may be set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = 0.0
        """How far the time of day has been put forward."""
        self.standstill = 0.0
        """For how long the machine has stood still, which only the steady clock counts."""
        monkeypatch.setattr(SystemClock, "now", staticmethod(self.now))
        monkeypatch.setattr(clocks, "steady_s", lambda: steady_s() + self.standstill)
        monkeypatch.setattr(clocks, "LOOK_S", 0.01)
        self._real_ns = time.time_ns
        monkeypatch.setattr(clocks.time, "time_ns", lambda: int(self.now() * 1e9))

    def now(self) -> float:
        return self._real_ns() / 1e9 + self.wall


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Setting:
    return Setting(monkeypatch)


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Any) -> Callable[[], Any]:
    """What makes the storage of a process."""
    if request.param == "memory":
        return lambda: None
    return lambda: SQLStorage(f"sqlite:///{tmp_path}/runs.db")


def passing(name: str) -> Any:
    async def execute(value: int) -> int:
        return value

    return create_step(id=name, execute=execute)


def sleeping(length: Any) -> Any:
    workflow = create_workflow(id="w", input_schema=int, output_schema=int).then(passing("a"))
    add: Any = workflow.sleep_until if isinstance(length, datetime) else workflow.sleep
    return add(length).then(passing("b")).commit()


async def looks() -> None:
    """Let what waits look at the clocks a few times."""
    await asyncio.sleep(0.05)


async def test_a_sleep_until_a_moment_ends_when_the_clock_shows_it(
    machine: Setting, storage: Any
) -> None:
    workflow = sleeping(datetime.now(UTC) + timedelta(hours=2))
    async with Mastra(workflows=[workflow], storage=storage()) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start_async(1)
        ended = asyncio.ensure_future(run.result())
        for shift in (-5 * HOURS, 1 * HOURS):
            machine.wall = shift
            await looks()
            assert not ended.done()
        machine.wall = 3 * HOURS
        assert (await ended).status == "success"


async def test_a_sleep_of_some_length_takes_that_long_whatever_the_clock_shows(
    machine: Setting, storage: Any
) -> None:
    async with Mastra(workflows=[sleeping(2 * HOURS)], storage=storage()) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start_async(1)
        ended = asyncio.ensure_future(run.result())
        for shift in (-5 * HOURS, 5 * HOURS):
            machine.wall = shift
            await looks()
            assert not ended.done()
        machine.standstill = 3 * HOURS  # a laptop that was shut
        assert (await ended).status == "success"


async def test_a_sleep_that_goes_on_in_another_process_is_no_longer_than_it_was(
    machine: Setting, tmp_path: Any
) -> None:
    def application() -> Mastra:
        storage = SQLStorage(f"sqlite:///{tmp_path}/runs.db")
        return Mastra(workflows=[sleeping(0.05)], storage=storage)

    machine.wall = 5 * HOURS
    async with application() as mastra:
        run = await mastra.get_workflow("w").create_run()
        await run.start_async(1)
    machine.wall = 0.0
    async with application() as mastra:
        again = await mastra.get_workflow("w").create_run(run.run_id)
        async with asyncio.timeout(10):
            assert (await again.restart()).status == "success"


async def test_other_tasks_get_their_turn_after_the_clock_was_put_back(
    machine: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inprocess_ops, "YIELD_AFTER_MS", 0)
    turns, seen = 0, list[int]()

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def step(number: int) -> Any:
        async def execute(value: int) -> int:
            time.sleep(0.002)  # noqa: ASYNC251 - it keeps the loop to itself
            machine.wall = -5 * HOURS
            seen.append(turns)
            return value

        return create_step(id=f"s{number}", execute=execute)

    workflow = create_workflow(id="w", input_schema=int, output_schema=int)
    for number in range(5):
        workflow.then(step(number))
    async with Mastra(workflows=[workflow.commit()]) as mastra:
        beside = asyncio.ensure_future(other())
        run = await mastra.get_workflow("w").create_run()
        assert (await run.start(1)).status == "success"
        beside.cancel()
    assert seen == sorted(set(seen))


FLOWS: dict[str, dict[str, Any]] = {
    "throttle": {"throttle": {"limit": 1, "period": 0.05}},
    "rate_limit": {"rate_limit": {"limit": 1, "period": 0.05}},
    "debounce": {"debounce": {"period": 0.05}},
    "concurrency": {"concurrency": 1},
}


@pytest.mark.parametrize("name", FLOWS)
async def test_what_was_counted_on_a_clock_that_was_ahead_holds_up_nobody(
    machine: Setting, storage: Any, name: str
) -> None:
    holds = asyncio.Event()

    async def hold(value: int) -> int:
        await holds.wait()
        return value

    workflow: Any = create_workflow(id="w", input_schema=int, output_schema=int, **FLOWS[name])
    workflow.then(create_step(id="hold", execute=hold)).commit()
    machine.wall = 50 * HOURS
    async with Mastra(workflows=[workflow], storage=storage()) as mastra:

        async def start(value: int) -> str:
            run = await mastra.get_workflow("w").create_run()
            return (await run.start(value)).status

        begun = [asyncio.ensure_future(start(1)), asyncio.ensure_future(start(2))]
        await looks()
        machine.wall = 0.0
        holds.set()
        async with asyncio.timeout(10):
            told = await asyncio.gather(*begun, return_exceptions=True)
            assert "success" in told
            if name == "rate_limit":  # counted on the other clock: none for a while, not for days
                await asyncio.gather(start(3), return_exceptions=True)
                await asyncio.sleep(0.06)
            assert await start(4) == "success"


async def test_what_begins_once_a_day_does_so_when_the_clock_was_put_back(
    machine: Setting, storage: Any
) -> None:
    workflow: Any = create_workflow(
        id="w", input_schema=int, output_schema=int, idempotency="event.data.inputData"
    )
    workflow.then(passing("a")).commit()
    async with Mastra(workflows=[workflow], storage=storage()) as mastra:
        for wall, is_first in ((50 * HOURS, True), (49.999 * HOURS, False), (0.0, False)):
            machine.wall = wall
            run = await mastra.get_workflow("w").create_run()
            if is_first:
                assert (await run.start(1)).status == "success"
            else:
                with pytest.raises(RunError, match="idempotency"):
                    await run.start(1)
        machine.wall = 25 * HOURS
        run = await mastra.get_workflow("w").create_run()
        assert (await run.start(1)).status == "success"


async def test_what_is_scheduled_starts_when_the_clock_is_put_forward_to_it(
    machine: Setting, storage: Any
) -> None:
    ran = asyncio.Event()

    async def note(value: Any) -> Any:
        ran.set()
        return value

    schedule = {"cron": "0 0 1 1 *", "timezone": "UTC"}
    workflow: Any = create_workflow(id="w", input_schema=Any, output_schema=Any, schedule=schedule)
    workflow.then(create_step(id="note", execute=note)).commit()
    config = SchedulerConfig(tick_interval=0.02)
    async with Mastra(workflows=[workflow], storage=storage(), scheduler=config):
        await looks()
        assert not ran.is_set()
        machine.wall = 366 * 24 * HOURS
        async with asyncio.timeout(10):
            await ran.wait()


async def test_a_ticket_that_somebody_else_has_moved_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    admissions = _OfStore(InMemoryStorage().workflows)
    flow, now = admissions.flow, 1_000_000
    ticket = Ticket(
        "w", "r", "w", "local", now + 9000, now + 9000, now + 9000, lane_a="a", limit_a=1
    )
    key = ("w", "r")
    admissions._waiters[key] = (ticket, asyncio.get_running_loop().create_future())
    await flow.put(replace(ticket, state="in"))
    await admissions._follow_clock(now)
    assert admissions._waiters[key][0] is ticket  # it was called
    await flow.put(ticket)
    with monkeypatch.context() as patch:
        patch.setattr(flow, "write", AsyncMock(return_value=False))
        await admissions._follow_clock(now)  # somebody was let in meanwhile
    assert admissions._waiters[key][0] is ticket
    await admissions._follow_clock(now)
    moved = admissions._waiters[key][0]
    assert (moved.rank, moved.due_at, moved.first_at) == (now, now, now)
    assert await flow.waiting("w", now=now, without=(), limit=1) == [moved]


@pytest.mark.parametrize("hours", [5, -5])
async def test_a_model_has_its_time_whatever_the_clock_is_set_to(
    machine: Setting, hours: int
) -> None:
    async def answer(_: ModelRequest) -> Any:
        machine.wall += hours * HOURS
        yield "a"
        machine.wall += hours * HOURS
        await looks()
        yield "b"

    limits = Timeouts(total=600, step=600, first_chunk=600)
    agent = Agent(id="a", model=FunctionModel(answer))
    async with Mastra(agents=[agent]) as mastra:
        stream = mastra.get_agent("a").stream("hi", model_settings=ModelSettings(timeout=limits))
        assert await stream.text() == "ab"
