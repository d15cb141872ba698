"""The clock and the ids of tests."""

from __future__ import annotations

import asyncio
import re
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mastra import (
    Agent,
    ConfigError,
    InProcessEngine,
    Mastra,
    ModelError,
    create_step,
    create_workflow,
)
from mastra.clock import now_s, sleep, timeout
from mastra.ids import new_id
from mastra.testing import FakeClock, ReplayEngine, ScriptedModel, Turn, fake_ids


def napping(*parts: timedelta) -> Any:
    workflow = create_workflow(id="nap", input_schema=int, output_schema=int)
    for part in parts:
        workflow.sleep(part)
    return workflow.commit()


async def test_it_begins_when_it_is_told_to() -> None:
    start = datetime(2030, 1, 2, tzinfo=UTC)
    with FakeClock(start) as clock:
        assert now_s() == clock.now() == start.timestamp()
        await sleep(60)
        assert clock.monotonic() == 60
    assert now_s() != clock.now()


@pytest.mark.parametrize("make_engine", [InProcessEngine, ReplayEngine])
async def test_a_clock_moved_by_hand_wakes_what_is_due(make_engine: Any) -> None:
    clock = FakeClock(auto=False)
    mastra = Mastra(
        workflows=[napping(timedelta(days=7), timedelta(days=7))], engine=make_engine(clock=clock)
    )
    run = await mastra.get_workflow("nap").create_run()
    result = asyncio.ensure_future(run.start(1))
    await clock.advance(timedelta(days=13))
    assert (await run.status(), clock.sleeping) == ("waiting", 1)
    await clock.advance(timedelta(days=1))
    assert (await result).unwrap() == 1
    with pytest.raises(ValueError, match="does not go back"):
        await clock.advance(-1)


async def test_the_sleeps_of_branches_end_in_the_order_of_their_lengths() -> None:
    woken: list[str] = []

    def branch(id: str, weeks: int) -> Any:
        step = create_step(
            id=f"{id}-step",
            input_schema=int,
            output_schema=int,
            execute=lambda ctx: woken.append(id) or 1,
        )
        workflow = create_workflow(id=id, input_schema=int, output_schema=int)
        return workflow.sleep(timedelta(weeks=weeks)).then(step).commit()

    workflow = create_workflow(id="w", input_schema=int, output_schema=dict)
    workflow.parallel([branch("a", 3), branch("b", 1), branch("c", 2)]).commit()
    with FakeClock() as clock:
        result = await (await workflow.create_run()).start(1)
    assert result.status == "success"
    assert woken == ["b", "c", "a"]
    assert clock.monotonic() == 3 * 7 * 86_400


async def test_the_times_of_a_run_are_the_clocks() -> None:
    clock = FakeClock(datetime(2030, 1, 1, tzinfo=UTC))
    mastra = Mastra(workflows=[napping(timedelta(days=2))], clock=clock)
    run = await mastra.get_workflow("nap").create_run()
    result = await run.start(1)
    slept = result.steps["sleep_nap_0"]
    assert slept.started_at.year == 2030
    assert slept.ended_at - slept.started_at == timedelta(days=2)
    info = await mastra.get_workflow("nap").get_run(run.run_id)
    assert info is not None
    assert info.created_at.year == info.updated_at.year == 2030


async def test_a_time_out_ends_what_sleeps_longer_and_moves_no_time_by_itself() -> None:
    with FakeClock() as clock:
        with pytest.raises(TimeoutError):
            async with timeout(10):
                await sleep(60)
        assert clock.monotonic() == 10
        async with timeout(10):
            await asyncio.sleep(0.02)
        assert clock.monotonic() == 10
        assert clock.sleeping == 0


async def test_an_agent_that_waits_for_a_model_is_timed_by_its_application() -> None:
    model = ScriptedModel([Turn(text="late", delay=120)])
    agent = Agent(id="a", model=model, default_options={"model_settings": {"timeout": 60}})
    mastra = Mastra(agents=[agent], clock=FakeClock())
    with pytest.raises(ModelError, match="ran out of time: the total limit is 60 seconds"):
        await mastra.get_agent("a").generate("hello")


async def test_a_provider_that_asks_for_an_hour_is_waited_for() -> None:
    busy = ModelError("busy", is_retryable=True, details={"retry_after_s": 50})
    model = ScriptedModel([Turn(error=busy), Turn(text="here")])
    clock = FakeClock()
    mastra = Mastra(agents=[Agent(id="a", model=model, max_retries=1)], clock=clock)
    result = await mastra.get_agent("a").generate("hello")
    assert result.text == "here"
    assert clock.monotonic() == 50


async def test_ids_count() -> None:
    with fake_ids():
        assert [new_id(), new_id()] == [
            "00000000-0000-4000-8000-000000000001",
            "00000000-0000-4000-8000-000000000002",
        ]
    assert not new_id().startswith("0000")


async def test_two_programs_with_fake_ids_give_the_same_ones() -> None:
    async def program() -> list[str]:
        step = create_step(id="s", input_schema=int, output_schema=int, execute=lambda ctx: 1)
        workflow = create_workflow(id="w", input_schema=int, output_schema=int).then(step).commit()
        agent = Agent(id="a", model=ScriptedModel([Turn(text="hi")]))
        mastra = Mastra(workflows=[workflow], agents=[agent], ids=fake_ids())
        run = await mastra.get_workflow("w").create_run()
        chunks = [chunk async for chunk in mastra.get_agent("a").stream("hello")]
        return [run.run_id, *(str(chunk.to_wire()["runId"]) for chunk in chunks)]

    first = await program()
    assert first == await program()
    assert first[0] == "00000000-0000-4000-8000-000000000001"


async def test_a_sleep_of_nothing_gives_others_their_turn() -> None:
    seen: list[str] = []
    with FakeClock(auto=False) as clock:
        other = asyncio.ensure_future(noted(seen))
        await sleep(0)
        await sleep(-1)
        assert seen == ["other"]
        assert (clock.sleeping, clock.monotonic()) == (0, 0)
    await other


async def noted(seen: list[str]) -> None:
    seen.append("other")


async def test_who_sleeps_in_another_thread_is_woken_there() -> None:
    clock = FakeClock(auto=False)
    woken: list[int] = []

    async def nap() -> None:
        await clock.sleep(3600)
        woken.append(threading.get_ident())

    thread = threading.Thread(target=asyncio.run, args=(nap(),))
    thread.start()
    while not clock.sleeping:
        await asyncio.sleep(0.001)
    await clock.advance(timedelta(hours=1))
    thread.join(5)
    assert woken == [thread.ident]
    assert (clock.sleeping, clock.monotonic()) == (0, 3600)


def test_what_waited_on_a_loop_that_has_closed_is_forgotten() -> None:
    clock = FakeClock(auto=False)
    called: list[str] = []

    async def leave() -> None:
        clock.call_later(10, lambda: called.append("left"))

    async def wait() -> None:
        clock.call_later(20, lambda: called.append("here"))
        await clock.advance(30)

    asyncio.run(leave())
    asyncio.run(wait())
    assert called == ["here"]


def test_its_moments_are_the_same_as_dates() -> None:
    # A date has whole microseconds: what was rounded is before the moment that somebody sleeps until.
    for clock in [FakeClock() for _ in range(20)]:
        moment = datetime.fromtimestamp(clock.now() + 60, UTC)
        assert moment.timestamp() == clock.now() + 60


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"start": "2026-01-01"},
            "FakeClock: start is '2026-01-01'. It takes a datetime, or seconds",
        ),
        ({"start": float("nan")}, "FakeClock: start is nan"),
        ({"auto": "yes"}, "FakeClock: auto is 'yes'. It takes True or False"),
        ({"settle": -1}, "FakeClock: settle is -1. It takes a number of seconds from 0"),
    ],
)
def test_what_is_no_time_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        FakeClock(**options)
