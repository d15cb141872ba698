"""Schedules start workflows and agents when it is time, once."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from mastra import (
    Agent,
    ConfigError,
    IdTakenError,
    InMemoryStorage,
    InputValidationError,
    Mastra,
    NotFoundError,
    SQLStorage,
    create_workflow,
)
from mastra.memory import Memory
from mastra.schedules import SchedulerConfig, WorkflowSchedule
from mastra.testing import FunctionModel, ScriptedModel
from tests.schedules.cases import START, fires, flow, hand_clock, hours, until

pytestmark = pytest.mark.anyio

HOURLY: Any = {"cron": "0 * * * *"}


@pytest.fixture(params=["memory", "sqlite"])
def make_storage(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    kept = InMemoryStorage()
    url = f"sqlite:///{tmp_path}/schedules.db"
    return (lambda: kept) if request.param == "memory" else (lambda: SQLStorage(url))


async def test_schedules_that_are_opened_again_start_each_moment_once() -> None:
    clock, seen = hand_clock(), list[Any]()
    async with Mastra(workflows=[flow(seen, schedule=HOURLY)], clock=clock) as mastra:
        await mastra.schedules.open()
        await clock.advance(1800)
        await fires(mastra, "wf_flow", 1)
        await clock.advance(3600)
        assert len(await fires(mastra, "wf_flow", 2)) == 2
        await until(lambda: len(seen) == 2)


def test_settings_are_settings_or_no_schedules_at_all() -> None:
    wrong: Any
    for wrong in ("off", 5, {"enabled": False}):
        with pytest.raises(ConfigError, match="It takes a SchedulerConfig or False"):
            Mastra(scheduler=wrong)


async def test_a_declared_schedule_starts_runs_when_it_is_time(make_storage: Any) -> None:
    seen: list[Any] = []
    schedule = {**HOURLY, "inputData": {"n": 1}, "initial_state": {"a": 2}, "timezone": "UTC"}
    clock = hand_clock()
    workflow = flow(seen, schedule=schedule)
    async with Mastra(workflows=[workflow], storage=make_storage(), clock=clock) as mastra:
        (kept,) = await mastra.schedules.list(workflow_id="flow")
        assert (kept.id, kept.input_data, kept.status) == ("wf_flow", {"n": 1}, "active")
        assert seen == []
        await clock.advance(1800)
        await fires(mastra, "wf_flow", 1)
        await clock.advance(3600)
        found = await fires(mastra, "wf_flow", 2)
        assert hours(found) == ["04 09:00", "04 10:00"]
        assert {one.outcome for one in found} == {"published"}
        await until(lambda: len(seen) == 2)
        assert seen == [(one.run_id, {"n": 1}, None, {"a": 2}) for one in found]
        now = await mastra.schedules.get("wf_flow")
        assert now is not None
        assert (now.last_run_id, now.last_fire_at) == (found[1].run_id, found[1].actual_fire_at)
        run = await mastra.get_workflow("flow").get_run(found[0].run_id or "")
        assert run is not None


async def test_several_have_ids_and_what_is_no_longer_declared_is_forgotten(
    make_storage: Any,
) -> None:
    clock = hand_clock()

    async def ids(schedule: Any) -> list[tuple[str, str, int]]:
        workflow = flow([], schedule=schedule)
        async with Mastra(workflows=[workflow], storage=make_storage(), clock=clock) as mastra:
            return [(one.id, one.cron, one.next_fire_at) for one in await mastra.schedules.list()]

    first = await ids([{**HOURLY, "id": "a"}, WorkflowSchedule(id="b", cron="@daily")])
    assert [one[:2] for one in first] == [("wf_flow__a", "0 * * * *"), ("wf_flow__b", "@daily")]
    await clock.advance(7200)
    again = await ids([{**HOURLY, "id": "a"}, {"cron": "@weekly", "id": "b"}])
    assert again[0] == first[0]  # it is due, as it was
    assert again[1][2] > first[1][2]
    assert await ids(None) == []


async def test_a_paused_one_stays_paused_over_a_deploy_and_goes_on_from_now(
    make_storage: Any,
) -> None:
    seen: list[Any] = []
    clock = hand_clock()

    def deploy() -> Mastra:
        workflow = flow(seen, schedule=HOURLY)
        return Mastra(workflows=[workflow], storage=make_storage(), clock=clock)

    async with deploy() as mastra:
        paused = await mastra.schedules.pause("wf_flow")
        assert paused == await mastra.schedules.pause("wf_flow")
    async with deploy() as mastra:
        await clock.advance(3 * 3600)
        resumed = await mastra.schedules.resume("wf_flow")
        assert resumed.next_fire_at == (START.timestamp() + 3 * 3600 + 1800) * 1000
        assert resumed == await mastra.schedules.resume("wf_flow")
        await clock.advance(1800)
        found = await fires(mastra, "wf_flow", 1)
    assert hours(found) == ["04 12:00"]


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        ("one", ["04 09:00", "04 13:00"]),
        ("all", ["04 09:00", "04 10:00", "04 11:00", "04 12:00", "04 13:00"]),
        ("none", ["04 13:00"]),
    ],
)
async def test_what_passed_while_nothing_was_there_is_caught_up_with_as_it_says(
    make_storage: Any, catch_up: str, expected: list[str]
) -> None:
    clock, seen = hand_clock(), list[Any]()

    def deploy() -> Mastra:
        workflow = flow(seen, schedule={**HOURLY, "catch_up": catch_up})
        return Mastra(workflows=[workflow], storage=make_storage(), clock=clock)

    async with deploy():
        pass
    await clock.advance(4 * 3600 - 60)  # 12:29
    async with deploy() as mastra:
        # What was missed is seen to before the next one comes.
        await fires(mastra, "wf_flow", max(1, len(expected) - 1))
        await clock.advance(31 * 60)
        await until(lambda: len(seen) == len(expected))
        found = await fires(mastra, "wf_flow", len(expected), outcomes=["published"])
        skipped = [
            one
            for one in await mastra.schedules.list_triggers("wf_flow")
            if one.outcome == "skipped"
        ]
    assert hours(found) == expected
    assert len(skipped) == (catch_up == "none")


async def test_cron_is_a_schedule_where_this_process_runs_the_workflow() -> None:
    seen: list[Any] = []
    clock = hand_clock()
    workflow = flow(seen, cron="TZ=Europe/Berlin 0 11 * * *", input_data={"n": 3})
    async with Mastra(workflows=[workflow], clock=clock) as mastra:
        await clock.advance(1800)
        (found,) = await fires(mastra, "wf_flow", 1)
        await until(lambda: seen)
    assert seen == [(found.run_id, {"n": 3}, None, {})]


async def test_cron_beside_a_schedule_needs_an_id_to_be_told_from_it() -> None:
    with pytest.raises(ConfigError, match="give the schedule an id"):
        async with Mastra(workflows=[flow([], cron="0 2 * * *", schedule=HOURLY)]):
            pass
    named = {**HOURLY, "id": "a", "metadata": {"of": "ann"}}
    async with Mastra(workflows=[flow([], cron="0 2 * * *", schedule=named)]) as mastra:
        listed = {one.id: one.metadata for one in await mastra.schedules.list()}
    assert listed == {"wf_flow": None, "wf_flow__a": {"of": "ann"}}


async def test_a_program_makes_changes_and_deletes_schedules(make_storage: Any) -> None:
    seen: list[Any] = []
    clock = hand_clock()
    async with Mastra(workflows=[flow(seen)], storage=make_storage(), clock=clock) as mastra:
        schedules = mastra.schedules
        made = await schedules.create(
            workflow_id="flow", id="My nightly!", cron="0 3 * * *", resource_id="ada", input_data={}
        )
        assert (made.id, made.status) == ("schedule_My-nightly", "active")
        assert made == await schedules.get(made.id)
        with pytest.raises(IdTakenError, match="schedule_My-nightly"):
            await schedules.create(workflow_id="flow", id=made.id, cron="@daily")
        changed = await schedules.update(made.id, cron="45 8 * * *", input_data={"n": 5})
        assert changed.next_fire_at == (START.timestamp() + 900) * 1000
        assert changed.resource_id == "ada"
        await clock.advance(900)
        (fired,) = await fires(mastra, made.id, 1)
        claim = await schedules.run(made.id)
        manual = (await fires(mastra, made.id, 2))[1]
        assert (manual.run_id, manual.trigger_kind) == (claim["claimId"], "manual")
        await until(lambda: len(seen) == 2)
        assert seen == [(one.run_id, {"n": 5}, "ada", {}) for one in (fired, manual)]
        assert await schedules.list(resource_id="bob") == []
        await schedules.delete(made.id)
        assert await schedules.list() == []
        for call in (schedules.delete, schedules.pause, schedules.resume, schedules.run):
            with pytest.raises(NotFoundError, match="no schedule"):
                await call(made.id)


async def test_an_agent_is_asked_in_its_conversation() -> None:
    clock = hand_clock()
    model = FunctionModel(lambda request: f"{len(request.messages)} messages")
    agent = Agent(id="helper", model=model, memory=Memory())
    async with Mastra(agents=[agent], clock=clock) as mastra:
        made = await mastra.schedules.create(
            agent_id="helper", cron="@hourly", prompt="News?", thread_id="t", resource_id="ada"
        )
        await clock.advance(1800)
        await fires(mastra, made.id, 1, outcomes=["succeeded"])
        await clock.advance(3600)
        found = await fires(mastra, made.id, 2, outcomes=["succeeded"])
        (thread,) = (await mastra.storage.memory.list_threads(resource_id="ada")).threads
        assert thread.id == "t"
    assert [one.outcome for one in found] == ["succeeded", "succeeded"]


async def test_an_answer_that_is_cut_off_is_noted_as_such() -> None:
    clock, begun = hand_clock(), asyncio.Event()

    async def never(request: Any) -> str:
        begun.set()
        await asyncio.Event().wait()
        return ""

    agent = Agent(id="slow", model=FunctionModel(never))
    storage = InMemoryStorage()
    async with Mastra(agents=[agent], clock=clock, storage=storage) as mastra:
        made = await mastra.schedules.create(agent_id="slow", cron="@hourly", prompt="?")
        await clock.advance(1800)
        await begun.wait()
    (fired,) = await storage.schedules.list_triggers(made.id)
    assert fired.outcome == "aborted"


@pytest.mark.parametrize("error", [ValueError("not today"), ConfigError("not today")])
async def test_a_start_that_fails_is_noted_and_told_and_the_next_one_comes(
    error: Exception,
) -> None:
    told: list[tuple[str, str]] = []

    def refuse(_: Any) -> None:
        raise error

    clock = hand_clock()
    config = SchedulerConfig(on_error=lambda error, name: told.append((name, str(error))))
    workflow = flow([], schedule=HOURLY, on_start=refuse)
    async with Mastra(workflows=[workflow], clock=clock, scheduler=config) as mastra:
        await clock.advance(1800)
        await fires(mastra, "wf_flow", 1)
        await clock.advance(3600)
        found = await fires(mastra, "wf_flow", 2)
    assert [(one.outcome, "not today" in str(one.error)) for one in found] == [("failed", True)] * 2
    assert [name for name, _ in told] == ["wf_flow", "wf_flow"]


async def test_what_another_process_has_taken_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, storage = hand_clock(), InMemoryStorage()
    reserve, asked = storage.schedules.reserve, list[int]()

    async def late(*given: Any, **options: Any) -> list[Any]:
        asked.append(1)
        return await reserve(*given, **options) if len(asked) > 2 else []

    monkeypatch.setattr(storage.schedules, "reserve", late)
    seen: list[Any] = []
    config = SchedulerConfig(tick_interval=0.01)
    workflow = flow(seen, schedule=HOURLY)
    async with Mastra(
        workflows=[workflow], clock=clock, storage=storage, scheduler=config
    ) as mastra:
        await clock.advance(1800)
        await fires(mastra, "wf_flow", 1)
    assert (len(asked), len(seen)) == (3, 1)


async def test_what_was_paused_while_it_became_due_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, storage = hand_clock(), InMemoryStorage()
    reserve, paused = storage.schedules.reserve, asyncio.Event()
    model = ScriptedModel()
    agent = Agent(id="a", model=model)
    async with Mastra(agents=[agent], clock=clock, storage=storage) as mastra:
        made = await mastra.schedules.create(agent_id="a", cron="@hourly", prompt="?")

        async def pausing(*given: Any, **options: Any) -> list[Any]:
            found = await reserve(*given, **options)
            if found:
                await mastra.schedules.pause(made.id)
                paused.set()
            return found

        monkeypatch.setattr(storage.schedules, "reserve", pausing)
        await clock.advance(1800)
        await asyncio.wait_for(paused.wait(), 30)
        await clock.advance(10)
        assert await mastra.schedules.list_triggers(made.id) == []
    assert model.calls == 0


async def test_an_agent_that_a_processor_stops_has_not_answered() -> None:
    class Guard:
        id = "guard"

        def process_input(self, context: Any) -> Any:
            context.abort("no news today")

    clock = hand_clock()
    agent = Agent(id="helper", model=ScriptedModel(), input_processors=[Guard()])
    async with Mastra(agents=[agent], clock=clock) as mastra:
        made = await mastra.schedules.create(agent_id="helper", cron="@hourly", prompt="News?")
        await clock.advance(1800)
        (found,) = await fires(mastra, made.id, 1, outcomes=["failed"])
    assert "no news today" in str(found.error)


async def test_where_nobody_is_told_the_log_is(caplog: Any) -> None:
    def refuse(_: Any) -> None:
        raise ValueError("not today")

    clock = hand_clock()
    workflow = flow([], schedule=HOURLY, on_start=refuse)
    async with Mastra(workflows=[workflow], clock=clock) as mastra:
        await clock.advance(1800)
        await fires(mastra, "wf_flow", 1)
    assert "Schedule 'wf_flow' could not start anything: " in caplog.text


async def test_a_process_that_is_not_to_start_anything_does_not() -> None:
    clock, seen = hand_clock(), list[Any]()
    workflow = flow(seen, schedule=HOURLY)
    async with Mastra(workflows=[workflow], clock=clock, scheduler=False) as mastra:
        await clock.advance(7200)
        assert await mastra.schedules.list_triggers("wf_flow") == []
        await mastra.schedules.run("wf_flow")
        await until(lambda: seen)


async def test_old_fires_are_forgotten() -> None:
    clock = hand_clock()
    config = SchedulerConfig(keep_triggers=timedelta(days=20))
    workflow = flow([], schedule={"cron": "@monthly"})
    async with Mastra(workflows=[workflow], clock=clock, scheduler=config) as mastra:
        await clock.advance(timedelta(days=28))
        assert hours(await fires(mastra, "wf_flow", 1)) == ["01 00:00"]
        await clock.advance(timedelta(days=30))
        async with asyncio.timeout(30):
            while len(found := await mastra.schedules.list_triggers("wf_flow")) != 1:
                await asyncio.sleep(0.01)
        assert found[0].scheduled_fire_at > (START + timedelta(days=50)).timestamp() * 1000
        assert await mastra.schedules.delete_triggers_older_than(timedelta(days=-1)) == 1


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"timezone": "UTC"}, "'cron'"),
        ({**HOURLY, "cronn": 1}, "'cron'"),
        ({"cron": "nonsense"}, "no cron expression"),
        ({**HOURLY, "catch_up": "some"}, "catch_up"),
        ([HOURLY, {**HOURLY, "id": "a"}], "an id of its own"),
        ([{**HOURLY, "id": "a"}, {**HOURLY, "id": "a"}], "an id of its own"),
        ("@daily", "'cron'"),
        ({**HOURLY, 1: 2}, "'cron'"),
        ({**HOURLY, "id": 5}, "id is 5"),
        ({**HOURLY, "id": ""}, "not empty"),
        ([{**HOURLY, "id": ["a"]}], r"id is \['a'\]"),
        ({**HOURLY, "metadata": 5}, "metadata is 5"),
        ({**HOURLY, "timezone": 5}, "time zone"),
        ({"cron": ["0 9 * * *"]}, "a text such as"),
    ],
)
def test_what_is_no_schedule_is_refused_where_it_is_declared(schedule: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        flow([], schedule=schedule)


def test_an_input_that_the_workflow_does_not_take_is_refused() -> None:
    with pytest.raises(InputValidationError):
        create_workflow(
            id="w", input_schema=int, output_schema=int, schedule={**HOURLY, "input_data": "x"}
        )


async def test_triggers_are_listed_and_forgotten_by_moments_and_ages() -> None:
    async with Mastra(workflows=[flow([], schedule=HOURLY)]) as mastra:
        first, last = datetime.min, datetime.max  # noqa: DTZ901 - local time has no such dates
        between = mastra.schedules.list_triggers("wf_flow", from_date=first, to_date=last)
        assert await between == []
        with pytest.raises(ConfigError, match=r"from_date is '2026-01-01'.*a datetime"):
            await mastra.schedules.list_triggers("wf_flow", from_date=cast("Any", "2026-01-01"))
        with pytest.raises(ConfigError, match=r"age is 30.*a timedelta"):
            await mastra.schedules.delete_triggers_older_than(cast("Any", 30))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either"),
        ({"workflow_id": "flow", "agent_id": "a"}, "either"),
        ({"workflow_id": "flow", "prompt": "?"}, "prompt"),
        ({"agent_id": "a", "input_data": {}}, "input_data"),
        ({"agent_id": "a"}, "prompt"),
        ({"agent_id": "a", "prompt": "?", "thread_id": "t"}, "resource_id"),
        ({"workflow_id": "flow", "id": "!"}, "no letter"),
        ({"workflow_id": "flow", "catch_up": "some"}, "catch_up"),
        ({"workflow_id": "flow", "status": "pausd"}, "status is 'pausd'"),
        ({"workflow_id": "flow", "resource_id": "a\0b"}, "resource_id is"),
        ({"workflow_id": "flow", "metadata": ["x"]}, "metadata is"),
        ({"agent_id": "a", "prompt": "?", "thread_id": "", "resource_id": "r"}, "thread_id is"),
    ],
)
async def test_what_no_schedule_can_have_is_refused(options: Any, message: str) -> None:
    agent = Agent(id="a", model=FunctionModel(lambda _: "x"))
    mastra = Mastra(workflows=[flow([])], agents=[agent])
    with pytest.raises(ConfigError, match=message):
        await mastra.schedules.create(cron="@daily", **options)


async def test_a_schedule_of_a_long_id_starts_runs_that_can_be_asked_for() -> None:
    clock, seen = hand_clock(), list[Any]()
    async with Mastra(workflows=[flow(seen)], clock=clock) as mastra:
        made = await mastra.schedules.create(workflow_id="flow", cron="@hourly", id="x" * 240)
        await mastra.schedules.run(made.id)
        await clock.advance(3600)
        found = await fires(mastra, made.id, 2)
        assert [one.error for one in found] == [None, None]
        for one in found:
            run = await mastra.get_workflow("flow").get_run(one.run_id or "")
            assert run is not None
            assert len(run.run_id) <= 255


async def test_two_schedules_that_would_be_stored_as_one_are_refused() -> None:
    first = flow([], id="a", schedule=[{**HOURLY, "id": "b__c", "input_data": {}}])
    second = flow([], id="a__b", schedule=[{**HOURLY, "id": "c", "input_data": {}}])
    with pytest.raises(ConfigError, match=r"'a' and 'a__b' both declare.*'wf_a__b__c'"):
        async with Mastra(workflows=[first, second]):
            pass


async def test_where_nothing_is_due_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = SQLStorage(f"sqlite:///{tmp_path / 'idle.db'}")
    reserved: list[int] = []

    async def reserve(*_: Any, **__: Any) -> list[Any]:
        reserved.append(1)
        return []

    async with storage:
        monkeypatch.setattr(storage.schedules, "reserve", reserve)
        config = SchedulerConfig(tick_interval=0.01)
        async with Mastra(storage=storage, scheduler=config, workflows=[]):
            await asyncio.sleep(0.2)
    assert reserved == []


async def test_an_agent_that_fails_is_noted_and_asked_again_whatever_becomes_of_being_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, asked, told = hand_clock(), list[Any](), list[str]()

    def answer(request: Any) -> str:
        asked.append(request.provider_options)
        if len(asked) == 1:
            raise ValueError("not today")
        return "ok"

    def tell(error: Exception, name: str) -> None:
        told.append(name)
        raise RuntimeError("nobody listens")

    agent = Agent(id="helper", model=FunctionModel(answer))
    config = SchedulerConfig(on_error=tell)
    async with Mastra(agents=[agent], clock=clock, scheduler=config) as mastra:
        own = {"x": {"y": 1}}
        made = await mastra.schedules.create(
            agent_id="helper", cron="@hourly", prompt="?", provider_options=own
        )
        assert [one.id for one in await mastra.schedules.list(agent_id="helper")] == [made.id]
        assert await mastra.schedules.list(agent_id="other") == []
        await clock.advance(1800)
        await fires(mastra, made.id, 1, outcomes=["failed"])
        await clock.advance(3600)
        found = await fires(mastra, made.id, 2, outcomes=["failed", "succeeded"])
    assert [one.outcome for one in found] == ["failed", "succeeded"]
    assert "not today" in str(found[0].error)
    assert told == [made.id]
    assert "on_error raised" in caplog.text
    assert all(options["x"] == {"y": 1} for options in asked)


async def test_a_moment_that_the_flow_control_leaves_out_is_noted_as_skipped() -> None:
    clock, seen = hand_clock(), list[Any]()
    limit = {"limit": 1, "period": timedelta(hours=5)}
    workflow = flow(seen, schedule=HOURLY, rate_limit=limit)
    async with Mastra(workflows=[workflow], clock=clock) as mastra:
        await clock.advance(1800)
        await fires(mastra, "wf_flow", 1)
        await clock.advance(3600)
        found = await fires(mastra, "wf_flow", 2)
    assert [one.outcome for one in found] == ["published", "skipped"]
    assert len(seen) == 1


async def test_a_schedule_that_can_no_longer_be_read_is_paused_and_told_once() -> None:
    clock, seen, told = hand_clock(), list[Any](), list[str]()
    config = SchedulerConfig(on_error=lambda error, name: told.append(f"{name}: {error}"))
    storage = InMemoryStorage()
    workflow = flow(seen, schedule=HOURLY)
    async with Mastra(
        workflows=[workflow], clock=clock, storage=storage, scheduler=config
    ) as mastra:
        await storage.schedules.update("wf_flow", {"cron": "every now and then"})
        await clock.advance(1800)
        await until(lambda: told)
        found = await mastra.schedules.get("wf_flow")
        assert found is not None
        assert found.status == "paused"
        await clock.advance(7200)
    assert len(told) == 1
    assert "every now and then" in told[0]
    assert seen == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SchedulerConfig(tick_interval=0), "tick_interval=0"),
        (lambda: SchedulerConfig(batch_size=0), "batch_size=0"),
        (lambda: Mastra(scheduler={"enabled": True}).schedules, "takes a SchedulerConfig or False"),
    ],
)  # fmt: skip
def test_what_no_scheduler_can_be_is_refused(make: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()


async def test_an_id_without_what_is_added_to_it_is_told_whole(make_storage: Any) -> None:
    async with Mastra(workflows=[flow([], schedule=HOURLY)], storage=make_storage()) as mastra:
        made = await mastra.schedules.create(id="Nightly sync", workflow_id="flow", **HOURLY)
        assert made.id == "schedule_Nightly-sync"
        for asked in (mastra.schedules.delete, mastra.schedules.pause, mastra.schedules.run):
            with pytest.raises(NotFoundError, match="Did you mean 'schedule_Nightly-sync'"):
                await asked("Nightly sync")
        with pytest.raises(NotFoundError, match="Did you mean 'wf_flow'"):
            await mastra.schedules.update("flow", cron="@daily")
        with pytest.raises(NotFoundError, match=r"There is no schedule 'other'\.$"):
            await mastra.schedules.delete("other")
