"""Who is at work on a request: a process that dies, stops or goes down in the middle of one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from mastra import Mastra, SQLStorage, StepContext, create_step
from mastra.clock import steady_s
from mastra.errors import StorageError
from mastra.inngest import work
from mastra.inngest.mount import serving_app
from mastra.inngest.wire.request import WHOLE_RUN, RequestFacts
from mastra.inngest.work import AskAgain, WorkClaims
from mastra.storage.drivers import DRIVER_ID_LENGTH, DriverStore, Work, Worker
from mastra.workflows.engines import drivers as driving
from mastra.workflows.engines.commands import RunTarget
from mastra.workflows.engines.drivers import driver_of
from tests.inngest import flows
from tests.inngest.flows import Value
from tests.support.inngest_env import Host
from tests.support.inngest_server import FakeInngest

ELSEWHERE = f"{'e' * DRIVER_ID_LENGTH}:1"
"""A claim of a process on another machine."""

LEASE_S = 0.3


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[SQLStorage]:
    """A database that another process sees."""
    async with SQLStorage(f"sqlite:///{tmp_path}/runs.db", lease_s=LEASE_S) as opened:
        yield opened


def drivers_of(storage: SQLStorage) -> DriverStore:
    assert storage.workflows.drivers is not None
    return storage.workflows.drivers


def target_of(storage: SQLStorage) -> RunTarget:
    return RunTarget(flows.chain(1).spec, storage.workflows, "r", None)


def facts(target: str = WHOLE_RUN) -> RequestFacts:
    return RequestFacts(
        run_id="r",
        function_uuid="",
        queue_item="",
        request_id="",
        generation=0,
        attempt=0,
        max_attempts=None,
        must_plan=False,
        target=target,
    )


async def test_a_worker_elsewhere_that_died_holds_up_its_run_for_as_long_as_its_lease(
    checkpointed: Host, storage: SQLStorage
) -> None:
    drivers, leases = drivers_of(storage), list[Any]()

    async def look(ctx: StepContext[Value]) -> Value:
        leases.append(await drivers.find(ELSEWHERE[:DRIVER_ID_LENGTH]))
        (worker,) = await drivers.workers(Work("w", ctx.run_id))
        assert driver_of(drivers).is_driving(worker.owner)
        return ctx.input_data

    workflow = flows.begin().then(create_step(id="look", execute=look)).commit()
    async with flows.on(checkpointed, workflow, storage=storage) as mastra:
        run = await mastra.get_workflow("w").create_run()
        await drivers.beat(ELSEWHERE[:DRIVER_ID_LENGTH], "")
        assert await drivers.begin_work(Work("w", run.run_id), ELSEWHERE)
        begun = await drivers.find(ELSEWHERE[:DRIVER_ID_LENGTH])
        assert (await run.start({"value": 1})).status == "success"
        assert leases == [begun]  # it gave no sign of life meanwhile
        assert await drivers.workers(Work("w", run.run_id)) == []


async def test_a_worker_that_stood_still_for_longer_than_its_lease_stores_nothing_more(
    checkpointed: Host, fake: FakeInngest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    began, goes_on, later = asyncio.Event(), asyncio.Event(), 0.0
    ran: list[str] = []

    def shape(place: str) -> Any:
        async def execute(ctx: StepContext[Value]) -> Value:
            ran.append(place)
            if place == "first":
                began.set()
                await goes_on.wait()
            return Value(value=len(ran))

        async def follow(ctx: StepContext[Value]) -> Value:
            ran.append(f"{place} again")
            return ctx.input_data

        step = create_step(id="step", execute=execute)
        return flows.begin().then(step).then(create_step(id="after", execute=follow)).commit()

    monkeypatch.setattr(driving, "steady_s", lambda: steady_s() + later)
    async with AsyncExitStack() as stack:
        places: list[Mastra] = []
        engines = [checkpointed.make_engine() for _ in range(3)]
        for engine, name in zip(engines, ("first", "second", "caller"), strict=True):
            served: Any = {"workflows": {"w": shape(name)}, "storage": SQLStorage(url)}
            places.append(await stack.enter_async_context(Mastra(engine=engine, **served)))
        first, second, caller = places
        checkpointed.call(serving_app(first, checkpointed.client))
        run = await caller.get_workflow("w").create_run()
        await run.start_async({"value": 1})
        await began.wait()
        (server_run,) = fake.runs.values()
        # Its server sends the request again; the database has seen no sign of life for long.
        drivers: Any = first.storage.workflows.drivers
        await drivers.forget(driver_of(drivers).driver_id)
        checkpointed.call(serving_app(second, checkpointed.client))
        again = asyncio.create_task(fake._ask(server_run, WHOLE_RUN))
        assert (await run.result()).unwrap() == Value(value=2)
        later = 3600.0
        goes_on.set()
        await again
        async with asyncio.timeout(10):
            while not engines[0].legs.are_idle:
                await asyncio.sleep(0.005)
        assert ran == ["first", "second", "second again"]
        found = await caller.get_workflow("w").get_run(run.run_id)
        assert found is not None
        assert found.steps["step"].output == {"value": 2}


async def test_a_request_that_waits_is_let_go_where_its_process_goes_down(
    storage: SQLStorage,
) -> None:
    drivers = drivers_of(storage)
    await drivers.beat(ELSEWHERE[:DRIVER_ID_LENGTH], "")
    assert await drivers.begin_work(Work("w", "r"), ELSEWHERE)
    claims = WorkClaims(lambda: True)
    async with claims.of(target_of(storage), facts()) as claim:
        with pytest.raises(AskAgain, match="going down"):
            await claim.take()
    (worker,) = await drivers.workers(Work("w", "r"))
    assert worker.owner == ELSEWHERE
    await claims.aclose()


async def test_nobody_is_dead_for_a_clock_of_the_database_that_is_set(
    storage: SQLStorage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drivers, claims, now = drivers_of(storage), WorkClaims(lambda: False), 0.0
    real, looked = drivers.workers, asyncio.Semaphore(0)

    async def workers(part: Work) -> list[Worker]:
        looked.release()
        return await real(part)

    async def looks() -> None:
        for _ in range(3):
            await looked.acquire()

    monkeypatch.setattr(drivers, "workers", workers)
    monkeypatch.setattr(work, "steady_s", lambda: now)
    monkeypatch.setattr(work, "LONGEST_LOOK_S", 0.01)
    async with SQLStorage(f"sqlite:///{tmp_path}/runs.db", lease_s=0.001) as elsewhere:
        signs = drivers_of(elsewhere)
        await signs.beat(ELSEWHERE[:DRIVER_ID_LENGTH], "")  # over as soon as it is there
        assert await drivers.begin_work(Work("w", "r"), ELSEWHERE)
        async with claims.of(target_of(storage), facts()) as claim:
            taken = asyncio.create_task(claim.take())
            await looks()
            await signs.beat(ELSEWHERE[:DRIVER_ID_LENGTH], "")
            now = 100.0
            await looks()
            assert not taken.done()
            now = 200.0
            await taken
    await claims.aclose()


async def test_requests_of_one_process_for_the_same_part_wait_for_each_other_in_it(
    storage: SQLStorage,
) -> None:
    claims, drivers = WorkClaims(lambda: False), drivers_of(storage)
    async with claims.of(target_of(storage), facts("a")) as one:
        await one.take()
        async with claims.of(target_of(storage), facts("a")) as same:
            await same.take()
        async with claims.of(target_of(storage), facts("b")) as other:
            await other.take()
            assert len(await drivers.workers(Work("w", "r"))) == 2
        assert len(await drivers.workers(Work("w", "r"))) == 1
    assert await drivers.workers(Work("w", "r")) == []
    await claims.aclose()
    assert await drivers.list_drivers() == []


@pytest.mark.parametrize("error", [StorageError("away"), asyncio.CancelledError()])
async def test_what_the_storage_could_not_be_told_it_is_told_later(
    storage: SQLStorage, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    claims, drivers = WorkClaims(lambda: False), drivers_of(storage)

    async def fail(*_: Any) -> None:
        raise error

    async def request() -> None:
        async with claims.of(target_of(storage), facts()) as claim:
            await claim.take()
            monkeypatch.setattr(drivers, "end_work", fail)

    await asyncio.gather(request(), return_exceptions=True)
    async with asyncio.timeout(10):
        while await drivers.workers(Work("w", "r")):
            await asyncio.sleep(0.005)
    await claims.aclose()


async def test_a_claim_that_was_taken_over_is_noticed(
    storage: SQLStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims, drivers = WorkClaims(lambda: False), drivers_of(storage)
    async with claims.of(target_of(storage), facts()) as claim:
        await claim.confirm()  # nothing is claimed yet
        await claim.take()
        later = 3600.0
        monkeypatch.setattr(driving, "steady_s", lambda: steady_s() + later)
        await claim.confirm()  # nobody has taken it
        later += 3600.0
        await drivers.beat(ELSEWHERE[:DRIVER_ID_LENGTH], "")
        (mine,) = await drivers.workers(Work("w", "r"))
        assert await drivers.begin_work(Work("w", "r"), ELSEWHERE, dead_owners=[mine.owner])
        with pytest.raises(AskAgain, match="another process"):
            await claim.confirm()
    (worker,) = await drivers.workers(Work("w", "r"))
    assert worker.owner == ELSEWHERE
    await claims.aclose()
